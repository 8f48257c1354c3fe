"""Weighted sums of pixels: the sparse gather behind `roi_align_tensor`.

Lay the maps out as a table, channels last: one row per pixel, one column per channel; image after
image, in each level after level, in each row by row. An output bin is a weighted sum of a few rows,
the same weights for every channel, and `embedding_bag`, made for text models, is exactly that: it
reads each row once, in order, all channels at a time.

Its gradient, a scatter-add, is the same with the roles exchanged: a pixel's gradient is a weighted
sum of the bins that read it. One sort of the index list by pixel turns the one list into the other.
No two writes meet, so the result does not depend on the order in which threads run.

A map in channels_last memory is such a table already. Any other is copied, and on a CPU a few
channels at a time: that much memory stays in the cache and is used again for the next channels,
where a copy of everything would fetch fresh memory from the system.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Channels that are copied at a time on a CPU.
CHANNELS = 64
# Entries of the index list that exist at a time (each takes 8 bytes): bounds the memory.
MAX_ENTRIES = 1 << 22
INT16_MAX, INT32_MAX = 2**15 - 1, 2**31 - 1

Axis = tuple[Tensor, Tensor]  # index and weight, Tensor[K, P, N] each: a `bilinear.Interpolation`


def channels_last_table(maps: Sequence[Tensor]) -> Tensor:
    """The whole table Tensor[N, C] of L maps Tensor[B, C, h, w], differentiable.

    No copy for one map that is channels_last.
    """
    rows = [f.flatten(2).transpose(1, 2) for f in maps]  # L x [B, N, C]
    table = rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)  # [B, N, C]
    return table.flatten(0, 1).contiguous()  # [N, C]


def weighted_sums(maps: Sequence[Tensor], y: Axis, x: Axis) -> Tensor:
    """Sum pixels of L maps Tensor[B, C, h, w] with a weight along y times a weight along x.

    An index along y is that of the first pixel of a row of the map; those along x are added to it.
    The sums, Tensor[K, P, P, C], are differentiable in the maps and in both weights.
    """
    if y[1].requires_grad or x[1].requires_grad:
        # embedding_bag's own backward also serves the weights, more slowly.
        table = channels_last_table(maps)  # [N, C]
        index, weight = _products(*y, *x, len(table))
        out = _bags(table.to(weight.dtype), index, weight)  # [bins, C]
    else:
        step = max(1, MAX_ENTRIES // max(1, y[0][:1].numel() * x[0][:1].numel()))  # RoIs
        parts = zip(*(t.split(step) for t in (*y, *x)), strict=True)
        sums = [_Gather.apply(*part, *maps) for part in parts]
        out = sums[0] if len(sums) == 1 else torch.cat(sums)  # [bins, C]
    return out.view(*y[0].shape[:2], x[0].shape[1], out.shape[1])  # [K, P, P, C]


def _bags(table: Tensor, index: Tensor, weight: Tensor, offsets: Tensor | None = None) -> Tensor:
    """Weighted sums of table rows: a bag is a row of index [bins, N], or a part of index [N]."""
    ends = {} if offsets is None else {"offsets": offsets, "include_last_offset": True}
    return F.embedding_bag(index, table, mode="sum", per_sample_weights=weight, **ends)


class _Gather(torch.autograd.Function):
    """Constant weights: a linear function from the maps to Tensor[bins, C].

    The index list is made again in the backward pass: that takes less time than reading features,
    and between the passes only the weights along the two axes are kept.
    """

    @staticmethod
    def forward(ctx, *axes_and_maps):
        """Bins Tensor[bins, C] from (y rows, y weights, x index, x weights) and the maps."""
        axes, maps = axes_and_maps[:4], axes_and_maps[4:]
        ctx.save_for_backward(*axes)
        ctx.layouts = [_layout(f) for f in maps]
        index, weight = _products(*axes, _rows(ctx.layouts))
        if _is_table(ctx.layouts, weight.dtype):
            return _bags(channels_last_table(maps), index, weight)  # [bins, C]
        out = weight.new_empty(len(index), 0)  # fresh memory is slow: no more than is needed
        for channels, table in _tables(maps, weight, _rows(ctx.layouts)):
            bags = _bags(table, index, weight)
            if bags.shape[1] == maps[0].shape[1]:
                return bags
            if not channels.start:
                out = bags.new_empty(len(bags), maps[0].shape[1])  # [bins, C]
            out[:, channels] = bags
        return out

    @staticmethod
    def backward(ctx, grad):
        """The maps' gradients, Tensor[B, C, h, w] each; rows and weights are constants."""
        return (None,) * 4 + _ScatterAdd.apply(grad, ctx.layouts, *ctx.saved_tensors)


class _ScatterAdd(torch.autograd.Function):
    """The transpose of `_Gather`, and back: every pixel collects from the bins that read it."""

    @staticmethod
    def forward(ctx, grad, layouts, *axes):
        """Maps Tensor[B, C, h, w] of these layouts from the bins' gradient, Tensor[bins, C]."""
        ctx.save_for_backward(*axes)
        if not len(grad):
            return tuple(torch.empty(device=grad.device, **layout).zero_() for layout in layouts)
        index, weight = _products(*axes, _rows(layouts))
        owner, starts, weight = _transposed(index, weight, _rows(layouts))
        grad = grad.to(weight.dtype)
        if _is_table(layouts, weight.dtype):
            b, c, h, w = layouts[0]["size"]
            pixels = _bags(grad.contiguous(), owner, weight, starts)  # [N, C]
            return (pixels.view(b, h, w, c).permute(0, 3, 1, 2),)  # [B, C, h, w]
        maps = tuple(torch.empty(device=grad.device, **layout) for layout in layouts)
        for channels in _channel_blocks(grad.shape[1], grad.device):
            pixels = _bags(grad[:, channels].contiguous(), owner, weight, starts)  # [N, channels]
            for there, here in _blocks(maps, channels, pixels):
                there.copy_(here.t())
        return maps

    @staticmethod
    def backward(ctx, *grads):
        """The gradient of a gradient: the gather itself."""
        return (_Gather.apply(*ctx.saved_tensors, *grads), *(None,) * 5)


def _layout(features: Tensor) -> dict[str, Any]:
    """What a map's gradient must look like."""
    last = features.is_contiguous(memory_format=torch.channels_last)
    form = torch.channels_last if last else torch.contiguous_format
    return {"size": features.shape, "dtype": features.dtype, "memory_format": form}


def _is_table(layouts: list[dict[str, Any]], dtype: torch.dtype) -> bool:
    """Whether the table of that dtype would be a mere view."""
    last = layouts[0]["memory_format"] == torch.channels_last
    return len(layouts) == 1 and last and layouts[0]["dtype"] == dtype


def _rows(layouts: list[dict[str, Any]]) -> int:
    """Rows of the table."""
    return sum(layout["size"][0] * layout["size"][2:].numel() for layout in layouts)


def _channel_blocks(channels: int, device: torch.device) -> Iterator[slice]:
    """Which channels to copy together: all of them on a GPU."""
    step = min(channels, CHANNELS) if device.type == "cpu" else channels
    for first in range(0, channels, max(1, step)):
        yield slice(first, min(first + step, channels))


def _tables(maps: Sequence[Tensor], weight: Tensor, rows: int) -> Iterator[tuple[slice, Tensor]]:
    """As many columns of the table at a time as are worth copying together."""
    buffer = weight.new_empty(0)
    for channels in _channel_blocks(maps[0].shape[1], weight.device):
        width = channels.stop - channels.start
        if buffer.shape[-1] != width:
            buffer = weight.new_empty(rows, width)  # [N, channels]
        for pixels, part in _blocks(maps, channels, buffer):
            part.copy_(pixels.t())
        yield channels, buffer


def _blocks(
    maps: Sequence[Tensor], channels: slice, table: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each image and level: its pixels [channels, N] and its part [N, channels] of a table."""
    per_image = table.view(len(maps[0]), -1, table.shape[1])  # [B, N, channels]
    for b, rows in enumerate(per_image):
        first = 0
        for features in maps:
            pixels = features[b, channels].flatten(1)  # [channels, N]
            yield pixels, rows[first : first + pixels.shape[1]]
            first += pixels.shape[1]


def _products(
    y_index: Tensor, y_weight: Tensor, x_index: Tensor, x_weight: Tensor, rows: int
) -> tuple[Tensor, Tensor]:
    """Every element along y with every element along x: table rows and weights, [bins, N] each."""
    dtype = torch.int32 if rows < INT32_MAX else torch.int64
    (k, bins_y, n_y), (_, bins_x, n_x) = y_index.shape, x_index.shape

    # Both sides first get the full list of elements, so that the sum below runs over long rows.
    def along_y(t: Tensor) -> Tensor:
        return t[..., None].expand(-1, -1, -1, n_x).reshape(k, bins_y, 1, n_y * n_x)

    def along_x(t: Tensor) -> Tensor:
        return t[:, :, None].expand(-1, -1, n_y, -1).reshape(k, 1, bins_x, n_y * n_x)

    index = along_y(y_index.to(dtype)) + along_x(x_index.to(dtype))  # [K, P, P, N]
    weight = along_y(y_weight) * along_x(x_weight)  # [K, P, P, N]
    return index.view(-1, n_y * n_x), weight.view(-1, n_y * n_x)


def _transposed(index: Tensor, weight: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same list, sorted by pixel: the bin of each entry, where each pixel's entries begin (and
    the last ones end), the weights."""
    bins, n = index.shape
    flat = index.view(-1)  # [entries]
    # Sorting shorter integers takes fewer passes.
    keys = flat.to(torch.int16) if rows <= INT16_MAX else flat
    keys, order = torch.sort(keys, stable=True)
    owner = torch.arange(bins, device=flat.device, dtype=index.dtype)  # [bins]
    owner = owner[:, None].expand(-1, n).reshape(-1).index_select(0, order)  # [entries]
    if flat.device.type == "cpu":
        starts = torch.zeros(rows + 1, dtype=torch.int64)
        torch.cumsum(torch.bincount(flat, minlength=rows), dim=0, out=starts[1:])
    else:
        # bincount would make the host wait for the device.
        bounds = torch.arange(rows + 1, device=keys.device, dtype=keys.dtype)
        starts = torch.searchsorted(keys, bounds)
    return owner, starts.to(owner.dtype), weight.view(-1).index_select(0, order)
