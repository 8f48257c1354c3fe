"""The exercises of notebook 01: RoIPool, and a map that tells its bins from disjoint ones."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...ops import roi_pool
from ..kit.exercise import Exercise, FunctionGrader, Mistake, Verdict, as_numbers, combine, not_yet

CASES = 200
HALVES, BORDERS, REVERSED = 60, 110, 180  # where each kind of box begins
ARTICLE = (10.0, 10.0, 124.0, 124.0)


def _right(features: Tensor, box: Sequence[float], size: int, scale: float) -> Tensor:
    return roi_pool(features[None, None], [torch.tensor([box])], size, scale)[0, 0]  # [P, P]


def _half_away(number: float) -> int:
    return math.floor(abs(number) + 0.5) * (1 if number >= 0 else -1)


def _overlapping(i: int, step: float) -> tuple[int, int]:
    return math.floor(i * step), math.ceil((i + 1) * step)


@dataclass(frozen=True)
class _Way:
    """A switch for everything that people get wrong; the defaults are right."""

    rounding: Callable[[float], int] = _half_away
    inclusive: int = 1
    least: int = 1
    edges: Callable[[int, float], tuple[int, int]] = _overlapping
    clamp: str = "bins"
    empty: float | None = 0.0
    mean: bool = False
    swap: bool = False
    unscaled: bool = False

    def ranges(self, first: int, last: int, size: int, limit: int) -> list[tuple[int, int]]:
        """Cut one side of the RoI into bins, with this variant's mistakes."""
        if self.clamp == "box":
            first, last = (min(max(number, 0), limit - 1) for number in (first, last))
        if self.clamp == "corners":
            first, last = max(first, 0), min(last, limit - 1)
        step = max(last - first + self.inclusive, self.least) / size
        cut = [self.edges(i, step) for i in range(size)]
        cut = [(start + first, end + first) for start, end in cut]
        if self.clamp != "bins":
            return cut
        return [(min(max(a, 0), limit), min(max(b, 0), limit)) for a, b in cut]


def _variant(
    features: Tensor, box: Sequence[float], size: int, scale: float, **changes: Any
) -> Tensor:
    """RoIPool as somebody with these `_Way` switches would write it."""
    way = _Way(**changes)
    corners = [way.rounding(number * (1 if way.unscaled else scale)) for number in box]
    x1, y1, x2, y2 = [corners[i] for i in ((1, 0, 3, 2) if way.swap else (0, 1, 2, 3))]
    out = torch.empty(size, size)
    for i, (top, bottom) in enumerate(way.ranges(y1, y2, size, features.shape[0])):
        for j, (left, right) in enumerate(way.ranges(x1, x2, size, features.shape[1])):
            window = features[top:bottom, left:right]
            if window.numel() == 0 and way.empty is not None:
                out[i, j] = way.empty
            else:
                out[i, j] = window.mean() if way.mean else window.max()
    return out


def _cases() -> Iterator[tuple[Any, ...]]:
    """Random maps and boxes: at first plain ones, then halves, borders, corners out of order."""
    generator = torch.Generator().manual_seed(101)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    for k in range(CASES):
        height, width, stride = draw(4, 9), draw(4, 9), (8, 16, 32)[draw(0, 3)]
        margin = 2 if k >= BORDERS else 0  # cells outside the map
        box = [0.0] * 4
        for axis, side in enumerate((width, height)):
            first = draw(-margin, side - 1 + margin)
            last = draw(first, side - 1 + margin)
            for place, cell in ((axis, first), (axis + 2, last)):
                part = 0.5 if HALVES <= k < BORDERS else draw(0, 4) / 8  # of a cell
                box[place] = (cell + part) * stride
            box[axis], box[axis + 2] = sorted((box[axis], box[axis + 2]))
        if k >= REVERSED:
            box = box[2:] + box[:2]
        yield torch.randn(height, width, generator=generator), box, draw(1, 5), 1 / stride


def _describe(features: Tensor, box: Sequence[float], size: int, scale: float) -> str:
    height, width = features.shape
    return f"map {height} x {width}, box {box}, size {size}, stride {1 / scale:.0f}"


SLIPS = (
    (
        "Python's round (and torch.round) take 2.5 to 2, the even neighbour; RoIPool needs 3, "
        "away from zero.",
        {"rounding": round},
    ),
    ("the corners are cut off (floor, int) where they must be rounded.", {"rounding": math.floor}),
    (
        "the last cell is missing: both rounded corners belong to the window, end - start + 1.",
        {"inclusive": 0},
    ),
    (
        "your bins do not overlap: a bin that starts inside a cell owns the whole cell, "
        "and so does the bin that ends there. Look at how ends are rounded.",
        {"edges": lambda i, step: (math.floor(i * step), math.floor((i + 1) * step))},
    ),
    (
        "your bins do not overlap: a bin that starts inside a cell owns the whole cell too. "
        "Look at how starts are rounded.",
        {"edges": lambda i, step: (math.ceil(i * step), math.ceil((i + 1) * step))},
    ),
    ("x and y are swapped: x runs over columns, y over rows.", {"swap": True}),
    ("this is the mean of each bin; RoIPool takes the maximum.", {"mean": True}),
    (
        "windows that leave the map are not clipped: in Python a negative index counts from the "
        "end. Clip the start and end of every bin to the map.",
        {"clamp": "never"},
    ),
    (
        "the box is clipped to the map before it is cut into bins; clip the bins, the box stays.",
        {"clamp": "box"},
    ),
    (
        "the corners of the window are moved onto the map, so that it is cut into other bins; "
        "cut first, clip each bin afterwards.",
        {"clamp": "corners"},
    ),
    ("a bin without cells has no maximum; its output is 0.", {"empty": -math.inf}),
    ("a bin without cells has no maximum: answer 0 there, before asking for one.", {"empty": None}),
    (
        "a window is at least one cell wide, even if the corners are in the wrong order.",
        {"least": -999},
    ),
    (
        "the corners are in image px; multiply them by the scale before rounding.",
        {"unscaled": True},
    ),
)


def _pooled(features: Tensor, ranges: Sequence[tuple[int, int]]) -> Tensor:
    rows = [[features[a:b, c:d].max() for c, d in ranges] for a, b in ranges]
    return torch.tensor(rows)  # [2, 2]


def _grade_map(answer: Any) -> Verdict:
    """Whether a 6 x 6 map tells RoIPool's overlapping windows from both disjoint splits."""
    if answer is None:
        return not_yet("your map")
    if callable(answer):
        return Verdict(False, "Hand over the map itself, a 6 x 6 tensor, not a function.")
    features = as_numbers(answer)
    if features is None or features.numel() != 36 or not torch.isfinite(features).all():
        return Verdict(False, "Not right yet: the map must be 6 x 6 finite numbers.")
    features = features.reshape(6, 6).float()
    true = _right(features, ARTICLE, 2, 1 / 32)
    same = [
        name
        for name, ranges in (("3 + 2", ((0, 3), (3, 5))), ("2 + 3", ((0, 2), (2, 5))))
        if torch.equal(true, _pooled(features, ranges))
    ]
    if not same:
        return Verdict(True, "Passed: on your map both disjoint splits give other numbers.")
    splits = " and ".join(same)
    return Verdict(
        False,
        f"Not right yet: RoIPool's numbers also come out of the disjoint split {splits}.\n"
        "The definitions differ only where a bin's maximum lies in a shared row or column.",
    )


_grade_pool = FunctionGrader(
    right=_right,
    cases=_cases,
    describe=_describe,
    mistakes=combine(_variant, SLIPS),
    praise="{n} of {n} cases agree, halves, borders and empty bins included.",
    tiers=(HALVES, BORDERS, REVERSED),
)


def _mixed(along: Sequence[float]) -> Tensor:
    """The map whose value is the sum of these numbers at its row and column."""
    numbers = torch.tensor(along)
    return numbers[:, None] + numbers  # [h, w]


# Maps that miss what the shared row and column hold, for one bin of two or for both.
BLIND_MAPS = tuple(
    Mistake(f"RoIPool's numbers also come out of the disjoint split {splits}.", _mixed(along))
    for splits, along in (
        ("3 + 2", (0.0, 0.0, 1.0, 2.0, 2.0, 0.0)),
        ("2 + 3", (2.0, 2.0, 1.0, 0.0, 0.0, 0.0)),
        ("3 + 2 and 2 + 3", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)),
    )
)


EXERCISES = (
    Exercise(
        "01-roi-pool",
        _grade_pool,
        (
            "Two helpers make it short: one that rounds a number, one that returns the ranges of "
            "all bins along one axis. Use the second for rows and for columns.",
            "Along an axis: step = max(last - first + 1, 1) / size. Bin i reaches from "
            "first + floor(i * step) to first + ceil((i + 1) * step).",
            "Clip each start and end to 0 .. the length of the axis. Where the end is not above "
            "the start, in either axis, the output is 0.",
        ),
    ),
    Exercise(
        "01-discriminating-map",
        _grade_map,
        (
            "Start from zeros. Where must a large number stand, so that two bins see it?",
            "A large number in row 2 is seen by the upper and the lower bins; a disjoint split "
            "gives it to only one of them.",
        ),
        BLIND_MAPS,
    ),
)
