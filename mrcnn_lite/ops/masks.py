"""Masks from the image into the RoI: what the mask branch has to learn. (The way back: `paste`.)

Bilinear sampling on a grid that is parallel to the axes: a matrix for the rows times the mask times
a matrix for the columns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .backend import choose
from .bilinear import by_size, interpolation
from .boxes import at_least_float32
from .roi_align import roi_align_loop, roi_extent
from .rois import Grid, Rois, no_results

# Samples per bin up to which RoIs are cropped together: below, one call costs less than two.
SMALL_BIN = 8
# A mean of ones may miss 1 by the rounding of its weights; an element this near to 1 is full.
FULL = 1e-5


def crop_masks(
    masks: Tensor, boxes: Tensor, matched: Tensor, size: int, aligned: bool = False
) -> Tensor:
    """Cut the matched object's mask out of the image and scale it to M x M: the mask target.

    This is RoIAlign of the 0/1 mask with adaptive sampling (torchvision's
    `project_masks_on_boxes`), so elements on the outline hold fractions: soft targets.

    Args:
        masks: Tensor[G, H, W] uint8, bool or float, 1 on the object.
        boxes: Tensor[K, 4], pixels.
        matched: Tensor[K] int64, which mask belongs to each box.
        size: M.
        aligned: False is torchvision's rule, which moves the target by half a pixel: the target of
            a symmetric disc is not symmetric. True is exact.

    Returns:
        Tensor[K, M, M] in 0..1, of the boxes' dtype, at least float32.
    """
    boxes = at_least_float32(boxes)
    if not len(boxes) or not masks.numel():
        return no_results((len(boxes), size, size), boxes)  # [K, M, M]
    form = choose("crop_masks", masks.device, _crop_loop, _crop_tensor)
    return form(masks, boxes, matched, size, aligned)


def _crop_loop(masks: Tensor, boxes: Tensor, matched: Tensor, size: int, aligned: bool) -> Tensor:
    """RoIAlign, one sample at a time."""
    images = masks.to(boxes.dtype)[:, None]  # [G, 1, H, W]
    rois = Rois(matched, boxes, torch.zeros_like(matched))
    return roi_align_loop([images], rois, [1.0], Grid((size, size), -1, aligned))[:, 0]


def _crop_tensor(masks: Tensor, boxes: Tensor, matched: Tensor, size: int, aligned: bool) -> Tensor:
    """Weighted sums of pixel rows first, then of columns; only the rows that are used are read."""
    h, w = masks.shape[-2:]
    pixel_rows = masks.to(boxes.dtype).reshape(-1, w)  # [G * H, W]
    start, extent = roi_extent(boxes, 1.0, aligned)  # [K, 2] each

    def crop(rows: Tensor) -> Tensor:
        y = interpolation(start[rows, 1], extent[rows, 1], size, -1, h)
        x = interpolation(start[rows, 0], extent[rows, 0], size, -1, w)
        index = (matched[rows, None, None] * h + y.index).flatten(0, 1)  # [K * M, N]
        weight = y.weight.flatten(0, 1)  # [K * M, N]
        lines = F.embedding_bag(index, pixel_rows, mode="sum", per_sample_weights=weight)
        # Mixed precision would round the targets to eight bits.
        columns = lines.new_zeros(len(x.index), size, w).scatter_add(2, x.index, x.weight)
        with torch.autocast(boxes.device.type, enabled=False):
            return lines.view(-1, size, w) @ columns.transpose(1, 2)  # [K, M, M]

    out = by_size(extent / size, SMALL_BIN, crop)  # [K, M, M]
    return out.masked_fill(out > 1 - FULL, 1.0)
