"""The first exercise of notebook 07: non-maximum suppression."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...ops import nms
from ..kit.exercise import Exercise, FunctionGrader, combine

CASES, BOXES = 80, 9
GRID = 14  # px; whole numbers on a small grid make equal scores and exact overlaps common
THRESHOLDS = (0.25, 0.5, 0.7)
# At 0.5 the first box suppresses the second, which would have suppressed the third.
CHAIN = torch.tensor([[0.0, 0, 8, 8], [2, 0, 10, 8], [4, 0, 12, 8]])


@dataclass(frozen=True)
class _Way:
    """A switch for everything that people get wrong; the defaults are right."""

    order: str = "descending"
    ties: str = "lower row"
    rivals: str = "kept"
    strikes: str = ">"
    fixed: bool = False
    plus: float = 0.0
    clamp: bool = True
    union: bool = True
    give: str = "rows"

    def ordered(self, scores: Tensor) -> list[int]:
        """The rows in the order in which they are looked at."""
        if self.order == "as given":
            return list(range(len(scores)))
        sign = -1 if self.order == "descending" else 1
        tie = 1 if self.ties == "lower row" else -1
        values = scores.tolist()
        return sorted(range(len(values)), key=lambda row: (sign * values[row], tie * row))

    def overlap(self, boxes: Tensor) -> Tensor:
        """IoU of every pair, Tensor[N, N]."""
        a, b = boxes[:, None], boxes[None]
        sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
        sides = sides + self.plus
        both = (sides.clamp(min=0) if self.clamp else sides).prod(-1)  # [N, N]
        area = (boxes[:, 2:] - boxes[:, :2] + self.plus).prod(-1)  # [N]
        total = area[:, None] + area  # [N, N]
        return both / (total - both if self.union else total)

    def against(self, order: list[int], place: int, keep: list[int]) -> list[int]:
        """The boxes that the box at this place of the order has to survive."""
        choices = {"kept": keep, "better": order[:place], "last kept": keep[-1:]}
        return choices.get(self.rivals, order[max(place - 1, 0) : place])


def _variant(boxes: Tensor, scores: Tensor, threshold: float, **changes: Any) -> Tensor:
    """Suppression as somebody with these `_Way` switches would write it."""
    way = _Way(**changes)
    order, limit = way.ordered(scores), 0.5 if way.fixed else threshold
    iou = way.overlap(boxes)
    strike = {">": iou > limit, ">=": iou >= limit, "<": iou < limit}[way.strikes].tolist()
    keep: list[int] = []
    for place, j in enumerate(order):
        if not any(strike[i][j] for i in way.against(order, place, keep)):
            keep.append(j)
    rows = torch.tensor(keep, dtype=torch.int64)  # [N]
    mask = torch.zeros(len(boxes), dtype=torch.bool).index_fill(0, rows, True)  # [N]
    places = torch.tensor([order.index(j) for j in keep], dtype=torch.int64)  # [N]
    answers = {"rows": rows, "boxes": boxes[rows], "scores": scores[rows], "mask": mask}
    return {**answers, "places": places, "by row": rows.sort().values}[way.give]


def _cases() -> Iterator[tuple[Any, ...]]:
    """Crowded boxes with equal scores; some pairs overlap by exactly the threshold."""
    generator = torch.Generator().manual_seed(707)

    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    for k in range(CASES):
        corner = draw(0, GRID, BOXES, 2)  # [N, 2]
        boxes = torch.cat([corner, corner + 2 * draw(2, 5, BOXES, 2)], 1).float()  # [N, 4]
        boxes[4:6] = boxes[:2] + draw(-1, 2, 2, 4)
        boxes[6] = boxes[0]
        boxes[6, 3] = boxes[0, 1] + (boxes[0, 3] - boxes[0, 1]) / (2 if k % 2 else 4)
        scores = draw(1, 7, BOXES) / 10  # [N]
        if k % 4 == 2:
            boxes[1:4], scores[1:4] = CHAIN, torch.tensor([0.9, 0.8, 0.7])
        yield boxes, scores, THRESHOLDS[k // 2 % len(THRESHOLDS)]


SLIPS = (
    ("nothing is sorted: the box with the best score comes first.", {"order": "as given"}),
    ("the worst score comes first: sort in descending order.", {"order": "ascending"}),
    (
        "equal scores: the lower row must come first. Sort with stable=True.",
        {"ties": "higher row"},
    ),
    (
        "each box is compared with its neighbour in the list only; compare it with every box "
        "that was kept before.",
        {"rivals": "neighbour"},
    ),
    (
        "each box is compared with the last kept box only; compare it with all kept ones.",
        {"rivals": "last kept"},
    ),
    (
        "boxes that were suppressed go on suppressing. Only kept boxes suppress.",
        {"rivals": "better"},
    ),
    (
        "an overlap of exactly the threshold is allowed: suppress with >, not with >=.",
        {"strikes": ">="},
    ),
    ("the comparison is the wrong way round: a large overlap suppresses.", {"strikes": "<"}),
    ("the threshold is ignored: 0.5 is only one possible value.", {"fixed": True}),
    ("widths and heights carry a + 1. They are x2 - x1 and y2 - y1.", {"plus": 1.0}),
    (
        "the sides of the intersection are not clamped at 0: two boxes that do not touch get "
        "an overlap.",
        {"clamp": False},
    ),
    (
        "the union counts the intersection twice: area + area - intersection.",
        {"union": False},
    ),
    ("these are the boxes; give their rows.", {"give": "boxes"}),
    ("these are the scores; give the rows.", {"give": "scores"}),
    ("this is a mask of yes and no; give the rows.", {"give": "mask"}),
    (
        "these are places in the sorted list; go back to rows with order[place].",
        {"give": "places"},
    ),
    ("the rows are right, their order is not: best score first.", {"give": "by row"}),
)


_grade = FunctionGrader(
    right=nms,
    cases=_cases,
    describe=lambda boxes, scores, threshold: (
        f"{len(boxes)} boxes, threshold {threshold}, "
        f"scores {', '.join(f'{score:.1f}' for score in scores.tolist())}"
    ),
    mistakes=combine(_variant, SLIPS, most=2),
    praise="{n} crowds agree, equal scores and overlaps of exactly the threshold included.",
)


EXERCISES = (
    Exercise(
        "07-nms",
        _grade,
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
