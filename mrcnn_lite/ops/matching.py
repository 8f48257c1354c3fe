"""Which object a box overlaps most, and which boxes an object would choose (FR §3.1.2).

Both questions are about the table of all overlaps, one row per object and one column per box: the
largest of a column, and where in a row its largest stands.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mrcnn_lite.ops.backend import choose
from mrcnn_lite.ops.boxes import pairwise_iou
from mrcnn_lite.ops.checks import check_finite, check_same_device, check_tensor

NOTHING = -1.0  # the overlap with an object that is only padding


class BestObjects(NamedTuple):
    """The object that each box overlaps most.

    Attributes:
        iou: Tensor[B, A], the overlap, or -1 where the image has no object.
        index: Tensor[B, A] int64, the object's row; the lowest of several, 0 where there is none.
        favourite: Tensor[B, A] bool, or None where it was not asked for: whether some object
            overlaps no box more than this one, and this one at all.
    """

    iou: Tensor
    index: Tensor
    favourite: Tensor | None


def best_objects_loop(
    objects: Tensor, valid: Tensor, boxes: Tensor, favourites: bool = False
) -> BestObjects:
    """One image and one box at a time; arguments and result as in `best_objects`."""
    table = pairwise_iou(objects, boxes)  # [B, G, A]
    best = torch.full_like(table[:, 0], NOTHING)  # [B, A]
    index = torch.zeros_like(best, dtype=torch.int64)
    favourite = torch.zeros_like(best, dtype=torch.bool)
    for image, iou in enumerate(table):
        rows = valid[image].nonzero()[:, 0].tolist()
        for a in range(iou.shape[1]):
            for g in rows:
                if iou[g, a] > best[image, a]:
                    best[image, a], index[image, a] = iou[g, a], g
                favourite[image, a] |= bool(0 < iou[g, a] == iou[g].max())
    return BestObjects(best, index, favourite if favourites else None)


def best_objects(
    objects: Tensor, valid: Tensor, boxes: Tensor, favourites: bool = False
) -> BestObjects:
    """Find the object that each box overlaps most.

    Args:
        objects: Tensor[B, G, 4], padded to G per image, G at least 1.
        valid: Tensor[B, G] bool; rows that are False are padding.
        boxes: Tensor[A, 4] for all images, or Tensor[B, A, 4].
        favourites: whether to answer the second question too.

    Returns:
        Overlap, row and favourites. No gradient flows through them.

    Raises:
        TypeError: `valid` is not bool.
        ValueError: a shape that does not fit, or a box that is not finite.
    """
    _check(objects, valid, boxes)
    return best_overlaps(objects, valid, boxes, favourites)


def best_overlaps(
    objects: Tensor, valid: Tensor, boxes: Tensor, favourites: bool = False
) -> BestObjects:
    """`best_objects` without checks."""
    form = choose("best_objects", boxes.device, best_objects_loop, _from_table)
    dtype = torch.promote_types(torch.promote_types(objects.dtype, boxes.dtype), torch.float32)
    return form(objects.detach().to(dtype), valid, boxes.detach().to(dtype), favourites)


def _from_table(objects: Tensor, valid: Tensor, boxes: Tensor, favourites: bool) -> BestObjects:
    """The whole table at once."""
    iou = pairwise_iou(objects, boxes).masked_fill_(~valid[:, :, None], NOTHING)  # [B, G, A]
    best, index = iou.max(dim=1)  # [B, A]
    favourite = torch.zeros_like(best, dtype=torch.bool) if favourites else None
    if favourite is None or not favourite.numel():  # no boxes have no largest overlap
        return BestObjects(best, index, favourite)
    most = iou.amax(dim=2, keepdim=True)  # [B, G, 1]
    # An object that overlaps no box has a best IoU of 0, which every far box would "reach".
    return BestObjects(best, index, ((iou == most) & (most > 0)).any(dim=1))


def _check(objects: Tensor, valid: Tensor, boxes: Tensor) -> None:
    check_tensor(objects, "objects", "[B, G, 4]", floating=False)
    check_tensor(valid, "valid", "[B, G]", floating=False)
    check_tensor(boxes, "boxes", "[..., A, 4]", floating=False)
    if valid.dtype != torch.bool:
        raise TypeError(f"valid must be bool, got {valid.dtype}; use valid.bool()")
    shared = boxes.dim() == 2 or (boxes.dim() == 3 and len(boxes) == len(objects))
    if valid.shape != objects.shape[:2] or not valid.shape[1] or not shared:
        raise ValueError(
            f"objects {list(objects.shape)}, valid {list(valid.shape)} and boxes "
            f"{list(boxes.shape)} must have shapes [B, G, 4], [B, G], and [A, 4] or [B, A, 4], "
            f"with G at least 1"
        )
    check_same_device(objects=objects, valid=valid, boxes=boxes)
    check_finite(objects, "objects", valid)
    check_finite(boxes, "boxes")
