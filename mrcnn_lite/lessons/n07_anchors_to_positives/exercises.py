"""The exercises of notebook 07: non-maximum suppression, and which anchor learns from what."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...models.matching import match
from ...ops import box_iou, nms
from ..kit.exercise import Exercise, FunctionGrader, combine, switches

CROWDS, BOXES = 80, 9
GRID = 14  # px; whole numbers on a small grid make equal scores and exact overlaps common
NMS_THRESHOLDS = (0.25, 0.5, 0.7)
# At 0.5 the first box suppresses the second, which would have suppressed the third.
CHAIN = torch.tensor([[0.0, 0, 8, 8], [2, 0, 10, 8], [4, 0, 12, 8]])

IMAGES = 60
FIELD = 24  # px; anchors of 8 px and of 12 x 6 px stand on a grid of 4 px
HIGH_LOW = ((0.5, 0.25), (0.7, 0.3), (0.6, 0.4), (0.5, 0.5))

# --- 07-nms -------------------------------------------------------------------------------------


@switches(
    sign=-1,  # of the scores in the sort
    tie=1,  # of the rows, where scores are equal
    rivals=lambda kept, better: kept,  # the boxes that a box has to survive
    strikes=torch.gt,
    fixed=None,  # a threshold of one's own
    plus=0,  # px added to widths and heights
    least=0,  # side of an intersection
    counted=1,  # how often the intersection is taken off the sum of the areas
    give=lambda rows, boxes, scores, order: rows,
)
def _nms_variant(boxes: Tensor, scores: Tensor, threshold: float, how: Any) -> Tensor:
    """Suppression, step by step."""
    values = scores.tolist()
    order = sorted(range(len(values)), key=lambda i: (how.sign * values[i], how.tie * i))
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])  # [N, N, 2]
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])  # [N, N, 2]
    shared = (high - low + how.plus).clamp(min=how.least).prod(-1)  # [N, N]
    area = (boxes[:, 2:] - boxes[:, :2] + how.plus).prod(-1)  # [N]
    iou = shared / (area[:, None] + area - how.counted * shared)  # [N, N]
    strikes = how.strikes(iou, how.fixed or threshold).tolist()
    kept: list[int] = []
    for position, j in enumerate(order):
        if not any(strikes[i][j] for i in how.rivals(kept, order[:position])):
            kept.append(j)
    return how.give(torch.tensor(kept, dtype=torch.int64), boxes, scores, torch.tensor(order))


NMS_MISTAKES = {
    "nothing is sorted: the box with the best score comes first.": {"sign": 0},
    "the worst score comes first: sort in descending order.": {"sign": 1},
    "equal scores: the lower row must come first. Sort with stable=True.": {"tie": -1},
    "each box is compared with its neighbour in the list only; compare it with every box "
    "that was kept before.": {"rivals": lambda kept, better: better[-1:]},
    "each box is compared with the last kept box only; compare it with all kept ones.": {
        "rivals": lambda kept, better: kept[-1:]
    },
    "boxes that were suppressed go on suppressing. Only kept boxes suppress.": {
        "rivals": lambda kept, better: better
    },
    "an overlap of exactly the threshold is allowed: suppress with >, not with >=.": {
        "strikes": torch.ge
    },
    "the comparison is the wrong way round: a large overlap suppresses.": {"strikes": torch.lt},
    "the threshold is ignored: 0.5 is only one possible value.": {"fixed": 0.5},
    "widths and heights carry a + 1. They are x2 - x1 and y2 - y1.": {"plus": 1},
    "the sides of the intersection are not clamped at 0: two boxes that do not touch get "
    "an overlap.": {"least": -math.inf},
    "the union counts the intersection twice: area + area - intersection.": {"counted": 0},
    "these are the boxes; give their rows.": {"give": lambda rows, boxes, *_: boxes[rows]},
    "these are the scores; give the rows.": {
        "give": lambda rows, boxes, scores, order: scores[rows]
    },
    "this is a mask of yes and no; give the rows.": {
        "give": lambda rows, boxes, *_: torch.isin(torch.arange(len(boxes)), rows)
    },
    "these are places in the sorted list; go back to rows with order[place].": {
        "give": lambda rows, boxes, scores, order: order.argsort()[rows]
    },
    "the rows are right, their order is not: best score first.": {
        "give": lambda rows, *_: rows.sort().values
    },
}


def _crowds() -> Iterator[tuple[Any, ...]]:
    """Crowded boxes with equal scores; some pairs overlap by exactly the threshold."""
    draw = functools.partial(torch.randint, generator=torch.Generator().manual_seed(707))
    for k in range(CROWDS):
        corner = draw(0, GRID, (BOXES, 2))  # [N, 2]
        extent = 2 * draw(2, 5, (BOXES, 2))  # [N, 2]
        boxes = torch.cat([corner, corner + extent], 1).float()  # [N, 4]
        boxes[4:6] = boxes[:2] + draw(-1, 2, (2, 4))
        boxes[6] = boxes[0]
        boxes[6, 3] = boxes[0, 1] + (boxes[0, 3] - boxes[0, 1]) / (2 if k % 2 else 4)
        scores = draw(1, 7, (BOXES,)) / 10  # [N]
        if k % 4 == 2:
            boxes[1:4], scores[1:4] = CHAIN, torch.tensor([0.9, 0.8, 0.7])
        yield boxes, scores, NMS_THRESHOLDS[k // 2 % len(NMS_THRESHOLDS)]


# --- 07-matcher ---------------------------------------------------------------------------------


def _right_matches(objects: Tensor, anchors: Tensor, high: float, low: float) -> Tensor:
    valid = torch.ones(1, len(objects), dtype=torch.bool)
    matched, labels = match(objects[None], valid, anchors, high, low, allow_low_quality=True)
    return torch.where(labels > 0, matched, labels - 1)[0]  # [A]


@switches(
    axis=0,  # of [G, A]
    positive=torch.ge,
    negative=torch.lt,
    rescues=lambda iou: iou == iou.amax(1, keepdim=True),  # [G, A]
    owner=lambda rescues, best_object: best_object,  # of a rescued anchor
    reach=0.0,  # the best IoU of an object has to be above
    ignored=-2,  # torchvision's codes
    background=-1,
    first=0,
)
def _matcher_variant(objects: Tensor, anchors: Tensor, high: float, low: float, how: Any) -> Tensor:
    """Matching, step by step."""
    iou = box_iou(objects, anchors)  # [G, A]
    best, matched = iou.max(dim=how.axis)  # [A] both
    if how.axis == 1:
        return torch.where(best >= high, matched, how.background)  # [G]
    rescues = how.rescues(iou) & (iou.amax(1, keepdim=True) > how.reach)  # [G, A]
    rescued = rescues.any(0)  # [A]
    matched = torch.where(rescued, how.owner(rescues, matched), matched)
    other = torch.where(how.negative(best, low), how.background, how.ignored)
    return torch.where(how.positive(best, high) | rescued, matched + how.first, other)  # [A]


OWNER = (
    "a rescued anchor belongs to the object that *it* overlaps most, which may be another "
    "than the one that rescued it."
)
MATCHER_MISTAKES = {
    "the low-quality rule is missing: the anchors that overlap an object most are positive, "
    "however little that is.": {"rescues": lambda iou: iou < 0},
    "several anchors can overlap an object equally well; the low-quality rule takes all of "
    "them, not the first.": {
        "rescues": lambda iou: torch.arange(iou.shape[1]) == iou.argmax(1, keepdim=True)
    },
    OWNER: {"owner": lambda rescues, _: rescues.int().argmax(0)},
    "an object that no anchor touches has a best IoU of 0, and every far anchor equals that; "
    "the rule needs a best IoU above 0.": {"reach": -1.0},
    "an IoU of exactly `high` is positive: compare with >=.": {"positive": torch.gt},
    "an IoU of exactly `low` is not background: compare with <.": {"negative": torch.le},
    "the anchors between the thresholds are ignored, -2; they are not background.": {"ignored": -1},
    "background is -1 and ignored is -2; yours are exchanged.": {"ignored": -1, "background": -2},
    "background is -1 here; 0 is the first object.": {"background": 0},
    "objects are counted from 0 here; yours begin with 1.": {"first": 1},
    "the maximum runs over the wrong axis: every anchor needs its best object, so the answer "
    "has one number per anchor.": {"axis": 1},
}
# Who loops over the objects and writes answer[iou[g].argmax()] = g makes three mistakes at once;
# then the last object that rescues an anchor keeps it.
LOOP_MISTAKES = dict(list(MATCHER_MISTAKES.items())[1:4]) | {
    OWNER: {"owner": lambda rescues, _: len(rescues) - 1 - rescues.flip(0).int().argmax(0)}
}


def _images() -> Iterator[tuple[Any, ...]]:
    """Objects on half the grid's step, so that equal overlaps and exact thresholds are common."""
    draw = functools.partial(torch.randint, generator=torch.Generator().manual_seed(708))
    corner = torch.cartesian_prod(*[torch.arange(0, FIELD, 4.0)] * 2)  # [N, 2]
    sizes = torch.tensor([[8.0, 8.0], [12.0, 6.0]])
    anchors = torch.cat([torch.cat([corner, corner + size], 1) for size in sizes])  # [A, 4]
    for k in range(IMAGES):
        count = int(draw(1, 5, ()))
        corner = 2.0 * draw(0, FIELD // 2, (count, 2))  # [G, 2]
        extent = 2 * draw(1, 6, (count, 2))  # [G, 2]
        objects = torch.cat([corner, corner + extent], 1)  # [G, 4]
        if k % 3 == 1:  # crowded: two objects share their best anchor
            objects = torch.cat([objects, objects[:1] + torch.tensor([0.0, 0, 2, 4])])  # [G, 4]
        if k % 5 == 2:  # out of every anchor's reach
            objects = torch.cat([objects, torch.tensor([[90.0, 90, 98, 98]])])  # [G, 4]
        yield objects, anchors, *HIGH_LOW[k % len(HIGH_LOW)]


EXERCISES = (
    Exercise(
        "07-nms",
        FunctionGrader(
            right=nms,
            cases=_crowds,
            mistakes=combine(_nms_variant, NMS_MISTAKES.items(), most=2),
            praise="{n} crowds agree, equal scores and overlaps of exactly the threshold included.",
        ),
        (
            "Sort first: scores.sort(descending=True, stable=True).indices is the order in which "
            "the boxes are looked at.",
            "Keep a list of kept rows, empty at the start. A box joins it unless its IoU with a "
            "box of the list is above the threshold.",
            "ops.box_iou(boxes, boxes) gives all overlaps at once; then iou[i, j] > threshold is "
            "the whole question.",
            "Return torch.tensor(keep, dtype=torch.int64): rows of `boxes`, best score first.",
        ),
    ),
    Exercise(
        "07-matcher",
        FunctionGrader(
            right=_right_matches,
            cases=_images,
            mistakes=combine(_matcher_variant, MATCHER_MISTAKES.items(), most=2)
            + combine(_matcher_variant, LOOP_MISTAKES.items(), most=3),
            praise="{n} images agree: equal overlaps, shared anchors, objects out of reach "
            "included.",
        ),
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
