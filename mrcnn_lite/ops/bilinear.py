"""Bilinear sampling: the value of a feature map between its elements.

Element (i, j) of the map stands at y = i, x = j. A sample lies between four elements, each
weighted by how near it is. These are the border rules of RoIAlign:

    outside [-1, h] x [-1, w]   the sample is 0
    inside that, off the map    the sample is moved onto the nearest edge of the map

The four weights are products of a weight along y and one along x, the border rule is a product of
two conditions, and the mean over S x S samples is a mean of means: RoIAlign is separable. What is
special about it happens on one axis (`interpolation`); what remains is multiplication.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Adaptive sampling takes about one sample per element of the map; no map has bins this large.
MAX_SAMPLES = 4096


def bilinear_loop(feature: Tensor, y: float | Tensor, x: float | Tensor) -> Tensor:
    """One sample, written as the formula: Tensor[C, h, w] and a point give Tensor[C].

    The point is in elements of the map: numbers, or Tensor[] to be differentiated.
    """
    h, w = feature.shape[-2:]
    if not (-1 <= y <= h and -1 <= x <= w):
        return feature.new_zeros(len(feature))  # [C]
    y, x = min(max(y, 0.0), h - 1.0), min(max(x, 0.0), w - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
    v, u = y - top, x - left
    return (
        (1 - v) * (1 - u) * feature[:, top, left]
        + (1 - v) * u * feature[:, top, right]
        + v * (1 - u) * feature[:, bottom, left]
        + v * u * feature[:, bottom, right]
    )  # [C]


def bilinear(features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Many samples of one map.

    Args:
        features: Tensor[C, h, w].
        y: Tensor[...], row coordinates in elements of the map.
        x: Tensor[...], column coordinates, same shape.

    Returns:
        Tensor[C, ...], differentiable in the features and in both coordinates.
    """
    h, w = features.shape[-2:]
    top, bottom, v, inside_y = corners(y, h)
    left, right, u, inside_x = corners(x, w)
    value = (
        (1 - v) * (1 - u) * features[:, top, left]
        + (1 - v) * u * features[:, top, right]
        + v * (1 - u) * features[:, bottom, left]
        + v * u * features[:, bottom, right]
    )  # [C, ...]
    return torch.where(inside_y & inside_x, value, 0.0)


def corners(position: Tensor, n: int | Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two elements around each position on an axis of n elements: Tensor[...] each of

    low: int64, the element at or before the position.
    high: int64, the next element (the last one twice at the far edge).
    fraction: 0..1, the weight of `high`; its derivative is the right derivative.
    inside: bool, False where the sample counts as 0. A NaN is not inside.
    """
    inside, last = (position >= -1) & (position <= n), n - 1
    on_map = torch.fmax(position, position.new_zeros(()))  # a NaN becomes 0, an index that exists
    on_map = _at_most(on_map, last)
    low = on_map.detach().long()  # [...]; truncation is floor, since nothing is negative
    return low, _at_most(low + 1, last), on_map - low, inside


def _at_most(x: Tensor, limit: int | Tensor) -> Tensor:
    return torch.minimum(x, limit) if isinstance(limit, Tensor) else x.clamp(max=limit)


class Interpolation(NamedTuple):
    """What each bin of each RoI reads on one axis."""

    index: Tensor  # [K, P, N] int64, elements of the axis
    weight: Tensor  # [K, P, N], their weights; the mean over the samples is included

    def matrix(self, n: int) -> Tensor:
        """The weights as Tensor[K, P, n] for an axis of n elements: a matrix that pools it."""
        matrix = self.weight.new_zeros(*self.weight.shape[:2], n)  # [K, P, N]
        return matrix.scatter_add(2, self.index, self.weight)


def interpolation(
    start: Tensor, extent: Tensor, bins: int, samples: int, n: int | Tensor
) -> Interpolation:
    """Elements and weights of RoIAlign along an axis of n elements, for P bins with S samples each.

    `start` and `extent`, Tensor[K], say where each RoI begins and its size, in elements of the map;
    the weights are differentiable in them. Every sample reads two neighbours, so there are 2 S
    elements a bin, or fewer where samples share them. `samples` of 0 or less are adaptive, and `n`
    is Tensor[K] when the RoIs lie on different maps.
    """
    position, share = _sample_positions(start, extent / bins, bins, samples)  # [K, P, S]
    n = n[:, None, None] if isinstance(n, Tensor) else n
    low, high, fraction, inside = corners(position, n)  # [K, P, S] each
    both = inside.to(start.dtype) * share  # [K, P, S], the weight of both neighbours together
    after = both * fraction  # [K, P, S]
    index, weight = torch.cat([low, high], dim=2), torch.cat([both - after, after], dim=2)
    looked_at = start.device.type == "cpu" and not torch.compiler.is_exporting()
    if position.shape[2] > 1 and looked_at:
        # Samples of a bin stand in order, or in reversed order in a reversed box.
        return _merge(index, weight, torch.minimum(low[:, :, :1], low[:, :, -1:]), n)
    return Interpolation(index, weight)


def _sample_positions(
    start: Tensor, bin_size: Tensor, bins: int, samples: int
) -> tuple[Tensor, float | Tensor]:
    """Where the samples stand, Tensor[K, P, S], and the share of each in the mean of its bin."""
    device, dtype = start.device, start.dtype
    if samples > 0:
        count, share = samples, 1 / samples
        sample = torch.arange(samples, device=device, dtype=dtype)  # [S]
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

    Bins of Tensor[K, ...] elements; empty and reversed boxes have 0 or less, and take no sample.
    """
    count = torch.ceil(bin_size.detach())  # [K, ...]
    if count.device.type == "cpu" and count.numel() and count.max() > MAX_SAMPLES:
        row = int((count > MAX_SAMPLES).nonzero()[0, 0])
        raise ValueError(
            f"boxes: row {row} is so large that adaptive sampling would take "
            f"{count[row].max():.0f} samples per bin and axis; clip boxes to the image or give a "
            f"sampling_ratio"
        )
    return count


def by_size(bin_size: Tensor, finest: int, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """Pool RoIs together whose bins, Tensor[K, 2] of elements, need about as many samples; up to
    `finest` all do. `pool` takes rows, Tensor[N] int64, and gives Tensor[N, ...]."""
    adaptive_counts(bin_size)  # complains while rows still have the caller's numbers
    doublings = bin_size.detach().amax(dim=1).clamp(min=finest).log2().ceil()  # [K]
    groups = [torch.nonzero(doublings == d)[:, 0] for d in doublings.unique()]
    if len(groups) < 2:
        return pool(torch.arange(len(bin_size), device=bin_size.device))
    pooled = torch.cat([pool(rows) for rows in groups])  # [K, ...]
    return pooled[torch.argsort(torch.cat(groups))]


def _merge(index: Tensor, weight: Tensor, first: Tensor, n: int | Tensor) -> tuple[Tensor, Tensor]:
    """Add up the weights of elements that several samples of a bin read: two samples less than one
    element apart read three elements, not four, adaptive sampling about half as many.

    They become a window without gaps from `first`, Tensor[K, P, 1], unless that would be longer.
    """
    column = index - first  # [K, P, N]
    window = int(column.max()) + 1 if len(column) else 1
    if window >= index.shape[2]:
        return Interpolation(index, weight)
    merged = weight.new_zeros(*column.shape[:2], window)  # [K, P, N]
    merged = merged.scatter_add(2, column, weight)
    index = first + torch.arange(window, device=first.device)  # [K, P, N]
    return Interpolation(_at_most(index, n - 1), merged)
