"""What happens on one axis, for kernels to call: as in `ops.bilinear`.

They are inlined into the kernels that use them. A `position` may be one number or a block of them.
"""

import triton
import triton.language as tl


@triton.jit
def divide(a: tl.tensor, b: tl.tensor) -> tl.tensor:
    """a / b, rounded as on a CPU: `/` of float32 multiplies by a reciprocal, and 21 / 7 is more
    than 3, so that a bin of RoIAlign would get a fourth sample."""
    b = tl.cast(b, a.dtype)
    if a.dtype == tl.float32:
        ratio = tl.div_rn(a, b)
    else:
        ratio = a / b
    return ratio


@triton.jit
def roi_axis(
    corner_ptr: tl.tensor, scale: tl.tensor, axis: tl.constexpr, ALIGNED: tl.constexpr
) -> tuple:
    """Where a RoI of x1, y1, x2, y2 begins on an axis of the map (0 is x), and how long it is."""
    shift: tl.constexpr = 0.5 if ALIGNED else 0.0
    start = tl.load(corner_ptr + axis) * scale - shift
    extent = tl.load(corner_ptr + axis + 2) * scale - shift - start
    if not ALIGNED:
        extent = tl.maximum(extent, 1.0)
    return start, extent


@triton.jit
def bins(extent: tl.tensor, COUNT: tl.constexpr, SAMPLES: tl.constexpr) -> tuple:
    """The size of a bin, its samples, and the share of each in their mean; the samples are a
    constant, or (SAMPLES <= 0, adaptive) one per element of the bin."""
    bin_size = divide(extent, COUNT)
    if SAMPLES > 0:
        samples: tl.constexpr = SAMPLES
        share: tl.constexpr = 1 / SAMPLES
    else:
        samples = tl.maximum(tl.ceil(bin_size), 0.0).to(tl.int32)
        share = divide(tl.full((), 1.0, extent.dtype), tl.maximum(samples, 1))
    return bin_size, samples, share


@triton.jit
def corners(position: tl.tensor, n: tl.tensor) -> tuple:
    """The two elements around a position, the weight of the second, and 1 if the sample counts.

    A sample too far outside counts 0, and so does a NaN, which compares false with everything. Both
    elements exist in any case, so that reading them is always allowed.
    """
    counts = tl.where((position >= -1.0) & (position <= n), 1.0, 0.0)
    on_map = tl.minimum(tl.maximum(position, 0.0), n - 1.0)
    low = on_map.to(tl.int32)  # truncation is floor, since nothing is negative
    high = tl.minimum(low + 1, n - 1)
    return low, high, on_map - low, counts


@triton.jit
def moves(position: tl.tensor, n: tl.tensor) -> tl.tensor:
    """1 where a sample's value changes when its position does, 0 where it was put onto the edge."""
    return tl.where((position >= 0.0) & (position <= n - 1.0), 1.0, 0.0)


@triton.jit
def interpolation(
    element: tl.tensor, start: tl.tensor, extent: tl.tensor, n: tl.tensor,
    COUNT: tl.constexpr, SAMPLES: tl.constexpr, BLOCK_P: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """The weight of elements [N] of an axis in each of COUNT bins: a block of the axis's matrix A.

    Spare bins, up to BLOCK_P, get weights too, which the caller masks.
    """
    bin_index = tl.arange(0, BLOCK_P)
    bin_size, samples, share = bins(extent, COUNT, SAMPLES)
    weight = tl.zeros((element.shape[0], BLOCK_P), dtype=start.dtype)
    for s in range(samples):
        position = start + bin_index * bin_size + (s + 0.5) * bin_size * share  # [BLOCK_P]
        low, high, fraction, counts = corners(position, n)
        weight += tl.where(
            element[:, None] == low[None, :], (counts * (1 - fraction))[None, :], 0.0
        )
        weight += tl.where(element[:, None] == high[None, :], (counts * fraction)[None, :], 0.0)
    return weight * share  # [N, BLOCK_P]


@triton.jit
def footprint(start: tl.tensor, extent: tl.tensor, n: tl.tensor) -> tuple:
    """The first element that a RoI can read on an axis, and the one after the last."""
    first = tl.minimum(tl.maximum(tl.minimum(start, start + extent), 0.0), n - 1.0).to(tl.int32)
    last = tl.minimum(tl.maximum(tl.maximum(start, start + extent), 0.0), n - 1.0).to(tl.int32)
    return first, tl.minimum(last + 2, n)
