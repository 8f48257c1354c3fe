"""Which object a box overlaps most, and which boxes an object overlaps most (FR §3.1.2).

Both questions are about the table of all overlaps, one row per object and one column per box: the
largest of a column, and where in a row its largest stands.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .backend import choose
from .boxes import iou_dtype, pairwise_iou

NOTHING = -1.0  # the overlap with an object that is only padding


class BestObjects(NamedTuple):
    """The object that each box overlaps most. A matcher that allows low-quality matches also takes
    the boxes that an object overlaps most, however little."""

    iou: Tensor  # [B, A], -1 where the image has no object
    index: Tensor  # [B, A] int64, the object's row; the lowest of several, 0 where there is none
    low_quality: Tensor | None  # [B, A] bool: some object overlaps this box at all, and none more


def best_objects(
    objects: Tensor, valid: Tensor, boxes: Tensor, low_quality: bool = False
) -> BestObjects:
    """Find the object that each box overlaps most.

    Args:
        objects: Tensor[B, G, 4], padded to G per image, G at least 1.
        valid: Tensor[B, G] bool; rows that are False are padding.
        boxes: Tensor[A, 4] for all images, or Tensor[B, A, 4].
        low_quality: whether to answer the second question too, else None.

    Returns:
        The three tensors. No gradient flows through them.
    """
    form = choose("best_objects", boxes.device, best_objects_loop, _best_objects_tensor)
    dtype = torch.promote_types(iou_dtype(objects), iou_dtype(boxes))
    return form(objects.detach().to(dtype), valid, boxes.detach().to(dtype), low_quality)


def best_objects_loop(
    objects: Tensor, valid: Tensor, boxes: Tensor, low_quality: bool
) -> BestObjects:
    """One image and one box at a time; arguments and result as in `best_objects`."""
    table = pairwise_iou(objects, boxes)  # [B, G, A]
    best = torch.full_like(table[:, 0], NOTHING)  # [B, A]
    index = torch.zeros_like(best, dtype=torch.int64)
    chosen = torch.zeros_like(best, dtype=torch.bool)
    for image, iou in enumerate(table):
        rows = valid[image].nonzero()[:, 0].tolist()
        for a in range(iou.shape[1]):
            for g in rows:
                if iou[g, a] > best[image, a]:
                    best[image, a], index[image, a] = iou[g, a], g
                chosen[image, a] |= bool(0 < iou[g, a] == iou[g].max())
    return BestObjects(best, index, chosen if low_quality else None)


def _best_objects_tensor(
    objects: Tensor, valid: Tensor, boxes: Tensor, low_quality: bool
) -> BestObjects:
    """The whole table at once."""
    iou = pairwise_iou(objects, boxes).masked_fill_(~valid[:, :, None], NOTHING)  # [B, G, A]
    best, index = iou.max(dim=1)  # [B, A]
    if not low_quality:
        return BestObjects(best, index, None)
    if not best.numel():  # no boxes have no largest overlap
        return BestObjects(best, index, torch.zeros_like(best, dtype=torch.bool))
    most = iou.amax(dim=2, keepdim=True)  # [B, G, 1]
    # An object that overlaps no box has a best IoU of 0, which every far box would "reach".
    return BestObjects(best, index, ((iou == most) & (most > 0)).any(dim=1))
