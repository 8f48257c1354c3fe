"""Non-maximum suppression: of boxes that overlap too much, keep the one with the best score.

Greedy suppression is a definition by induction: go through the boxes from the best score to the
worst, and keep a box unless a *kept* better box overlaps it by more than the threshold. Written as
an equation for all boxes at once,

    keep[j]  =  not any over i of ( keep[i] and conflict[i, j] ),

where conflict[i, j] says that i is better than j and overlaps it too much. The equation has exactly
one solution: keep[0] is true because nothing is better than box 0, and each keep[j] follows from
those before it. Iterating the equation from any start makes at least one more box final in each
round (the first that was not), so it ends at that solution; in practice after as many rounds as the
longest chain "a suppresses b, which would have suppressed c, ..." is long, which is three to eight.
Each round is one matrix-vector product, for many images at once, with no loop over boxes.
"""

import functools
import math

import torch
from torch import Tensor

from .backend import choose
from .boxes import pairwise_iou

# Boxes that are solved together, and boxes after them that are compared with those at a time. This
# bounds the memory at tens of thousands of boxes, and each comparison stays in a core's cache.
BLOCK, STRIP = 256, 1024
# Boxes up to which groups are only a condition of a conflict, not problems of their own; and pairs
# of boxes, padding included, up to which blocks do not pay, or all groups are solved at once.
GROUPED, ONE_BLOCK, MAX_PAIRS = 192, 1 << 17, 1 << 18


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best-scored boxes among those that overlap by more than a threshold.

    Args:
        boxes: Tensor[N, 4].
        scores: Tensor[N].
        iou_threshold: boxes that overlap by more than this compete.

    Returns:
        Tensor[kept] int64: kept rows, best score first; the lower row first where scores are equal.
    """
    return _kept(boxes, scores, None, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Suppress within groups only, for instance within classes.

    Each group is a problem of its own, so coordinates stay as they are. (The usual trick shifts the
    groups apart by adding large offsets, and loses digits of the coordinates.)

    Args:
        boxes, scores, iou_threshold: see `nms`; also the result.
        idxs: Tensor[N] int64, the group of each box.
    """
    return _kept(boxes, scores, idxs, iou_threshold)


def _kept(boxes: Tensor, scores: Tensor, groups: Tensor | None, iou_threshold: float) -> Tensor:
    order = torch.sort(scores.detach(), descending=True, stable=True).indices  # [N]
    boxes, valid = boxes.detach()[None, order], torch.ones_like(order, dtype=torch.bool)[None]
    groups = None if groups is None else groups[None, order]  # [1, N]
    return order.masked_select(suppress(boxes, valid, groups, iou_threshold))  # [N]


def nms_mask(boxes: Tensor, scores: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    """Solve many suppression problems of the same padded size at once.

    Args:
        boxes: Tensor[..., N, 4].
        scores: Tensor[..., N].
        valid: Tensor[..., N] bool; rows that are False take no part and are never kept.
        iou_threshold: boxes that overlap by more than this compete.

    Returns:
        Tensor[..., N] bool: which rows are kept.
    """
    scores = scores.detach().masked_fill(~valid, -math.inf)  # [..., N]: these come last
    order = torch.sort(scores, descending=True, stable=True).indices
    boxes = boxes.detach().gather(-2, order[..., None].expand_as(boxes))  # [..., N, 4]
    valid, n = valid.gather(-1, order), valid.shape[-1]
    problems = valid.numel() // max(n, 1)
    keep = suppress(boxes.view(problems, n, 4), valid.view(problems, n), None, iou_threshold)
    return torch.zeros_like(valid).scatter_(-1, order, keep.view_as(valid))  # [..., N]


def suppress(boxes: Tensor, valid: Tensor, groups: Tensor | None, iou_threshold: float) -> Tensor:
    """Solve B problems whose boxes [B, N, 4] come sorted, best first: keep, Tensor[B, N] bool.

    Only valid boxes take part. If there are groups, Tensor[1, N], there is one problem, and boxes
    of two groups do not compete.
    """
    form = choose("nms", boxes.device, nms_loop, _nms_tensor)
    return form(boxes, valid, groups, iou_threshold)


def nms_loop(boxes: Tensor, valid: Tensor, groups: Tensor | None, iou_threshold: float) -> Tensor:
    """Greedy suppression, one box at a time."""
    keep = torch.zeros_like(valid)
    for problem in range(len(boxes)):
        iou = pairwise_iou(boxes[problem], boxes[problem]).tolist()  # [N, N]
        group = None if groups is None else groups[problem].tolist()
        kept: list[int] = []
        for j in valid[problem].nonzero()[:, 0].tolist():
            rivals = [i for i in kept if group is None or group[i] == group[j]]
            if all(iou[i][j] <= iou_threshold for i in rivals):
                kept.append(j)
        keep[problem, kept] = True
    return keep


def _nms_tensor(
    boxes: Tensor, valid: Tensor, groups: Tensor | None, iou_threshold: float
) -> Tensor:
    """Iterate the equation in a block of boxes; what it keeps strikes out boxes after it."""
    n = boxes.shape[1]
    if groups is not None and n > GROUPED:
        return _solve_groups(boxes[0], groups[0], iou_threshold)[None]
    limit = largest_at_most(float(iou_threshold), boxes.dtype)
    if n <= BLOCK or valid.numel() * n <= ONE_BLOCK:
        return _fixed_point(boxes, valid, limit, groups)
    keep, rows = torch.zeros_like(valid), torch.arange(boxes.shape[1], device=boxes.device)
    while len(rows):
        kept = _fixed_point(boxes[:, :BLOCK], valid[:, :BLOCK], limit, None)  # [B, N]
        keep[:, rows[:BLOCK]] = kept
        # A box that only another problem keeps becomes empty here: it overlaps nothing.
        better = boxes[:, :BLOCK].masked_fill(~kept[..., None], 0)[:, kept.any(0)]  # [B, N, 4]
        boxes, valid, rows = boxes[:, BLOCK:], valid[:, BLOCK:].clone(), rows[BLOCK:]
        for after, free in zip(boxes.split(STRIP, dim=1), valid.split(STRIP, dim=1), strict=True):
            free &= ~(pairwise_iou(better, after) > limit).any(1)  # [B, N], a view of `valid`
        alive = valid.any(0)
        boxes, valid, rows = boxes[:, alive], valid[:, alive], rows[alive]
    return keep


def _fixed_point(boxes: Tensor, valid: Tensor, limit: float, groups: Tensor | None) -> Tensor:
    """Iterate keep = valid and not suppressed by a kept box, until nothing changes."""
    conflict = pairwise_iou(boxes, boxes).gt_(limit).triu_(diagonal=1)  # [B, N, N] of 0 and 1
    if groups is not None:
        conflict.mul_(groups[:, :, None] == groups[:, None])
    keep = valid[:, None]  # [B, 1, N]
    most = keep.to(conflict.dtype)  # 1 where valid: there nobody may suppress
    while True:
        better = torch.bmm(keep.to(conflict.dtype), conflict) < most  # [B, 1, N]
        if torch.equal(better, keep):
            return keep[:, 0]
        keep = better


def _solve_groups(boxes: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Each group of boxes [N, 4], groups [N], is a problem of its own: Tensor[N] bool."""
    _, group, counts = torch.unique(groups, return_inverse=True, return_counts=True)
    order = group.argsort(stable=True)  # [N]: by group, in each still best first
    boxes, longest = boxes[order], int(counts.max()) if len(counts) else 0
    valid = torch.arange(longest, device=boxes.device) < counts[:, None]  # [groups, N]
    if len(counts) * longest**2 <= MAX_PAIRS:  # all at once, padded to the size of the largest
        padded = boxes.new_zeros(*valid.shape, 4)  # [groups, N, 4]
        padded[valid] = boxes
        keep = _nms_tensor(padded, valid, None, iou_threshold)[valid]  # [N]
    else:
        parts = zip(boxes.split(counts.tolist()), valid, strict=True)
        keep = [_nms_tensor(b[None], v[None, : len(b)], None, iou_threshold)[0] for b, v in parts]
        keep = torch.cat(keep)  # [N]
    return torch.empty_like(keep).scatter_(0, order, keep)


@functools.lru_cache
def largest_at_most(threshold: float, dtype: torch.dtype) -> float:
    """The largest number that is not above a threshold, in float64 or, for other types, float32.

    0.3 rounds *up* to float32, so `iou > 0.3` asked in float32 would spare an overlap that is above
    0.3 by less than the rounding; comparing with the next number below gives the exact answer.
    """
    if dtype == torch.float64:
        return threshold
    rounded = torch.tensor(threshold, dtype=torch.float32)
    if float(rounded) > threshold:
        rounded = torch.nextafter(rounded, torch.tensor(-math.inf))
    return float(rounded)
