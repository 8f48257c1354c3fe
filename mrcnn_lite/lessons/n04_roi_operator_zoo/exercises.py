"""The exercises of notebook 04: the border rule, and how crop_and_resize becomes RoIAlign."""

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..kit.exercise import Exercise, FunctionGrader, combine, switches
from .operators import centres, mean_of_points

BINS = 160
ROIS = 120


def _right_bin(features: Tensor, y: Sequence[float], x: Sequence[float]) -> Tensor:
    at = [torch.tensor(numbers, dtype=features.dtype)[None] for numbers in (y, x)]  # [1, S]
    return mean_of_points(features[None], *at)[0, 0, 0]


@switches(
    reach=(1.0, 1.0),  # how far outside a sample still counts: before, behind
    within=operator.le,
    axes=all,
    swap=False,
    border="clamp",
    mean=lambda values, count: sum(values) / count,
    pairs=itertools.product,
)
def _bin_variant(features: Tensor, y: Sequence[float], x: Sequence[float], how: Any) -> Any:
    """The mean of a bin, step by step."""
    (before, behind), less = how.reach, how.within
    sides = features.shape[::-1] if how.swap else features.shape
    samples, values = list(how.pairs(y, x)), []
    for sample in samples:
        near = [less(-before, at) and less(at, n - 1 + behind) for at, n in zip(sample, sides)]
        if how.axes(near):
            rows, columns = (_weights(*axis, how.border) for axis in zip(sample, features.shape))
            values.append(rows @ features @ columns)
    return how.mean(values, len(samples))


def _weights(at: float, side: int, border: str) -> Tensor:
    """The weight of each element on one axis, Tensor[h]; `border` says what happens outside."""
    at = min(max(at, 0.0), side - 1.0) if border == "clamp" else at
    low = int(at) if border == "int" else math.floor(at)
    weights = torch.zeros(side)
    for index, weight in ((low, 1 - (at - low)), (low + 1, at - low)):
        if border in ("clamp", "int"):
            index = min(max(index, 0), side - 1)
        if border != "fade" or 0 <= index < side:
            weights[index] += weight  # "wrap": as Python counts, -1 is the last
    return weights


BIN_MISTAKES = {
    "a sample outside is always moved to the edge, however far; beyond -1 or h it is 0.": {
        "reach": (math.inf, math.inf)
    },
    "samples become 0 as soon as they leave the outermost elements; up to one element "
    "outside they are moved to the edge instead.": {"reach": (0.0, 0.0)},
    "the far border is one element too near: the rule is y <= h, not y <= h - 1.": {
        "reach": (1.0, 0.0)
    },
    "the far border is one element too far: the rule is y <= h, not y <= h + 1.": {
        "reach": (1.0, 2.0)
    },
    "a sample exactly at -1 or at h still counts: <=, not <.": {"within": operator.lt},
    "a sample is 0 if it is outside along y or along x, not only along both.": {"axes": any},
    "h and w are swapped: y runs along the rows, 0 to h - 1.": {"swap": True},
    "outside, the value fades towards 0; the rule moves the sample to the edge first, so that "
    "it keeps the edge's value.": {"border": "fade"},
    "floor of a negative number is -1, and Python reads index -1 as the last row; move the "
    "sample to the edge before you look for its corners.": {"border": "wrap"},
    "int() of a negative number goes to 0, so that the weights leave 0..1; move the sample to "
    "the edge first.": {"border": "int"},
    "the zeros are left out of the mean; they count as samples.": {
        "mean": lambda values, _: sum(values) / max(len(values), 1)
    },
    "one sample outside makes the whole bin 0; only that sample is 0.": {
        "mean": lambda values, count: sum(values) / count if len(values) == count else 0.0
    },
    "this is the sum of the samples; the bin's output is their mean.": {
        "mean": lambda values, _: sum(values)
    },
    "rows and columns go side by side, as with zip; each row belongs with every column.": {
        "pairs": zip
    },
}


def _positions(generator: torch.Generator, side: int, count: int, k: int) -> list[float]:
    """Sample positions along one axis, many near the border, some exactly on its limits."""
    spread = torch.rand(count, generator=generator) * (side + 3) - 2  # [S], from -2 to side + 1
    positions = [round(position, 3) for position in spread.tolist()]
    if k % 4 == 3:
        positions[0] = (-1.0, float(side), 0.0, float(side - 1))[k // 4 % 4]
    return positions


def _bins() -> Iterator[tuple[Any, ...]]:
    """Random maps, never square; the first bins lie inside, then everywhere."""
    generator = torch.Generator().manual_seed(404)
    for k in range(BINS):
        height = int(torch.randint(3, 7, (), generator=generator))
        width = height + (2, 3, -1)[k % 3]
        features = torch.randn(height, width, generator=generator)  # [h, w]
        count = k % 3 + 1
        if k < BINS // 5:
            y, x = (
                (torch.rand(count, generator=generator) * (side - 1)).tolist()
                for side in (height, width)
            )
        else:
            y = _positions(generator, height, count, k)
            x = _positions(generator, width, count, k + 2)
        yield features, y, x


def _right_ends(first: float, last: float, size: int, ratio: int) -> Tensor:
    return centres(first, last, size, ratio).flatten()[[0, -1]]


@switches(step=lambda extent, size, ratio: extent / (size * ratio), times=0.5, start=1.0, end=-1.0)
def _ends_variant(first: float, last: float, size: int, ratio: int, how: Any) -> Tensor:
    """The two ends of the RoI, step by step."""
    move = how.times * how.step(last - first, size, ratio)
    return torch.tensor([first + how.start * move, last + how.end * move])


def _rois() -> Iterator[tuple[Any, ...]]:
    """Random RoIs on one axis; first one sample per bin, then several."""
    generator = torch.Generator().manual_seed(405)
    for k in range(ROIS):
        first, length = (torch.rand(2, generator=generator) * 9).tolist()
        size = int(torch.randint(2, 8, (), generator=generator))
        ratio = 1 if k < ROIS // 3 else int(torch.randint(1, 5, (), generator=generator))
        yield round(first, 3), round(first + length + 0.5, 3), size, ratio


ENDS_MISTAKES = {
    "these are the ends of the RoI; edge to edge puts the first point on its border.": {
        "times": 0.0
    },
    "half a bin is too much when a bin has several samples: half a step.": {
        "step": lambda extent, size, _: extent / size
    },
    "size * ratio points have size * ratio steps here, not one less: every point sits in the "
    "middle of its own part of the RoI.": {
        "step": lambda extent, size, ratio: extent / (size * ratio - 1)
    },
    "a whole step is taken off; the first sample sits half a step inside.": {"times": 1.0},
    "0.5 is half an element, whatever the bins; take half a step.": {"step": lambda *_: 1.0},
    "only the start moves; the last sample sits half a step before the end.": {"end": 0.0},
    "only the end moves; the first sample sits half a step after the start.": {"start": 0.0},
    "both ends move the same way; the end moves back.": {"end": 1.0},
    "the ends move outwards; the samples lie inside the RoI.": {"start": -1.0, "end": 1.0},
}


EXERCISES = (
    Exercise(
        "04-border",
        FunctionGrader(
            right=_right_bin,
            cases=_bins,
            mistakes=combine(_bin_variant, BIN_MISTAKES.items(), most=2),
            praise="{n} bins agree, inside, on the border and beyond.",
        ),
        (
            "Go through all pairs of a row y and a column x. Each is one sample: 0, or a bilinear "
            "value.",
            "A sample is 0 unless -1 <= y <= h and -1 <= x <= w. Both ends belong to it.",
            "For all others, first move it onto the map: y = min(max(y, 0), h - 1), x likewise. "
            "After that it is the sample of notebook 03.",
            "Divide the sum by the number of all samples, the zeros included.",
        ),
    ),
    Exercise(
        "04-crop",
        FunctionGrader(
            right=_right_ends,
            cases=_rois,
            mistakes=combine(_ends_variant, ENDS_MISTAKES.items(), most=2),
            praise="{n} RoIs agree: your crop_and_resize samples where RoIAlign does.",
            tiers=(ROIS // 3,),
        ),
        (
            "Draw a RoI of length 4 with two bins and one sample each. The samples lie at 1 and "
            "3. Which RoI has its ends there?",
            "n = size * ratio samples cut the RoI into n equal parts; each sample lies in the "
            "middle of its part. How far is the first from the start?",
            "step = (last - first) / (size * ratio); the start moves forward by half of it, the "
            "end back by half of it.",
        ),
    ),
)
