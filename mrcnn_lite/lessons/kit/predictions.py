"""Predict first: a question before a result, and both beside each other afterwards.

    predict("05-cells", "How many cells receive a gradient?", options=("4", "9", "25"))
    ...
    reveal("05-cells", "25")

An answer is kept with the reader's progress (`progress.py`), so that it is there again when a
notebook is opened another day.
"""

import html
from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw
from IPython.display import display

from . import progress
from .messages import say, wrapped

SECTION = "predictions"
LABEL = "Your prediction"
NOTHING = "You predicted: nothing yet."

_asked: dict[str, "Prediction"] = {}


class Prediction:
    """A question, the control for its answer, and the answer kept."""

    def __init__(self, name: str, question: str, options: Sequence[Any] = ()):
        """Ask; nothing is shown until the prediction is displayed."""
        self.name = name
        self.question = question
        self.options = tuple(str(option) for option in options)
        self.control = self._control()
        self.note = ipw.HTML()  # is on the page before it speaks, or nobody would hear it
        # The question is read out before the control, and is the control's tooltip too.
        self.control.tooltip = question
        title = ipw.HTML(
            f'<p style="margin:0;line-height:1.4"><b>Predict:</b> {html.escape(question)}</p>'
        )
        self.box = ipw.VBox([title, self.control, self.note])
        if self.answer is not None:
            self.control.value = self.answer
        self._note("Kept from before")
        self.control.observe(self._answered, names="value")

    def _control(self) -> ipw.RadioButtons | ipw.Text:
        """One button per option, none pressed; without options a line to write on."""
        label = {"description": LABEL, "style": {"description_width": "initial"}}
        if self.options:
            layout = {"width": "max-content", "max_width": "100%"}
            return ipw.RadioButtons(options=self.options, index=None, layout=layout, **label)
        asks = {"placeholder": "write it, then press Enter", "continuous_update": False}
        return ipw.Text(layout={"width": "390px"}, **asks, **label)

    @property
    def answer(self) -> str | None:
        """What the reader predicted, or None."""
        known = progress.recall(SECTION).get(self.name, "")
        return known if known in self.options or (known and not self.options) else None

    def _answered(self, change: dict[str, Any]) -> None:
        """Keep what the reader chose or wrote; an emptied line takes the answer back."""
        value = (change["new"] or "").strip()
        saved = progress.keep(SECTION, self.name, value)
        self._note("Noted" if saved else "Noted for this session")

    def _note(self, how: str) -> None:
        """Say it below the control, and to a screen reader."""
        text = f"{how}: {self.answer}" if self.answer else "No prediction yet"
        self.note.value = f'<p role="status" style="margin:0">{html.escape(text)}</p>'

    def __repr__(self) -> str:
        """The question in words, for every page without live widgets."""
        lines = [f"Prediction {self.name}: {self.question}"]
        lines += [f"  ( ) {option}" for option in self.options]
        return wrapped("\n".join(lines + ([f"You predicted: {self.answer}"] * bool(self.answer))))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live control where it can live, else the question."""
        return (self.box._repr_mimebundle_() or {}) | {"text/plain": repr(self)}


def predict(name: str, question: str, options: Sequence[Any] = ()) -> None:
    """Ask for a prediction, before the cell that shows the result.

    The question appears with a choice, or with a line to write on. An answer given before is shown
    again.

    Args:
        name: under which the answer is kept, such as "05-cells".
        question: one or two sentences.
        options: the answers to choose from; without any, the reader writes one.

    Raises:
        ValueError: if the name is empty, or an option occurs twice.
    """
    if not name:
        raise ValueError("name is empty; give the prediction one, such as '05-cells'")
    if len({str(option) for option in options}) < len(options):
        raise ValueError(f"options of {name!r} must differ, got {list(options)}")
    _asked[name] = Prediction(name, question, options)
    display(_asked[name])


def reveal(name: str, truth: Any) -> None:
    """Print what the reader predicted beside what came out.

    Args:
        name: the name given to `predict`.
        truth: the result; where it is one of the options, the two are compared in words.

    Raises:
        ValueError: if no prediction of that name was asked for.
    """
    known = progress.recall(SECTION)
    if name not in _asked and name not in known:
        raise ValueError(
            f"no prediction named {name!r} was asked for; run the cell with predict({name!r}, ...) "
            f"first. There are {sorted({*_asked, *known})}"
        )
    options = _asked[name].options if name in _asked else ()
    answer = _asked[name].answer if name in _asked else known[name]
    lines = [f"You predicted: {answer}" if answer else NOTHING, f"The result: {truth}"]
    if answer and str(truth) in options:
        lines.append("They agree." if answer == str(truth) else "They differ.")
    say("\n".join(lines))
