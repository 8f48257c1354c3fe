"""Bilinear sampling: the value of a feature map between its elements.

Element (i, j) of the map stands at y = i, x = j. A sample lies in one cell, whose four corners are
weighted by how near it is. These are the border rules of RoIAlign:

    outside [-1, h] x [-1, w]   the sample is 0
    inside that, off the map    the sample is moved onto the nearest edge of the map
"""

import torch
from torch import Tensor

from mrcnn_lite.ops.checks import check_finite, check_tensor


def bilinear_loop(feature: Tensor, y: float | Tensor, x: float | Tensor) -> Tensor:
    """One sample, written as the formula.

    Args:
        feature: Tensor[C, h, w].
        y: row coordinate, in elements of the map; a number, or a Tensor[] to be differentiated.
        x: column coordinate, likewise.

    Returns:
        Tensor[C].
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

    Raises:
        TypeError, ValueError: a wrong shape or dtype, or a value that is not finite.
    """
    check_tensor(features, "features", "[C, h, w]")
    check_tensor(y, "y", "[...]")
    check_tensor(x, "x", "[...]")
    if y.shape != x.shape:
        raise ValueError(f"y {list(y.shape)} and x {list(x.shape)} must have the same shape")
    check_finite(features, "features")
    check_finite(y, "y")
    check_finite(x, "x")
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
    """The two elements around each position on one axis, and how far it is past the first.

    Args:
        position: Tensor[...], coordinates on an axis of n elements.
        n: length of the axis; a tensor when it differs from position to position.

    Returns:
        low: Tensor[...] int64, the element at or before the position.
        high: Tensor[...] int64, the next element (the last one twice at the far edge).
        fraction: Tensor[...] in 0..1, the weight of `high`; its derivative is the right derivative.
        inside: Tensor[...] bool, False where the sample counts as 0. A NaN is not inside.
    """
    inside = (position >= -1) & (position <= n)
    last = n - 1
    on_map = torch.fmax(position, position.new_zeros(()))  # a NaN becomes 0, an index that exists
    on_map = torch.minimum(on_map, last) if isinstance(last, Tensor) else on_map.clamp(max=last)
    low = on_map.detach().long()  # [...]; truncation is floor, since nothing is negative
    high = low + 1
    high = torch.minimum(high, last) if isinstance(last, Tensor) else high.clamp_(max=last)
    return low, high, on_map - low, inside
