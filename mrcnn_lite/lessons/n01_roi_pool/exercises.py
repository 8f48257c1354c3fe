"""The exercises of notebook 01: RoIPool, and a map that tells its bins from disjoint ones."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ...ops import roi_pool
from ...ops.roi_pool import round_half_away
from ..kit.exercise import (
    Exercise,
    FunctionGrader,
    Mistake,
    Verdict,
    as_numbers,
    combine,
    not_yet,
    switches,
)

CASES = 200
HALVES, BORDERS, REVERSED = 60, 110, 180  # where each kind of box begins
ARTICLE = (10.0, 10.0, 124.0, 124.0)


def _right(features: Tensor, box: Sequence[float], size: int, scale: float) -> Tensor:
    return roi_pool(features[None, None], [torch.tensor([box])], size, scale)[0, 0]  # [P, P]


def _ranges(how: Any, first: int, last: int, size: int, n: int) -> list[slice]:
    """One side of the window cut into bins."""
    if how.clip == "box":
        first, last = (min(max(number, 0), n - 1) for number in (first, last))
    if how.clip == "corners":
        first, last = max(first, 0), min(last, n - 1)
    step = max(last - first + how.inclusive, how.least) / size
    ends = [(how.start(i * step), how.end((i + 1) * step)) for i in range(size)]
    ends = [(start + first, end + first) for start, end in ends]
    if how.clip == "bins":
        ends = [(min(max(a, 0), n), min(max(b, 0), n)) for a, b in ends]
    return [slice(*both) for both in ends]


@switches(
    round=lambda number: int(round_half_away(torch.tensor(number))),
    inclusive=1,
    least=1,
    start=math.floor,
    end=math.ceil,
    clip="bins",
    empty=0.0,
    reduce=torch.max,
    order=(0, 1, 2, 3),
    scaled=lambda scale: scale,
)
def _variant(features: Tensor, box: Sequence[float], size: int, scale: float, how: Any) -> Tensor:
    """RoIPool, step by step."""
    corners = [how.round(number * how.scaled(scale)) for number in box]
    x1, y1, x2, y2 = (corners[i] for i in how.order)
    out = torch.empty(size, size)  # [P, P]
    for i, rows in enumerate(_ranges(how, y1, y2, size, features.shape[0])):
        for j, columns in enumerate(_ranges(how, x1, x2, size, features.shape[1])):
            window = features[rows, columns]
            empty = window.numel() == 0 and how.empty is not None
            out[i, j] = how.empty if empty else how.reduce(window)
    return out


POOL_MISTAKES = {
    "Python's round (and torch.round) take 2.5 to 2, the even neighbour; RoIPool needs 3, "
    "away from zero.": {"round": round},
    "the corners are cut off (floor, int) where they must be rounded.": {"round": math.floor},
    "the last cell is missing: both rounded corners belong to the window, end - start + 1.": {
        "inclusive": 0
    },
    "your bins do not overlap: a bin that starts inside a cell owns the whole cell, "
    "and so does the bin that ends there. Look at how ends are rounded.": {"end": math.floor},
    "your bins do not overlap: a bin that starts inside a cell owns the whole cell too. "
    "Look at how starts are rounded.": {"start": math.ceil},
    "x and y are swapped: x runs over columns, y over rows.": {"order": (1, 0, 3, 2)},
    "this is the mean of each bin; RoIPool takes the maximum.": {"reduce": torch.mean},
    "windows that leave the map are not clipped: in Python a negative index counts from the "
    "end. Clip the start and end of every bin to the map.": {"clip": "never"},
    "the box is clipped to the map before it is cut into bins; clip the bins, the box stays.": {
        "clip": "box"
    },
    "the corners of the window are moved onto the map, so that it is cut into other bins; "
    "cut first, clip each bin afterwards.": {"clip": "corners"},
    "a bin without cells has no maximum; its output is 0.": {"empty": -math.inf},
    "a bin without cells has no maximum: answer 0 there, before asking for one.": {"empty": None},
    "a window is at least one cell wide, even if the corners are in the wrong order.": {
        "least": -999
    },
    "the corners are in image px; multiply them by the scale before rounding.": {
        "scaled": lambda scale: 1
    },
}


def _cases() -> Iterator[tuple[Any, ...]]:
    """Random maps and boxes: at first plain ones, then halves, borders, corners out of order."""
    generator = torch.Generator().manual_seed(101)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    for k in range(CASES):
        height, width, stride = draw(4, 9), draw(4, 9), (8, 16, 32)[draw(0, 3)]
        margin = 2 if k >= BORDERS else 0  # cells outside the map
        box = [0.0] * 4
        for axis, length in enumerate((width, height)):
            first = draw(-margin, length - 1 + margin)
            last = draw(first, length - 1 + margin)
            for side, cell in ((axis, first), (axis + 2, last)):
                part = 0.5 if HALVES <= k < BORDERS else draw(0, 4) / 8  # of a cell
                box[side] = (cell + part) * stride
            box[axis], box[axis + 2] = sorted((box[axis], box[axis + 2]))
        if k >= REVERSED:
            box = box[2:] + box[:2]
        yield torch.randn(height, width, generator=generator), box, draw(1, 5), 1 / stride


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
        FunctionGrader(
            right=_right,
            cases=_cases,
            mistakes=combine(_variant, POOL_MISTAKES.items()),
            praise="{n} of {n} cases agree, halves, borders and empty bins included.",
            tiers=(HALVES, BORDERS, REVERSED),
        ),
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
