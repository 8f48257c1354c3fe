"""RoIAlign on a feature pyramid: each RoI is read from the level that fits its size."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .boxes import at_least_float32
from .roi_align import pool_rois
from .rois import Grid, OutputSize, Rois, as_pair, split_rois

# Added before the logarithm, as torchvision does, so that exact powers of two do not fall below.
LEVEL_EPS = 1e-6


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
    boxes = at_least_float32(boxes)
    size = torch.sqrt((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))  # [...]
    level = torch.floor(canonical_level + torch.log2(size / canonical_scale) + LEVEL_EPS)
    # A reversed box has no real size (NaN): it goes to the finest level, as empty boxes do.
    # (torchvision leaves such rows zero.)
    return level.nan_to_num(nan=k_min).clamp(k_min, k_max).long() - k_min


def pyramid_scales(features: Sequence[Tensor], image_size: tuple[int, int]) -> list[float]:
    """Elements per pixel of each level, a power of two such as 1 / 4, from map and image size."""
    return [2.0 ** round(math.log2(f.shape[-2] / image_size[0])) for f in features]


def multiscale_roi_align(
    features: Sequence[Tensor],
    boxes: Sequence[Tensor],
    image_size: tuple[int, int],
    output_size: OutputSize,
    sampling_ratio: int = 2,
    aligned: bool = False,
    canonical_scale: float = 224,
    canonical_level: int = 4,
) -> Tensor:
    """RoIAlign every box from the level of the pyramid that fits its size.

    Args:
        features: L maps Tensor[B, C, h, w], finest first, strides growing by 2.
        boxes: list of B Tensor[R, 4], pixels.
        image_size: (H, W) of the padded batch, in pixels.
        output_size: P, or (rows, columns).
        sampling_ratio: S, samples per bin and axis; 0 or less is adaptive.
        aligned, canonical_scale, canonical_level: see `roi_align` and `assign_levels`.

    Returns:
        Tensor[K, C, P, P], in the order of the boxes; differentiable in features and boxes.
    """
    image, corners = split_rois(features[0], boxes)
    grid = Grid(as_pair(output_size), sampling_ratio, aligned)
    scales = pyramid_scales(features, image_size)
    k_min, k_max = -round(math.log2(scales[0])), -round(math.log2(scales[-1]))
    level = assign_levels(corners.detach(), k_min, k_max, canonical_scale, canonical_level)  # [K]
    return pool_rois(features, Rois(image, corners, level), scales, grid)  # [K, C, P, P]
