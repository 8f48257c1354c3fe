"""The exercise of notebook 07: non-maximum suppression."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...ops import nms
from ..kit.exercise import Exercise, FunctionGrader, combine, switches

CROWDS, BOXES = 80, 9
GRID = 14  # px; whole numbers on a small grid make equal scores and exact overlaps common
NMS_THRESHOLDS = (0.25, 0.5, 0.7)
# At 0.5 the first box suppresses the second, which would have suppressed the third.
CHAIN = torch.tensor([[0.0, 0, 8, 8], [2, 0, 10, 8], [4, 0, 12, 8]])


@switches(
    sign=-1,  # of the scores in the sort
    tie=1,  # of the rows, where scores are equal
    rivals=lambda kept, better: kept,  # the boxes that a box has to survive
    strikes=torch.gt,
    struck=any,  # of the list of what strikes a box
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
        if not how.struck([strikes[i][j] for i in how.rivals(kept, order[:position])]):
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
    "a box is kept as soon as one kept box leaves it alone; it must survive all of them.": {
        "struck": lambda each: bool(each) and all(each)
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
)
