"""The exercises of notebook 04: the border rule, and how crop_and_resize becomes RoIAlign."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..kit.exercise import Exercise, FunctionGrader, combine
from .operators import mean_of_points

BINS = 160
ROIS = 120


def _right_bin(features: Tensor, y: Sequence[float], x: Sequence[float]) -> Tensor:
    at = [torch.tensor(numbers, dtype=features.dtype)[None] for numbers in (y, x)]  # [1, S]
    return mean_of_points(features[None], *at)[0, 0, 0]


@dataclass(frozen=True)
class _BinWay:
    """A switch for everything that people get wrong; the defaults are right."""

    reach: tuple[float, float] = (1.0, 1.0)  # how far outside a sample still counts: before, behind
    strict: bool = False
    both: bool = False
    swap: bool = False
    move: str = "clamp"
    zeros: str = "count"
    side_by_side: bool = False

    def counts(self, y: float, x: float, height: int, width: int) -> bool:
        """Whether a sample is no zero."""
        inside = []
        for at, side in ((y, width if self.swap else height), (x, height if self.swap else width)):
            low, high = -self.reach[0], side - 1 + self.reach[1]
            inside.append(low < at < high if self.strict else low <= at <= high)
        return any(inside) if self.both else all(inside)


def _sample(features: Tensor, y: float, x: float, move: str) -> Tensor:
    """One bilinear value, near the border in the right way or in one of several wrong ones."""
    height, width = features.shape
    if move == "clamp":
        y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    base = int if move == "int" else math.floor
    top, left = base(y), base(x)
    v, u = y - top, x - left
    total = features.new_zeros(())
    for row, weight_y in ((top, 1 - v), (top + 1, v)):
        for column, weight_x in ((left, 1 - u), (left + 1, u)):
            if move != "wrap":
                outside = not (0 <= row < height and 0 <= column < width)
                if outside and move == "fade":
                    continue
                row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
            total = total + weight_y * weight_x * features[row, column]
    return total


def _bin_variant(features: Tensor, y: Sequence[float], x: Sequence[float], **changes: Any) -> Any:
    """The mean of a bin as somebody with these `_BinWay` switches would write it."""
    way = _BinWay(**changes)
    values, missing = [], 0
    for i, row in enumerate(y):
        for column in x[i : i + 1] if way.side_by_side else x:
            if way.counts(row, column, *features.shape):
                values.append(_sample(features, row, column, way.move))
            else:
                missing += 1
    if way.zeros == "spoil" and missing:
        return torch.tensor(0.0)
    every = len(y) if way.side_by_side else len(y) * len(x)
    count = max(len(values), 1) if way.zeros == "leave out" else every
    return sum(values, torch.tensor(0.0)) / (1 if way.zeros == "sum" else count)


def _places(generator: torch.Generator, side: int, count: int, k: int) -> list[float]:
    """Sample positions along one axis, many near the border, some exactly on its limits."""
    spread = torch.rand(count, generator=generator) * (side + 3) - 2  # [S], from -2 to side + 1
    places = [round(place, 3) for place in spread.tolist()]
    if k % 4 == 3:
        places[0] = (-1.0, float(side), 0.0, float(side - 1))[k // 4 % 4]
    return places


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
            y = _places(generator, height, count, k)
            x = _places(generator, width, count, k + 2)
        yield features, y, x


BIN_SLIPS = (
    (
        "a sample outside is always moved to the edge, however far; beyond -1 or h it is 0.",
        {"reach": (math.inf, math.inf)},
    ),
    (
        "samples become 0 as soon as they leave the outermost elements; up to one element "
        "outside they are moved to the edge instead.",
        {"reach": (0.0, 0.0)},
    ),
    (
        "the far border is one element too near: the rule is y <= h, not y <= h - 1.",
        {"reach": (1.0, 0.0)},
    ),
    (
        "the far border is one element too far: the rule is y <= h, not y <= h + 1.",
        {"reach": (1.0, 2.0)},
    ),
    ("a sample exactly at -1 or at h still counts: <=, not <.", {"strict": True}),
    ("a sample is 0 if it is outside along y or along x, not only along both.", {"both": True}),
    ("h and w are swapped: y runs along the rows, 0 to h - 1.", {"swap": True}),
    (
        "outside, the value fades towards 0; the rule moves the sample to the edge first, so that "
        "it keeps the edge's value.",
        {"move": "fade"},
    ),
    (
        "floor of a negative number is -1, and Python reads index -1 as the last row; move the "
        "sample to the edge before you look for its corners.",
        {"move": "wrap"},
    ),
    (
        "int() of a negative number goes to 0, so that the weights leave 0..1; move the sample to "
        "the edge first.",
        {"move": "int"},
    ),
    ("the zeros are left out of the mean; they count as samples.", {"zeros": "leave out"}),
    ("one sample outside makes the whole bin 0; only that sample is 0.", {"zeros": "spoil"}),
    ("this is the sum of the samples; the bin's output is their mean.", {"zeros": "sum"}),
    (
        "rows and columns go side by side, as with zip; each row belongs with every column.",
        {"side_by_side": True},
    ),
)


def _right_edges(first: float, last: float, size: int, ratio: int) -> Tensor:
    half = (last - first) / (size * ratio) / 2
    return torch.tensor([first + half, last - half], dtype=torch.float64)


@dataclass(frozen=True)
class _EdgeWay:
    """A switch for everything that people get wrong; the defaults are right."""

    parts: str = "samples"
    times: float = 0.5
    start: float = 1.0
    end: float = -1.0


def _edge_variant(first: float, last: float, size: int, ratio: int, **changes: Any) -> Tensor:
    """The two ends as somebody with these `_EdgeWay` switches would compute them."""
    way = _EdgeWay(**changes)
    count = {"samples": size * ratio, "bins": size, "gaps": size * ratio - 1}.get(way.parts)
    step = 1.0 if count is None else (last - first) / count
    move = way.times * step
    return torch.tensor([first + way.start * move, last + way.end * move], dtype=torch.float64)


def _rois() -> Iterator[tuple[Any, ...]]:
    """Random RoIs on one axis; first one sample per bin, then several."""
    generator = torch.Generator().manual_seed(405)
    for k in range(ROIS):
        first, length = (torch.rand(2, generator=generator) * 9).tolist()
        size = int(torch.randint(2, 8, (), generator=generator))
        ratio = 1 if k < ROIS // 3 else int(torch.randint(1, 5, (), generator=generator))
        yield round(first, 3), round(first + length + 0.5, 3), size, ratio


EDGE_SLIPS = (
    (
        "these are the ends of the RoI; edge to edge puts the first point on its border.",
        {"times": 0.0},
    ),
    ("half a bin is too much when a bin has several samples: half a step.", {"parts": "bins"}),
    (
        "size * ratio points have size * ratio steps here, not one less: every point sits in the "
        "middle of its own part of the RoI.",
        {"parts": "gaps"},
    ),
    ("a whole step is taken off; the first sample sits half a step inside.", {"times": 1.0}),
    ("0.5 is half an element, whatever the bins; take half a step.", {"parts": "elements"}),
    ("only the start moves; the last sample sits half a step before the end.", {"end": 0.0}),
    ("only the end moves; the first sample sits half a step after the start.", {"start": 0.0}),
    ("both ends move the same way; the end moves back.", {"end": 1.0}),
    (
        "the ends move outwards; the samples lie inside the RoI.",
        {"start": -1.0, "end": 1.0},
    ),
)


_grade_bin = FunctionGrader(
    right=_right_bin,
    cases=_bins,
    describe=lambda features, y, x: (
        f"map {features.shape[0]} x {features.shape[1]}, "
        f"y = {[round(at, 3) for at in y]}, x = {[round(at, 3) for at in x]}"
    ),
    mistakes=combine(_bin_variant, BIN_SLIPS, most=2),
    praise="{n} bins agree, inside, on the border and beyond.",
)


_grade_edges = FunctionGrader(
    right=_right_edges,
    cases=_rois,
    describe=lambda first, last, size, ratio: (
        f"RoI from {first} to {last}, size {size}, ratio {ratio}"
    ),
    mistakes=combine(_edge_variant, EDGE_SLIPS, most=2),
    praise="{n} RoIs agree: your crop_and_resize samples where RoIAlign does.",
    tiers=(ROIS // 3,),
)


EXERCISES = (
    Exercise(
        "04-border",
        _grade_bin,
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
        _grade_edges,
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
