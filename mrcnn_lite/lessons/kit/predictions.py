"""Predict first: a question before a result, and both beside each other afterwards.

    predict("05-cells", "How many cells receive a gradient?", options=("4", "9", "25"))
    ...
    reveal("05-cells", "25")

An answer is kept with the reader's progress (`progress.py`), so that it is there again when a
notebook is opened another day; so is how sure the reader was, and whether the answer was right.
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
CONFIDENCE, CALIBRATION = "confidence", "calibration"  # sections too
SURENESS = ("sure", "think so", "guess")

_asked: dict[str, "Prediction"] = {}


def title(kind: str, question: str) -> ipw.HTML:
    """A question as text: it is read out before its control."""
    words = f"<b>{html.escape(kind)}</b> {html.escape(question)}"
    return ipw.HTML(f'<p style="margin:0;line-height:1.4">{words}</p>')


def status(text: str) -> str:
    """A line that a screen reader speaks when it changes."""
    return f'<p role="status" style="margin:0">{html.escape(text)}</p>'


def control(
    label: str, question: str, options: Sequence[str], hint: str, across: bool = False
) -> Any:
    """One button per option, none pressed; without options a line to write on."""
    named = {"description": label, "style": {"description_width": "initial"}, "tooltip": question}
    if not options:
        asks = {"placeholder": hint, "continuous_update": False}
        return ipw.Text(layout={"width": "390px", "max_width": "100%"}, **asks, **named)
    layout = {"width": "max-content", "max_width": "100%"}
    way = "horizontal" if across else "vertical"
    return ipw.RadioButtons(options=options, index=None, layout=layout, orientation=way, **named)


class Prediction:
    """A question, the controls for its answer and for how sure it is, and the answer kept."""

    def __init__(self, name: str, question: str, options: Sequence[Any] = ()):
        """Ask; nothing is shown until the prediction is displayed."""
        self.name = name
        self.question = question
        self.options = tuple(str(option) for option in options)
        self.truth: str | None = None  # once it is revealed
        hint = "write it, then press Enter"
        self.control = control(LABEL, question, self.options, hint)
        self.sure = control("How sure?", "How sure are you?", SURENESS, "", across=True)
        self.note = ipw.HTML()  # is on the page before it speaks, or nobody would hear it
        self.box = ipw.VBox([title("Predict:", question), self.control, self.sure, self.note])
        if self.answer is not None:
            self.control.value = self.answer
            sure = progress.recall(CONFIDENCE).get(name)
            self.sure.value = sure if sure in SURENESS else None
        self._note("Kept from before")
        self.control.observe(self._answered, names="value")
        self.sure.observe(self._weighed, names="value")

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

    def _weighed(self, change: dict[str, Any]) -> None:
        """Keep how sure the reader is."""
        saved = progress.keep(CONFIDENCE, self.name, change["new"] or "")
        self._note("Noted" if saved else "Noted for this session")

    def _note(self, how: str) -> None:
        """Say it below the controls; what was revealed before the answer is said again."""
        text = f"{how}: {self.answer}" if self.answer else "No prediction yet"
        if self.answer and self.sure.value:
            text += f" ({self.sure.value})"
        if self.answer and self.truth is not None:
            text += f". The result: {self.truth}. {self.verdict(self.answer)}"
        self.note.value = status(text)

    def verdict(self, answer: str) -> str:
        """Whether an answer is the result, in words; nothing where that cannot be said."""
        if self.truth not in self.options:
            return ""
        return "They agree." if answer == self.truth else "They differ."

    def reveal(self, truth: str) -> None:
        """Learn the result; an answer given before it counts for the reader's calibration."""
        first, self.truth = self.truth is None, truth
        sure, known = self.sure.value, progress.recall(CALIBRATION)
        if first and self.answer and sure and self.verdict(self.answer) and self.name not in known:
            right = "right" if self.answer == truth else "wrong"
            progress.keep(CALIBRATION, self.name, f"{sure}: {right}")

    def __repr__(self) -> str:
        """The question in words, for every page without live widgets."""
        lines = [f"Prediction {self.name}: {self.question}"]
        lines += [f"  ( ) {option}" for option in self.options]
        return wrapped("\n".join(lines + ([f"You predicted: {self.answer}"] * bool(self.answer))))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live controls where they can live, else the question."""
        return (self.box._repr_mimebundle_() or {}) | {"text/plain": repr(self)}


def predict(name: str, question: str, options: Sequence[Any] = ()) -> None:
    """Ask for a prediction, before the cell that shows the result.

    The question appears with a choice, or with a line to write on, and below it "How sure?". An
    answer given before is shown again.

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

    Who predicts later reads the result below the prediction.

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
    prediction = _asked.get(name)
    answer = prediction.answer if prediction else known[name]
    lines = [f"You predicted: {answer}" if answer else NOTHING, f"The result: {truth}"]
    if prediction:
        prediction.reveal(str(truth))
        lines += [prediction.verdict(answer)] if answer and prediction.verdict(answer) else []
    say("\n".join(lines))
