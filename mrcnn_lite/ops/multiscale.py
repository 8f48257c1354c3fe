"""RoIAlign on a feature pyramid: each RoI is read from the level that fits its size, which
`rois.assign_levels` says (FPN, equation 1)."""

import math
from collections.abc import Sequence

from torch import Tensor

from .backend import choose
from .roi_align import pool_rois
from .rois import Boxes, Grid, OutputSize, Rois, as_pair, assign_levels, split_rois


def pyramid_scales(features: Sequence[Tensor], image_size: tuple[int, int]) -> list[float]:
    """Elements per pixel of each level, a power of two such as 1 / 4, from map and image size."""
    return [2.0 ** round(math.log2(f.shape[-2] / image_size[0])) for f in features]


def multiscale_roi_align(
    features: Sequence[Tensor],
    boxes: Boxes,
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
        boxes: list of B Tensor[R, 4], or Tensor[K, 5] of (image, x1, y1, x2, y2), pixels.
        image_size: (H, W) of the padded batch, in pixels.
        output_size: P, or (rows, columns).
        sampling_ratio: S, samples per bin and axis; 0 or less is adaptive.
        aligned, canonical_scale, canonical_level: see `roi_align` and `assign_levels`.

    Returns:
        Tensor[K, C, P, P], in the order of the boxes; differentiable in features and boxes.
    """
    scales = pyramid_scales(features, image_size)
    grid = Grid(as_pair(output_size), sampling_ratio, aligned)
    fused = choose("multiscale_roi_align", features[0].device, None, None)
    alike = isinstance(boxes, Tensor) or len({*map(len, boxes)}) == 1  # as many in each image
    if fused and alike and len(boxes) and len(boxes[0]):
        return fused(features, boxes, scales, grid, canonical_scale, canonical_level)
    image, corners = split_rois(features[0], boxes)
    k_min, k_max = -round(math.log2(scales[0])), -round(math.log2(scales[-1]))
    level = assign_levels(corners.detach(), k_min, k_max, canonical_scale, canonical_level)  # [K]
    return pool_rois(features, Rois(image, corners, level), scales, grid)  # [K, C, P, P]
