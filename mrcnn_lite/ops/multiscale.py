"""RoIAlign on a feature pyramid: each RoI is read from the level that fits its size."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mrcnn_lite.ops.backend import choose
from mrcnn_lite.ops.checks import (
    as_pair,
    as_rois,
    check_boxes,
    check_finite,
    check_positive,
    check_sampling,
    check_tensor,
    join_rois,
)
from mrcnn_lite.ops.roi_align import roi_align_loop, roi_extent
from mrcnn_lite.ops.taps import Taps, axis_taps, by_size
from mrcnn_lite.ops.weighted_rows import pool_rows

# Added before the logarithm, as torchvision does, so that exact powers of two do not fall below.
LEVEL_EPS = 1e-6


def assign_levels(
    boxes: Tensor,
    k_min: int,
    k_max: int,
    canonical_scale: float = 224,
    canonical_level: int = 4,
) -> Tensor:
    """Choose a pyramid level for each box: FPN (Lin et al. 2017), equation 1.

    A box as large as the images the backbone was trained on (224 pixels) goes to level 4; half the
    size, one level down.

    Args:
        boxes: Tensor[..., 4], pixels.
        k_min: the finest level, such as 2 for stride 4.
        k_max: the coarsest level.
        canonical_scale: the size in pixels that goes to the canonical level.
        canonical_level: that level.

    Returns:
        Tensor[...] int64, 0 for k_min.
    """
    check_boxes(boxes)
    check_positive(canonical_scale, "canonical_scale")
    return fitting_level(boxes, k_min, k_max, canonical_scale, canonical_level)


def fitting_level(
    boxes: Tensor, k_min: int, k_max: int, canonical_scale: float, canonical_level: int
) -> Tensor:
    """`assign_levels` without checks: Tensor[...] int64."""
    size = torch.sqrt((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))  # [...]
    level = torch.floor(canonical_level + torch.log2(size / canonical_scale) + LEVEL_EPS)
    # A reversed box has no real size (NaN): it goes to the finest level, as empty boxes do.
    # (torchvision leaves such rows zero.)
    return level.nan_to_num(nan=k_min).clamp(k_min, k_max).long() - k_min


def pyramid_scales(features: Sequence[Tensor], image_size: tuple[int, int]) -> list[float]:
    """Elements per pixel of each level, a power of two, from the sizes of map and image.

    Args:
        features: list of L Tensor[B, C, h, w].
        image_size: (H, W) of the padded batch, in pixels.

    Returns:
        L scales such as 1 / 4.
    """
    return [2.0 ** round(math.log2(f.shape[-2] / image_size[0])) for f in features]


def multiscale_roi_align(
    features: Sequence[Tensor],
    boxes: Sequence[Tensor],
    image_size: tuple[int, int],
    output_size: int | tuple[int, int],
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
        aligned: see `roi_align`.
        canonical_scale: see `assign_levels`.
        canonical_level: see `assign_levels`.

    Returns:
        Tensor[K, C, P, P], in the order of the boxes; differentiable in features and boxes.

    Raises:
        TypeError, ValueError: see `checks.as_rois`; or levels that do not fit together.
    """
    size = as_pair(output_size)
    scales = _check_pyramid(features, image_size)
    check_sampling(scales[0], sampling_ratio)
    check_positive(canonical_scale, "canonical_scale")
    rois = as_rois(features[0], boxes, "features[0]")
    settings = (size, sampling_ratio, aligned, canonical_scale, canonical_level)
    return _pool(features, rois, scales, *settings)


def pool_pyramid(
    features: Sequence[Tensor],
    boxes: Sequence[Tensor],
    image_size: tuple[int, int],
    size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """`multiscale_roi_align` without checks, one level or more: Tensor[K, C, P, P]."""
    scales = pyramid_scales(features, image_size)
    return _pool(features, join_rois(boxes), scales, size, sampling_ratio, aligned, 224, 4)


def _pool(
    features: Sequence[Tensor],
    rois: tuple[Tensor, Tensor],
    scales: list[float],
    size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
    canonical_scale: float,
    canonical_level: int,
) -> Tensor:
    """Give every RoI, Tensor[K] of images and Tensor[K, 4], its level, and pool them."""
    image, corners = rois
    k_min, k_max = -round(math.log2(scales[0])), -round(math.log2(scales[-1]))
    level = fitting_level(corners.detach(), k_min, k_max, canonical_scale, canonical_level)  # [K]
    form = choose("multiscale_roi_align", features[0].device, _multiscale_loop, _multiscale_tensor)
    rois = Rois(image, level, corners)
    return form(features, rois, scales, size, sampling_ratio, aligned)


class Rois(NamedTuple):
    """RoIs that know where they belong.

    Attributes:
        image: Tensor[K] int64.
        level: Tensor[K] int64, 0 for the finest.
        corners: Tensor[K, 4], pixels.
    """

    image: Tensor
    level: Tensor
    corners: Tensor


def _multiscale_loop(
    features: Sequence[Tensor],
    rois: Rois,
    scales: list[float],
    size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """One level at a time."""
    out = features[0].new_zeros(len(rois.image), features[0].shape[1], *size)  # [K, C, P, P]
    for l, (feature, scale) in enumerate(zip(features, scales, strict=True)):
        rows = torch.nonzero(rois.level == l)[:, 0]
        image, corners = rois.image[rows], rois.corners[rows]
        out[rows] = roi_align_loop(feature, image, corners, size, scale, sampling_ratio, aligned)
    return out


def _multiscale_tensor(
    features: Sequence[Tensor],
    rois: Rois,
    scales: list[float],
    size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """All levels in one table of pixel rows; a RoI's level only decides where its rows begin."""
    device = features[0].device
    shapes = torch.tensor([f.shape[-2:] for f in features], device=device)  # [L, 2]
    pixels = [f.shape[-2] * f.shape[-1] for f in features]
    offset = torch.tensor([0, *pixels[:-1]], device=device).cumsum(0)  # [L]
    h, w = shapes[rois.level].unbind(1)  # [K] each
    start_row = rois.image * sum(pixels) + offset[rois.level]  # [K]
    scale = rois.corners.new_tensor(scales)[rois.level, None]  # [K, 1]
    start, extent = roi_extent(rois.corners, scale, aligned)  # [K, 2] each

    def pool(rows: Tensor | slice) -> Tensor:
        y = axis_taps(start[rows, 1], extent[rows, 1], size[0], sampling_ratio, h[rows])
        x = axis_taps(start[rows, 0], extent[rows, 0], size[1], sampling_ratio, w[rows])
        y_rows = start_row[rows, None, None] + y.index * w[rows, None, None]  # [K, P, N]
        return pool_rows(features, Taps(y_rows, y.weight), x)  # [K, P, P, C]

    if sampling_ratio > 0:
        out = pool(slice(None))
    else:
        out = by_size(extent / extent.new_tensor(size[::-1]), 2, pool)
    return out.permute(0, 3, 1, 2).to(features[0].dtype)  # [K, C, P, P]


def _check_pyramid(features: Sequence[Tensor], image_size: tuple[int, int]) -> list[float]:
    """Check that the levels belong together and return their scales."""
    if isinstance(features, Tensor) or not features:
        raise TypeError("features must be a list of maps, finest first, with at least one level")
    for l, feature in enumerate(features):
        check_tensor(feature, f"features[{l}]", "[B, C, h, w]")
        if l:  # the first is checked with the boxes
            check_finite(feature, f"features[{l}]")
        if feature.shape[:2] != features[0].shape[:2] or feature.dtype != features[0].dtype:
            raise ValueError(
                f"features[{l}] is {feature.dtype} {list(feature.shape)}; batch size, channels and "
                f"dtype must be those of features[0], {features[0].dtype} {list(features[0].shape)}"
            )
    for side, length in zip(("height", "width"), image_size, strict=True):
        check_positive(length, f"image_size ({side})")
    scales = pyramid_scales(features, image_size)
    if scales != sorted(scales, reverse=True) or scales[0] / scales[-1] > 2 ** (len(scales) - 1):
        raise ValueError(
            f"features must come finest first and halve from level to level; against image_size "
            f"{tuple(image_size)} their scales are {scales}"
        )
    return scales
