"""A feature pyramid as kernel arguments: one pointer per level and one small table."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ops.constants import constant

LEVELS = 5  # as many as a kernel takes; fewer are filled up with the last one


class PackedMaps(NamedTuple):
    """What a kernel needs to know of L maps."""

    maps: tuple[Tensor, ...]  # LEVELS Tensor[B, h, w, C], contiguous
    table: Tensor  # [L, 3] of (h, w, scale), in the type of the coordinates


def coordinate_type(dtype: torch.dtype) -> torch.dtype:
    """The type in which positions and sums are kept for features of a type: float32, or float64."""
    return torch.promote_types(dtype, torch.float32)


def channels_last(feature: Tensor) -> Tensor:
    """A map as [B, h, w, C], contiguous; a copy only where it is not stored so."""
    return feature.permute(0, 2, 3, 1).contiguous()  # [B, h, w, C]


def pack(features: Sequence[Tensor], scales: Sequence[float]) -> PackedMaps:
    """Prepare L maps Tensor[B, C, h, w] and their scales for a kernel; at most LEVELS."""
    if len(features) > LEVELS:
        raise ValueError(f"features has {len(features)} levels; the kernels take at most {LEVELS}")
    maps = [channels_last(feature) for feature in features]
    maps += maps[-1:] * (LEVELS - len(maps))
    rows = ((*feature.shape[-2:], scale) for feature, scale in zip(features, scales, strict=True))
    dtype = coordinate_type(features[0].dtype)
    return PackedMaps(tuple(maps), constant(tuple(rows), dtype, features[0].device))  # [L, 3]


@triton.jit
def level_of(
    level: tl.tensor, map0: tl.tensor, map1: tl.tensor, map2: tl.tensor, map3: tl.tensor,
    map4: tl.tensor, table_ptr: tl.tensor,
) -> tuple:  # fmt: skip
    """The pointer to a level's map, its height, width and scale."""
    pointer = tl.where(level == 0, map0, map1)
    pointer = tl.where(level == 2, map2, pointer)
    pointer = tl.where(level == 3, map3, pointer)
    pointer = tl.where(level == 4, map4, pointer)
    h = tl.load(table_ptr + 3 * level).to(tl.int32)
    w = tl.load(table_ptr + 3 * level + 1).to(tl.int32)
    return pointer, h, w, tl.load(table_ptr + 3 * level + 2)


@triton.jit
def load_neighbours(
    pointer: tl.tensor, top: tl.tensor, bottom: tl.tensor, left: tl.tensor, right: tl.tensor,
    channel: tl.tensor, w: tl.tensor, channels: tl.tensor, used: tl.tensor, dtype: tl.constexpr,
) -> tuple:  # fmt: skip
    """The four elements around each sample of a row: loads of BLOCK_C numbers side by side."""
    upper = pointer + top * w * channels + channel[None, :]
    lower = pointer + bottom * w * channels + channel[None, :]
    at, after = left[:, None] * channels, right[:, None] * channels
    f1 = tl.load(upper + at, mask=used, other=0.0).to(dtype)
    f2 = tl.load(upper + after, mask=used, other=0.0).to(dtype)
    f3 = tl.load(lower + at, mask=used, other=0.0).to(dtype)
    f4 = tl.load(lower + after, mask=used, other=0.0).to(dtype)
    return f1, f2, f3, f4
