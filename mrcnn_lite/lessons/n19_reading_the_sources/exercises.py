"""The exercise of notebook 19: a test that tells two libraries apart."""

import itertools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ..kit.exercise import Exercise, FaultGrader, Mistake
from .libraries import DETECTRON2, TORCHVISION, Library

ROUNDING = (0.0, 1e-6)  # of the numbers that the library gives, relative

NEVER = "your test never asks the library for anything, so it cannot tell one from another."
BLIND = (
    "it says the same of both: on your input they give the same numbers. Where do the rules "
    "differ: half an element, an outline, a box between the pixels?"
)
REVERSED = "it is the wrong way round: True is for torchvision's rules."
EXACT = (
    "it compares floats exactly. The last digits of a result change from machine to machine: "
    "torch.allclose(a, b, atol=1e-3), or ask for a clear difference."
)
CHANGING = "it says something else of the same library when it is asked again. Fix the input."


def _anonymous(library: Library, rounding: float, asked: list[str]) -> SimpleNamespace:
    """The three operations without their name, results a little rounded, calls noted."""

    def wrapped(name: str) -> Callable[..., Tensor]:
        def operation(*given: Any) -> Tensor:
            asked.append(name)
            return getattr(library, name)(*given) * (1 + rounding)

        return operation

    return SimpleNamespace(**{name: wrapped(name) for name in ("roi_align", "targets", "paste")})


def _fault(function: Callable[..., Any], rounding: float) -> str | None:
    """What is wrong with a test, for results with this rounding; None for nothing."""
    asked: list[str] = []
    said = []
    for library in (TORCHVISION, DETECTRON2, DETECTRON2, TORCHVISION):
        answer = function(_anonymous(library, rounding, asked))
        if answer is None:
            raise NotImplementedError
        if isinstance(answer, Tensor) and answer.dtype == torch.bool and answer.numel() == 1:
            answer = bool(answer)
        if not isinstance(answer, bool):
            return f"return True or False, not a {type(answer).__name__}."
        said.append(answer)
    if not asked:
        return NEVER
    if said[0] != said[3] or said[1] != said[2]:
        return CHANGING
    if rounding and said[0] == said[1]:
        return EXACT
    if said[0] == said[1]:
        return BLIND
    return None if said[0] else REVERSED


def _cases() -> Iterator[tuple[float]]:
    for rounding in ROUNDING:
        yield (rounding,)


RAMP = torch.arange(25.0).view(1, 1, 5, 5)
BOX = torch.tensor([[1.0, 1.0, 3.0, 3.0]])
KNOWN = TORCHVISION.roi_align(RAMP, BOX, 4, 1.0)  # [K, C, P, P]
_turns = itertools.cycle((True, False, True))


def _changing(library: Any) -> bool:
    library.roi_align(RAMP, BOX, 4, 1.0)
    return next(_turns)


MISTAKES = (
    Mistake(NEVER, lambda library: True),
    Mistake(BLIND, lambda library: bool(library.roi_align(RAMP * 0 + 1, BOX, 4, 1.0).mean() > 0.9)),
    Mistake(REVERSED, lambda library: bool(library.roi_align(RAMP, BOX, 4, 1.0)[0, 0, 0, 0] < 6)),
    Mistake(EXACT, lambda library: torch.equal(library.roi_align(RAMP, BOX, 4, 1.0), KNOWN)),
    Mistake(CHANGING, _changing),
)

EXERCISES = (
    Exercise(
        "19-separate",
        FaultGrader(
            _fault,
            cases=_cases,
            describe=lambda rounding: f"results that are rounded by {rounding:g} of themselves",
            praise="your test tells the two apart, and rounding does not disturb it.",
        ),
        (
            "Choose one operation in which the two differ, and the smallest input on which you can "
            "say by hand what each of them gives.",
            "A target: torchvision keeps fractions along the outline, detectron2 has only 0 and 1. "
            "Which boxes have an outline that runs through cells?",
            "Return one comparison, such as bool(((t > 0.1) & (t < 0.9)).any()).",
        ),
        MISTAKES,
    ),
)
