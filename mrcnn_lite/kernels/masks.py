"""Masks between image and RoI: mask targets straight from bytes, and masks pasted byte by byte."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ops.masks import FULL
from .axis import bins, corners, divide, roi_axis
from .memory import unfilled

BLOCK_Y, BLOCK_X = 8, 128  # pixels of the image that one program writes


# --- Mask targets: RoIAlign of a 0/1 mask, adaptive (one program: one row of one target) ----------


@triton.jit
def _crop_kernel(
    # pointers: masks [G, H, W], boxes [K, 4], mask of each box [K], targets [K, M, M]
    mask_ptr, box_ptr, matched_ptr, out_ptr,
    # sizes
    h, w,
    full,  # a mean above it is 1: the rounding of the samples' mean
    # compile-time constants
    M: tl.constexpr, ALIGNED: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    k, row = tl.program_id(0) // M, tl.program_id(0) % M
    column = tl.arange(0, BLOCK_M)
    used = column < M
    mask_ptr += tl.load(matched_ptr + k) * h * w
    start_x, width = roi_axis(box_ptr + 4 * k, 1.0, 0, ALIGNED)
    start_y, height = roi_axis(box_ptr + 4 * k, 1.0, 1, ALIGNED)
    bin_w, across, share_x = bins(width, M, 0)
    bin_h, down, share_y = bins(height, M, 0)
    total = tl.zeros((BLOCK_M,), dtype=box_ptr.dtype.element_ty)
    for a in range(down):
        y = start_y + row * bin_h + (a + 0.5) * bin_h * share_y
        top, bottom, v, counts_y = corners(y, h)
        for b in range(across):
            x = start_x + column * bin_w + (b + 0.5) * bin_w * share_x  # [BLOCK_M]
            left, right, u, counts_x = corners(x, w)
            f1 = tl.load(mask_ptr + top * w + left, mask=used, other=0).to(total.dtype)
            f2 = tl.load(mask_ptr + top * w + right, mask=used, other=0).to(total.dtype)
            f3 = tl.load(mask_ptr + bottom * w + left, mask=used, other=0).to(total.dtype)
            f4 = tl.load(mask_ptr + bottom * w + right, mask=used, other=0).to(total.dtype)
            value = (1 - v) * ((1 - u) * f1 + u * f2) + v * ((1 - u) * f3 + u * f4)
            total += counts_x * counts_y * value
    total *= share_x * share_y
    total = tl.where(total > full, 1.0, total)
    tl.store(out_ptr + tl.program_id(0) * M + column, total, mask=used)


@torch.library.custom_op("mrcnn_lite::crop_masks", mutates_args=())
def crop_masks_op(
    masks: Tensor, boxes: Tensor, matched: Tensor, size: int, aligned: bool
) -> Tensor:
    """Mask targets Tensor[K, M, M] of the boxes' dtype.

    Bytes moved: each byte of the masks under a box, once from memory; the masks are never copied to
    floats.
    """
    out = boxes.new_empty(len(boxes), size, size)  # [K, M, M]
    masks = masks.contiguous()
    masks = masks.view(torch.uint8) if masks.dtype == torch.bool else masks
    if out.numel():
        _crop_kernel[(len(boxes) * size,)](
            masks, boxes.contiguous(), matched, out, *masks.shape[1:], 1 - FULL,
            M=size, ALIGNED=aligned, BLOCK_M=triton.next_power_of_2(size),
        )  # fmt: skip
    return out


@crop_masks_op.register_fake
def _(masks, boxes, matched, size, aligned):
    return boxes.new_empty(len(boxes), size, size)  # [K, M, M]


def crop_masks(masks: Tensor, boxes: Tensor, matched: Tensor, size: int, aligned: bool) -> Tensor:
    """The kernel form of `ops.crop_masks`."""
    return crop_masks_op(masks, boxes.detach(), matched, size, aligned)


# --- Pasting (one program: a tile of one mask's image; it writes each byte of it once) ------------


@triton.jit
def _pixel_axis(box_ptr, axis: tl.constexpr, pixel, n, M: tl.constexpr, ROUNDED: tl.constexpr):
    """Where pixels of an axis (0 is x) with n lie on the padded mask, and which the mask reaches;
    ROUNDED is torchvision's rule, else the rule of pixel centres: see `ops.paste`."""
    low, high = tl.load(box_ptr + axis), tl.load(box_ptr + axis + 2)
    if ROUNDED:
        half = (high - low) * 0.5 * ((M + 2) / M)
        centre = (high + low) * 0.5
        low = _trunc(centre - half)
        high = tl.maximum(_trunc(centre + half) + 1, low + 1)
        scale = divide(tl.full((), M + 2, low.dtype), high - low).to(tl.float64)
        # Rounded once, like the fused multiply-add of the C++ code: hence the detour by float64.
        middle = pixel + 0.5 - low
        position = (scale * middle.to(tl.float64) - 0.5).to(low.dtype)
        position = tl.minimum(tl.maximum(position, 0.0), M + 1.0)
        first, last = low, high
    else:
        size = high - low
        position = divide(pixel + 0.5 - low, size) * M + 0.5
        # Half an element of the mask beyond the box its border still fades out. No size, no mask.
        reach = divide(size, 2 * M)
        first = tl.floor(low - reach)
        last = tl.where(size > 0, tl.ceil(high + reach), first)
    return position, (pixel >= first) & (pixel < last) & (pixel < n)


@triton.jit
def _trunc(x):
    return tl.where(x >= 0, tl.floor(x), tl.ceil(x))


@triton.jit
def _padded(mask_ptr, y, x, M: tl.constexpr):
    """The mask's element in a frame of zeros; y [BLOCK_Y] and x [BLOCK_X] count from the frame."""
    there = ((y >= 1) & (y <= M))[:, None] & ((x >= 1) & (x <= M))[None, :]
    return tl.load(mask_ptr + (y[:, None] - 1) * M + x[None, :] - 1, mask=there, other=0.0)


@triton.jit
def _paste_kernel(
    # pointers: masks [N, M, M] and boxes [N, 4] of one type; images [N, H, W], bytes or floats
    mask_ptr, box_ptr, out_ptr,
    threshold_ptr,  # one number of that type
    # sizes
    h, w,
    # compile-time constants
    M: tl.constexpr, ROUNDED: tl.constexpr,
    BINARY: tl.constexpr,  # whether to write mask >= threshold
    BLOCK_Y: tl.constexpr, BLOCK_X: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(2)
    y = tl.program_id(1) * BLOCK_Y + tl.arange(0, BLOCK_Y)
    x = tl.program_id(0) * BLOCK_X + tl.arange(0, BLOCK_X)
    at_y, reached_y = _pixel_axis(box_ptr + 4 * n, 1, y, h, M, ROUNDED)
    at_x, reached_x = _pixel_axis(box_ptr + 4 * n, 0, x, w, M, ROUNDED)
    top, bottom, v, counts_y = corners(at_y, M + 2)
    left, right, u, counts_x = corners(at_x, M + 2)
    reached = reached_y[:, None] & reached_x[None, :]  # [BLOCK_Y, BLOCK_X]
    value = tl.zeros((BLOCK_Y, BLOCK_X), dtype=mask_ptr.dtype.element_ty)
    if tl.max(reached.to(tl.int32)) > 0:  # most tiles lie away from the box, and are just written
        mask_ptr += n * M * M
        f1, f2 = _padded(mask_ptr, top, left, M), _padded(mask_ptr, top, right, M)
        f3, f4 = _padded(mask_ptr, bottom, left, M), _padded(mask_ptr, bottom, right, M)
        upper = (1 - u)[None, :] * f1 + u[None, :] * f2
        lower = (1 - u)[None, :] * f3 + u[None, :] * f4
        value = (1 - v)[:, None] * upper + v[:, None] * lower
        value *= counts_y[:, None] * counts_x[None, :]
        value = tl.where(reached, value, 0.0)
    exists = (y < h)[:, None] & (x < w)[None, :]
    offset = n.to(tl.int64) * h * w + y[:, None] * w + x[None, :]
    if BINARY:
        marked = reached & (value >= tl.load(threshold_ptr))
        tl.store(out_ptr + offset, marked.to(tl.uint8), mask=exists)
    else:
        tl.store(out_ptr + offset, value.to(out_ptr.dtype.element_ty), mask=exists)


@torch.library.custom_op("mrcnn_lite::paste_masks", mutates_args=())
@unfilled()
def paste_masks_op(
    masks: Tensor, boxes: Tensor, height: int, width: int, rounded: bool, threshold: float | None
) -> Tensor:
    """Images Tensor[N, H, W]; with a threshold uint8.

    Bytes moved: the result, each byte written once, zeros included; the masks are small.
    """
    dtype = masks.dtype if threshold is None else torch.uint8
    out = torch.empty(len(masks), height, width, dtype=dtype, device=masks.device)  # [N, H, W]
    if out.numel():
        grid = (triton.cdiv(width, BLOCK_X), triton.cdiv(height, BLOCK_Y), len(masks))
        limit = boxes.new_full((1,), 0.0 if threshold is None else threshold)
        _paste_kernel[grid](
            masks.to(boxes.dtype).contiguous(), boxes.contiguous(), out, limit, height, width,
            M=masks.shape[-1], ROUNDED=rounded, BINARY=threshold is not None,
            BLOCK_Y=BLOCK_Y, BLOCK_X=BLOCK_X, enable_fp_fusion=False,  # edges are rounded to pixels
        )  # fmt: skip
    return out


@paste_masks_op.register_fake
def _(masks, boxes, height, width, rounded, threshold):
    dtype = masks.dtype if threshold is None else torch.uint8
    return masks.new_empty(len(masks), height, width, dtype=dtype)  # [N, H, W]


def paste_masks(
    masks: Tensor, boxes: Tensor, image_size: tuple[int, int], rule: str, threshold: float | None
) -> Tensor:
    """The kernel form of `ops.paste_masks`."""
    rounded = rule == "torchvision"
    out = paste_masks_op(masks, boxes, *image_size, rounded, threshold)
    return out if threshold is None else out.view(torch.bool)
