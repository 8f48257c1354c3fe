"""Which elements of one axis a bin reads, and with what weight.

RoIAlign averages samples that are bilinear values. Bilinear weights are products of a weight along
y and a weight along x, the rule "0 outside the map" is a product of two conditions, and the mean
over S x S samples is a mean of means: so the whole operation is separable. Everything that is
specific to RoIAlign happens on one axis, here; what remains is multiplication.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mrcnn_lite.ops.bilinear import corners

# Adaptive sampling takes about one sample per element; no sensible box needs more per bin.
MAX_SAMPLES = 4096


class Taps(NamedTuple):
    """What each bin of each RoI reads on one axis.

    Attributes:
        index: Tensor[K, P, N] int64, elements of the axis.
        weight: Tensor[K, P, N], their weights, the mean over samples included.
    """

    index: Tensor
    weight: Tensor


def axis_taps(
    start: Tensor, extent: Tensor, bins: int, samples: int, n: int | Tensor
) -> Taps:
    """Elements and weights that RoIAlign uses along one axis.

    Args:
        start: Tensor[K], where each RoI begins, in elements of the map.
        extent: Tensor[K], its size, in elements of the map.
        bins: P.
        samples: S, samples per bin; 0 or less means adaptive, ceil(extent / P) for each RoI.
        n: length of the axis, or Tensor[K] when the RoIs lie on different maps.

    Returns:
        Taps with N = 2 S: every sample reads two neighbours.
    """
    bin_size = extent / bins  # [K]
    if samples > 0:
        count, most = samples, samples
    else:
        count = torch.ceil(bin_size.detach())[:, None]  # [K, 1]
        most = int(count.max().clamp(min=1)) if len(count) else 1
        if most > MAX_SAMPLES:
            row = int(count.argmax())
            raise ValueError(
                f"boxes: row {row} covers {extent[row].item():g} elements of the map; adaptive "
                f"sampling would take {most} samples per bin and axis. Clip the boxes to the "
                f"image, or give sampling_ratio"
            )
    bin_index = torch.arange(bins, device=start.device, dtype=start.dtype)  # [P]
    sample = torch.arange(most, device=start.device, dtype=start.dtype)  # [S]
    # The same order of operations as the C++ kernels, for the same rounding in float32.
    first = start[:, None] + bin_index * bin_size[:, None]  # [K, P]
    within = (sample + 0.5) * bin_size[:, None] / count  # [K, S]
    position = first[:, :, None] + within[:, None, :]  # [K, P, S]
    length = n[:, None, None] if isinstance(n, Tensor) else n
    low, high, fraction, inside = corners(position, length)  # [K, P, S] each
    if samples <= 0:
        used = sample < count  # [K, S]
        inside = inside & used[:, None, :]
        count = count.clamp(min=1)[:, :, None]  # [K, 1, 1]
    share = inside.to(start.dtype) / count  # [K, P, S]
    after = torch.where(inside, fraction, 0.0) * share
    return Taps(torch.cat([low, high], dim=2), torch.cat([share - after, after], dim=2))


def dense(taps: Taps, n: int) -> Tensor:
    """Write the weights into rows of a matrix, one row per bin.

    Args:
        taps: of K RoIs with P bins.
        n: length of the axis.

    Returns:
        Tensor[K, P, n].
    """
    matrix = taps.weight.new_zeros(*taps.weight.shape[:2], n)  # [K, P, n]
    return matrix.scatter_add(2, taps.index, taps.weight)
