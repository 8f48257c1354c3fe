"""RoIAlign of a whole feature pyramid in one launch (He et al. 2017, section 3; FPN, eq. 1).

One program owns one row of one RoI's output, for a block of channels: P x BLOCK_C numbers. It reads
its RoI once, picks the level's pointer, and then adds up samples: each sample of the row is four
elements of the map, and of each element BLOCK_C neighbouring numbers, which lie side by side in
memory. Nothing is computed twice per channel, and nothing of the output is written twice.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .axis import bins, corners, roi_axis
from .memory import unfilled
from .pyramid import level_of, load_neighbours, pack

BLOCK_C = 128  # channels per program: 256 bytes of bf16, two full memory transactions


@triton.jit
def _roi_align_kernel(
    # pointers: maps [B, h, w, C], their table [L, 3], image and level [K, 2], corners [K, 4]
    map0, map1, map2, map3, map4, table_ptr, map_index_ptr, corner_ptr,
    out_ptr,  # [K, ROWS, COLUMNS, C]
    # sizes
    channels,
    # compile-time constants
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SAMPLES: tl.constexpr, ALIGNED: tl.constexpr,
    BLOCK_P: tl.constexpr,  # COLUMNS, rounded up to a power of two
    BLOCK_C: tl.constexpr,
):  # fmt: skip
    k, row = tl.program_id(0) // ROWS, tl.program_id(0) % ROWS
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    column = tl.arange(0, BLOCK_P)
    used = (column < COLUMNS)[:, None] & (channel < channels)[None, :]  # [BLOCK_P, BLOCK_C]

    image, level = tl.load(map_index_ptr + 2 * k), tl.load(map_index_ptr + 2 * k + 1)
    pointer, h, w, scale = level_of(level, map0, map1, map2, map3, map4, table_ptr)
    pointer += image.to(tl.int64) * h * w * channels
    start_x, width = roi_axis(corner_ptr + 4 * k, scale, 0, ALIGNED)
    start_y, height = roi_axis(corner_ptr + 4 * k, scale, 1, ALIGNED)
    bin_w, across, share_x = bins(width, COLUMNS, SAMPLES)
    bin_h, down, share_y = bins(height, ROWS, SAMPLES)

    total = tl.zeros((BLOCK_P, BLOCK_C), dtype=corner_ptr.dtype.element_ty)
    for a in range(down):
        y = start_y + row * bin_h + (a + 0.5) * bin_h * share_y
        top, bottom, v, counts_y = corners(y, h)
        for b in range(across):
            x = start_x + column * bin_w + (b + 0.5) * bin_w * share_x  # [BLOCK_P]
            left, right, u, counts_x = corners(x, w)
            u, counts = u[:, None], (counts_x * counts_y)[:, None]
            f1, f2, f3, f4 = load_neighbours(
                pointer, top, bottom, left, right, channel, w, channels, used, total.dtype
            )
            value = (1 - v) * ((1 - u) * f1 + u * f2) + v * ((1 - u) * f3 + u * f4)
            total += counts * value
    total *= share_x * share_y

    offset = (tl.program_id(0).to(tl.int64) * COLUMNS + column)[:, None] * channels
    tl.store(out_ptr + offset + channel[None, :], total.to(out_ptr.dtype.element_ty), mask=used)


@torch.library.custom_op("mrcnn_lite::roi_align", mutates_args=())
@unfilled()
def roi_align_op(
    features: list[Tensor], map_index: Tensor, corners: Tensor, scales: list[float],
    size: list[int], samples: int, aligned: bool,
) -> Tensor:  # fmt: skip
    """Pool L maps Tensor[B, C, h, w] to Tensor[K, C, P, P] of their type, stored channels last.

    `map_index`, Tensor[K, 2] int32, says image and level of each RoI; the rest as in `ops`.

    Bytes moved: each element that a RoI reads, once from memory and then from cache, and the output
    once; nothing else is written.
    """
    pyramid = pack(features, scales)
    channels, (rows, columns) = features[0].shape[1], size
    out = features[0].new_empty(len(map_index), rows, columns, channels)  # [K, P, P, C]
    if out.numel():
        block_c = min(BLOCK_C, triton.next_power_of_2(channels))
        grid = (len(map_index) * rows, triton.cdiv(channels, block_c))
        _roi_align_kernel[grid](
            *pyramid.maps, pyramid.table, map_index, corners, out, channels,
            ROWS=rows, COLUMNS=columns, SAMPLES=max(samples, 0), ALIGNED=aligned,
            BLOCK_P=triton.next_power_of_2(columns), BLOCK_C=block_c,
        )  # fmt: skip
    return out.permute(0, 3, 1, 2)  # [K, C, P, P]


@roi_align_op.register_fake
def _(features, map_index, corners, scales, size, samples, aligned):
    out = features[0].new_empty(len(map_index), *size, features[0].shape[1])  # [K, P, P, C]
    return out.permute(0, 3, 1, 2)  # [K, C, P, P]
