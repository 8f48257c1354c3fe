"""The exercises of notebook 03: a bilinear sample, and RoIAlign for many boxes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...ops import bilinear, roi_align
from ..kit.exercise import Exercise, FunctionGrader, combine

POINTS = 120
BATCHES, BOXES = 60, 5  # 300 RoIs


def _right_bilinear(features: Tensor, y: float, x: float) -> Tensor:
    at = [torch.tensor(number, dtype=features.dtype) for number in (y, x)]
    return bilinear(features[None], *at)[0]


@dataclass(frozen=True)
class _PointWay:
    """A switch for everything that people get wrong; the defaults are right."""

    swap: bool = False
    cross: bool = False
    mirror: bool = False
    base: Callable[[float], int] = math.floor
    nearest: bool = False
    clamp: bool = True
    give_up: bool = False  # no mixture at all on the last row and column
    shift: float = 0.0


def _bilinear_variant(features: Tensor, y: float, x: float, **changes: Any) -> Tensor:
    """One bilinear sample as somebody with these `_PointWay` switches would write it."""
    way = _PointWay(**changes)
    y, x = (x, y) if way.swap else (y, x)
    y, x = y - way.shift, x - way.shift
    height, width = features.shape
    if way.nearest:
        return features[min(round(y), height - 1), min(round(x), width - 1)]
    top, left = way.base(y), way.base(x)
    v, u = y - top, x - left
    v, u = (u, v) if way.cross else (v, u)
    v, u = (1 - v, 1 - u) if way.mirror else (v, u)
    bottom, right = top + 1, left + 1
    if way.give_up and (bottom == height or right == width):
        return features[top, left]
    if way.clamp:
        bottom, right = min(bottom, height - 1), min(right, width - 1)
    upper = (1 - u) * features[top, left] + u * features[top, right]
    lower = (1 - u) * features[bottom, left] + u * features[bottom, right]
    return (1 - v) * upper + v * lower


def _points() -> Iterator[tuple[Any, ...]]:
    """Random points of random maps; every fifth lies exactly on the last row or column."""
    generator = torch.Generator().manual_seed(303)
    for k in range(POINTS):
        height, width = (int(n) for n in torch.randint(3, 8, (2,), generator=generator))
        features = torch.randn(height, width, generator=generator)
        y, x = torch.rand(2, generator=generator).tolist()
        y, x = round(y * (height - 1), 3), round(x * (width - 1), 3)
        if k % 5 == 4:
            y, x = (float(height - 1), x) if k % 2 else (y, float(width - 1))
        yield features, y, x


POINT_SLIPS = (
    ("y and x are swapped: y chooses the row, x the column.", {"swap": True}),
    ("u and v are swapped: u is the part to the right, v the part downwards.", {"cross": True}),
    ("the weights are mirrored: the nearer corner must get the larger weight.", {"mirror": True}),
    (
        "the upper left corner is found by rounding; floor never jumps to the next cell.",
        {"base": round},
    ),
    ("this is the value of the nearest element; mix all four corners.", {"nearest": True}),
    (
        "on the last row or column there is no next element: clamp the index to the map.",
        {"clamp": False},
    ),
    (
        "on the last row or column this is one element; along the edge two are still mixed, only "
        "the missing neighbour drops out.",
        {"give_up": True},
    ),
    ("everything is shifted by half an element: element 0 lies at 0 here.", {"shift": 0.5}),
)


def _right_align(
    features: Tensor, boxes: Tensor, size: int, scale: float, ratio: int, aligned: bool
) -> Tensor:
    options = {"sampling_ratio": ratio, "aligned": aligned}
    return roi_align(features[None], [boxes], size, scale, **options)  # [R, C, P, P]


@dataclass(frozen=True)
class _AlignWay:
    """A switch for everything that people get wrong; the defaults are right."""

    shift: Callable[[bool], float] = lambda aligned: 0.5 if aligned else 0.0
    least: float | None = None
    inclusive: float = 0.0
    rounded: bool = False
    place: str = "centres"
    reduce: str = "mean"
    transpose: bool = False
    unscaled: bool = False

    def positions(self, size: int, ratio: int) -> Tensor:
        """Where the samples lie in a RoI of length 1, Tensor[P, S]."""
        count = 1 if self.place == "one" else ratio
        if self.place == "edge":
            return torch.linspace(0, 1, size * count).reshape(size, count)  # [P, S]
        inside = (torch.arange(count) + (0.0 if self.place == "left" else 0.5)) / count  # [S]
        return (torch.arange(size)[:, None] + inside) / size  # [P, S]


def _align_variant(
    features: Tensor,
    boxes: Tensor,
    size: int,
    scale: float,
    ratio: int,
    aligned: bool,
    **changes: Any,
) -> Tensor:
    """RoIAlign as somebody with these `_AlignWay` switches would write it."""
    way = _AlignWay(**changes)
    corners = boxes * (1 if way.unscaled else scale) - way.shift(aligned)  # [R, 4]
    corners = corners.round() if way.rounded else corners
    start = corners[:, :2]  # [R, 2]
    extent = corners[:, 2:] - start + way.inclusive  # [R, 2]
    smallest = (0.0 if aligned else 1.0) if way.least is None else way.least
    extent = torch.maximum(extent, torch.tensor(smallest))
    at = way.positions(size, ratio)
    weights = []
    for axis, length in ((1, features.shape[1]), (0, features.shape[2])):
        position = start[:, axis, None, None] + at * extent[:, axis, None, None]  # [R, P, S]
        position = position.clamp(0, length - 1)
        weights.append((1 - (position[..., None] - torch.arange(length)).abs()).clamp(min=0))
    values = torch.einsum("rpsh,chw,rqtw->rcpqst", weights[0], features, weights[1])
    values = values.flatten(-2)  # [R, C, P, P, N]
    reduced = {"mean": values.mean(-1), "sum": values.sum(-1), "max": values.amax(-1)}[way.reduce]
    return reduced.transpose(2, 3) if way.transpose else reduced


def _batches() -> Iterator[tuple[Any, ...]]:
    """Random maps with five boxes each, all samples inside the map; some boxes are tiny."""
    generator = torch.Generator().manual_seed(304)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    for k in range(BATCHES):
        height, width, stride = draw(6, 11), draw(6, 11), (4, 8, 16)[draw(0, 3)]
        limit = torch.tensor([width - 1.0, height - 1.0]) - 1.0
        corner = 0.5 + torch.rand(BOXES, 2, generator=generator) * (limit - 0.5)  # [R, 2]
        room = limit + 0.9 - corner
        extent = torch.rand(BOXES, 2, generator=generator) * room  # [R, 2]
        if k % 4 == 0:
            extent[0] = 0.3
        boxes = torch.cat([corner, corner + extent], 1) * stride  # [R, 4]
        features = torch.randn(3, height, width, generator=generator)  # [C, h, w]
        yield features, boxes, draw(1, 5), 1 / stride, draw(1, 4), k % 2 == 1


SLIPS = (
    ("`aligned` is ignored: with True the RoI moves by half a cell.", {"shift": lambda _: 0.0}),
    (
        "the half cell is always taken off; with aligned=False it stays.",
        {"shift": lambda _: 0.5},
    ),
    (
        "the half cell goes the wrong way: with aligned=True it is taken off.",
        {"shift": lambda aligned: -0.5 if aligned else 0.0},
    ),
    ("the corners are image px; multiply them by the scale.", {"unscaled": True}),
    ("the corners are rounded. RoIAlign rounds nothing.", {"rounded": True}),
    ("the RoI is one cell too long: RoIAlign has no end - start + 1.", {"inclusive": 1.0}),
    (
        "with aligned=False a RoI is at least one cell long; a tiny box is enlarged.",
        {"least": 0.0},
    ),
    ("the RoI is never smaller than one cell only when aligned is False.", {"least": 1.0}),
    (
        "the samples sit at the start of their parts; they belong in the middle, + 0.5.",
        {"place": "left"},
    ),
    (
        "the samples run from edge to edge of the RoI; they belong in the middle of their parts.",
        {"place": "edge"},
    ),
    ("sampling_ratio is ignored: S x S samples per bin, not one.", {"place": "one"}),
    ("this is the sum of the samples; the output is their mean.", {"reduce": "sum"}),
    ("this is the maximum of the samples; the output is their mean.", {"reduce": "max"}),
    ("rows and columns of the output are swapped: first y, then x.", {"transpose": True}),
)


def _describe_batch(
    features: Tensor, boxes: Tensor, size: int, scale: float, ratio: int, aligned: bool
) -> str:
    shape = " x ".join(str(side) for side in features.shape)
    return (
        f"features {shape}, {len(boxes)} boxes, size {size}, stride {1 / scale:.0f}, "
        f"ratio {ratio}, aligned={aligned}"
    )


_grade_bilinear = FunctionGrader(
    right=_right_bilinear,
    cases=_points,
    describe=lambda features, y, x: (
        f"map {features.shape[0]} x {features.shape[1]}, y = {y}, x = {x}"
    ),
    mistakes=combine(_bilinear_variant, POINT_SLIPS),
    praise="{n} points agree, the last row and column included.",
)


_grade_align = FunctionGrader(
    right=_right_align,
    cases=_batches,
    describe=_describe_batch,
    mistakes=combine(_align_variant, SLIPS, most=2),
    praise=f"{BATCHES * BOXES} RoIs agree, both values of aligned, sampling ratios 1 to 3.",
)


EXERCISES = (
    Exercise(
        "03-bilinear",
        _grade_bilinear,
        (
            "floor(y) and floor(x) give the corner above and to the left; what is left over is "
            "v and u.",
            "The four weights are (1-v)(1-u), (1-v)u, v(1-u), vu; the four corners are the rows "
            "top and top + 1 and the columns left and left + 1.",
            "If y lies exactly on the last row, v is 0, but top + 1 does not exist: use "
            "min(top + 1, height - 1).",
        ),
    ),
    Exercise(
        "03-roi-align",
        _grade_align,
        (
            "First the positions: a tensor y of shape [R, P, S] and one for x. Everything after "
            "that is one bilinear sample at many places.",
            "y = start + (p + (s + 0.5) / ratio) * length / size, with p = 0 .. size - 1 and "
            "s = 0 .. ratio - 1.",
            "Index the features with y[:, :, :, None, None] and x[:, None, None, :, :]; they "
            "broadcast to [R, P, S, P, S]. The mean runs over both S.",
            "aligned=False: a RoI is at least one cell long in each direction. aligned=True: take "
            "0.5 off all corners, and no least length.",
        ),
    ),
)
