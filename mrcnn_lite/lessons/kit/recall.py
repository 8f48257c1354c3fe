"""Three questions from earlier notebooks, at the head of a notebook: `recall("09")`.

They come from one, three and six notebooks back (`plan`). What was answered wrongly comes again in
a later notebook (`due`), in place of what is furthest back. A first answer counts; it is kept with
the reader's progress as "right 09" or "wrong 09". Without an answer nothing is kept, and nothing
ever waits for one. The questions are in `questions.py`.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any

import ipywidgets as ipw
from IPython.display import display

from . import progress
from .messages import wrapped
from .predictions import control, status, title
from .questions import QUESTIONS, Question

SECTION = "recall"
FIRST = "03"  # the first notebook that asks
BACK = (1, 3, 6)  # notebooks
AGAIN = 2  # questions at most that come again
CLOSE = 0.01  # of a number that is not whole, relative
FORGOTTEN = "I do not remember"


def question(name: str) -> Question:
    """The question of that name: "03.2" is the second of notebook 03."""
    number, _, place = name.partition(".")
    return QUESTIONS[number][int(place) - 1]


@cache
def plan() -> dict[str, tuple[str, ...]]:
    """Which questions each notebook asks of a reader who is always right; none twice."""
    left = {
        number: [f"{number}.{place}" for place in range(1, len(asked) + 1)]
        for number, asked in QUESTIONS.items()
    }
    planned = {}
    for number in (n for n in QUESTIONS if n >= FIRST):
        before, names = [n for n in QUESTIONS if n < number], []
        for back in BACK:
            wish = before[max(len(before) - back, 0)]
            source = wish if left[wish] else next((n for n in before if left[n]), None)
            names += [left[source].pop(0)] if source else []
        planned[number] = tuple(names)
    return planned


def due(number: str, known: Mapping[str, str]) -> list[str]:
    """The names of a notebook's questions, for a reader of whom this much is known."""
    fresh = plan()[number]
    missed = []
    for name, kept in sorted(known.items()):
        how, _, where = kept.partition(" ")
        waits = how == "wrong" and where < number
        if name.partition(".")[0] in QUESTIONS and name not in fresh:
            missed += [name] if waits or where == number else []
    return [*missed[:AGAIN], *fresh][: len(BACK)]


def is_right(answer: str, asked: Question) -> bool:
    """Whether an answer is the right option, or the right number: 0.5, .5, 1/2 are one number.

    Raises:
        ValueError: if a number is asked for and this is none.
    """
    if asked.options:
        return answer == asked.answer
    try:
        given = float(Fraction(answer.replace(",", ".").replace(" ", "")))
    except (ValueError, ZeroDivisionError):
        raise ValueError("Write a number, such as 12, 0.5 or 1/32.") from None
    close = 0.0 if isinstance(asked.answer, int) else CLOSE
    return math.isclose(given, asked.answer, rel_tol=close)


class Asked:
    """One question, its control, and what is said about the answer."""

    def __init__(self, name: str, number: str):
        """Build the question of that name for the notebook of that number."""
        self.name, self.number, self.question = name, number, question(name)
        options = (*self.question.options, FORGOTTEN) if self.question.options else ()
        hint = "a number, then Enter; ? if you forgot"
        self.control = control("Your answer", self.question.text, options, hint)
        kept = progress.recall(SECTION).get(name, "")
        self.note = ipw.HTML(status("Answered before." if kept.endswith(f" {number}") else ""))
        self.control.observe(self._answered, names="value")
        heading = title(f"From notebook {name.partition('.')[0]}:", self.question.text)
        self.box = ipw.VBox([heading, self.control, self.note])

    def _answered(self, change: dict[str, Any]) -> None:
        """Judge; the first answer in this notebook is the one that is kept."""
        answer = (change["new"] or "").strip()
        if not answer:
            return
        try:
            right = answer not in ("?", FORGOTTEN) and is_right(answer, self.question)
        except ValueError as error:
            self.note.value = status(str(error))
            return
        if not progress.recall(SECTION).get(self.name, "").endswith(f" {self.number}"):
            progress.keep(SECTION, self.name, f"{'right' if right else 'wrong'} {self.number}")
        truth = self.question.answer
        told = f"{truth:.4g}" if isinstance(truth, float) else truth
        word = "Right" if right else "No" if answer not in ("?", FORGOTTEN) else "It is"
        self.note.value = status(f"{word}: {told}. {self.question.because}")


class Recall:
    """The questions of one notebook."""

    def __init__(self, number: str):
        """Choose them by what is known of the reader."""
        self.asked = [Asked(name, number) for name in due(number, progress.recall(SECTION))]
        head = ipw.HTML("<b>What do you remember?</b> Answer without looking back, or go on.")
        self.box = ipw.VBox([head, *(asked.box for asked in self.asked)])

    def __repr__(self) -> str:
        """The questions in words, for every page without live widgets."""
        lines = ["What do you remember? Answer without looking back, or go on."]
        for place, asked in enumerate(self.asked, start=1):
            lines.append(
                f"{place}. From notebook {asked.name.partition('.')[0]}: {asked.question.text}"
            )
            lines += [f"     ( ) {option}" for option in asked.question.options]
        return wrapped("\n".join(lines))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live controls where they can live, else the questions."""
        return (self.box._repr_mimebundle_() or {}) | {"text/plain": repr(self)}


def recall(number: str) -> None:
    """Ask three questions about earlier notebooks.

    Args:
        number: of the notebook that asks, such as "09".

    Raises:
        ValueError: if that notebook asks none.
    """
    if number not in plan():
        raise ValueError(f"notebook {number!r} asks nothing; these do: {list(plan())}")
    display(Recall(number))
