"""RoIAlign (He et al. 2017, Mask R-CNN, section 3): pooling without rounding.

The RoI is divided into P x P equal bins, each bin is sampled at S x S points, each sample is a
bilinear value of the map, and the bin's output is the mean of its samples.

`aligned` says where element 0 of the map lies. False (the article, and torchvision's pretrained
networks): at coordinate 0. True (detectron2): at 0.5, the centre of the area it stands for, so that
boxes move by half an element; then boxes may also be smaller than one element.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .backend import choose
from .bilinear import adaptive_counts, bilinear_loop, by_size, interpolation
from .constants import constants_like
from .rois import Boxes, Grid, OutputSize, Rois, as_pair, no_results, split_rois
from .sparse_gather import weighted_sums


def roi_align(
    input: Tensor,
    boxes: Boxes,
    output_size: OutputSize,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Pool every RoI to a fixed grid by means of bilinear samples.

    Args:
        input: Tensor[B, C, h, w].
        boxes: Tensor[K, 5] of (image index, x1, y1, x2, y2) or a list of B Tensor[R, 4], pixels.
        output_size: P, or (rows, columns).
        spatial_scale: elements of the map per pixel of the image, such as 1 / 4.
        sampling_ratio: S, samples per bin and axis; 0 or less takes ceil(size / P) for each RoI.
        aligned: whether element 0 of the map lies at 0.5 instead of 0.

    Returns:
        Tensor[K, C, P, P], differentiable in the features and in the boxes.
    """
    image, corners = split_rois(input, boxes)
    rois = Rois(image, corners, torch.zeros_like(image))
    grid = Grid(as_pair(output_size), sampling_ratio, aligned)
    return pool_rois([input], rois, [spatial_scale], grid)  # [K, C, P, P]


def pool_rois(
    features: Sequence[Tensor], rois: Rois, scales: Sequence[float], grid: Grid
) -> Tensor:
    """RoIAlign of L maps Tensor[B, C, h, w], each RoI from its level: Tensor[K, C, P, P].

    `scales` are the elements of each level per pixel; a single map is a pyramid of one level.
    """
    shape = len(rois.image), features[0].shape[1], *grid.size
    if 0 in shape:
        return no_results(shape, *features, rois.corners)  # [K, C, P, P]
    form = choose("roi_align", features[0].device, roi_align_loop, roi_align_tensor)
    return form(features, rois, scales, grid)


def roi_align_loop(
    features: Sequence[Tensor], rois: Rois, scales: Sequence[float], grid: Grid
) -> Tensor:
    """One sample at a time."""
    (size_y, size_x), samples = grid.size, grid.samples
    out = features[0].new_zeros(len(rois.image), features[0].shape[1], size_y, size_x)
    scale = rois.corners.new_tensor(scales)[rois.level, None]  # [K, 1]
    start, extent = roi_extent(rois.corners, scale, grid.aligned)  # [K, 2] each
    bin_size = extent / extent.new_tensor([size_x, size_y])  # [K, 2]
    counts = adaptive_counts(bin_size) if samples <= 0 else torch.full_like(bin_size, samples)
    for k, (columns, rows) in enumerate(counts.int().tolist()):
        feature = features[rois.level[k]][rois.image[k]]  # [C, h, w]
        (x, y), (bin_w, bin_h) = _numbers(start[k]), _numbers(bin_size[k])
        for i in range(size_y):
            for j in range(size_x):
                for a in range(rows):
                    for b in range(columns):
                        sample_y = y + i * bin_h + (a + 0.5) * bin_h / rows
                        sample_x = x + j * bin_w + (b + 0.5) * bin_w / columns
                        out[k, :, i, j] += bilinear_loop(feature, sample_y, sample_x)
        out[k] /= max(rows * columns, 1)
    return out  # [K, C, P, P]


def _numbers(row: Tensor) -> list[float] | tuple[Tensor, ...]:
    """Plain numbers, which are quick; where autograd must follow, tensors of no dimension."""
    return row.unbind() if row.requires_grad else row.tolist()


def roi_align_tensor(
    features: Sequence[Tensor], rois: Rois, scales: Sequence[float], grid: Grid
) -> Tensor:
    """All bins at once: the elements and weights of each axis, then sums of pixels.

    All levels are one table of pixels; a RoI's level only decides where its pixels begin.
    """
    pixels = [f.shape[-2:].numel() for f in features]
    levels = ((*f.shape[-2:], sum(pixels[:l])) for l, f in enumerate(features))
    h, w, begin = constants_like(rois.image, levels)[rois.level].unbind(1)  # [K] each
    first = rois.image * sum(pixels) + begin  # [K]
    scale = constants_like(rois.corners, scales)[rois.level, None]  # [K, 1]
    start, extent = roi_extent(rois.corners, scale, grid.aligned)  # [K, 2] each

    def pool(rows: Tensor | slice) -> Tensor:
        y = interpolation(start[rows, 1], extent[rows, 1], grid.size[0], grid.samples, h[rows])
        x = interpolation(start[rows, 0], extent[rows, 0], grid.size[1], grid.samples, w[rows])
        y_rows = first[rows, None, None] + y.index * w[rows, None, None]  # [K, P, N]
        return weighted_sums(features, (y_rows, y.weight), x)  # [K, P, P, C]

    if grid.samples > 0:
        out = pool(slice(None))
    else:
        out = by_size(extent / extent.new_tensor(grid.size[::-1]), 2, pool)
    return out.permute(0, 3, 1, 2).to(features[0].dtype)  # [K, C, P, P]


def roi_extent(
    corners: Tensor, spatial_scale: float | Tensor, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Where RoIs of Tensor[K, 4] pixels begin on the map and how large they are there: Tensor[K, 2]
    of (x, y) and of (width, height), elements. If not `aligned`, at least one element."""
    scaled = corners * spatial_scale - (0.5 if aligned else 0.0)  # [K, 4]
    start, extent = scaled[:, :2], scaled[:, 2:] - scaled[:, :2]  # [K, 2] each
    return start, extent if aligned else extent.clamp(min=1.0)
