"""Why? A question whose answer the reader first gives in words: `why(name, question, answer)`."""

import html
from typing import Any

import ipywidgets as ipw
from IPython.display import display

from . import progress
from .messages import wrapped
from .predictions import control, status, title

SECTION = "why"


class Why:
    """A question, a line for the reader's own reason, and one answer, folded."""

    def __init__(self, name: str, question: str, answer: str):
        """Ask; nothing is shown until it is displayed."""
        self.name, self.question, self.answer = name, question, answer
        self.control = control("Your reason", question, (), "in your own words, then press Enter")
        self.control.layout.width = "auto"
        self.control.value = progress.recall(SECTION).get(name, "")
        self.note = ipw.HTML(status("Kept from before" if self.control.value else ""))
        self.control.observe(self._answered, names="value")
        self.box = ipw.VBox(
            [title("Why?", question), self.control, self.note, ipw.HTML(self._folded())]
        )

    def _answered(self, change: dict[str, Any]) -> None:
        saved = progress.keep(SECTION, self.name, change["new"].strip())
        noted = "Noted" if saved else "Noted for this session"
        self.note.value = status(f"{noted}. Compare it with the answer below.")

    def _folded(self) -> str:
        answer = html.escape(self.answer)
        return f"<details><summary>Compare with one answer</summary><p>{answer}</p></details>"

    def __repr__(self) -> str:
        """The question and the answer in words, for every page that cannot fold."""
        return wrapped(f"Why {self.name}: {self.question}\nOne answer: {self.answer}")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live line where it can live, else the question above the folded answer."""
        still = f"<p><b>Why?</b> {html.escape(self.question)}</p>{self._folded()}"
        words = {"text/html": still, "text/plain": repr(self)}
        return (self.box._repr_mimebundle_() or {}) | words


def why(name: str, question: str, answer: str) -> None:
    """Ask for a reason in the reader's own words, and keep an answer folded below.

    Args:
        name: under which the reader's reason is kept, such as "09-why-sigmoid".
        question: one sentence; it begins with "Why".
        answer: two or three sentences to compare with.

    Raises:
        ValueError: if one of them is empty.
    """
    if not (name and question and answer):
        raise ValueError("why(name, question, answer) needs all three, such as '09-why-sigmoid'")
    display(Why(name, question, answer))
