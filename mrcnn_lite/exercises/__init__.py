"""Exercises that answer in words: `check` runs your function, `hint` helps, none gives it away."""

from typing import Any

from mrcnn_lite.exercises.predictions import predict, reveal
from mrcnn_lite.exercises.registry import find
from mrcnn_lite.exercises.words import say

__all__ = ["check", "hint", "predict", "reveal"]


def check(name: str, answer: Any) -> None:
    """Check an answer and say in words what is right, or what went wrong.

    Args:
        name: the exercise, such as "03-bilinear".
        answer: your function itself (or your map, where the exercise asks for one).

    Raises:
        ValueError: if there is no exercise of that name; never because of the answer.
    """
    say(find(name).grade(answer).words)


def hint(name: str, number: int = 1) -> None:
    """Print one hint.

    Args:
        name: the exercise, such as "03-bilinear".
        number: 1 for the first, gentle hint; later ones say more.

    Raises:
        ValueError: if there is no exercise of that name.
    """
    hints = find(name).hints
    place = min(max(number, 1), len(hints))
    say(f"Hint {place} of {len(hints)}: {hints[place - 1]}")
