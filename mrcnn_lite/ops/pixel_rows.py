"""Feature maps as a table: one row per pixel, one column per channel.

The rows of image 0 come first, level after level if there is a pyramid, each level row by row; then
those of image 1. A map in channels_last memory is such a table already. Any other is copied, and on
a CPU a few channels at a time: that much memory stays in the cache and is used again for the next
channels, where a copy of everything would fetch fresh memory from the system.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Channels that are copied at a time on a CPU.
CHANNELS = 64


class Layout(NamedTuple):
    """What a map's gradient must look like.

    Attributes:
        shape: (B, C, h, w).
        dtype: as the map.
        device: as the map.
        memory_format: channels_last or contiguous.
    """

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    memory_format: torch.memory_format

    @staticmethod
    def of(features: Tensor) -> "Layout":
        """Read it from a map Tensor[B, C, h, w]."""
        last = features.is_contiguous(memory_format=torch.channels_last)
        form = torch.channels_last if last else torch.contiguous_format
        return Layout(features.shape, features.dtype, features.device, form)

    def empty(self) -> Tensor:
        """A new map like that: Tensor[B, C, h, w]."""
        return torch.empty(
            self.shape, dtype=self.dtype, device=self.device, memory_format=self.memory_format
        )


def pixel_table(maps: Sequence[Tensor]) -> Tensor:
    """The whole table, differentiable; no copy for one map that is channels_last.

    Args:
        maps: L Tensor[B, C, h, w].

    Returns:
        Tensor[N, C] of N pixels.
    """
    rows = [f.flatten(2).transpose(1, 2) for f in maps]  # L x [B, N, C]
    table = rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)  # [B, N, C]
    return table.flatten(0, 1).contiguous()  # [N, C]


def is_table(maps: Sequence[Tensor], dtype: torch.dtype) -> bool:
    """Say whether `pixel_table` would be a mere view, of the wanted dtype."""
    one = maps[0]
    last = one.is_contiguous(memory_format=torch.channels_last)
    return len(maps) == 1 and last and one.dtype == dtype


def from_table(table: Tensor, layout: Layout) -> Tensor:
    """See a table as one map that is channels_last; the opposite of `pixel_table`.

    Args:
        table: Tensor[B * h * w, C].
        layout: of the map.

    Returns:
        Tensor[B, C, h, w], no copy.
    """
    b, c, h, w = layout.shape
    return table.view(b, h, w, c).permute(0, 3, 1, 2)  # [B, C, h, w]


def channel_blocks(channels: int, device: torch.device, whole: bool) -> Iterator[slice]:
    """Which channels to work on together: all of them on a GPU, or where nothing is copied."""
    step = channels if whole or device.type != "cpu" else min(channels, CHANNELS)
    for first in range(0, channels, max(1, step)):
        yield slice(first, min(first + step, channels))


def read_pixels(maps: Sequence[Tensor], channels: slice, table: Tensor) -> None:
    """Copy some channels of the maps into a table.

    Args:
        maps: L Tensor[B, C, h, w].
        channels: which.
        table: Tensor[N, channels], overwritten.
    """
    for pixels, part in _parts(maps, channels, table):
        part.copy_(pixels.t())


def write_pixels(maps: Sequence[Tensor], channels: slice, table: Tensor, add: bool) -> None:
    """Copy a table into some channels of the maps.

    Args:
        maps: L Tensor[B, C, h, w], as `Layout.empty` makes them; written.
        channels: which.
        table: Tensor[N, channels].
        add: whether to add to what is there.
    """
    for pixels, part in _parts(maps, channels, table):
        if add:
            pixels.add_(part.t())
        else:
            pixels.copy_(part.t())


def _parts(
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
