"""The exercises of notebook 06: the level of a box, and RoIAlign on all levels of a pyramid."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...ops import assign_levels, multiscale_roi_align, roi_align
from ..kit.exercise import Exercise, FunctionGrader, combine, switches

CASES, BOXES = 40, 12
PYRAMIDS, ROIS = 24, 7
IMAGE = (480, 544)  # (H, W) in px: a box larger than 448 px fits in


def _right_levels(boxes: Tensor, k_min: int, k_max: int) -> Tensor:
    return assign_levels(boxes, k_min, k_max) + k_min  # [R]


@switches(
    sides=lambda boxes: boxes[:, 2:] - boxes[:, :2],  # [R, 2]
    size=lambda width, height: (width * height).sqrt(),
    log=torch.log2,
    rounding=torch.floor,
    base=4,
    low=True,
    high=True,
    counted=False,  # from the finest level
)
def _level_variant(boxes: Tensor, k_min: int, k_max: int, how: Any) -> Tensor:
    """The level rule, step by step."""
    width, height = how.sides(boxes).unbind(1)  # [R] both
    level = how.base + how.rounding(how.log(how.size(width, height) / 224))  # [R]
    level = level.clamp(k_min if how.low else None, k_max if how.high else math.inf)
    return (level - (k_min if how.counted else 0)).long()


LEVEL_MISTAKES = {
    "the level is rounded to the nearest; the paper rounds down. (Matterport's code rounds.)": {
        "rounding": torch.round
    },
    "the level is rounded up; the equation has a floor.": {"rounding": torch.ceil},
    "the logarithm is cut off towards zero (int, trunc or long) before 4 is added. Below 224 "
    "px it is negative, and floor goes down: use floor.": {"rounding": torch.trunc},
    "there is no lower limit: a small box stays at k_min.": {"low": False},
    "there is no upper limit: a large box stays at k_max.": {"high": False},
    "the square root is missing: 224 px is a length, so take the root of the area.": {
        "size": torch.mul
    },
    "the boxes are read as x, y, width, height; they are two corners: the width is x2 - x1.": {
        "sides": lambda boxes: boxes[:, 2:]
    },
    "only the width is used; the equation takes the root of w times h.": {"size": lambda w, _: w},
    "only the height is used; the equation takes the root of w times h.": {"size": lambda _, h: h},
    "the longer side is used; the equation takes the root of w times h.": {"size": torch.maximum},
    "this is the natural logarithm; a level is a factor of two, so take log2.": {"log": torch.log},
    "the 4 is missing: a box of 224 px goes to level 4.": {"base": 0},
    "the levels are counted from the finest; return their numbers, 2 for P2.": {"counted": True},
}


def _level_cases() -> Iterator[tuple[Any, ...]]:
    """Boxes of all sizes; some are exactly 112, 224 or 448 px large, at whole pixels."""
    generator = torch.Generator().manual_seed(606)
    limits = ((2, 5), (2, 5), (3, 5), (2, 4))
    for k in range(CASES):
        corner = torch.rand(BOXES, 2, generator=generator) * 300  # [R, 2]
        extent = torch.exp2(4 + 6 * torch.rand(BOXES, 2, generator=generator))  # 16 to 1024 px
        boxes = torch.cat([corner, corner + extent], 1)  # [R, 4]
        exact = (112.0, 224.0, 448.0)[k % 3]
        boxes[0] = torch.tensor([8.0, 16.0, 8.0 + exact / 2, 16.0 + exact * 2])
        # A hair's breadth from a limit two correct programs may differ in the last digit.
        size = ((boxes[:, 2:] - boxes[:, :2]).prod(1)).sqrt()  # [R]
        steps = 2 * torch.log2(size / 224)  # whole numbers are limits of floor or of round
        clear = (steps - steps.round()).abs() > 1e-3
        clear[0] = True
        yield boxes[clear], *limits[k % len(limits)]


def _right_pyramid(features: list[Tensor], boxes: Tensor, size: int, strides: list[int]) -> Tensor:
    height, width = (side * strides[0] for side in features[0].shape[-2:])
    batch = [feature[None] for feature in features]
    return multiscale_roi_align(batch, [boxes], (height, width), size, 2, aligned=False)


@switches(
    level={},  # switches of the level rule
    finest=None,  # number of the finest level
    between=False,  # P2 and P5, whatever the strides
    reverse=False,
    scale=lambda strides, index: 1 / strides[index],
    aligned=False,
    ratio=2,
    scatter=lambda out, rows, pooled: out.index_copy(0, rows, pooled),
)
def _pyramid_variant(
    features: list[Tensor], boxes: Tensor, size: int, strides: list[int], how: Any
) -> Tensor:
    """RoIAlign on all levels, step by step."""
    k_min, k_max = (round(math.log2(stride)) for stride in (strides[0], strides[-1]))
    k_min, k_max = (2, 5) if how.between else (k_min, k_max)
    index = _level_variant(boxes, k_min, k_max, **how.level) - (how.finest or k_min)  # [R]
    if not how.between and (index.min() < 0 or index.max() >= len(features)):
        raise IndexError("no such level")
    index = len(features) - 1 - index if how.reverse else index
    rows = [torch.nonzero(index == l)[:, 0] for l in range(len(features))]
    pooled = [
        roi_align(f[None], [boxes[r]], size, how.scale(strides, l), how.ratio, how.aligned)
        for l, (f, r) in enumerate(zip(features, rows))
    ]
    out = boxes.new_zeros(len(boxes), *pooled[0].shape[1:])  # [R, C, P, P]
    # A box whose level does not exist keeps its zeros.
    return how.scatter(out, torch.cat(rows), torch.cat(pooled))


BETWEEN = (
    "the levels are held between 2 and 5, as in the notebook's own function. Here the list may "
    "begin later and end earlier: its limits are the log2 of the first and the last stride"
)
PYRAMID_MISTAKES = {
    "the answers stand in the order of the levels; row i of the output belongs to box i. "
    "Write each level's answers to the rows its boxes came from.": {
        "scatter": lambda out, rows, pooled: pooled
    },
    "the order of the levels is applied once more and not undone: the answer of box rows[i] "
    "belongs to row rows[i].": {"scatter": lambda out, rows, pooled: pooled[rows]},
    "one stride, the finest, is used for all levels: each level has its own.": {
        "scale": lambda strides, _: 1 / strides[0]
    },
    "one stride, the coarsest, is used for all levels: each level has its own.": {
        "scale": lambda strides, _: 1 / strides[-1]
    },
    "the boxes are px of the image; give roi_align 1 / stride of the level.": {
        "scale": lambda strides, _: 1.0
    },
    "the stride is divided out twice: boxes in px go with 1 / stride, boxes / stride with 1.": {
        "scale": lambda strides, index: 1 / strides[index] ** 2
    },
    "the finest level is taken for P2, also where it is not: its number is log2(strides[0]).": {
        "finest": 2
    },
    f"{BETWEEN}.": {"between": True},
    f"{BETWEEN}; the stride of a map comes from the list, too.": {
        "between": True,
        "scale": lambda _, index: 1 / 2 ** (2 + index),
    },
    "the levels are taken in reverse: features[0] is the finest.": {"reverse": True},
    "aligned is True; this exercise, as torchvision, has aligned=False.": {"aligned": True},
    "there is one sample per bin; the exercise asks for sampling_ratio 2.": {"ratio": 1},
    **{text: {"level": how} for text, how in LEVEL_MISTAKES.items() if "counted" not in how},
}


def _pyramids() -> Iterator[tuple[Any, ...]]:
    """Pyramids of two to four levels, P2 or P3 first, and boxes of mixed sizes in mixed order."""
    generator = torch.Generator().manual_seed(607)
    levels = ((4, 5), (3, 5), (2, 4), (2, 5))
    for k in range(PYRAMIDS):
        k_min, k_max = levels[k % len(levels)]
        strides = [2**level for level in range(k_min, k_max + 1)]
        features = [
            torch.randn(2, IMAGE[0] // stride, IMAGE[1] // stride, generator=generator)
            for stride in strides
        ]
        corner = torch.rand(ROIS, 2, generator=generator) * 20  # [R, 2]
        width = torch.tensor([40.0, 300.0, 60.0, 500.0, 330.0, 240.0, 150.0])  # [R]
        height = torch.tensor([50.0, 100.0, 190.0, 440.0, 280.0, 72.0, 120.0])  # [R]
        extent = torch.stack([width, height], 1) + torch.rand(ROIS, 2, generator=generator)
        boxes = torch.cat([corner, corner + extent], 1)  # [R, 4]
        yield features, boxes[torch.randperm(ROIS, generator=generator)], 1 + k % 3, strides


EXERCISES = (
    Exercise(
        "06-level",
        FunctionGrader(
            right=_right_levels,
            cases=_level_cases,
            mistakes=combine(_level_variant, LEVEL_MISTAKES.items(), most=2),
            praise="{n} sets of boxes agree, both limits and exact powers of two included.",
        ),
        (
            "The size of a box is the root of its area; width and height are differences of "
            "corners.",
            "4 + torch.log2(size / 224) is 4 at 224 px, 3 at 112 px, 5 at 448 px.",
            "floor first, then clamp(k_min, k_max), then long().",
        ),
    ),
    Exercise(
        "06-pyramid",
        FunctionGrader(
            right=_right_pyramid,
            cases=_pyramids,
            mistakes=combine(_pyramid_variant, PYRAMID_MISTAKES.items(), most=2),
            praise="{n} pyramids agree, each box in its own row, also where P3 or P4 is the "
            "finest.",
        ),
        (
            "First a level for each box, then a loop over the levels. The number of the finest "
            "level is log2(strides[0]).",
            "rows = torch.nonzero(level == k)[:, 0] are the rows of the boxes that this level "
            "pools; there may be none.",
            "ops.roi_align(feature[None], [boxes[rows]], size, 1 / stride, 2, aligned=False) "
            "gives their answers.",
            "Make the output first, boxes.new_zeros(len(boxes), C, size, size), and write "
            "out[rows] = answers.",
        ),
    ),
)
