"""The overlap of two boxes, for kernels to call: as in `ops.boxes.pairwise_iou`.

A threshold or a tie turns on the last bit of an overlap, so every rounding here is the one of
`pairwise_iou`: the same operations in the same order, and a division that rounds rightly. One thing
is the caller's: to launch its kernel with `enable_fp_fusion=False`, or the compiler fuses a product
with the sum that follows, which leaves out a rounding.
"""

import triton
import triton.language as tl

from .axis import divide

# The smallest normal numbers, for a union of nothing: then 0 / tiny = 0.
TINY32, TINY64 = tl.constexpr(2.0**-126), tl.constexpr(2.0**-1022)


@triton.jit
def box_at(box_ptr: tl.tensor, row: tl.tensor, exists: tl.tensor) -> tuple:
    """The corners of boxes of a table [N, 4]; zeros where `exists` says that there is no row."""
    x1 = tl.load(box_ptr + 4 * row, mask=exists, other=0.0)
    y1 = tl.load(box_ptr + 4 * row + 1, mask=exists, other=0.0)
    x2 = tl.load(box_ptr + 4 * row + 2, mask=exists, other=0.0)
    y2 = tl.load(box_ptr + 4 * row + 3, mask=exists, other=0.0)
    return x1, y1, x2, y2


@triton.jit
def overlap(
    ax1: tl.tensor, ay1: tl.tensor, ax2: tl.tensor, ay2: tl.tensor,
    bx1: tl.tensor, by1: tl.tensor, bx2: tl.tensor, by2: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """Area of the intersection over area of the union; NaN where a corner is NaN."""
    areas = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1)
    width = tl.maximum(tl.minimum(ax2, bx2) - tl.maximum(ax1, bx1), 0.0)
    height = tl.maximum(tl.minimum(ay2, by2) - tl.maximum(ay1, by1), 0.0)
    both = width * height
    # Minimum and maximum lose a NaN, but `areas` still has it.
    tiny: tl.constexpr = TINY64 if both.dtype == tl.float64 else TINY32
    union = tl.maximum(areas - both, tiny, propagate_nan=tl.PropagateNan.ALL)
    return divide(both, union)
