"""Matching boxes to objects without the table of all overlaps (FR §3.1.2).

One program owns a block of boxes of one image and goes through its objects; the best overlap so far
and its object stay in registers. What is the largest for an object is known only when all programs
are done, so a second kernel computes the overlaps again, to the same bits, and marks the boxes that
reach it. To compute twice is cheaper than to write [B, G, A] numbers and read them five times.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ops.matching import BestObjects
from .overlap import box_at, overlap

BLOCK_A = 256  # boxes per program


@triton.jit
def _best_kernel(
    # pointers: objects [B, G, 4], which are real [B, G], boxes [A, 4] or [B, A, 4]
    object_ptr, valid_ptr, box_ptr,
    iou_ptr, index_ptr,  # [B, A]
    top_ptr,  # [B, G], zeros: the largest overlap of each object
    # sizes; box_stride is 0 where all images share their boxes
    objects, boxes, box_stride,
    # compile-time constants
    BLOCK_A: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    a = tl.program_id(0) * BLOCK_A + tl.arange(0, BLOCK_A)
    exists = a < boxes
    x1, y1, x2, y2 = box_at(box_ptr + image * box_stride, a, exists)
    best = tl.full((BLOCK_A,), -1.0, dtype=iou_ptr.dtype.element_ty)
    index = tl.zeros((BLOCK_A,), dtype=tl.int32)
    for g in range(objects):
        k = image * objects + g
        if tl.load(valid_ptr + k) != 0:
            gx1, gy1, gx2, gy2 = box_at(object_ptr, k, True)
            iou = overlap(gx1, gy1, gx2, gy2, x1, y1, x2, y2)  # [BLOCK_A]
            index = tl.where(iou > best, g, index)  # the lowest of several
            best = tl.maximum(best, iou)
            most = tl.max(iou, axis=0)  # boxes that do not exist are empty and overlap by 0
            tl.atomic_max(top_ptr + k, most, mask=most > 0, sem="relaxed")
    tl.store(iou_ptr + image * boxes + a, best, mask=exists)
    tl.store(index_ptr + image * boxes + a, index.to(tl.int64), mask=exists)


@triton.jit
def _low_quality_kernel(
    # pointers: objects [B, G, 4], their largest overlaps [B, G], boxes [A, 4] or [B, A, 4]
    object_ptr, top_ptr, box_ptr,
    low_quality_ptr,  # [B, A]
    # sizes
    objects, boxes, box_stride,
    # compile-time constants
    BLOCK_A: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    a = tl.program_id(0) * BLOCK_A + tl.arange(0, BLOCK_A)
    exists = a < boxes
    x1, y1, x2, y2 = box_at(box_ptr + image * box_stride, a, exists)
    chosen = tl.zeros((BLOCK_A,), dtype=tl.int32)
    for g in range(objects):
        k = image * objects + g
        top = tl.load(top_ptr + k)
        if top > 0:  # so neither padding nor an object out of reach
            gx1, gy1, gx2, gy2 = box_at(object_ptr, k, True)
            iou = overlap(gx1, gy1, gx2, gy2, x1, y1, x2, y2)  # [BLOCK_A]
            chosen = tl.where(iou == top, 1, chosen)
    tl.store(low_quality_ptr + image * boxes + a, chosen.to(tl.uint8), mask=exists)


@torch.library.custom_op("mrcnn_lite::best_objects", mutates_args=())
def best_objects_op(objects: Tensor, valid: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Overlap and row, Tensor[B, A], of each box's best object; each object's largest overlap,
    Tensor[B, G], 0 for padding.

    Bytes moved: the boxes once per image, the results once; the objects come from cache.
    """
    iou, index, top = _empty(objects, valid, boxes)
    objects, valid, boxes = objects.contiguous(), valid.contiguous(), boxes.contiguous()
    top.zero_()
    if iou.numel():
        (batch, count), stride = iou.shape, boxes[0].numel() if boxes.dim() == 3 else 0
        _best_kernel[triton.cdiv(count, BLOCK_A), batch](
            objects, valid.view(torch.uint8), boxes, iou, index, top,
            objects.shape[1], count, stride, BLOCK_A=BLOCK_A, enable_fp_fusion=False,
        )  # fmt: skip
    return iou, index, top


@best_objects_op.register_fake
def _empty(objects, valid, boxes):
    batch, count = len(objects), boxes.shape[-2]
    iou = boxes.new_empty(batch, count)  # [B, A]
    return iou, iou.new_empty(iou.shape, dtype=torch.int64), boxes.new_empty(valid.shape)


@torch.library.custom_op("mrcnn_lite::low_quality", mutates_args=())
def low_quality_op(objects: Tensor, top: Tensor, boxes: Tensor) -> Tensor:
    """Which boxes reach the largest overlap, `top`, of some object: Tensor[B, A] bool."""
    out = boxes.new_empty(len(objects), boxes.shape[-2], dtype=torch.uint8)  # [B, A]
    boxes = boxes.contiguous()
    if out.numel():
        (batch, count), stride = out.shape, boxes[0].numel() if boxes.dim() == 3 else 0
        _low_quality_kernel[triton.cdiv(count, BLOCK_A), batch](
            objects.contiguous(), top.contiguous(), boxes, out,
            objects.shape[1], count, stride, BLOCK_A=BLOCK_A, enable_fp_fusion=False,
        )  # fmt: skip
    return out.view(torch.bool)


@low_quality_op.register_fake
def _(objects, top, boxes):
    return boxes.new_empty(len(objects), boxes.shape[-2], dtype=torch.bool)  # [B, A]


def best_objects(objects: Tensor, valid: Tensor, boxes: Tensor, low_quality: bool) -> BestObjects:
    """The kernel form of `ops.best_objects`; asked for low quality, it launches both kernels."""
    iou, index, top = best_objects_op(objects, valid, boxes)
    return BestObjects(iou, index, low_quality_op(objects, top, boxes) if low_quality else None)
