"""Weighted sums of table rows: the form in which RoIAlign runs.

Lay the map out as a table with one row per pixel and one column per channel. An output bin is then
a weighted sum of a few rows, the same weights for every channel, and `embedding_bag`, made for text
models, is exactly that: it reads each row once, in order, all channels at a time.

Its gradient is the same operation with the roles exchanged: a pixel's gradient is a weighted sum of
the bins that read it. One sort of the index list by pixel turns the one list into the other. No two
writes meet, so the result does not depend on the order in which threads run.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mrcnn_lite.ops.taps import Taps

# Entries of the index list that exist at a time (each takes 8 bytes): bounds the memory.
MAX_ENTRIES = 1 << 22
INT16_MAX, INT32_MAX = 2**15 - 1, 2**31 - 1


def pixel_table(features: Tensor) -> Tensor:
    """One row per pixel, one column per channel; no copy when the map is channels_last.

    Args:
        features: Tensor[B, C, h, w].

    Returns:
        Tensor[B * h * w, C].
    """
    rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])  # [B * h * w, C]
    return rows.contiguous()  # reshape gives a view, columns apart, when there is one image


def pool_rows(table: Tensor, y: Taps, x: Taps) -> Tensor:
    """Sum table rows with weights that are products of a weight along y and one along x.

    Args:
        table: Tensor[N, C], one row per pixel.
        y: taps along y; their indices are those of the first table row of a pixel row.
        x: taps along x; their indices are added to those of y.

    Returns:
        Tensor[K, P, P, C], differentiable in the table and in both weights.
    """
    if y.weight.requires_grad or x.weight.requires_grad:
        # embedding_bag's own backward also serves the weights, more slowly.
        index, weight = _products(y, x, torch.int64)
        out = F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)
        return out.view(*y.index.shape[:2], x.index.shape[1], -1)  # [K, P, P, C]
    return _PoolRows.apply(table, *y, *x)


class _PoolRows(torch.autograd.Function):
    """`pool_rows` for constant weights, with the backward pass as a second `embedding_bag`.

    The index list is made again in the backward pass: that takes less time than reading features,
    and the memory between the passes stays that of the taps along the two axes.
    """

    @staticmethod
    def forward(ctx, table, y_index, y_weight, x_index, x_weight):
        """Pool: Tensor[N, C] to Tensor[K, P, P, C]."""
        ctx.save_for_backward(y_index, y_weight, x_index, x_weight)
        ctx.rows = len(table)
        y, x = Taps(y_index, y_weight), Taps(x_index, x_weight)
        grid = (y_index.shape[1], x_index.shape[1], table.shape[1])
        out = table.new_empty(len(y_index), *grid)  # [K, P, P, C]
        for part, index, weight in _lists(y, x, len(table)):
            bags = F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)
            if len(bags) == out.shape[:3].numel():
                return bags.view(out.shape)
            out[part] = bags.view(-1, *grid)
        return out

    @staticmethod
    def backward(ctx, grad):
        """Give every pixel its share: Tensor[K, P, P, C] to Tensor[N, C]."""
        y_index, y_weight, x_index, x_weight = ctx.saved_tensors
        y, x = Taps(y_index, y_weight), Taps(x_index, x_weight)
        total = None
        for part, index, weight in _lists(y, x, ctx.rows):
            pixels = _transposed(grad[part].reshape(len(index), -1), index, weight, ctx.rows)
            total = pixels if total is None else total + pixels
        if total is None:
            total = grad.new_zeros(ctx.rows, grad.shape[-1])  # [N, C]
        return total, None, None, None, None


def _lists(y: Taps, x: Taps, rows: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Index lists and weights for as many RoIs at a time as MAX_ENTRIES allows."""
    per_roi = y.index[:1].numel() * x.index[:1].numel()
    step = max(1, MAX_ENTRIES // max(1, per_roi))
    dtype = torch.int32 if max(rows, step * per_roi) < INT32_MAX else torch.int64
    for first in range(0, len(y.index), step):
        part = slice(first, first + step)
        yield part, *_products(Taps(*(t[part] for t in y)), Taps(*(t[part] for t in x)), dtype)


def _products(y: Taps, x: Taps, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Every tap along y with every tap along x.

    Returns:
        index: Tensor[bins, taps] of K P P bins, table rows.
        weight: Tensor[bins, taps].
    """
    k, bins_y, taps_y = y.index.shape
    bins_x, taps_x = x.index.shape[1:]
    taps = taps_y * taps_x

    # Both sides first get the full list of taps, so that the sum below runs over long rows.
    def along_y(t: Tensor) -> Tensor:
        return t[..., None].expand(-1, -1, -1, taps_x).reshape(k, bins_y, 1, taps)

    def along_x(t: Tensor) -> Tensor:
        return t[:, :, None].expand(-1, -1, taps_y, -1).reshape(k, 1, bins_x, taps)

    index = along_y(y.index.to(dtype)) + along_x(x.index.to(dtype))  # [K, P, P, taps]
    weight = along_y(y.weight) * along_x(x.weight)  # [K, P, P, taps]
    return index.view(-1, taps), weight.view(-1, taps)


def _transposed(grad: Tensor, index: Tensor, weight: Tensor, rows: int) -> Tensor:
    """For every table row, the weighted sum of the bins that read it.

    Args:
        grad: Tensor[N, C], one row per bin.
        index: Tensor[bins, taps], the table rows each bin read.
        weight: Tensor[bins, taps].
        rows: rows of the table.

    Returns:
        Tensor[rows, C].
    """
    bins, taps = index.shape
    flat = index.view(-1)  # [bins * taps]
    # Sorting shorter integers takes fewer passes.
    keys = flat.to(torch.int16) if rows <= INT16_MAX else flat
    keys, order = torch.sort(keys, stable=True)
    owner = torch.arange(bins, device=flat.device, dtype=index.dtype)  # [bins]
    owner = owner[:, None].expand(-1, taps).reshape(-1).index_select(0, order)  # [bins * taps]
    return F.embedding_bag(
        owner,
        grad,
        offsets=_row_starts(flat, keys, rows).to(owner.dtype),
        mode="sum",
        per_sample_weights=weight.view(-1).index_select(0, order),
        include_last_offset=True,
    )


def _row_starts(flat: Tensor, keys: Tensor, rows: int) -> Tensor:
    """Where the entries of each row begin in the sorted list, and where the last one ends."""
    if flat.device.type == "cpu":
        starts = torch.zeros(rows + 1, dtype=torch.int64)
        torch.cumsum(torch.bincount(flat, minlength=rows), dim=0, out=starts[1:])
        return starts
    # bincount would make the host wait for the device.
    return torch.searchsorted(keys, torch.arange(rows + 1, device=keys.device, dtype=keys.dtype))
