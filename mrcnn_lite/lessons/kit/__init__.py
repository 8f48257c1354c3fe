"""What a notebook asks of its reader, and answers in words.

`recall` and `why` ask, `predict` and `reveal` stand around a result, `check` runs your function,
`failing` gives the case that went wrong, and `hint` helps; none gives the answer away.
"""

from typing import Any

from . import progress
from .exercise import every, find
from .messages import say
from .parsons import parsons
from .predictions import predict, reveal
from .recall import recall
from .why import why

__all__ = ["check", "failing", "hint", "parsons", "predict", "recall", "reveal", "why"]


_failed: dict[str, tuple[Any, ...]] = {}


def check(name: str, answer: Any) -> None:
    """Check an answer and say in words what is right, or what went wrong.

    Below it stands how far the reader is, where progress is kept (see `progress.py`).

    Args:
        name: the exercise, such as "03-bilinear".
        answer: your function itself (or your map, where the exercise asks for one).

    Raises:
        ValueError: if there is no exercise of that name; never because of the answer.
    """
    verdict = find(name).grade(answer)
    say(verdict.message)
    _failed[name] = verdict.case
    if verdict.case:
        say(f'Its arguments: from mrcnn_lite.lessons.kit import failing; failing("{name}")')
    if verdict.passed:
        progress.keep("passed", name, "yes")
    if progress.is_on():
        say(_how_far(name))


def failing(name: str) -> tuple[Any, ...]:
    """Give the arguments of the wrong case that `check` told last: `my_function(*failing(name))`.

    Args:
        name: the exercise, such as "03-bilinear".

    Returns:
        The arguments.

    Raises:
        ValueError: if nothing failed.
    """
    if not _failed.get(name):
        raise ValueError(f"no case of {name!r} has failed; run the cell with check({name!r}, ...)")
    return _failed[name]


def _how_far(name: str) -> str:
    """How many exercises are passed, in the course and in this exercise's notebook."""
    passed, names = progress.recall("passed"), list(every())
    here = [other for other in names if other.split("-")[0] == name.split("-")[0]]
    done, done_here = (sum(other in passed for other in group) for group in (names, here))
    return (
        f"Progress: {done} of {len(names)} exercises, {done_here} of {len(here)} in this notebook"
    )


def hint(name: str, number: int = 1) -> None:
    """Print one hint.

    Args:
        name: the exercise, such as "03-bilinear".
        number: 1 for the first, gentle hint; later ones say more.

    Raises:
        ValueError: if there is no exercise of that name.
    """
    hints = find(name).hints
    number = min(max(number, 1), len(hints))
    say(f"Hint {number} of {len(hints)}: {hints[number - 1]}")
