"""Exercises of notebook 15: the loss of the keypoint branch, and the decoder of its maps."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.keypoint_head import decode_keypoints, keypoint_loss, keypoint_targets, peak_offset
from ..kit.exercise import Exercise, FunctionGrader, combine, switches


def _loss_cases() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Logits [K, N, M, M], keypoints [K, N, 3], boxes [K, 4]; the last has no valid point."""
    generator = torch.Generator().manual_seed(15)
    for k, n, m in ((1, 1, 2), (2, 3, 4), (4, 5, 6), (2, 2, 4)):
        logits = 2 * torch.randn(k, n, m, m, generator=generator)
        corner = (torch.rand(k, 2, generator=generator) * 20).round()
        side = (8 + torch.rand(k, 2, generator=generator) * 20).round()
        place = torch.rand(k, n, 2, generator=generator) * 0.9  # of the side
        if n > 1:
            place[0, 0, 0] = 1.0  # exactly on the right edge
            place[-1, 0, 1] = 1.3  # below the box
        points = corner[:, None] + place * side[:, None]  # [K, N, 2]
        v = torch.randint(1, 3, (k, n, 1), generator=generator).float()
        if n > 1:
            v[0, 1] = 0
            points[0, 1] = corner[0] + 1  # somewhere in the box, and still not labelled
        if (k, n) == (2, 2):
            v[:] = 0
        yield logits, torch.cat([points, v], dim=2), torch.cat([corner, corner + side], dim=1)


def _finite(function: Any, logits: Tensor, keypoints: Tensor, boxes: Tensor) -> Any:
    """The loss; nan, which equals nothing, as an error."""
    loss = function(logits, keypoints, boxes)
    if isinstance(loss, Tensor | float) and loss != loss:
        raise ValueError("a loss of nan")
    return loss


def _loss(logits: Tensor, keypoints: Tensor, boxes: Tensor) -> Tensor:
    return keypoint_loss(logits, *keypoint_targets(keypoints, boxes, logits.shape[-1]))


@switches(swap=False, kind="places", unlabelled=False, outside=False, edge=False, floor=True,
          mean="valid", empty=True, hidden=True)  # fmt: skip
def _loss_variant(logits: Tensor, keypoints: Tensor, boxes: Tensor, how: Any) -> Tensor:
    """The loss, step by step."""
    size = logits.shape[-1]
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    points, v = keypoints[..., :2], keypoints[..., 2]
    place = (points - low) * size / (high - low)  # [K, N, 2]
    cell = (place.floor() if how.floor else place.round().clamp(max=size - 1)).long()
    inside = ((points >= low) & ((points <= high) if how.edge else (points < high))).all(dim=2)
    valid = inside | how.outside  # [K, N]
    if not how.unlabelled:
        valid = valid & (v > (0 if how.hidden else 1))
    column, row = cell.clamp(0, size - 1).unbind(2)
    target = (column * size + row if how.swap else row * size + column)[valid]
    flat = logits.flatten(2)  # [K, N, M * M]
    if not len(target):
        return logits.sum() * 0 if how.empty else logits.sum() * torch.nan
    if how.kind == "cells":
        hot = F.one_hot(target, size * size).to(flat)
        each = F.binary_cross_entropy_with_logits(flat[valid], hot, reduction="none").mean(dim=1)
    elif how.kind == "points":
        probability = flat.log_softmax(dim=1)[valid]
        each = -probability.gather(1, target[:, None])[:, 0]
    else:
        each = F.cross_entropy(flat[valid], target, reduction="none")
    return each.sum() / {"valid": len(target), "all": valid.numel(), "none": 1}[how.mean]


LOSS_MISTAKES = combine(
    _loss_variant,
    (
        ("x and y are exchanged. A map is [row, column]: the cell's number is row * M + column, "
         "and the row comes from y.", {"swap": True}),
        ("this is binary cross entropy, cell by cell. A point is in one cell only: let the M * M "
         "places compete, F.cross_entropy over the flattened map.", {"kind": "cells"}),
        ("the softmax runs over the points. Let the places of each map compete, not the points.",
         {"kind": "points"}),
        ("points that are not labelled (v = 0) are counted. Leave them out.",
         {"unlabelled": True}),
        ("hidden points (v = 1) are left out. They are labelled, and count like visible ones.",
         {"hidden": False}),
        ("points outside of the box are pressed into a cell at its edge. Leave them out.",
         {"outside": True}),
        ("a point exactly on the right or lower edge is counted. Boxes are half open, and the edge "
         "belongs to the next one. (torchvision counts it for the last cell.)", {"edge": True}),
        ("the place is rounded. A cell reaches from a whole number to the next: take the floor.",
         {"floor": False}),
        ("the sum is divided by all points. Divide it by those that count.", {"mean": "all"}),
        ("the points are summed up. Take their mean.", {"mean": "none"}),
        ("the batch without a valid point. There the mean runs over nothing and gives nan; return "
         "a zero that hangs on the logits: logits.sum() * 0.", {"empty": False}),
    ),
    most=2,
)  # fmt: skip


def _decode_cases() -> Iterator[tuple[Tensor, Tensor]]:
    """Smooth maps [K, N, M, M] with one peak each, in the middle or at the rim; boxes [K, 4]."""
    generator = torch.Generator().manual_seed(16)
    for k, n, m, low, reach in ((1, 1, 5, 0.3, 0.4), (2, 2, 8, 0.2, 0.6), (3, 4, 8, 0.0, 1.0)):
        peak = (low + reach * torch.rand(k, n, 2, generator=generator)) * m  # [K, N, 2]
        centres = torch.arange(m) + 0.5
        dx, dy = (centres - peak[..., None, i] for i in (0, 1))  # [K, N, M]
        logits = -(dx[:, :, None] ** 2 / 4 + dy[..., None] ** 2 / 6)  # [K, N, M, M]
        logits = logits + torch.randn(k, n, 1, 1, generator=generator)
        corner = torch.rand(k, 2, generator=generator) * 30
        side = 10 + torch.rand(k, 2, generator=generator) * 60
        yield logits, torch.cat([corner, corner + side], dim=1)


def _decode(logits: Tensor, boxes: Tensor) -> Tensor:
    return decode_keypoints(logits, boxes)[0][..., :2]


def _offset(line: Tensor, at: int, wrap: bool) -> float:
    """The parabola's peak from the middle; 0 at the rim, or what Python's indices make of it."""
    if not wrap and not 0 < at < len(line) - 1:
        return 0.0
    return float(peak_offset(*(line[i] for i in (at - 1, at, at + 1))))


@switches(swap=False, half=0.5, fit=1.0, wrap=False, odds=False, corner=True, height=True, m=0,
          joint=False)  # fmt: skip
def _decode_variant(logits: Tensor, boxes: Tensor, how: Any) -> Tensor:
    """The decoder, map by map."""
    size = logits.shape[-1]
    points = torch.zeros(*logits.shape[:2], 2)
    for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        for n, logit in enumerate(logits[k]):
            best = int((logits[k].amax(dim=0) if how.joint else logit).argmax())
            row, column = divmod(best, size)
            heights = logit.flatten().softmax(dim=0).view(size, size) if how.odds else logit
            x = column + how.half + how.fit * _offset(heights[row], column, how.wrap)
            y = row + how.half + how.fit * _offset(heights[:, column], row, how.wrap)
            x, y = (y, x) if how.swap else (x, y)
            x, y = x / (size + how.m), y / (size + how.m)
            x, y = x * (x2 - x1), y * (y2 - y1 if how.height else x2 - x1)
            points[k, n] = torch.tensor([x + x1, y + y1] if how.corner else [x, y])
    return points


DECODE_MISTAKES = combine(
    _decode_variant,
    (
        ("x and y are exchanged: the number of the best cell is row * M + column, and x is the "
         "column.", {"swap": True}),
        ("cell 3 begins at 3 and has its centre at 3.5. Add half a cell before you scale.",
         {"half": 0.0}),
        ("the point stands at the centre of its cell. Fit the parabola through the peak and its "
         "two neighbours, once along x and once along y.", {"fit": 0.0}),
        ("the fit goes the wrong way. The peak moves towards the higher neighbour.",
         {"fit": -1.0}),
        ("the rim: a peak in the first or last cell has one neighbour only (and index -1 is the "
         "other side). There take the centre of the cell.", {"wrap": True}),
        ("the parabola is fitted to probabilities. Fit it to the logits: the logarithm of a bell "
         "is a parabola, the bell is none.", {"odds": True}),
        ("the result is measured from the corner of the box. Add x1 and y1.", {"corner": False}),
        ("y is scaled with the width of the box. Take its height.", {"height": False}),
        ("M cells fill the box: divide by M, not by M - 1.", {"m": -1}),
        ("every point gets the best place of all maps. Each point has a map of its own.",
         {"joint": True}),
    ),
    most=2,
)  # fmt: skip


EXERCISES = (
    Exercise(
        "15-keypoint-loss",
        FunctionGrader(
            right=_loss,
            cases=_loss_cases,
            mistakes=LOSS_MISTAKES,
            observe=_finite,
            praise="the loss is right in {n} batches, points outside, on the edge, not labelled "
            "and the batch without any included.",
        ),
        (
            "Three steps: which points count, in which cell each lies, cross entropy there.",
            "A point counts if v > 0, x1 <= x < x2 and y1 <= y < y2. Its column is the floor of "
            "(x - x1) / (x2 - x1) * M.",
            "logits.flatten(2) is [K, N, M * M]; with [valid] the points that count are the rows. "
            "F.cross_entropy(rows, cells) is their mean; without any row it is nan.",
        ),
    ),
    Exercise(
        "15-decode",
        FunctionGrader(
            right=_decode,
            cases=_decode_cases,
            mistakes=DECODE_MISTAKES,
            praise="every point of {n} batches lies where its map has its peak.",
        ),
        (
            "divmod(int(logit.argmax()), M) gives the row and the column of the best cell.",
            "With the three logits a, b, c along one axis, b the largest: the peak lies "
            "(c - a) / (2 * (2 * b - a - c)) beside the centre.",
            "First the place in cells, (column + 0.5 + offset), then / M, then times the side of "
            "the box, then plus its corner. At the rim the offset is 0.",
        ),
    ),
)
