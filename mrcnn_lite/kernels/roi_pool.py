"""RoIPool (Girshick 2015, Fast R-CNN, section 2.1): the maximum of each bin, and where it was.

One program owns one row of one RoI's output, for a block of channels. It walks through the window
of the row, all bins of the row side by side, and remembers the largest number and its element (the
argmax), which is all that the backward pass needs.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .axis import divide
from .pyramid import channels_last, coordinate_type

BLOCK_C = 128  # channels per program


@triton.jit
def _rounded(corner_ptr, scale):
    """A corner on the map, halves away from zero, as C++ rounds."""
    x = tl.load(corner_ptr) * scale
    size = tl.abs(x)
    whole = tl.floor(size)  # size + 0.5 may itself be rounded up to the next whole number
    whole = tl.where(size - whole >= 0.5, whole + 1, whole)
    return tl.where(x < 0, -whole, whole).to(tl.int32)


@triton.jit
def _window(first, last, i, n, BINS: tl.constexpr, dtype: tl.constexpr):
    """Where bin i begins and ends on an axis of n elements; both are rounded outwards, in the type
    of the corners."""
    extent = tl.maximum(last - first + 1, 1).to(dtype)
    step = divide(extent, BINS)
    start = tl.floor(i * step).to(tl.int32) + first
    end = tl.ceil((i + 1) * step).to(tl.int32) + first
    return tl.minimum(tl.maximum(start, 0), n), tl.minimum(tl.maximum(end, 0), n)


@triton.jit
def _roi_pool_kernel(
    # pointers: map [B, h, w, C], image of each RoI [K], corners [K, 4]
    map_ptr, image_ptr, corner_ptr,
    scale_ptr,  # one number, in the type of the corners
    out_ptr, argmax_ptr,  # [K, ROWS, COLUMNS, C]: maxima, and their elements y * w + x (-1: empty)
    # sizes
    h, w, channels,
    # compile-time constants
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    BLOCK_P: tl.constexpr,  # COLUMNS, rounded up to a power of two
    BLOCK_C: tl.constexpr,
):  # fmt: skip
    k, row = tl.program_id(0) // ROWS, tl.program_id(0) % ROWS
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    column = tl.arange(0, BLOCK_P)
    used = (column < COLUMNS)[:, None] & (channel < channels)[None, :]  # [BLOCK_P, BLOCK_C]
    map_ptr += tl.load(image_ptr + k) * h * w * channels
    scale = tl.load(scale_ptr)
    left, top = _rounded(corner_ptr + 4 * k, scale), _rounded(corner_ptr + 4 * k + 1, scale)
    right, bottom = _rounded(corner_ptr + 4 * k + 2, scale), _rounded(corner_ptr + 4 * k + 3, scale)
    first_y, last_y = _window(top, bottom, row, h, ROWS, scale.dtype)
    first_x, last_x = _window(left, right, column, w, COLUMNS, scale.dtype)  # [BLOCK_P] each

    best = tl.full((BLOCK_P, BLOCK_C), float("-inf"), dtype=corner_ptr.dtype.element_ty)
    argmax = tl.full((BLOCK_P, BLOCK_C), -1, dtype=tl.int32)
    for y in range(first_y, last_y):
        for step in range(tl.max(last_x - first_x)):
            x = first_x + step  # [BLOCK_P]
            inside = used & (x < last_x)[:, None]
            element = (y * w + x)[:, None]  # [BLOCK_P, 1]
            value = tl.load(map_ptr + element * channels + channel[None, :], mask=inside, other=0.0)
            better = inside & (value.to(best.dtype) > best)  # the first among equals stays
            best = tl.where(better, value.to(best.dtype), best)
            argmax = tl.where(better, element, argmax)
    best = tl.where(argmax < 0, 0.0, best)  # an empty bin
    at = (tl.program_id(0).to(tl.int64) * COLUMNS + column)[:, None] * channels + channel[None, :]
    tl.store(out_ptr + at, best.to(out_ptr.dtype.element_ty), mask=used)
    tl.store(argmax_ptr + at, argmax, mask=used)


@torch.library.custom_op("mrcnn_lite::roi_pool", mutates_args=())
def roi_pool_op(
    input: Tensor, image: Tensor, corners: Tensor, rows: int, columns: int, scale: float
) -> tuple[Tensor, Tensor]:
    """Maxima Tensor[K, P, P, C] and their elements, int32 (-1 where a bin is empty).

    Bytes moved: the elements of every window, once from memory, and the outputs once.
    """
    (_, channels, h, w), count = input.shape, len(image)
    out = input.new_empty(count, rows, columns, channels)  # [K, P, P, C]
    argmax = torch.empty_like(out, dtype=torch.int32)
    if out.numel():
        block_c = min(BLOCK_C, triton.next_power_of_2(channels))
        _roi_pool_kernel[count * rows, triton.cdiv(channels, block_c)](
            channels_last(input), image, corners, corners.new_tensor(scale), out, argmax,
            h, w, channels, ROWS=rows, COLUMNS=columns,
            BLOCK_P=triton.next_power_of_2(columns), BLOCK_C=block_c,
        )  # fmt: skip
    return out, argmax


@roi_pool_op.register_fake
def _(input, image, corners, rows, columns, scale):
    out = input.new_empty(len(image), rows, columns, input.shape[1])  # [K, P, P, C]
    return out, torch.empty_like(out, dtype=torch.int32)


def _keep(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    input, image, *_ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(image, output[1])
    ctx.shape, ctx.dtype = input.shape, input.dtype


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple:
    """Each maximum's gradient goes to its element. PyTorch adds them up, also deterministically."""
    (image, argmax), (batch, channels, h, w) = ctx.saved_tensors, ctx.shape
    dtype = coordinate_type(ctx.dtype)
    element = image[:, None, None, None] * (h * w) + argmax.clamp(min=0)  # [K, P, P, C]
    index = element * channels + torch.arange(channels, device=argmax.device)
    out = torch.zeros(batch * h * w * channels, dtype=dtype, device=argmax.device)
    share = torch.where(argmax < 0, 0, grad.to(dtype)).flatten()  # [N]
    out.index_put_((index.flatten(),), share, accumulate=True)
    out = out.view(batch, h, w, channels).permute(0, 3, 1, 2)  # [B, C, h, w]
    return out.to(ctx.dtype), None, None, None, None, None


roi_pool_op.register_autograd(_backward, setup_context=_keep)


def roi_pool(
    input: Tensor, image: Tensor, corners: Tensor, size: tuple[int, int], spatial_scale: float
) -> Tensor:
    """The kernel form of `ops.roi_pool`, differentiable in the features."""
    corners = corners.detach().to(coordinate_type(input.dtype)).contiguous()  # [K, 4]
    out, _ = roi_pool_op(input, image, corners, *size, spatial_scale)
    return out.permute(0, 3, 1, 2)  # [K, C, P, P]
