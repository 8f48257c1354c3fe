"""The exercises of notebook 03: a bilinear sample, and RoIAlign for many boxes."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ops import bilinear, roi_align
from ..kit.exercise import Exercise, FunctionGrader, Mistake, combine, switches

POINTS = 120
BATCHES, BOXES = 60, 5  # 300 RoIs


def _right_bilinear(features: Tensor, y: float, x: float) -> Tensor:
    at = [torch.tensor(number, dtype=features.dtype) for number in (y, x)]
    return bilinear(features[None], *at)[0]


@switches(
    swap=False,
    cross=False,
    mirror=False,
    base=math.floor,
    nearest=False,
    clamp=True,
    give_up=False,  # no mixture at all on the last row and column
    shift=0.0,
)
def _bilinear_variant(features: Tensor, y: float, x: float, how: Any) -> Tensor:
    """One bilinear sample, step by step."""
    y, x = (x, y) if how.swap else (y, x)
    y, x = y - how.shift, x - how.shift
    height, width = features.shape
    if how.nearest:
        return features[min(round(y), height - 1), min(round(x), width - 1)]
    top, left = how.base(y), how.base(x)
    v, u = y - top, x - left
    v, u = (u, v) if how.cross else (v, u)
    v, u = (1 - v, 1 - u) if how.mirror else (v, u)
    bottom, right = top + 1, left + 1
    if how.give_up and (bottom == height or right == width):
        return features[top, left]
    if how.clamp:
        bottom, right = min(bottom, height - 1), min(right, width - 1)
    upper = (1 - u) * features[top, left] + u * features[top, right]
    lower = (1 - u) * features[bottom, left] + u * features[bottom, right]
    return (1 - v) * upper + v * lower


BILINEAR_MISTAKES = {
    "y and x are swapped: y chooses the row, x the column.": {"swap": True},
    "u and v are swapped: u is the part to the right, v the part downwards.": {"cross": True},
    "the weights are mirrored: the nearer corner must get the larger weight.": {"mirror": True},
    "the upper left corner is found by rounding; floor never jumps to the next cell.": {
        "base": round
    },
    "this is the value of the nearest element; mix all four corners.": {"nearest": True},
    "on the last row or column there is no next element: clamp the index to the map.": {
        "clamp": False
    },
    "on the last row or column this is one element; along the edge two are still mixed, only "
    "the missing neighbour drops out.": {"give_up": True},
    "everything is shifted by half an element: element 0 lies at 0 here.": {"shift": 0.5},
}


# Where in -1..1 `grid_sample` is told to look: for align_corners=True, for False, and for neither.
PLACES = {
    "2 * x / (w - 1) - 1": lambda x, n: 2 * x / (n - 1) - 1,
    "(2 * x + 1) / w - 1": lambda x, n: (2 * x + 1) / n - 1,
    "2 * x / w - 1": lambda x, n: 2 * x / n - 1,
}


def _by_grid_sample(
    features: Tensor, y: float, x: float, place: str, corners: bool, border: str
) -> Tensor:
    at = [PLACES[place](*pair) for pair in ((x, features.shape[1]), (y, features.shape[0]))]
    grid = torch.tensor([[[at]]], dtype=features.dtype)  # [1, 1, 1, 2]
    options = {"align_corners": corners, "padding_mode": border}
    return F.grid_sample(features[None, None], grid, **options)[0, 0, 0, 0]


def _grid_mistakes() -> Iterator[Mistake]:
    """`grid_sample` with another rule for the corners than that of the positions."""
    text = (
        "grid_sample got {} with align_corners={}. On a map of points the first and the last "
        "element lie at -1 and 1: 2 * x / (w - 1) - 1 and align_corners=True."
    )
    wrong = [("2 * x / (w - 1) - 1", False), ("(2 * x + 1) / w - 1", True)]
    for place, corners in wrong + [("2 * x / w - 1", corners) for corners in (True, False)]:
        for border in ("zeros", "border"):
            options = {"place": place, "corners": corners, "border": border}
            function = functools.partial(_by_grid_sample, **options)
            yield Mistake(text.format(place, corners), function, several=border == "border")


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


def _right_align(
    features: Tensor, boxes: Tensor, size: int, scale: float, ratio: int, aligned: bool
) -> Tensor:
    options = {"sampling_ratio": ratio, "aligned": aligned}
    return roi_align(features[None], [boxes], size, scale, **options)  # [R, C, P, P]


@switches(
    half=lambda aligned: 0.5 if aligned else 0.0,
    least=lambda aligned: 0.0 if aligned else 1.0,
    inclusive=0.0,
    round=lambda corners: corners,
    at=lambda n: (torch.arange(n) + 0.5) / n,  # of n samples along a RoI of length 1
    count=lambda ratio: ratio,
    reduce=torch.mean,
    turn=False,
    scaled=lambda scale: scale,
    bin=None,  # of step i: another bin than i // ratio
)
def _align_variant(
    features: Tensor, boxes: Tensor, size: int, scale: float, ratio: int, aligned: bool, how: Any
) -> Tensor:
    """RoIAlign, step by step."""
    corners = how.round(boxes * how.scaled(scale) - how.half(aligned))  # [R, 4]
    extent = corners[:, 2:] - corners[:, :2] + how.inclusive  # [R, 2]
    extent = extent.clamp(min=how.least(aligned))
    part = how.at(size * how.count(ratio)).view(size, -1)  # [P, S]
    weights = []
    for axis, length in ((1, features.shape[1]), (0, features.shape[2])):
        position = corners[:, axis, None, None] + part * extent[:, axis, None, None]  # [R, P, S]
        position = position.clamp(0, length - 1)
        weights.append((1 - (position[..., None] - torch.arange(length)).abs()).clamp(min=0))
    values = torch.einsum("rpsh,chw,rqtw->rcpqst", weights[0], features, weights[1])
    reduced = how.reduce(values.flatten(-2), -1)  # [R, C, P, P]
    reduced = _scattered(values, how.bin(size, ratio)) if how.bin else reduced
    return reduced.transpose(2, 3) if how.turn else reduced


def _scattered(values: Tensor, bins: Tensor) -> Tensor:
    """A loop's `out[bin] += value / ratio**2`, with any bin for each of the steps of an axis."""
    *batch, size, _, ratio, _ = values.shape  # [R, C, P, P, S, S]
    if bins.max() >= size:
        raise IndexError("no such bin")
    steps = values.transpose(-3, -2).reshape(*batch, size * ratio, size * ratio)
    share = (torch.arange(size)[:, None] == bins) / ratio  # [P, P * S]
    return share @ steps @ share.T  # [R, C, P, P]


ALIGN_MISTAKES = {
    "`aligned` is ignored: with True the RoI moves by half a cell.": {"half": lambda _: 0.0},
    "the half cell is always taken off; with aligned=False it stays.": {"half": lambda _: 0.5},
    "the half cell goes the wrong way: with aligned=True it is taken off.": {
        "half": lambda aligned: -0.5 if aligned else 0.0
    },
    "the corners are image px; multiply them by the scale.": {"scaled": lambda _: 1},
    "the corners are rounded. RoIAlign rounds nothing.": {"round": torch.round},
    "the RoI is one cell too long: RoIAlign has no end - start + 1.": {"inclusive": 1.0},
    "with aligned=False a RoI is at least one cell long; a tiny box is enlarged.": {
        "least": lambda _: 0.0
    },
    "the RoI is never smaller than one cell only when aligned is False.": {"least": lambda _: 1.0},
    "the samples sit at the start of their parts; they belong in the middle, + 0.5.": {
        "at": lambda n: torch.arange(n) / n
    },
    "the samples run from edge to edge of the RoI; they belong in the middle of their parts.": {
        "at": lambda n: torch.linspace(0, 1, n)
    },
    "sampling_ratio is ignored: S x S samples per bin, not one.": {"count": lambda _: 1},
    "this is the sum of the samples; the output is their mean.": {"reduce": torch.sum},
    "this is the maximum of the samples; the output is their mean.": {"reduce": torch.amax},
    "rows and columns of the output are swapped: first y, then x.": {"turn": True},
    "step i belongs to bin i // ratio, not to i // size: each bin has `ratio` steps in a row.": {
        "bin": lambda size, ratio: torch.arange(size * ratio) // size
    },
    "step i belongs to bin i // ratio, not to i % size: the steps of a bin lie side by side.": {
        "bin": lambda size, ratio: torch.arange(size * ratio) % size
    },
}


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


EXERCISES = (
    Exercise(
        "03-bilinear",
        FunctionGrader(
            right=_right_bilinear,
            cases=_points,
            mistakes=(*combine(_bilinear_variant, BILINEAR_MISTAKES.items()), *_grid_mistakes()),
            praise="{n} points agree, the last row and column included.",
        ),
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
        FunctionGrader(
            right=_right_align,
            cases=_batches,
            mistakes=combine(_align_variant, ALIGN_MISTAKES.items(), most=2),
            praise=f"{BATCHES * BOXES} RoIs agree, both values of aligned, sampling ratios 1 to 3.",
        ),
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
