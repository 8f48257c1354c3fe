"""What a RoIAlign kernel asks of memory, counted from shapes and boxes without running it.

Memory moves in sectors of 32 bytes: who reads one number of a sector has the other bytes brought
along. Two sums matter. *Asked for* is what all load instructions together request, sector by
sector; most of it is answered by caches. *Moved* is the least that memory itself has to deliver:
every touched sector once, however often it is asked for.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..kit.roi_scene import Scene, axis_reads, random_scene, shapes, touched

SECTOR = 32  # bytes; NVIDIA GPUs since Maxwell
LANES = 32  # threads that execute one load together (a warp)
GROUPS = 5  # of 32 numbers: that `warp_sectors` takes of each RoI
LAYOUTS = ("one number", "32 numbers", "channels last")


@dataclass(frozen=True)
class Plan:
    """How a kernel divides the work among its programs.

    A program owns "one number" or "32 numbers" of the output [K, C, P, P], with a map [B, C, h, w];
    or, "channels last", a block of channels, with a map [B, h, w, C].
    """

    layout: str = "channels last"
    block_c: int = 128  # channels per program, channels last only
    whole_row: bool = True  # a program owns a row of bins instead of one, channels last only
    itemsize: int = 4  # bytes per number of the map and of the output


@dataclass(frozen=True)
class Traffic:
    """What a plan costs; bytes unless it says otherwise."""

    programs: int  # how many are launched
    reads: int  # numbers of the map that go into one number of the output
    sectors: float  # requested by each 32 numbers of a load, on average
    asked: float  # for the map, by all loads
    asked_boxes: float  # for the corners of the boxes, by all loads
    moved: int  # of the map, each touched sector once
    output: int  # written once


def sectors(addresses: Tensor) -> Tensor:
    """How many different sectors hold some addresses."""
    which = (addresses // SECTOR).sort(-1).values  # [..., N]
    return 1 + (which[..., 1:] != which[..., :-1]).sum(-1)


def output_addresses(
    scene: Scene, rows: Tensor, size: int, ratio: int, itemsize: int = 4, programs: int = 1
) -> Tensor:
    """Where 32 neighbouring numbers of the output [K, C, P, P] read a map [B, C, h, w]."""
    h, w = torch.tensor(shapes())[scene.source[rows, 1]].T[..., None, None]  # [K, 1, 1] each
    start, extent = scene.start[rows], scene.extent[rows]
    x = axis_reads(start[:, 0], extent[:, 0], size, ratio, w).mT  # [K, N, P]
    y = axis_reads(start[:, 1], extent[:, 1], size, ratio, h).mT  # [K, N, P]
    group = torch.arange(programs)[:, None] * size**2 // programs
    number = (group * LANES + torch.arange(LANES)).flatten()
    column, row, channel = number % size, number // size % size, number // (size * size)
    plane = channel * h * w  # [K, 1, N]
    element = (y[..., row] * w + plane)[:, :, None] + x[:, None, :, column]  # [K, N, N, N]
    return (element * itemsize).view(len(rows), -1, programs, LANES)  # [K, N, programs, 32]


@lru_cache(maxsize=64)
def warp_sectors(count: int, size: int, itemsize: int) -> float:
    """Sectors that 32 neighbouring numbers of the output request with one load, on average.

    One sample per bin is counted; the others lie shifted together, which changes no average.
    """
    args = (random_scene(count), torch.arange(count), size, 1, itemsize, GROUPS)
    return float(sectors(output_addresses(*args)).double().mean())


def predict_traffic(
    plan: Plan, count: int = 1000, channels: int = 256, size: int = 7, ratio: int = 2
) -> Traffic:
    """Count what a plan costs for the first RoIs of `random_scene`."""
    if plan.layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {plan.layout!r}")
    if channels % 16:
        raise ValueError(f"channels must be a multiple of 16, got {channels}")
    marked, reads = touched(count, size, ratio), 4 * ratio**2
    bins, numbers = count * size**2, count * size**2 * channels
    per_sector = SECTOR // plan.itemsize
    if plan.layout == "channels last":
        full, rest = divmod(channels, min(plan.block_c, channels))
        blocks = full + (rest > 0)
        block = -(-min(plan.block_c, channels) // per_sector)  # sectors of a full block
        requests = full * block + -(-rest // per_sector)  # of all channels of one element
        programs = bins * blocks // (size if plan.whole_row else 1)
        asked = bins * reads * requests * SECTOR
        share = requests * LANES / channels
        moved = sum(int(m.sum()) for m in marked) * channels * plan.itemsize
    else:
        lanes = 1 if plan.layout == "one number" else LANES
        programs = -(-numbers // lanes)
        each = 1.0 if lanes == 1 else warp_sectors(count, size, plan.itemsize)
        asked = programs * reads * each * SECTOR
        share = each * LANES / lanes
        moved = sum(_plane_sectors(m, per_sector) for m in marked) * channels * SECTOR
    return Traffic(
        programs, reads, share, asked, programs * 4 * SECTOR, moved, numbers * plan.itemsize
    )


def _plane_sectors(marked: Tensor, per_sector: int) -> int:
    """Sectors of one channel's planes [B, h, w] that hold a touched element."""
    flat = marked.flatten(1)  # [B, N]
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[1] % per_sector))
    return int(flat.unflatten(1, (-1, per_sector)).any(2).sum())
