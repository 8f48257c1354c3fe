"""The exercise matrix: `python -m tools.exercise_matrix [NAME...]`, such as 03 or 03-bilinear.

Of each exercise: the notebook's folded solution passes, its untouched stub is "not yet", wrong
answers that nobody foresaw do not pass, and every single mistake that it knows does not pass
either and is named: its own sentence is in the verdict, and no other mistake's. One sign per known
mistake: # caught and named, o caught only, - not caught. The exit code is 1 if anything is not as
it should be.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from mrcnn_lite.lessons.kit.exercise import Exercise, Mistake, every
from mrcnn_lite.lessons.kit.messages import say
from tools.exercise_sources import chapter_of

NAMED, CAUGHT, MISSED = "#", "o", "-"  # named; caught without its words; passed


@dataclass(frozen=True)
class Row:
    """What came out for one exercise."""

    name: str
    solution: bool
    stub: bool
    unknown: bool
    signs: str  # one per known mistake
    faults: tuple[str, ...]  # in words

    @property
    def named(self) -> int:
        """How many known mistakes are named."""
        return self.signs.count(NAMED)

    @property
    def caught(self) -> int:
        """How many known mistakes do not pass."""
        return len(self.signs) - self.signs.count(MISSED)


def spoiled(value: Any) -> Any:
    """A result with every number in it a little wrong.

    Args:
        value: numbers, tensors, arrays, and lists, tuples and dictionaries of them.

    Returns:
        The same structure; anything else becomes a word.
    """
    if isinstance(value, dict):
        return {key: spoiled(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([spoiled(part) for part in value])
    if isinstance(value, Tensor):
        return value.double() + 0.37
    return value + 0.37 if isinstance(value, int | float | np.ndarray) else "spoiled"


def unknown_answers(solution: Any) -> dict[str, Any]:
    """Wrong answers that no exercise can have foreseen.

    Args:
        solution: the right answer.

    Returns:
        What each one does, and the answer.
    """

    def raises(*given: Any) -> Any:
        raise RuntimeError("of no kind that is known")

    def spoils(*given: Any) -> Any:
        return spoiled(solution(*given))

    answers = {
        "raises an error": raises,
        "returns a word": lambda *given: "a word",
        "is a number": 0.37,
        "is a word": "a word",
    }
    # Only of a function: of other answers there may be many right ones.
    return answers | ({"is a little wrong everywhere": spoils} if callable(solution) else {})


def _sign(exercise: Exercise, mistake: Mistake) -> str:
    """Whether a known mistake is caught, and named with its own sentence alone."""
    verdict = exercise.grade(mistake.function)
    if verdict.passed:
        return MISSED
    others = {other.message for other in exercise.known if other.message not in mistake.message}
    own = mistake.message in verdict.message
    return NAMED if own and not any(words in verdict.message for words in others) else CAUGHT


def examine(exercise: Exercise) -> Row:
    """Try the solution, the stub and every wrong answer.

    Args:
        exercise: the exercise.

    Returns:
        Its row of the matrix.
    """
    faults: list[str] = []
    signs = ""
    for mistake in exercise.known:
        signs += _sign(exercise, mistake)
        if signs[-1] != NAMED:
            how = "passes" if signs[-1] == MISSED else "is caught, but not named"
            faults.append(f"{how}: {mistake.message}")
    if not signs:
        faults.append("it declares no known mistake")
    try:
        chapter = chapter_of(exercise.name)
        solution, stub = chapter.solution(exercise.name), chapter.stub(exercise.name)
    except Exception as error:  # the notebook's code may raise anything
        faults.append(f"the notebook cannot be used, {type(error).__name__}: {error}")
        return Row(exercise.name, False, False, False, signs, tuple(faults))
    verdict, passed = exercise.grade(stub), exercise.grade(solution)
    solves = passed.passed and passed.message.startswith("Passed")
    not_yet = not verdict.passed and verdict.message.startswith("Not yet")
    passing = [kind for kind, a in unknown_answers(solution).items() if exercise.grade(a).passed]
    if not solves:
        faults.append(f"the notebook's solution does not pass: {passed.message}")
    if not not_yet:
        faults.append(f"the untouched stub is not told 'Not yet': {verdict.message}")
    faults += [f"passes, and should not: an answer that {kind}" for kind in passing]
    return Row(exercise.name, solves, not_yet, not passing, signs, tuple(faults))


def line(row: Row) -> str:
    """One exercise in one line.

    Args:
        row: what came out for it.

    Returns:
        Name, the three yes or no, the signs and their number.
    """
    marks = ("yes" if mark else "NO" for mark in (row.solution, row.stub, row.unknown))
    told = "  ".join(f"{mark:8}" for mark in marks)
    return f"{row.name:24}{told}  {row.signs} {row.named}/{len(row.signs)}"


def main(names: Sequence[str]) -> int:
    """Print the matrix of the chosen exercises.

    Args:
        names: beginnings of their names; all without any.

    Returns:
        The exit code.
    """
    chosen = [e for name, e in every().items() if name.startswith(tuple(names or [""]))]
    if not chosen:
        say(f"no exercise begins with {' or '.join(names)}; there are: {', '.join(every())}")
        return 1
    print(f"{'exercise':24}{'solution  not yet   unknown':30}known mistakes, # named")
    rows = []
    for exercise in chosen:
        rows.append(examine(exercise))
        print(line(rows[-1]), flush=True)
        for fault in rows[-1].faults:
            say(f"    {fault}")
    mistakes, caught, named = (
        sum(numbers) for numbers in zip(*((len(r.signs), r.caught, r.named) for r in rows))
    )
    whole = sum(not row.faults for row in rows)
    print(
        f"{len(rows)} exercises, {whole} as promised; {mistakes} known mistakes, {caught} caught, "
        f"{named} named."
    )
    return int(whole < len(rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
