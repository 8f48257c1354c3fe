"""Two exercises of notebook 05: the matrix of one axis, and the backward pass of RoIAlign."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...ops import roi_align
from ...ops.bilinear import interpolation
from ..kit.exercise import Exercise, FunctionGrader, combine, switches

CASES = 60
CHANNELS = 2
INSIDE = 32  # of them for boxes that stay on the map
ROOM = 0.05  # boxes end this far before the last element, so that every sample has a next one


@switches(
    at=lambda n: (torch.arange(n) + 0.5) / n,  # of n samples along a RoI of length 1
    count=lambda ratio: ratio,
    nearest=False,
    mirror=False,
    mean=True,
    keep="sum",  # what stays where samples meet: the "sum", or what was written "last"
    apart=False,  # "last" for the lower and the higher neighbours one after the other
    across=False,  # samples of different bins meet, too
    outside="zero",  # more than an element off the map: "zero", "clamp", "dropped"
    fade=False,  # samples beside the map are not moved onto it
    turn=False,
)
def _axis_variant(start: float, length: float, size: int, ratio: int, n: int, how: Any) -> Tensor:
    """The matrix of one axis, step by step."""
    positions = start + length * how.at(size * how.count(ratio)).view(size, -1)  # [P, S]
    parts = torch.zeros(2, size, n)  # [2, P, N], for the lower and the higher neighbours
    for p, row in enumerate(positions.tolist()):
        inside = [at for at in row if how.outside == "clamp" or -1 <= at <= n]
        share = max(len(inside), 1) if how.outside == "dropped" else len(row)
        for at in inside:
            for side, k, weight in _neighbours(at, n, how):
                if how.keep == "last":
                    lost = slice(side, side + 1) if how.apart else slice(None)
                    parts[lost, slice(None) if how.across else p, k] = 0
                parts[side, p, k] += weight / (share if how.mean else 1)
    matrix = parts.sum(0)  # [P, N]
    return matrix.T if how.turn else matrix


def _neighbours(at: float, n: int, how: Any) -> list[tuple[int, int, float]]:
    """The two reads of a sample: (0 or 1 for lower or higher, element, weight)."""
    at = at if how.fade else min(max(at, 0.0), n - 1.0)
    low = math.floor(at) if how.fade else min(int(at), n - 2)
    u = at - low
    u = float(u >= 0.5) if how.nearest else 1 - u if how.mirror else u
    both = ((0, low, 1 - u), (1, low + 1, u))
    return [(side, k, weight) for side, k, weight in both if 0 <= k < n]


def _right_matrix(start: float, length: float, size: int, ratio: int, n: int) -> Tensor:
    axis = interpolation(torch.tensor([start]), torch.tensor([length]), size, ratio, n)
    return axis.matrix(n)[0]


AXIS_MISTAKES = {
    "the weights of a bin add up to S: an output is a mean, so divide by ratio.": {"mean": False},
    "each sample went to its nearest element only; it has two neighbours, with 1 - u and u.": {
        "nearest": True
    },
    "1 - u and u are exchanged: the nearer neighbour has the larger weight.": {"mirror": True},
    "the samples sit at the start of their parts; they belong in the middle, + 0.5.": {
        "at": lambda n: torch.arange(n) / n
    },
    "the samples run from edge to edge; they belong in the middle of their parts.": {
        "at": lambda n: torch.linspace(0, 1, n)
    },
    "ratio is ignored: there are S samples per bin, not one.": {"count": lambda _: 1},
    "a second sample overwrites the first where both read the same element: "
    "add (+=), never assign (=).": {"keep": "last"},
    "A[rows, columns] += w keeps one of several additions to the same place: "
    "use index_put_(..., accumulate=True), scatter_add or a loop.": {"keep": "last", "apart": True},
    "the matrix is transposed: one row per bin, one column per element.": {"turn": True},
    "samples up to one element off the map are moved onto its edge; yours fade away there.": {
        "fade": True
    },
    "samples more than one element off the map count as 0; yours are moved onto its edge.": {
        "outside": "clamp"
    },
    "a sample that counts as 0 is still part of the mean: divide by ratio all the same.": {
        "outside": "dropped"
    },
}


def _axes() -> Iterator[tuple[Any, ...]]:
    """Axes of 4 to 10 elements with every size and ratio from 1 to 4; the RoIs leave them later."""
    generator = torch.Generator().manual_seed(505)
    for k in range(CASES):
        n = int(torch.randint(4, 11, (), generator=generator))
        a, b = torch.rand(2, generator=generator).tolist()
        length = 1 + b * (n - 2.2)
        start = 0.1 + a * (n - 1 - ROOM - 0.1 - length)
        if k >= INSIDE:
            start += (3 + length / 2) * (-1 if k % 2 else 1) - (start - n / 2) / 4
        yield round(start, 3), round(length, 3), k % 4 + 1, k // 4 % 4 + 1, n


def _right_backward(
    grad: Tensor, features: Tensor, boxes: Tensor, scale: float, ratio: int
) -> Tensor:
    leaf = features.clone().requires_grad_()
    out = roi_align(leaf[None], [boxes], grad.shape[-1], scale, ratio, aligned=False)
    return torch.autograd.grad(out, leaf, grad)[0]  # [C, h, w]


@switches(
    **dict.fromkeys(("swap", "values", "ones", "once", "last_box", "apart"), False),
    keep="sum",
    across=True,
)
def _backward_variant(
    grad: Tensor, features: Tensor, boxes: Tensor, scale: float, ratio: int, how: Any
) -> Tensor:
    """The backward pass, step by step."""
    grad = grad.transpose(2, 3) if how.swap else grad
    grad = torch.ones_like(grad) if how.ones else grad
    out = torch.zeros_like(features)  # [C, h, w]
    for g, box in zip(grad, boxes):
        x1, y1, x2, y2 = (box * scale).tolist()
        rows, columns = (
            _axis_variant(start, length, grad.shape[-1], ratio, n, **vars(how))  # [P, N]
            for start, length, n in ((y1, y2 - y1, len(out[0])), (x1, x2 - x1, len(out[0, 0])))
        )
        one = rows.T @ g @ columns  # [C, h, w]
        touched = rows.T.abs().sum(1)[:, None] * columns.abs().sum(0) > 0  # [h, w]
        overwrites = how.keep == "last" and not how.apart
        out = one if how.last_box else torch.where(touched & overwrites, one, out + one)
    out = out * features if how.values else out
    return out * ratio if how.once else out


BACKWARD_MISTAKES = {
    "the division by the number of samples is missing: each of a bin's S x S samples passes "
    "on its share, 1 / S^2.": {"mean": False},
    "the shares are 1 / S; a bin has S x S samples, so each has 1 / S^2.": {"once": True},
    "what was there before is overwritten: elements collect from several samples, so add "
    "(+=), never assign (=).": {"keep": "last"},
    "out[rows, columns] += w keeps one of several additions to the same element: use "
    "index_put_(..., accumulate=True), index_add_ or a loop.": {"keep": "last", "apart": True},
    "rows and columns are swapped: grad[k, :, i, j] belongs to row i of bins, along y.": {
        "swap": True
    },
    "everything went to the nearest element; all four corners get a part, by their weights.": {
        "nearest": True
    },
    "the weights are mirrored: the nearer corner gets the larger part.": {"mirror": True},
    "the map's values are in the result. RoIAlign is linear in the map: its gradient is made "
    "of weights alone.": {"values": True},
    "this is the part of the last box: all boxes add to the same map.": {"last_box": True},
    "the gradient from above is ignored: multiply each weight by grad[k, :, i, j].": {"ones": True},
    "the samples sit at the start of their parts; they belong in the middle, + 0.5.": {
        "at": lambda n: torch.arange(n) / n
    },
}


def _backwards() -> Iterator[tuple[Any, ...]]:
    """Random maps and boxes, inside the largest square that every map contains."""
    generator = torch.Generator().manual_seed(506)
    for k in range(CASES):
        h, w = (int(n) for n in torch.randint(5, 9, (2,), generator=generator))
        stride, count = (4, 8, 16)[k % 3], k % 3 + 1
        corner = 0.1 + torch.rand(count, 2, generator=generator) * (min(h, w) - 3.2)  # [R, 2]
        room = min(h, w) - 2 - ROOM - corner
        extent = 1 + torch.rand(count, 2, generator=generator) * room  # [R, 2]
        boxes = torch.cat([corner, corner + extent], 1) * stride  # [R, 4]
        size, ratio = k // 2 % 3 + 1, (2, 3, 1)[k // 3 % 3]
        grad = torch.randn(count, CHANNELS, size, size, generator=generator)  # [R, C, P, P]
        yield grad, torch.randn(CHANNELS, h, w, generator=generator), boxes, 1 / stride, ratio


EXERCISES = (
    Exercise(
        "05-matrix",
        FunctionGrader(
            right=_right_matrix,
            cases=_axes,
            mistakes=combine(_axis_variant, AXIS_MISTAKES.items(), most=2),
            praise="{n} matrices agree, for boxes on the map and for boxes that leave it.",
            tiers=(INSIDE,),
        ),
        (
            "Start from axis_matrix of section 5: which of its samples may lie off the map now?",
            "First decide which samples count: -1 <= position <= n. Then move the positions onto "
            "the map with clamp(0, n - 1). Then the hats as before.",
            "Multiply the hats of samples that do not count by 0, before the mean: the mean still "
            "divides by ratio.",
        ),
    ),
    Exercise(
        "05-backward",
        FunctionGrader(
            right=_right_backward,
            cases=_backwards,
            mistakes=combine(_backward_variant, BACKWARD_MISTAKES.items(), most=2),
            praise="{n} maps agree with autograd, for one to three boxes, ratios 1 to 3.",
        ),
        (
            "Start with torch.zeros_like(features). Where the forward pass reads, the backward "
            "pass writes, with the same weights.",
            "Sample by sample: bin (i, j) of box k passes on grad[k, :, i, j] / ratio**2 from each "
            "of its samples, split among four corners. Add, since corners and boxes meet.",
            "Or box by box with two matrices: rows.T @ grad[k] @ columns. PyTorch multiplies all "
            "channels at once.",
        ),
    ),
)
