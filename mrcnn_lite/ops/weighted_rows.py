"""Weighted sums of table rows: the form in which RoIAlign runs.

Lay the map out as a table with one row per pixel and one column per channel. An output bin is then
a weighted sum of a few rows, the same weights for every channel, and `embedding_bag`, made for text
models, is exactly that: it reads each row once, in order, all channels at a time.

Its gradient is the same operation with the roles exchanged: a pixel's gradient is a weighted sum of
the bins that read it. One sort of the index list by pixel turns the one list into the other. No two
writes meet, so the result does not depend on the order in which threads run.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mrcnn_lite.ops.pixel_rows import (
    Layout,
    channel_blocks,
    from_table,
    is_table,
    pixel_table,
    read_pixels,
    write_pixels,
)
from mrcnn_lite.ops.taps import Taps

# Entries of the index list that exist at a time (each takes 8 bytes): bounds the memory.
MAX_ENTRIES = 1 << 22
INT16_MAX, INT32_MAX = 2**15 - 1, 2**31 - 1


def pool_rows(maps: Sequence[Tensor], y: Taps, x: Taps) -> Tensor:
    """Sum pixels of the maps with weights that are products of a weight along y and one along x.

    Args:
        maps: L Tensor[B, C, h, w], read as the table that `pixel_rows` describes.
        y: taps along y; their indices are those of the first table row of a pixel row.
        x: taps along x; their indices are added to those of y.

    Returns:
        Tensor[K, P, P, C] of the weights' dtype, differentiable in the maps and in both weights.
    """
    if y.weight.requires_grad or x.weight.requires_grad:
        # embedding_bag's own backward also serves the weights, more slowly.
        index, weight = _products(y, x, torch.int64)
        table = pixel_table(maps).to(weight.dtype)
        out = F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)
        return out.view(*y.index.shape[:2], x.index.shape[1], -1)  # [K, P, P, C]
    return _Pool.apply(*y, *x, *maps)


class _Pool(torch.autograd.Function):
    """`pool_rows` for constant weights. It is linear in the maps; `_Spread` is its transpose.

    The index list is made again in the backward pass: that takes less time than reading features,
    and between the passes only the taps along the two axes are kept.
    """

    @staticmethod
    def forward(ctx, y_index, y_weight, x_index, x_weight, *maps):
        """Pool: L maps Tensor[B, C, h, w] give Tensor[K, P, P, C]."""
        ctx.save_for_backward(y_index, y_weight, x_index, x_weight)
        ctx.layouts = [Layout.of(f) for f in maps]
        y, x = Taps(y_index, y_weight), Taps(x_index, x_weight)
        grid = (len(y_index), y_index.shape[1], x_index.shape[1], maps[0].shape[1])
        out = y_weight.new_empty(grid)  # [K, P, P, C]
        for part, index, weight in _lists(y, x, _row_count(ctx.layouts)):
            rows = out[part].flatten(0, 2)  # [bins, C]
            for channels, table in _tables(maps, weight):
                bags = F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)
                if bags.numel() == out.numel():
                    return bags.view(grid)
                rows[:, channels] = bags
        return out

    @staticmethod
    def backward(ctx, grad):
        """Give every map its gradient; the taps are constants."""
        return (None,) * 4 + _Spread.apply(grad, *ctx.saved_tensors, ctx.layouts)


class _Spread(torch.autograd.Function):
    """The transpose of `_Pool`: every pixel collects from the bins that read it."""

    @staticmethod
    def forward(ctx, grad, y_index, y_weight, x_index, x_weight, layouts):
        """Spread: Tensor[K, P, P, C] gives L maps Tensor[B, C, h, w]."""
        ctx.save_for_backward(y_index, y_weight, x_index, x_weight)
        y, x = Taps(y_index, y_weight), Taps(x_index, x_weight)
        rows, grad = _row_count(layouts), grad.to(y_weight.dtype)
        maps = tuple(layout.empty() for layout in layouts)
        whole = is_table(maps, grad.dtype)
        for part, index, weight in _lists(y, x, rows):
            bins = grad[part].reshape(len(index), -1)  # [bins, C]
            owner, starts, weight = _transposed(index, weight, rows)
            for channels in channel_blocks(bins.shape[1], grad.device, whole):
                pixels = F.embedding_bag(
                    owner,
                    bins[:, channels].contiguous(),
                    offsets=starts,
                    mode="sum",
                    per_sample_weights=weight,
                    include_last_offset=True,
                )  # [N, channels]
                if whole and len(bins) == grad.shape[:3].numel():
                    return (from_table(pixels, layouts[0]),)
                write_pixels(maps, channels, pixels, add=part.start > 0)
        return maps if len(y_index) else tuple(f.zero_() for f in maps)

    @staticmethod
    def backward(ctx, *grads):
        """Pool the gradients of the maps: the transpose of a transpose."""
        return (_Pool.apply(*ctx.saved_tensors, *grads), *(None,) * 5)


def _row_count(layouts: Sequence[Layout]) -> int:
    """Rows of the table."""
    return sum(layout.shape[0] * layout.shape[2:].numel() for layout in layouts)


def _tables(maps: Sequence[Tensor], weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The table, or as many of its columns at a time as are worth copying together."""
    if is_table(maps, weight.dtype):
        yield slice(0, maps[0].shape[1]), pixel_table(maps)
        return
    rows = _row_count([Layout.of(f) for f in maps])
    buffer = weight.new_empty(0)
    for channels in channel_blocks(maps[0].shape[1], weight.device, whole=False):
        width = channels.stop - channels.start
        if buffer.shape != (rows, width):
            buffer = weight.new_empty(rows, width)  # [N, channels]
        read_pixels(maps, channels, buffer)
        yield channels, buffer


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


def _transposed(index: Tensor, weight: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same list, sorted by pixel: which bins read it, and with what weight.

    Args:
        index: Tensor[bins, taps], the table rows each bin reads.
        weight: Tensor[bins, taps].
        rows: rows of the table.

    Returns:
        owner: Tensor[entries], the bin.
        starts: Tensor[rows + 1], where the entries of each row begin, and where the last one ends.
        weight: Tensor[entries].
    """
    bins, taps = index.shape
    flat = index.view(-1)  # [entries]
    # Sorting shorter integers takes fewer passes.
    keys = flat.to(torch.int16) if rows <= INT16_MAX else flat
    keys, order = torch.sort(keys, stable=True)
    owner = torch.arange(bins, device=flat.device, dtype=index.dtype)  # [bins]
    owner = owner[:, None].expand(-1, taps).reshape(-1).index_select(0, order)  # [entries]
    if flat.device.type == "cpu":
        starts = torch.zeros(rows + 1, dtype=torch.int64)
        torch.cumsum(torch.bincount(flat, minlength=rows), dim=0, out=starts[1:])
    else:
        # bincount would make the host wait for the device.
        bounds = torch.arange(rows + 1, device=keys.device, dtype=keys.dtype)
        starts = torch.searchsorted(keys, bounds)
    return owner, starts.to(owner.dtype), weight.view(-1).index_select(0, order)
