"""Two exercises of notebook 05: the matrix of one axis, and the backward pass of RoIAlign."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mrcnn_lite.exercises.registry import Exercise, FunctionGrader, Verdict, combine
from mrcnn_lite.ops import roi_align
from mrcnn_lite.ops.taps import axis_taps, dense

CASES = 60
ROOM = 0.05  # boxes end this far before the last element, so that every sample has a next one


@dataclass(frozen=True)
class _AxisWay:
    """A switch for everything that goes wrong on one axis; the defaults are right."""

    place: str = "centres"
    nearest: bool = False
    mirror: bool = False
    mean: bool = True
    keep: str = "sum"  # what stays where samples meet: the "sum", or what was written "last"
    apart: bool = False  # "last" for the lower and the higher neighbours one after the other
    across: bool = False  # samples of different bins meet, too
    transpose: bool = False

    def positions(self, start: float, length: float, size: int, ratio: int) -> Tensor:
        """Where the samples stand, Tensor[P, S]."""
        count = 1 if self.place == "one" else ratio
        if self.place == "edge":
            return start + length * torch.linspace(0, 1, size * count).reshape(size, count)
        inside = (torch.arange(count) + (0.0 if self.place == "left" else 0.5)) / count  # [S]
        return start + (torch.arange(size)[:, None] + inside) * length / size  # [P, S]


def _axis_variant(
    start: float, length: float, size: int, ratio: int, n: int, **changes: Any
) -> Tensor:
    """The matrix of one axis as somebody with these `_AxisWay` switches would write it."""
    way = _AxisWay(**changes)
    parts = torch.zeros(2, size, n)  # [2, P, n], for the lower and the higher neighbours
    for p, row in enumerate(way.positions(start, length, size, ratio)):
        for at in row.clamp(0, n - 1).tolist():
            low = min(int(at), n - 2)
            u = at - low
            u = float(u >= 0.5) if way.nearest else 1 - u if way.mirror else u
            for side, (k, weight) in enumerate(((low, 1 - u), (low + 1, u))):
                if way.keep == "last":
                    lost = slice(side, side + 1) if way.apart else slice(None)
                    parts[lost, slice(None) if way.across else p, k] = 0
                parts[side, p, k] += weight / (len(row) if way.mean else 1)
    matrix = parts.sum(0)  # [P, n]
    return matrix.T if way.transpose else matrix


def _right_matrix(start: float, length: float, size: int, ratio: int, n: int) -> Tensor:
    return dense(axis_taps(torch.tensor([start]), torch.tensor([length]), size, ratio, n), n)[0]


AXIS_SLIPS = (
    ("the weights of a bin add up to S: an output is a mean, so divide by ratio.", {"mean": False}),
    (
        "each sample went to its nearest element only; it has two neighbours, with 1 - u and u.",
        {"nearest": True},
    ),
    ("1 - u and u are exchanged: the nearer neighbour has the larger weight.", {"mirror": True}),
    (
        "the samples sit at the start of their parts; they belong in the middle, + 0.5.",
        {"place": "left"},
    ),
    (
        "the samples run from edge to edge; they belong in the middle of their parts.",
        {"place": "edge"},
    ),
    ("ratio is ignored: there are S samples per bin, not one.", {"place": "one"}),
    (
        "a second sample overwrites the first where both read the same element: "
        "add (+=), never assign (=).",
        {"keep": "last"},
    ),
    (
        "A[rows, columns] += w keeps one of several additions to the same place: "
        "use index_put_(..., accumulate=True), scatter_add or a loop.",
        {"keep": "last", "apart": True},
    ),
    ("the matrix is transposed: one row per bin, one column per element.", {"transpose": True}),
)


def _axes() -> Iterator[tuple[Any, ...]]:
    """Axes of 4 to 10 elements with every size and ratio from 1 to 4."""
    generator = torch.Generator().manual_seed(505)
    for k in range(CASES):
        n = int(torch.randint(4, 11, (), generator=generator))
        a, b = torch.rand(2, generator=generator).tolist()
        length = 1 + b * (n - 2.2)
        start = 0.1 + a * (n - 1 - ROOM - 0.1 - length)
        yield round(start, 3), round(length, 3), k % 4 + 1, k // 4 % 4 + 1, n


def _right_backward(
    grad: Tensor, features: Tensor, box: Tensor, scale: float, ratio: int
) -> Tensor:
    leaf = features.clone().requires_grad_()
    args = (len(grad), scale, ratio)
    out = roi_align(leaf[None, None], [box[None]], *args, aligned=False)
    return torch.autograd.grad(out, leaf, grad[None, None])[0]  # [h, w]


def _backward_variant(
    grad: Tensor, features: Tensor, box: Tensor, scale: float, ratio: int, **changes: Any
) -> Tensor:
    """The backward pass as somebody with these switches would write it."""
    way = {"swap": False, "values": False, "ones": False, "once": False}
    way.update({key: changes.pop(key) for key in way if key in changes})
    x1, y1, x2, y2 = (box * scale).tolist()
    h, w = features.shape
    axis = (len(grad), ratio)
    rows = _axis_variant(y1, y2 - y1, *axis, h, across=True, **changes)  # [P, h]
    columns = _axis_variant(x1, x2 - x1, *axis, w, across=True, **changes)  # [P, w]
    grad = grad.T if way["swap"] else grad
    grad = torch.ones_like(grad) if way["ones"] else grad
    out = rows.T @ grad @ columns  # [h, w]
    out = out * features if way["values"] else out
    return out * ratio if way["once"] else out


BACKWARD_SLIPS = (
    (
        "the division by the number of samples is missing: each of a bin's S x S samples passes "
        "on its share, 1 / S^2.",
        {"mean": False},
    ),
    ("the shares are 1 / S; a bin has S x S samples, so each has 1 / S^2.", {"once": True}),
    (
        "what was there before is overwritten: elements collect from several samples, so add "
        "(+=), never assign (=).",
        {"keep": "last"},
    ),
    (
        "out[rows, columns] += w keeps one of several additions to the same element: use "
        "index_put_(..., accumulate=True), index_add_ or a loop.",
        {"keep": "last", "apart": True},
    ),
    ("rows and columns are swapped: grad[i, j] belongs to row i of bins, along y.", {"swap": True}),
    (
        "everything went to the nearest element; all four corners get a part, by their weights.",
        {"nearest": True},
    ),
    (
        "the weights are mirrored: the nearer corner gets the larger part.",
        {"mirror": True},
    ),
    (
        "the map's values are in the result. RoIAlign is linear in the map: its gradient is made "
        "of weights alone.",
        {"values": True},
    ),
    (
        "the gradient from above is ignored: multiply each weight by grad[i, j].",
        {"ones": True},
    ),
    (
        "the samples sit at the start of their parts; they belong in the middle, + 0.5.",
        {"place": "left"},
    ),
)


def _backwards() -> Iterator[tuple[Any, ...]]:
    """Random maps and boxes, inside the largest square that every map contains."""
    generator = torch.Generator().manual_seed(506)
    for k in range(CASES):
        h, w = (int(n) for n in torch.randint(5, 9, (2,), generator=generator))
        stride = (4, 8, 16)[k % 3]
        corner = 0.1 + torch.rand(2, generator=generator) * (min(h, w) - 3.2)  # [2]
        room = min(h, w) - 2 - ROOM - corner
        extent = 1 + torch.rand(2, generator=generator) * room  # [2]
        box = torch.cat([corner, corner + extent]) * stride  # [4]
        size, ratio = k % 3 + 1, (2, 3, 1)[k // 3 % 3]
        grad = torch.randn(size, size, generator=generator)  # [P, P]
        yield grad, torch.randn(h, w, generator=generator), box, 1 / stride, ratio


def _grade_matrix(answer: Any) -> Verdict:
    return FunctionGrader(
        right=_right_matrix,
        cases=_axes,
        describe=lambda start, length, size, ratio, n: (
            f"start {start}, length {length}, {size} bins, ratio {ratio}, {n} elements"
        ),
        mistakes=combine(_axis_variant, AXIS_SLIPS, most=2),
        praise="{n} matrices agree, each row adding up to 1.",
    )(answer)


def _grade_backward(answer: Any) -> Verdict:
    return FunctionGrader(
        right=_right_backward,
        cases=_backwards,
        describe=lambda grad, features, box, scale, ratio: (
            f"map {features.shape[0]} x {features.shape[1]}, size {len(grad)}, "
            f"stride {1 / scale:.0f}, ratio {ratio}"
        ),
        mistakes=combine(_backward_variant, BACKWARD_SLIPS, most=2),
        praise="{n} boxes agree with autograd, ratios 1 to 3.",
    )(answer)


EXERCISES = (
    Exercise(
        "05-matrix",
        _grade_matrix,
        (
            "Begin with torch.zeros(size, n). Every sample adds two weights to the row of its bin.",
            "Sample s of bin p stands at start + (p + (s + 0.5) / ratio) * length / size.",
            "low = floor(position), u = position - low: add (1 - u) / ratio at low and u / ratio "
            "at low + 1. Add, for two samples of a bin may read the same element.",
        ),
    ),
    Exercise(
        "05-backward",
        _grade_backward,
        (
            "Walk through the samples as in the forward pass. Where the forward pass reads, the "
            "backward pass writes, with the same weights.",
            "Every sample of bin (i, j) passes on grad[i, j] / ratio**2, split among its four "
            "corners by their bilinear weights.",
            "out[top, left] += (1-v)(1-u) g, out[top, left+1] += (1-v)u g, and the same below "
            "with v: add, since corners are shared.",
            "Or with two matrices: rows.T @ grad @ columns, each made as in 05-matrix.",
        ),
    ),
)
