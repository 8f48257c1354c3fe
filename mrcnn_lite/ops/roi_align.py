"""RoIAlign (He et al. 2017, Mask R-CNN, section 3): pooling without rounding.

The RoI is divided into P x P equal bins, each bin is sampled at S x S points, each sample is a
bilinear value of the map, and the bin's output is the mean of its samples.

`aligned` says where element 0 of the map lies. False (the article, and torchvision's pretrained
networks): at coordinate 0. True (detectron2): at 0.5, the centre of the area it stands for, so that
boxes move by half an element; then boxes may also be smaller than one element.
"""

from collections.abc import Sequence

from torch import Tensor

from mrcnn_lite.ops.backend import choose
from mrcnn_lite.ops.bilinear import bilinear_loop
from mrcnn_lite.ops.checks import as_pair, as_rois, check_sampling
from mrcnn_lite.ops.taps import Taps, adaptive_counts, axis_taps, by_size
from mrcnn_lite.ops.weighted_rows import pool_rows


def roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int],
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

    Raises:
        TypeError, ValueError: see `checks.as_rois`.
    """
    size = as_pair(output_size)
    check_sampling(spatial_scale, sampling_ratio)
    image, corners = as_rois(input, boxes)
    form = choose("roi_align", input.device, roi_align_loop, _roi_align_tensor)
    return form(input, image, corners, size, spatial_scale, sampling_ratio, aligned)


def roi_align_loop(
    input: Tensor,
    image: Tensor,
    corners: Tensor,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """One sample at a time.

    Args:
        input: Tensor[B, C, h, w].
        image: Tensor[K] int64.
        corners: Tensor[K, 4], pixels.
        size: (rows, columns) of bins.
        spatial_scale, sampling_ratio, aligned: as for `roi_align`.

    Returns:
        Tensor[K, C, P, P], differentiable in the features and in the corners.
    """
    out = input.new_zeros(len(corners), input.shape[1], *size)  # [K, C, P, P]
    start, extent = roi_extent(corners, spatial_scale, aligned)
    bin_size = extent / extent.new_tensor([size[1], size[0]])  # [K, 2]
    counts = adaptive_counts(bin_size) if sampling_ratio <= 0 else None  # [K, 2]
    for k in range(len(corners)):
        (x, y), (bin_w, bin_h) = _numbers(start[k]), _numbers(bin_size[k])
        columns = rows = sampling_ratio
        if counts is not None:
            columns, rows = counts[k].int().tolist()
        for i in range(size[0]):
            for j in range(size[1]):
                for a in range(rows):
                    for b in range(columns):
                        sample_y = y + i * bin_h + (a + 0.5) * bin_h / rows
                        sample_x = x + j * bin_w + (b + 0.5) * bin_w / columns
                        out[k, :, i, j] += bilinear_loop(input[image[k]], sample_y, sample_x)
        out[k] /= max(rows * columns, 1)
    return out


def _numbers(row: Tensor) -> list[float] | tuple[Tensor, ...]:
    """Plain numbers, which are quick; where autograd must follow, tensors of no dimension."""
    return row.unbind() if row.requires_grad else row.tolist()


def roi_extent(
    corners: Tensor, spatial_scale: float | Tensor, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Where each RoI begins on the map and how large it is there.

    Args:
        corners: Tensor[K, 4], pixels.
        spatial_scale: elements of the map per pixel, or Tensor[K, 1].
        aligned: whether boxes move by half an element; if not, a RoI is at least one element.

    Returns:
        start: Tensor[K, 2] of (x, y), elements.
        extent: Tensor[K, 2] of (width, height), elements.
    """
    scaled = corners * spatial_scale - (0.5 if aligned else 0.0)  # [K, 4]
    start, extent = scaled[:, :2], scaled[:, 2:] - scaled[:, :2]  # [K, 2] each
    return start, extent if aligned else extent.clamp(min=1.0)


def _roi_align_tensor(
    input: Tensor,
    image: Tensor,
    corners: Tensor,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """One weighted sum of pixel rows per bin: see `weighted_rows`."""
    h, w = input.shape[-2:]
    start, extent = roi_extent(corners, spatial_scale, aligned)

    def pool(rows: Tensor | slice) -> Tensor:
        y = axis_taps(start[rows, 1], extent[rows, 1], size[0], sampling_ratio, h)
        x = axis_taps(start[rows, 0], extent[rows, 0], size[1], sampling_ratio, w)
        y_rows = (image[rows, None, None] * h + y.index) * w  # [K, P, N]
        return pool_rows([input], Taps(y_rows, y.weight), x)  # [K, P, P, C]

    if sampling_ratio > 0:
        out = pool(slice(None))
    else:
        out = by_size(extent / extent.new_tensor(size[::-1]), 2, pool)
    return out.permute(0, 3, 1, 2).to(input.dtype)  # [K, C, P, P]
