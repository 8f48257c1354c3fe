"""Which elements of one axis a bin reads, and with what weight.

RoIAlign averages samples that are bilinear values. Bilinear weights are products of a weight along
y and a weight along x, the rule "0 outside the map" is a product of two conditions, and the mean
over S x S samples is a mean of means: so the whole operation is separable. Everything that is
special about RoIAlign happens on one axis, in this file; what remains is multiplication.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mrcnn_lite.ops.bilinear import corners
from mrcnn_lite.ops.checks import reads_values

# Adaptive sampling takes about one sample per element of the map; no map has bins this large.
MAX_SAMPLES = 4096


class Taps(NamedTuple):
    """What each bin of each RoI reads on one axis.

    Attributes:
        index: Tensor[K, P, N] int64, elements of the axis.
        weight: Tensor[K, P, N], their weights; the mean over the samples is included.
    """

    index: Tensor
    weight: Tensor


def axis_taps(start: Tensor, extent: Tensor, bins: int, samples: int, n: int | Tensor) -> Taps:
    """Elements and weights that RoIAlign uses along one axis.

    Args:
        start: Tensor[K], where each RoI begins, in elements of the map.
        extent: Tensor[K], its size, in elements of the map.
        bins: P.
        samples: S, samples per bin; 0 or less means adaptive, ceil(extent / P) for each RoI.
        n: length of the axis, or Tensor[K] when the RoIs lie on different maps.

    Returns:
        Taps with N = 2 S, since every sample reads two neighbours, or fewer where samples share
        neighbours. The weights are differentiable in `start` and `extent`.

    Raises:
        ValueError: adaptive sampling of an absurdly large box.
    """
    position, share = _sample_positions(start, extent / bins, bins, samples)  # [K, P, S]
    length = n[:, None, None] if isinstance(n, Tensor) else n
    low, high, fraction, inside = corners(position, length)  # [K, P, S] each
    both = inside.to(start.dtype) * share  # [K, P, S], the weight of both neighbours together
    after = both * fraction  # [K, P, S]
    taps = Taps(torch.cat([low, high], dim=2), torch.cat([both - after, after], dim=2))
    if position.shape[2] == 1 or not reads_values(start):
        return taps
    # Samples of a bin stand in order, or in reversed order in a reversed box.
    return _merge(taps, torch.minimum(low[:, :, :1], low[:, :, -1:]), length)


def dense(taps: Taps, n: int) -> Tensor:
    """Write the weights into rows of a matrix, one row per bin.

    Args:
        taps: of K RoIs with P bins.
        n: length of the axis.

    Returns:
        Tensor[K, P, n]; the product of such a matrix with the axis pools it.
    """
    matrix = taps.weight.new_zeros(*taps.weight.shape[:2], n)  # [K, P, N]
    return matrix.scatter_add(2, taps.index, taps.weight)


def by_size(bin_size: Tensor, finest: int, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """Pool RoIs together that need about as many samples; the largest decides for its group.

    Args:
        bin_size: Tensor[K, 2], elements.
        finest: bins up to this size are not told apart.
        pool: takes rows, Tensor[N] int64, and gives Tensor[N, ...].

    Returns:
        Tensor[K, ...], what `pool` gave, in the order of the RoIs.
    """
    adaptive_counts(bin_size)  # complains while rows still have the caller's numbers
    doublings = bin_size.detach().amax(dim=1).clamp(min=finest).log2().ceil()  # [K]
    groups = [torch.nonzero(doublings == d)[:, 0] for d in doublings.unique()]
    if len(groups) < 2:
        return pool(torch.arange(len(bin_size), device=bin_size.device))
    pooled = torch.cat([pool(rows) for rows in groups])  # [K, ...]
    return pooled[torch.argsort(torch.cat(groups))]


def _sample_positions(
    start: Tensor, bin_size: Tensor, bins: int, samples: int
) -> tuple[Tensor, float | Tensor]:
    """Where the samples stand, Tensor[K, P, S], and the share of each in the mean of its bin."""
    device, dtype = start.device, start.dtype
    if samples > 0:
        sample, count, share = (
            torch.arange(samples, device=device, dtype=dtype),
            samples,
            1 / samples,
        )
    else:
        count = adaptive_counts(bin_size)[:, None]  # [K, 1]
        most = int(count.max().clamp(1, MAX_SAMPLES)) if len(count) else 1
        sample = torch.arange(most, device=device, dtype=dtype)  # [S]
        used = sample < count  # [K, S]
        count = count.clamp(min=1)  # [K, 1]
        sample = torch.minimum(sample, count - 1)  # [K, S]; spare samples repeat the last one,
        share = (used / count)[:, None]  # [K, 1, S]; and count nothing
    # The same order of operations as the C++ kernels, so that float32 rounds the same way.
    bin_index = torch.arange(bins, device=device, dtype=dtype)  # [P]
    first = start[:, None] + bin_index * bin_size[:, None]  # [K, P]
    within = (sample + 0.5) * bin_size[:, None] / count  # [K, S]
    return first[:, :, None] + within[:, None, :], share  # [K, P, S]


def adaptive_counts(bin_size: Tensor) -> Tensor:
    """Samples per bin and axis when their number is left to the size: one per element, rounded up.

    Args:
        bin_size: Tensor[K, ...], elements; 0 or negative for empty and reversed boxes.

    Returns:
        Tensor[K, ...], whole numbers; 0 or less means that no sample is taken.

    Raises:
        ValueError: a box so large that this would take forever.
    """
    count = torch.ceil(bin_size.detach())  # [K]
    if reads_values(count) and count.numel() and count.max() > MAX_SAMPLES:
        row = int((count > MAX_SAMPLES).nonzero()[0, 0])
        raise ValueError(
            f"boxes: row {row} is so large that adaptive sampling would take "
            f"{count[row].max():.0f} samples per bin and axis; clip boxes to the image or give a "
            f"sampling_ratio"
        )
    return count


def _merge(taps: Taps, first: Tensor, n: int | Tensor) -> Taps:
    """Add up the weights of elements that several samples of a bin read.

    Samples less than one element apart share neighbours: two samples then read three elements, not
    four, and adaptive sampling about half as many. The elements of a bin become a window without
    gaps, beginning with `first`, Tensor[K, P, 1]; nothing changes where that window would be longer
    than the list it replaces.
    """
    place = taps.index - first  # [K, P, N]
    window = int(place.max()) + 1 if len(place) else 1
    if window >= taps.index.shape[2]:
        return taps
    weight = taps.weight.new_zeros(*place.shape[:2], window)  # [K, P, N]
    weight = weight.scatter_add(2, place, taps.weight)
    index = first + torch.arange(window, device=first.device)  # [K, P, N]
    last = n - 1
    index = torch.minimum(index, last) if isinstance(last, Tensor) else index.clamp_(max=last)
    return Taps(index, weight)
