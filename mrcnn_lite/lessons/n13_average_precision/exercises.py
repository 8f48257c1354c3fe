"""Exercise of notebook 13: the average precision of a list of right and wrong detections."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from ...evaluation.average_precision import RECALLS, sample_precision
from ..kit.exercise import Exercise, FunctionGrader, Mistake, combine, switches


def _cases() -> Iterator[tuple[list[bool], int]]:
    """Right (True) and wrong detections, best score first, and how many objects there are.

    No total is a multiple of 5: 7/10 may be a little less than 70 hundredths, and nobody should be
    judged by rounding.
    """
    yield [True, False, True], 4
    yield [False, True, True, False, True], 3
    yield [False, False], 2
    yield [], 3
    generator = torch.Generator().manual_seed(13)
    for _ in range(20):
        count = int(torch.randint(1, 25, (), generator=generator))
        right = (torch.rand(count, generator=generator) < 0.6).tolist()
        missed = int(torch.randint(0, 5, (), generator=generator))
        total = max(1, sum(right) + missed)
        yield right, total + (total % 5 == 0)


def _right(right: list[bool], total: int) -> float:
    return float(sample_precision(np.array(right, dtype=bool), total).mean())


@switches(
    envelope=lambda precision: np.maximum.accumulate(precision[::-1])[::-1],
    recalls=RECALLS,
    beyond=False,
    side="left",
)
def _variant(right: list[bool], total: int, how: Any) -> float:
    """Average precision, step by step."""
    if not right:
        return 0.0
    hits = np.cumsum(right)
    precision = how.envelope(hits / np.arange(1, len(right) + 1))
    first = np.searchsorted(hits / total, how.recalls, side=how.side)
    end = precision[-1] if how.beyond else 0.0
    return float(np.append(precision, end)[np.minimum(first, len(right))].mean())


def _curve(right: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Precision after each detection, and how many are right so far."""
    hits = np.cumsum(right, dtype=float)
    return hits / np.arange(1, len(right) + 1), hits


def _at_the_right_ones(right: list[bool], total: int, envelope: bool = False) -> float:
    """The precisions at the right detections, one after the other: an exact area."""
    precision, _ = _curve(right)
    if envelope:
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(precision[np.array(right, dtype=bool)].sum() / total)


def _interpolated(right: list[bool], total: int) -> float:
    precision, hits = _curve(right)
    return float(np.interp(RECALLS, hits / total, precision).mean()) if right else 0.0


def _trapezoids(right: list[bool], total: int) -> float:
    precision, hits = _curve(right)
    return float(((precision[1:] + precision[:-1]) * np.diff(hits)).sum() / (2 * total))


def _last_one(right: list[bool], total: int) -> float:
    """The last precision beyond the largest recall; a list without detections has no last one."""
    return _variant(right, total, beyond=True) if right else float(right[-1])


# What is wrong, and the switches of `_variant` that make it so.
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "the envelope is missing: at each recall take the best precision there or further on.",
        {"envelope": lambda precision: precision},
    ),
    (
        "the envelope runs the wrong way. It takes the best precision there or further on: go from "
        "the end of the list.",
        {"envelope": np.maximum.accumulate},
    ),
    (
        "these are the 11 recalls of PASCAL VOC 2007. COCO takes 101.",
        {"recalls": np.linspace(0, 1, 11)},
    ),
    ("there are 101 recalls, from 0.00 to 1.00; yours end at 0.99.", {"recalls": RECALLS[:-1]}),
    ("there are 101 recalls, from 0.00 to 1.00; yours begin at 0.01.", {"recalls": RECALLS[1:]}),
    (
        "recalls that are never reached have precision 0; you went on with the last one.",
        {"beyond": True},
    ),
    (
        "a recall that is reached exactly counts as reached: search with >=.",
        {"side": "right"},
    ),
)
MISTAKES = (
    *combine(_variant, STEPS, most=2),
    Mistake(
        "recalls that are never reached have precision 0; you take the last precision, which a "
        "list without detections does not have.",
        _last_one,
    ),
    Mistake(
        "recall is counted in detections that are right. Divide by the objects that there are.",
        lambda right, total: _right(right, max(1, sum(right))),
    ),
    Mistake(
        "this is the mean precision at the right detections, without the envelope and the 101 "
        "recalls: the textbook's average precision.",
        _at_the_right_ones,
    ),
    Mistake(
        "this is the exact area below the envelope, as PASCAL VOC 2010 takes it. COCO takes the "
        "mean at 101 recalls.",
        partial(_at_the_right_ones, envelope=True),
    ),
    Mistake(
        "this is the area below the zigzag, in trapezoids. Take the envelope, at 101 recalls.",
        _trapezoids,
    ),
    Mistake(
        "np.interp draws straight lines between the detections. The curve has steps: the best "
        "precision there or further on.",
        _interpolated,
    ),
    Mistake(
        "this is the mean of all precisions. Take it over the 101 recalls.",
        lambda right, total: float(_curve(right)[0].mean()) if right else 0.0,
    ),
    Mistake(
        "this is the precision at the end of the list. Take the mean over the recalls.",
        lambda right, total: sum(right) / max(1, len(right)),
    ),
    Mistake(
        "this is the largest recall. Take the mean precision over the recalls.",
        lambda right, total: sum(right) / total,
    ),
)

EXERCISES = (
    Exercise(
        "13-average-precision",
        FunctionGrader(
            right=_right,
            cases=_cases,
            mistakes=MISTAKES,
            praise="COCO's number in {n} lists, one of them without any detection.",
        ),
        (
            "Walk through the list and write down precision (right ones / detections so far) and "
            "recall (right ones / total).",
            "The envelope, from the end of the list: precision[i] = max(precision[i], "
            "precision[i + 1]).",
            "For each of the recalls 0, 0.01, … 1: the precision of the first detection whose "
            "recall is at least that, or 0 if there is none. Then the mean of the 101 numbers.",
        ),
    ),
)
