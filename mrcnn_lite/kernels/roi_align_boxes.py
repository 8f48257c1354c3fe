"""RoIAlign's gradient for the boxes: how the outputs change when a side of a RoI moves.

A sample's value changes with its position by the slope of the map there; its position lies at a
fraction t of the way from one side of the RoI to the other, so the near side moves it by 1 - t and
the far side by t. One program owns one row of one RoI's output, for all channels, and gives the
four numbers of that row; the rows are added up afterwards, so that no two programs write to the
same number.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .axis import bins, corners, moves, roi_axis
from .pyramid import level_of, load_neighbours, pack

BLOCK_C = 128  # channels at a time


@triton.jit
def _boxes_kernel(
    # pointers: maps [B, h, w, C], their table [L, 3], image and level [K, 2], corners [K, 4]
    map0, map1, map2, map3, map4, table_ptr, map_index_ptr, corner_ptr,
    grad_ptr, out_ptr,  # gradient of the output [K, ROWS, COLUMNS, C]; result [K, ROWS, 4]
    # sizes
    channels,
    # compile-time constants
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SAMPLES: tl.constexpr, ALIGNED: tl.constexpr,
    BLOCK_C: tl.constexpr,
):  # fmt: skip
    k, row = tl.program_id(0) // ROWS, tl.program_id(0) % ROWS
    BLOCK_P: tl.constexpr = triton.next_power_of_2(COLUMNS)
    column = tl.arange(0, BLOCK_P)
    image, level = tl.load(map_index_ptr + 2 * k), tl.load(map_index_ptr + 2 * k + 1)
    pointer, h, w, scale = level_of(level, map0, map1, map2, map3, map4, table_ptr)
    pointer += image.to(tl.int64) * h * w * channels
    grad_ptr += tl.program_id(0).to(tl.int64) * COLUMNS * channels
    start_x, width = roi_axis(corner_ptr + 4 * k, scale, 0, ALIGNED)
    start_y, height = roi_axis(corner_ptr + 4 * k, scale, 1, ALIGNED)
    bin_w, across, share_x = bins(width, COLUMNS, SAMPLES)
    bin_h, down, share_y = bins(height, ROWS, SAMPLES)

    dtype: tl.constexpr = corner_ptr.dtype.element_ty
    near_x = tl.zeros((BLOCK_P,), dtype=dtype)
    far_x, near_y, far_y = near_x, near_x, near_x
    for first in range(0, channels, BLOCK_C):
        channel = first + tl.arange(0, BLOCK_C)
        used = (column < COLUMNS)[:, None] & (channel < channels)[None, :]
        offset = column[:, None] * channels + channel[None, :]
        grad = tl.load(grad_ptr + offset, mask=used, other=0.0).to(dtype)
        for a in range(down):
            part_y = (row + tl.cast(a + 0.5, dtype) * share_y) * (1 / ROWS)  # of the way down
            y = start_y + row * bin_h + (a + 0.5) * bin_h * share_y
            top, bottom, v, counts_y = corners(y, h)
            for b in range(across):
                part_x = (column + tl.cast(b + 0.5, dtype) * share_x) * (1 / COLUMNS)  # [BLOCK_P]
                x = start_x + column * bin_w + (b + 0.5) * bin_w * share_x  # [BLOCK_P]
                left, right, u, counts_x = corners(x, w)
                f1, f2, f3, f4 = load_neighbours(
                    pointer, top, bottom, left, right, channel, w, channels, used, dtype
                )
                slope_x = (1 - v) * (f2 - f1) + v * (f4 - f3)  # [BLOCK_P, BLOCK_C]
                slope_y = (1 - u[:, None]) * (f3 - f1) + u[:, None] * (f4 - f2)
                counts = counts_x * counts_y
                by_x = counts * moves(x, w) * tl.sum(slope_x * grad, axis=1)  # [BLOCK_P]
                by_y = counts * moves(y, h) * tl.sum(slope_y * grad, axis=1)
                near_x += (1 - part_x) * by_x
                far_x += part_x * by_x
                near_y += (1 - part_y) * by_y
                far_y += part_y * by_y
    share = scale * share_x * share_y
    out_ptr += tl.program_id(0) * 4
    tl.store(out_ptr, tl.sum(near_x) * share)
    tl.store(out_ptr + 1, tl.sum(near_y) * share)
    tl.store(out_ptr + 2, tl.sum(far_x) * share)
    tl.store(out_ptr + 3, tl.sum(far_y) * share)


@torch.library.custom_op("mrcnn_lite::roi_align_boxes_backward", mutates_args=())
def roi_align_boxes_backward(
    grad: Tensor, features: list[Tensor], map_index: Tensor, corners: Tensor, scales: list[float],
    samples: int, aligned: bool,
) -> Tensor:  # fmt: skip
    """The gradient of the boxes, like `corners`, from that of the output, Tensor[K, C, P, P].

    Bytes moved: what the forward pass reads, and the output's gradient once.
    """
    pyramid, (rows, columns) = pack(features, scales), grad.shape[-2:]
    grad = grad.permute(0, 2, 3, 1).contiguous()  # [K, P, P, C]
    by_row = corners.new_zeros(len(map_index), rows, 4)  # [K, P, 4]
    if grad.numel():
        _boxes_kernel[(len(map_index) * rows,)](
            *pyramid.maps, pyramid.table, map_index, corners, grad, by_row, grad.shape[-1],
            ROWS=rows, COLUMNS=columns, SAMPLES=max(samples, 0), ALIGNED=aligned,
            BLOCK_C=min(BLOCK_C, triton.next_power_of_2(grad.shape[-1])),
        )  # fmt: skip
    sides = by_row.sum(1)  # [K, 4]
    if aligned:
        return sides
    # A RoI that was made one element long keeps that length: its near side alone moves it.
    scale = pyramid.table[map_index[:, 1].long(), 2:]  # [K, 1]
    held = (corners[:, 2:] - corners[:, :2]) * scale < 1  # [K, 2]
    near = torch.where(held, sides[:, :2] + sides[:, 2:], sides[:, :2])  # [K, 2]
    return torch.cat([near, sides[:, 2:].masked_fill(held, 0)], dim=1)  # [K, 4]


@roi_align_boxes_backward.register_fake
def _(grad, features, map_index, corners, scales, samples, aligned):
    return torch.empty_like(corners)
