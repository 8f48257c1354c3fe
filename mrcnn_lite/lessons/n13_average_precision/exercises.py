"""Exercise of notebook 13: the average precision of a list of right and wrong detections."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from ...evaluation.average_precision import RECALLS, sample_precision
from ..kit.exercise import Exercise, FunctionGrader, Mistake, switches


def _cases() -> Iterator[tuple[list[bool], int]]:
    """Right (True) and wrong detections, best score first, and how many objects there are."""
    yield [True, False, True], 4
    yield [False, True, True, False, True], 3
    yield [False, False], 2
    yield [], 3
    generator = torch.Generator().manual_seed(13)
    for _ in range(20):
        count = int(torch.randint(1, 25, (), generator=generator))
        right = (torch.rand(count, generator=generator) < 0.6).tolist()
        missed = int(torch.randint(0, 5, (), generator=generator))
        yield right, max(1, sum(right) + missed)


def _right(right: list[bool], total: int) -> float:
    return float(sample_precision(np.array(right, dtype=bool), total).mean())


@switches(envelope=True, recalls=RECALLS, beyond=False, side="left")
def _variant(right: list[bool], total: int, how: Any) -> float:
    """Average precision, step by step."""
    if not right:
        return 0.0
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    if how.envelope:
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(hits / total, how.recalls, side=how.side)
    end = precision[-1] if how.beyond else 0.0
    return float(np.append(precision, end)[np.minimum(first, len(right))].mean())


def _steps(right: list[bool], total: int) -> float:
    """The mean of the precisions at the right detections, without 101 recalls."""
    hits = np.cumsum(right)
    return float(sum(h / (i + 1) for i, h in enumerate(hits) if right[i]) / total)


MISTAKES = (
    Mistake("the envelope is missing: at each recall take the best precision there or further on.",
            partial(_variant, envelope=False)),
    Mistake("recall is counted in detections that are right. Divide by the objects that there are.",
            lambda right, total: _right(right, max(1, sum(right)))),
    Mistake("these are the 11 recalls of PASCAL VOC 2007. COCO takes 101.",
            partial(_variant, recalls=np.linspace(0, 1, 11))),
    Mistake("recalls that are never reached have precision 0; you went on with the last one.",
            partial(_variant, beyond=True)),
    Mistake("this is the mean precision at the right detections, without the envelope and the 101 "
            "recalls: the textbook's average precision.", _steps),
    Mistake("a recall that is reached exactly counts as reached: search with >=.",
            partial(_variant, side="right")),
    Mistake("this is the precision at the end of the list. Take the mean over the recalls.",
            lambda right, total: sum(right) / max(1, len(right))),
    Mistake("this is the largest recall. Take the mean precision over the recalls.",
            lambda right, total: sum(right) / total),
)  # fmt: skip


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
