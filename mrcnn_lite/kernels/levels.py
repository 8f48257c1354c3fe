"""Each RoI's image and level in one launch, and RoIAlign of the pyramid after it.

The tensor form finds them in some twenty small operations, which take longer to launch than the
pooling takes. One program owns 256 RoIs. It asks how many thresholds a RoI's size reaches, instead
of taking a logarithm: the two can differ only where a size lies within a rounding of a threshold.
"""

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ops.rois import LEVEL_EPS, Boxes, Grid
from .overlap import box_at
from .pyramid import coordinate_type
from .roi_align import roi_align_op

BLOCK_K = 256  # RoIs per program


@triton.jit
def _levels_kernel(
    # pointers: corners [K, 4], image and level [K, 2]
    corner_ptr, map_index_ptr,
    # sizes
    count, per_image, levels,
    smallest,  # the area, in pixels, at which the second level begins; each next is four times it
    # compile-time constants
    BLOCK_K: tl.constexpr,
):  # fmt: skip
    k = tl.program_id(0) * BLOCK_K + tl.arange(0, BLOCK_K)
    exists = k < count
    x1, y1, x2, y2 = box_at(corner_ptr, k, exists)
    area = (x2 - x1) * (y2 - y1)  # negative for a reversed box, which goes to the finest level
    level = tl.zeros((BLOCK_K,), dtype=tl.int32)
    limit = smallest
    for _ in range(1, levels):
        level += (area >= limit).to(tl.int32)
        limit *= 4
    tl.store(map_index_ptr + 2 * k, (k // per_image).to(tl.int32), mask=exists)
    tl.store(map_index_ptr + 2 * k + 1, level, mask=exists)


@torch.library.custom_op("mrcnn_lite::roi_levels", mutates_args=())
def roi_levels_op(corners: Tensor, per_image: int, levels: int, smallest: float) -> Tensor:
    """Image and level of K RoIs, Tensor[K, 2] int32; `per_image` of them belong to each image.

    Bytes moved: the corners and the result, once.
    """
    out = corners.new_empty(len(corners), 2, dtype=torch.int32)  # [K, 2]
    if len(out):
        _levels_kernel[triton.cdiv(len(out), BLOCK_K),](
            corners, out, len(out), per_image, levels, smallest, BLOCK_K=BLOCK_K,
        )  # fmt: skip
    return out


@roi_levels_op.register_fake
def _(corners, per_image, levels, smallest):
    return corners.new_empty(len(corners), 2, dtype=torch.int32)  # [K, 2]


def multiscale_roi_align(
    features: Sequence[Tensor],
    boxes: Boxes,
    scales: Sequence[float],
    grid: Grid,
    canonical_scale: float,
    canonical_level: int,
) -> Tensor:
    """The kernel form of `ops.multiscale_roi_align`, for as many boxes, R, in each image, or for
    Tensor[K, 5], whose images one more operation copies."""
    given = isinstance(boxes, Tensor)
    corners = boxes[:, 1:].contiguous() if given else torch.cat(list(boxes))
    corners = corners.to(coordinate_type(features[0].dtype))  # [K, 4]
    second = 1 - round(math.log2(scales[0]))
    side = canonical_scale * 2.0 ** (second - canonical_level - LEVEL_EPS)  # pixels
    map_index = roi_levels_op(corners.detach(), len(boxes[0]), len(features), side**2)  # [K, 2]
    if given:
        map_index[:, 0] = boxes[:, 0].detach()
    settings = list(scales), list(grid.size), grid.samples, grid.aligned
    return roi_align_op(list(features), map_index, corners, *settings)
