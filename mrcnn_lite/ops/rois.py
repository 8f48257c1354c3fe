"""Regions of interest (RoIs): torchvision's two forms of giving them, the one used inside, and the
level of a pyramid to which each belongs."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Added before the logarithm, as torchvision does, so that exact powers of two do not fall below.
LEVEL_EPS = 1e-6

Boxes = Tensor | Sequence[Tensor]  # [K, 5] of (image index, x1, y1, x2, y2), or B x [R, 4]
OutputSize = int | tuple[int, int]  # P, or (rows, columns)


class Rois(NamedTuple):
    """RoIs that know where they belong."""

    image: Tensor  # [K] int64
    corners: Tensor  # [K, 4], pixels, at least float32
    level: Tensor  # [K] int64, the map that each is read from; 0 for the finest


class Grid(NamedTuple):
    """How a RoI is divided and sampled: see `roi_align`."""

    size: tuple[int, int]  # (rows, columns) of bins
    samples: int  # S; 0 or less is adaptive
    aligned: bool


def split_rois(input: Tensor, boxes: Boxes) -> tuple[Tensor, Tensor]:
    """Read Tensor[K, 5] or a list of B Tensor[R, 4]: image Tensor[K] int64, corners Tensor[K, 4].

    Eleven or eight bits cannot hold a coordinate: beside half precision the corners are float32.
    """
    if isinstance(boxes, Tensor):
        image, corners = boxes[:, 0].detach().long(), boxes[:, 1:]  # [K], [K, 4]
    elif not boxes:
        image, corners = input.new_zeros(0, dtype=torch.int64), input.new_zeros(0, 4)
    else:
        # Filled, not copied from a list: a GPU's host need not wait.
        images = [one.new_full((len(one),), b, dtype=torch.int64) for b, one in enumerate(boxes)]
        image, corners = torch.cat(images), torch.cat(list(boxes))  # [K], [K, 4]
    half = input.dtype in (torch.float16, torch.bfloat16)
    return image, corners.float() if half else corners


def no_results(shape: Sequence[int], *sources: Tensor) -> Tensor:
    """Return zeros of a shape that holds nothing, in the graph of what they would come from."""
    return sources[0].new_zeros(shape) + sum(source[:0].sum() for source in sources)


def as_pair(size: OutputSize) -> tuple[int, int]:
    """Read `7` or `(7, 7)` as (rows, columns)."""
    rows, columns = size if isinstance(size, Sequence) else (size, size)
    return int(rows), int(columns)


def assign_levels(
    boxes: Tensor, k_min: int, k_max: int, canonical_scale: float = 224, canonical_level: int = 4
) -> Tensor:
    """Choose a pyramid level for each box: FPN (Lin et al. 2017), equation 1.

    A box as large as the images the backbone was trained on (224 pixels) goes to level 4; half the
    size, one level down.

    Args:
        boxes: Tensor[..., 4], pixels.
        k_min: the finest level, such as 2 for stride 4.
        k_max: the coarsest level.
        canonical_scale, canonical_level: a size in pixels and the level to which it goes.

    Returns:
        Tensor[...] int64, 0 for k_min.
    """
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))  # areas fit into it
    size = torch.sqrt((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))  # [...]
    level = torch.floor(canonical_level + torch.log2(size / canonical_scale) + LEVEL_EPS)
    # A reversed box has no real size (NaN): it goes to the finest level, as empty boxes do.
    # (torchvision leaves such rows zero.)
    return level.nan_to_num(nan=k_min).clamp(k_min, k_max).long() - k_min
