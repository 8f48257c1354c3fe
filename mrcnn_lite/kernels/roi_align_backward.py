"""RoIAlign's gradient for the feature maps: each RoI's A_yᵀ · G · A_x, added up over the RoIs.

G is the gradient of a RoI's output; A_y and A_x are the interpolation matrices of its two axes, one
row per bin. Two kernels share that product, made for one tile of a map at a time:

- In the first, one program owns one RoI (and a block of channels). It goes through the tiles that
  the RoI touches and adds them to the gradient with *atomic* additions: one per element, where an
  addition per sample would take four per sample. The order in which RoIs arrive is left to chance,
  and sums of floats in another order round differently: the last bits differ from run to run.
- In the second, one program owns one tile of a map, and goes through the RoIs of its image and
  level, always in the same order. No atomics, the same bits every time, and each element is
  written exactly once, so that nothing has to be filled with zeros before. Most RoIs lie elsewhere,
  so 32 at a time are asked whether they reach the tile. It runs where
  `torch.use_deterministic_algorithms` asks for it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .axis import footprint, interpolation, roi_axis
from .memory import unfilled
from .pyramid import coordinate_type, level_of, pack

BLOCK_C = 64  # channels per program
TILE = tl.constexpr(8)  # side of a tile, elements
LOOK = tl.constexpr(32)  # RoIs that are asked at a time: a word of bits


@triton.jit
def _tile_product(
    y, x, h, w, corner_ptr, scale, grad_ptr, channel, channels,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SAMPLES: tl.constexpr, ALIGNED: tl.constexpr,
    BLOCK_P: tl.constexpr,
):  # fmt: skip
    """One RoI's share of the elements y × x: A_yᵀ · G · A_x there, [TILE, TILE, BLOCK_C]."""
    start_x, width = roi_axis(corner_ptr, scale, 0, ALIGNED)
    start_y, height = roi_axis(corner_ptr, scale, 1, ALIGNED)
    a_x = interpolation(x, start_x, width, w, COLUMNS, SAMPLES, BLOCK_P)
    a_y = interpolation(y, start_y, height, h, ROWS, SAMPLES, BLOCK_P)
    bins = tl.arange(0, BLOCK_P)
    used = (bins < COLUMNS)[:, None] & (channel < channels)[None, :]  # [BLOCK_P, BLOCK_C]
    offset = bins[:, None] * channels + channel[None, :]
    product = tl.zeros((y.shape[0], x.shape[0], channel.shape[0]), dtype=a_x.dtype)
    for row in range(ROWS):
        grad = tl.load(grad_ptr + row * COLUMNS * channels + offset, mask=used, other=0.0)
        line = tl.sum(a_x[:, :, None] * grad.to(a_x.dtype)[None, :, :], axis=1)  # [TILE, BLOCK_C]
        weight = tl.sum(tl.where(bins[None, :] == row, a_y, 0.0), axis=1)  # [TILE], column `row`
        product += weight[:, None, None] * line[None, :, :]
    return product


@triton.jit
def _tile_offsets(y, x, channel, h, w, channels):
    """Where a tile's elements lie in a map [h, w, C], and which of them exist."""
    exists = (y < h)[:, None, None] & (x < w)[None, :, None] & (channel < channels)[None, None, :]
    return (y[:, None, None] * w + x[None, :, None]) * channels + channel[None, None, :], exists


@triton.jit
def _atomic_kernel(
    # pointers: gradients of the maps [B, h, w, C], their table [L, 3], image and level [K, 2],
    map0, map1, map2, map3, map4, table_ptr, map_index_ptr,
    corner_ptr, grad_ptr,  # [K, 4] and the gradient of the output, [K, ROWS, COLUMNS, C]
    # sizes
    channels,
    # compile-time constants
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SAMPLES: tl.constexpr, ALIGNED: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    k = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    image, level = tl.load(map_index_ptr + 2 * k), tl.load(map_index_ptr + 2 * k + 1)
    pointer, h, w, scale = level_of(level, map0, map1, map2, map3, map4, table_ptr)
    pointer += image.to(tl.int64) * h * w * channels
    corner_ptr += 4 * k
    grad_ptr += k * ROWS * COLUMNS * channels
    start_x, width = roi_axis(corner_ptr, scale, 0, ALIGNED)
    start_y, height = roi_axis(corner_ptr, scale, 1, ALIGNED)
    left, right = footprint(start_x, width, w)
    top, bottom = footprint(start_y, height, h)
    for first_y in range(top, bottom, TILE):
        for first_x in range(left, right, TILE):
            y, x = first_y + tl.arange(0, TILE), first_x + tl.arange(0, TILE)
            product = _tile_product(
                y, x, h, w, corner_ptr, scale, grad_ptr, channel, channels,
                ROWS, COLUMNS, SAMPLES, ALIGNED, BLOCK_P,
            )  # fmt: skip
            offset, exists = _tile_offsets(y, x, channel, h, w, channels)
            touched = exists & (y < bottom)[:, None, None] & (x < right)[None, :, None]
            tl.atomic_add(pointer + offset, product, mask=touched, sem="relaxed")


@triton.jit
def _reaching(
    order_ptr, count, corner_ptr, scale, first_y, first_x, h, w, ALIGNED: tl.constexpr
):  # fmt: skip
    """Which of the next LOOK RoIs reach a tile: bit i of a word for the i-th."""
    i = tl.arange(0, LOOK)
    k = tl.load(order_ptr + i, mask=i < count, other=0)  # [LOOK]
    start_x, width = roi_axis(corner_ptr + 4 * k, scale, 0, ALIGNED)
    start_y, height = roi_axis(corner_ptr + 4 * k, scale, 1, ALIGNED)
    left, right = footprint(start_x, width, w)
    top, bottom = footprint(start_y, height, h)
    reach = (left < first_x + TILE) & (right > first_x)
    reach &= (top < first_y + TILE) & (bottom > first_y) & (i < count)
    return tl.sum(reach.to(tl.int32) << i, axis=0)


@triton.jit
def _tile_kernel(
    # pointers: gradient of one level's map [B, h, w, C], its (h, w, scale), its RoIs in order and
    # where each image's begin in that order [B + 1], corners [K, 4], output's gradient
    map_ptr, table_ptr, order_ptr, begin_ptr, corner_ptr, grad_ptr,
    # sizes
    tiles_x, tiles_y, channels,
    # compile-time constants
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SAMPLES: tl.constexpr, ALIGNED: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    image = tile // (tiles_x * tiles_y)
    first_y, first_x = tile // tiles_x % tiles_y * TILE, tile % tiles_x * TILE
    y, x = first_y + tl.arange(0, TILE), first_x + tl.arange(0, TILE)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    h, w = tl.load(table_ptr).to(tl.int32), tl.load(table_ptr + 1).to(tl.int32)
    scale = tl.load(table_ptr + 2)

    total = tl.zeros((TILE, TILE, BLOCK_C), dtype=map_ptr.dtype.element_ty)
    end = tl.load(begin_ptr + image + 1)
    for first in range(tl.load(begin_ptr + image), end, LOOK):
        reach = _reaching(
            order_ptr + first, end - first, corner_ptr, scale, first_y, first_x, h, w, ALIGNED
        )
        if reach != 0:
            for i in range(LOOK):
                if ((reach >> i) & 1) != 0:
                    k = tl.load(order_ptr + first + i)
                    total += _tile_product(
                        y, x, h, w, corner_ptr + 4 * k, scale,
                        grad_ptr + k * ROWS * COLUMNS * channels, channel, channels,
                        ROWS, COLUMNS, SAMPLES, ALIGNED, BLOCK_P,
                    )  # fmt: skip
    offset, exists = _tile_offsets(y, x, channel, h, w, channels)
    tl.store(map_ptr + image.to(tl.int64) * h * w * channels + offset, total, mask=exists)


@torch.library.custom_op("mrcnn_lite::roi_align_backward", mutates_args=())
@unfilled()
def roi_align_backward(
    grad: Tensor, features: list[Tensor], map_index: Tensor, corners: Tensor,
    scales: list[float], samples: int, aligned: bool, deterministic: bool,
) -> list[Tensor]:  # fmt: skip
    """The gradients of the maps, of their types and stored channels last.

    Args:
        grad: Tensor[K, C, P, P], gradient of the output.
        features: L Tensor[B, C, h, w]; only their shapes and types are used.
        map_index, corners, scales, samples, aligned: as in the forward pass.
        deterministic: whether the same input must give the same bits.

    Bytes moved: the output's gradient once per tile that its RoI touches (from cache after the
    first time), the maps' gradients once; with atomics, each touched element once more per RoI.
    """
    dtype, (rows, columns) = coordinate_type(features[0].dtype), grad.shape[-2:]
    grad = grad.permute(0, 2, 3, 1).contiguous()  # [K, P, P, C]
    make = torch.empty if deterministic else torch.zeros
    out = [
        make((f.shape[0], *f.shape[2:], f.shape[1]), dtype=dtype, device=f.device)  # [B, h, w, C]
        for f in features
    ]
    channels, maps = grad.shape[-1], [map_.permute(0, 3, 1, 2) for map_ in out]
    pyramid, block_c = pack(maps, scales), min(BLOCK_C, triton.next_power_of_2(channels))
    constants = {
        "ROWS": rows, "COLUMNS": columns, "SAMPLES": max(samples, 0), "ALIGNED": aligned,
        "BLOCK_P": triton.next_power_of_2(max(rows, columns)), "BLOCK_C": block_c,
    }  # fmt: skip
    if deterministic:
        _launch_tiles(grad, out, map_index, corners, pyramid.table, constants)
    elif grad.numel():
        _atomic_kernel[len(map_index), triton.cdiv(channels, block_c)](
            *pyramid.maps, pyramid.table, map_index, corners, grad, channels, **constants
        )
    return [map_.to(f.dtype) for map_, f in zip(maps, features)]


@roi_align_backward.register_fake
def _(grad, features, map_index, corners, scales, samples, aligned, deterministic):
    return [torch.empty_like(f, memory_format=torch.channels_last) for f in features]


def _launch_tiles(
    grad: Tensor, out: list[Tensor], map_index: Tensor, corners: Tensor, table: Tensor,
    constants: dict[str, int],
) -> None:  # fmt: skip
    """One launch per level; a stable sort brings the RoIs of an image and level together."""
    batch, channels = len(out[0]), grad.shape[-1]
    key = map_index[:, 1] * batch + map_index[:, 0]  # [K]
    key, order = key.sort(stable=True)
    first = torch.arange(len(out) * batch + 1, device=key.device, dtype=key.dtype)
    begin = torch.searchsorted(key, first)  # [L * B + 1]
    for l, map_ in enumerate(out):
        tiles_y, tiles_x = (triton.cdiv(side, TILE.value) for side in map_.shape[1:3])
        _tile_kernel[batch * tiles_y * tiles_x, triton.cdiv(channels, constants["BLOCK_C"])](
            map_, table[l], order, begin[l * batch :], corners, grad, tiles_x, tiles_y, channels,
            **constants,
        )  # fmt: skip
