"""Non-maximum suppression: of boxes that overlap too much, keep the one with the best score.

Greedy suppression is a definition by induction: go through the boxes from the best score to the
worst, and keep a box unless a *kept* better box overlaps it by more than the threshold. Written as
an equation for all boxes at once,

    keep[j]  =  not any over i of ( keep[i] and conflict[i, j] ),

where conflict[i, j] says that i is better than j and overlaps it too much. The equation has exactly
one solution: keep[0] is true because nothing is better than box 0, and keep[j] depends only on the
keep[i] with i before j, so each value follows from those before it. Iterating the equation from any
start makes at least one more box final in each round (the first that was not), so it ends at that
solution; in practice after as many rounds as the longest chain "a suppresses b, which would have
suppressed c, ..." is long, which is three to eight. Each round is one matrix-vector product, for
many images at once, with no loop over boxes.
"""

import itertools
import math

import torch
from torch import Tensor

from mrcnn_lite.ops.backend import choose
from mrcnn_lite.ops.boxes import pairwise_iou
from mrcnn_lite.ops.checks import (
    check_finite,
    check_same_device,
    check_tensor,
    check_threshold,
)

# Boxes that are solved together, and boxes after them that are compared with those at a time. This
# bounds the memory at tens of thousands of boxes, and each comparison stays in a core's cache.
BLOCK, STRIP = 256, 1024
# Pairs of boxes that `batched_nms` compares at once, padding included.
MAX_PAIRS = 1 << 18


def nms_loop(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy suppression, one box at a time.

    Args:
        boxes: Tensor[N, 4].
        scores: Tensor[N].
        iou_threshold: boxes that overlap by more than this compete.

    Returns:
        Tensor[kept] int64: kept rows, best score first; the lower row first where scores are equal.
    """
    order = torch.sort(scores, descending=True, stable=True).indices.tolist()
    iou = pairwise_iou(boxes, boxes).tolist()  # [N, N]
    keep: list[int] = []
    for j in order:
        if all(iou[i][j] <= iou_threshold for i in keep):
            keep.append(j)
    return torch.tensor(keep, dtype=torch.int64, device=boxes.device)  # [N]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best-scored boxes among those that overlap by more than a threshold.

    Args:
        boxes: Tensor[N, 4].
        scores: Tensor[N].
        iou_threshold: boxes that overlap by more than this compete.

    Returns:
        Tensor[kept] int64: kept rows, best score first; the lower row first where scores are equal.

    Raises:
        ValueError: a shape that does not fit, or a box or a score that is not finite.
    """
    _check(boxes, scores, iou_threshold)
    return choose("nms", boxes.device, nms_loop, _nms_blocks)(boxes, scores, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Suppress within groups only, for instance within classes.

    Each group is a problem of its own, so coordinates stay as they are. (The usual trick shifts the
    groups apart by adding large offsets, and loses digits of the coordinates.)

    Args:
        boxes: Tensor[N, 4].
        scores: Tensor[N].
        idxs: Tensor[N] int64, the group of each box.
        iou_threshold: boxes of one group that overlap by more than this compete.

    Returns:
        Tensor[kept] int64: kept rows, best score first; the lower row first where scores are equal.

    Raises:
        ValueError: a shape that does not fit, or a box or a score that is not finite.
    """
    _check(boxes, scores, iou_threshold)
    check_tensor(idxs, "idxs", "[N]", floating=False)
    if len(idxs) != len(boxes):
        raise ValueError(f"idxs has {len(idxs)} rows and boxes has {len(boxes)}")
    check_same_device(boxes=boxes, idxs=idxs)
    return suppress_in_groups(boxes, scores, idxs, iou_threshold)


def suppress_in_groups(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """`batched_nms` without checks: Tensor[kept] int64, best score first."""
    form = choose("batched_nms", boxes.device, _batched_loop, _batched_padded)
    keep = form(boxes.detach(), scores.detach(), idxs, iou_threshold)  # [N]
    kept = torch.nonzero(keep)[:, 0]  # [N]
    return kept[torch.sort(scores[kept], descending=True, stable=True).indices]


def nms_mask(boxes: Tensor, scores: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """Solve many suppression problems of the same padded size at once.

    Args:
        boxes: Tensor[..., N, 4].
        scores: Tensor[..., N].
        valid: Tensor[..., N] bool; rows that are False take no part and are never kept.
        iou_threshold: boxes that overlap by more than this compete.

    Returns:
        Tensor[..., N] bool: which rows are kept.

    Raises:
        ValueError: a shape that does not fit, or a valid box or score that is not finite.
    """
    check_tensor(boxes, "boxes", "[..., N, 4]")
    if scores.shape != boxes.shape[:-1] or valid.shape != scores.shape:
        raise ValueError(
            f"boxes {list(boxes.shape)}, scores {list(scores.shape)} and valid "
            f"{list(valid.shape)} must have shapes [..., N, 4], [..., N] and [..., N]"
        )
    if valid.dtype != torch.bool:
        raise TypeError(f"valid must be bool, got {valid.dtype}; use valid.bool()")
    check_same_device(boxes=boxes, scores=scores, valid=valid)
    check_finite(boxes, "boxes", valid)
    check_finite(scores, "scores", valid)
    check_threshold(iou_threshold)
    return suppress(boxes, scores, valid, iou_threshold)


def suppress(boxes: Tensor, scores: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """`nms_mask` without checks: Tensor[..., N] bool."""
    form = choose("nms_mask", boxes.device, _mask_loop, _mask_padded)
    return form(boxes.detach(), scores.detach(), valid, iou_threshold)


def by_score(boxes: Tensor, scores: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort boxes, best first; rows that take no part come last.

    Args:
        boxes: Tensor[..., N, 4].
        scores: Tensor[..., N].
        valid: Tensor[..., N] bool.

    Returns:
        Tensor[..., N] int64, the row of each place; boxes and `valid` in that order.
    """
    order = torch.sort(scores.masked_fill(~valid, -math.inf), descending=True, stable=True).indices
    boxes = boxes.gather(-2, order[..., None].expand_as(boxes))  # [..., N, 4]
    return order, boxes, valid.gather(-1, order)


def _mask_loop(boxes: Tensor, scores: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """One problem after the other: Tensor[..., N] bool."""
    keep = torch.zeros_like(valid)
    for problem in itertools.product(*map(range, valid.shape[:-1])):
        rows = torch.nonzero(valid[problem])[:, 0]  # [N]
        kept = nms_loop(boxes[problem][rows], scores[problem][rows], iou_threshold)
        keep[problem][rows[kept]] = True
    return keep


def _mask_padded(boxes: Tensor, scores: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """All problems at once: Tensor[..., N] bool."""
    order, boxes, valid = by_score(boxes, scores, valid)
    keep = _solve(_conflicts(boxes, iou_threshold), valid)
    return torch.zeros_like(keep).scatter_(-1, order, keep)  # [..., N]


def _nms_blocks(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Blocks of sorted boxes: solve a block, then let what it kept strike out boxes after it."""
    order = torch.sort(scores.detach(), descending=True, stable=True).indices  # [N]
    boxes = boxes.detach()[order]
    limit = largest_at_most(iou_threshold, boxes.dtype)
    kept, rest = [], torch.arange(len(boxes), device=boxes.device)
    while len(rest):
        block, rest = rest[:BLOCK], rest[BLOCK:]
        free = torch.ones_like(block, dtype=torch.bool)  # [N]
        block = block[_solve(_conflicts(boxes[block], iou_threshold), free)]
        kept.append(block)
        better = boxes[block]  # [N, 4]
        rest = torch.cat(
            [
                part[~(pairwise_iou(better, boxes[part]) > limit).any(0)]
                for part in rest.split(STRIP)
            ]
        )
    return order[torch.cat(kept)] if kept else order


def _batched_loop(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """One group at a time: Tensor[N] bool."""
    solve = choose("nms", boxes.device, nms_loop, _nms_blocks)
    keep = torch.zeros_like(scores, dtype=torch.bool)  # [N]
    for group in torch.unique(idxs):
        rows = torch.nonzero(idxs == group)[:, 0]  # [N]
        keep[rows[solve(boxes[rows], scores[rows], iou_threshold)]] = True
    return keep


def _batched_padded(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """All groups at once, each padded to the size of the largest: Tensor[N] bool."""
    _, group, counts = torch.unique(idxs, return_inverse=True, return_counts=True)
    longest = int(counts.max()) if len(counts) else 0
    if len(counts) * longest**2 > MAX_PAIRS:
        return _batched_loop(boxes, scores, idxs, iou_threshold)
    order = torch.sort(scores, descending=True, stable=True).indices  # [N]
    order = order[torch.sort(group[order], stable=True).indices]  # by group, then by score
    group = group[order]  # [N]
    place = torch.arange(len(boxes), device=boxes.device) - (counts.cumsum(0) - counts)[group]
    padded = boxes.new_zeros(len(counts), longest, 4)
    padded[group, place] = boxes[order]
    valid = torch.zeros(padded.shape[:2], dtype=torch.bool, device=boxes.device)
    valid[group, place] = True
    keep = _solve(_conflicts(padded, iou_threshold), valid)
    return torch.empty_like(scores, dtype=torch.bool).scatter_(0, order, keep[group, place])


def _conflicts(boxes: Tensor, iou_threshold: float) -> Tensor:
    """Which boxes, sorted by score, would suppress which: Tensor[..., N, N] of 0 and 1."""
    limit = largest_at_most(iou_threshold, boxes.dtype)
    return pairwise_iou(boxes, boxes).gt_(limit).triu_(diagonal=1)


def _solve(conflict: Tensor, valid: Tensor) -> Tensor:
    """Iterate keep = valid and not suppressed by a kept box, until nothing changes."""
    keep = valid
    while True:
        suppressed = (keep.to(conflict.dtype)[..., None, :] @ conflict)[..., 0, :]  # [..., N]
        better = valid & (suppressed == 0)
        if torch.equal(better, keep):
            return keep
        keep = better


def largest_at_most(threshold: float, dtype: torch.dtype) -> float:
    """The largest number of a dtype that is not above a threshold.

    0.3 rounds *up* to float32, so `iou > 0.3` asked in float32 would spare an overlap that is above
    0.3 by less than the rounding; comparing with the next number below gives the exact answer.

    Args:
        threshold: any number.
        dtype: of the boxes; all but float64 are compared as float32.

    Returns:
        The number.
    """
    if dtype == torch.float64:
        return threshold
    rounded = torch.tensor(threshold, dtype=torch.float32)
    if float(rounded) > threshold:
        rounded = torch.nextafter(rounded, torch.tensor(-math.inf))
    return float(rounded)


def _check(boxes: Tensor, scores: Tensor, iou_threshold: float) -> None:
    check_tensor(boxes, "boxes", "[N, 4]")
    check_tensor(scores, "scores", "[N]")
    if len(boxes) != len(scores):
        raise ValueError(f"boxes has {len(boxes)} rows and scores has {len(scores)}")
    check_same_device(boxes=boxes, scores=scores)
    check_finite(boxes, "boxes")
    check_finite(scores, "scores")
    check_threshold(iou_threshold)
