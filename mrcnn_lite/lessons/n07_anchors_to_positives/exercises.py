"""The second exercise of notebook 07: which anchor learns from which object."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...models.matching import match
from ...ops import box_iou
from ..kit.exercise import Exercise, FunctionGrader, combine

BACKGROUND, IGNORED = -1, -2  # torchvision's codes
CASES = 60
FIELD = 24  # px; anchors of 8 px and of 12 x 6 px stand on a grid of 4 px
THRESHOLDS = ((0.5, 0.25), (0.7, 0.3), (0.6, 0.4), (0.5, 0.5))


def _right(objects: Tensor, anchors: Tensor, high: float, low: float) -> Tensor:
    valid = torch.ones(1, len(objects), dtype=torch.bool)
    matched, labels = match(objects[None], valid, anchors, high, low, allow_low_quality=True)
    return torch.where(labels > 0, matched, labels - 1)[0]  # [A]


@dataclass(frozen=True)
class _Way:
    """A switch for everything that people get wrong; the defaults are right."""

    over: str = "objects"
    at_high: str = ">="
    at_low: str = "<"
    rescue: str = "all best"
    owner: str = "its best object"
    reach: bool = True
    ignored: int = IGNORED
    background: int = BACKGROUND
    first: int = 0

    def rescued(self, iou: Tensor) -> Tensor:
        """Which pairs the low-quality rule makes positive: bool Tensor[G, A]."""
        best = iou.amax(dim=1, keepdim=True)  # [G, 1]
        pairs = iou == best
        if self.rescue == "one":  # the first of several equal ones
            pairs = torch.zeros_like(pairs).scatter_(1, iou.argmax(1, keepdim=True), True)
        if self.rescue == "none":
            pairs = torch.zeros_like(pairs)
        return pairs & (best > 0) if self.reach else pairs


def _variant(objects: Tensor, anchors: Tensor, high: float, low: float, **changes: Any) -> Tensor:
    """Matching as somebody with these `_Way` switches would write it."""
    way = _Way(**changes)
    iou = box_iou(objects, anchors)  # [G, A]
    best, matched = iou.max(dim=0 if way.over == "objects" else 1)
    if way.over == "anchors":
        return torch.where(best >= high, matched, way.background)  # [G]
    positive = best >= high if way.at_high == ">=" else best > high
    below = best < low if way.at_low == "<" else best <= low
    pairs = way.rescued(iou)
    if way.owner == "the rescuer":
        matched = torch.where(pairs.any(0), pairs.int().argmax(0), matched)
    if way.owner == "the last rescuer":
        last = len(pairs) - 1 - pairs.flip(0).int().argmax(0)  # [A]
        matched = torch.where(pairs.any(0), last, matched)
    other = torch.where(below, way.background, way.ignored)
    return torch.where(positive | pairs.any(0), matched + way.first, other)  # [A]


def _grid() -> Tensor:
    """The anchors of all cases: squares and flat boxes on a grid, Tensor[A, 4]."""
    at = torch.arange(0, FIELD, 4.0)
    corner = torch.cartesian_prod(at, at)  # [N, 2]
    sizes = torch.tensor([[8.0, 8.0], [12.0, 6.0]])
    return torch.cat([torch.cat([corner, corner + size], 1) for size in sizes])  # [A, 4]


def _cases() -> Iterator[tuple[Any, ...]]:
    """Objects on half the grid's step, so that equal overlaps and exact thresholds are common."""
    generator = torch.Generator().manual_seed(708)

    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    anchors = _grid()
    for k in range(CASES):
        count = int(draw(1, 5))
        corner = 2.0 * draw(0, FIELD // 2, count, 2)  # [G, 2]
        objects = torch.cat([corner, corner + 2 * draw(1, 6, count, 2)], 1)  # [G, 4]
        if k % 3 == 1:  # crowded: two objects share their best anchor
            objects = torch.cat([objects, objects[:1] + torch.tensor([0.0, 0, 2, 4])])  # [G, 4]
        if k % 5 == 2:  # out of every anchor's reach
            objects = torch.cat([objects, torch.tensor([[90.0, 90, 98, 98]])])  # [G, 4]
        yield objects, anchors, *THRESHOLDS[k % len(THRESHOLDS)]


SLIPS = (
    (
        "the low-quality rule is missing: the anchors that overlap an object most are positive, "
        "however little that is.",
        {"rescue": "none"},
    ),
    (
        "several anchors can overlap an object equally well; the low-quality rule takes all of "
        "them, not the first.",
        {"rescue": "one"},
    ),
    (
        "a rescued anchor belongs to the object that *it* overlaps most, which may be another "
        "than the one that rescued it.",
        {"owner": "the rescuer"},
    ),
    (
        "an object that no anchor touches has a best IoU of 0, and every far anchor equals that; "
        "the rule needs a best IoU above 0.",
        {"reach": False},
    ),
    ("an IoU of exactly `high` is positive: compare with >=.", {"at_high": ">"}),
    ("an IoU of exactly `low` is not background: compare with <.", {"at_low": "<="}),
    (
        "the anchors between the thresholds are ignored, -2; they are not background.",
        {"ignored": BACKGROUND},
    ),
    (
        "background is -1 and ignored is -2; yours are exchanged.",
        {"ignored": BACKGROUND, "background": IGNORED},
    ),
    (
        "background is -1 here; 0 is the first object.",
        {"background": 0},
    ),
    ("objects are counted from 0 here; yours begin with 1.", {"first": 1}),
    (
        "the maximum runs over the wrong axis: every anchor needs its best object, so the answer "
        "has one number per anchor.",
        {"over": "anchors"},
    ),
)


# Who loops over the objects and writes answer[iou[g].argmax()] = g makes three mistakes at once.
LOOP = (SLIPS[1], (SLIPS[2][0], {"owner": "the last rescuer"}), SLIPS[3])


_grade = FunctionGrader(
    right=_right,
    cases=_cases,
    describe=lambda objects, anchors, high, low: (
        f"{len(objects)} objects, {len(anchors)} anchors, high {high}, low {low}"
    ),
    mistakes=combine(_variant, SLIPS, most=2) + combine(_variant, LOOP, most=3),
    praise="{n} pictures agree: equal overlaps, shared anchors, objects out of reach included.",
)


EXERCISES = (
    Exercise(
        "07-matcher",
        _grade,
        (
            "iou = ops.box_iou(objects, anchors) has shape [G, A]. The best object of every anchor "
            "is best, matched = iou.max(dim=0).",
            "Begin with `matched`, then write -2 where best < high, and after that -1 where "
            "best < low. torch.where(condition, this, that) does one such step.",
            "Low quality: iou.amax(dim=1, keepdim=True) is the best overlap of every object; "
            "iou == that, .any(dim=0), says which anchors are rescued.",
            "A rescued anchor gets matched[anchor] back. Leave out objects whose best overlap "
            "is 0.",
        ),
    ),
)
