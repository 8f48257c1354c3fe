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

from ...ops import assign_levels
from ...ops.bilinear import corners

SECTOR = 32  # bytes; NVIDIA GPUs since Maxwell
LANES = 32  # threads that execute one load together (a warp)
STRIDES = (4, 8, 16, 32)
IMAGE = (800, 1344)  # (H, W) of the padded images, pixels
IMAGES = 2
GROUPS = 5  # of 32 numbers: how many `warp_sectors` looks at for each RoI
LAYOUTS = ("one number", "32 numbers", "channels last")


@dataclass(frozen=True)
class Plan:
    """How a kernel divides the work among its programs.

    Attributes:
        layout: "one number" or "32 numbers" of the output [K, C, P, P] per program, with a map
            [B, C, h, w]; or "channels last", a block of channels, with a map [B, h, w, C].
        block_c: channels per program, channels last only.
        whole_row: whether a program owns a row of bins instead of one, channels last only.
        itemsize: bytes per number of the map and of the output.
    """

    layout: str = "channels last"
    block_c: int = 128
    whole_row: bool = True
    itemsize: int = 4


@dataclass(frozen=True)
class Traffic:
    """What a plan costs; bytes unless it says otherwise.

    Attributes:
        programs: how many are launched.
        reads: numbers of the map that go into one number of the output.
        sectors: requested by each 32 numbers of a load, on average.
        asked: for the map, by all loads.
        asked_boxes: for the corners of the boxes, by all loads.
        moved: of the map, each touched sector once.
        output: written once.
    """

    programs: int
    reads: int
    sectors: float
    asked: float
    asked_boxes: float
    moved: int
    output: int


@dataclass(frozen=True)
class Scene:
    """RoIs on the levels of a pyramid from which they are read.

    Attributes:
        place: Tensor[K, 2] of (image, level).
        start: Tensor[K, 2] of (x, y), elements of the RoI's level.
        extent: Tensor[K, 2] of (width, height), elements.
    """

    place: Tensor
    start: Tensor
    extent: Tensor

    def __len__(self) -> int:
        """K."""
        return len(self.place)


def shapes() -> list[tuple[int, int]]:
    """The maps' sizes."""
    return [(IMAGE[0] // stride, IMAGE[1] // stride) for stride in STRIDES]


def random_boxes(count: int) -> Tensor:
    """Boxes of 16 to 511 px with whole corners, as many of each octave, anywhere in the image.

    A detector's proposals crowd around objects; these do not, and so touch more of the maps.
    """
    generator = torch.Generator().manual_seed(16)
    draws = torch.randint(0, 2**30, (count, 5), generator=generator)  # [K, 5]
    octave = 16 * 2 ** (draws[:, :1] % 5)  # [K, 1]
    size = octave + draws[:, 1:3] % octave  # [K, 2]
    corner = draws[:, 3:] % (torch.tensor([IMAGE[1], IMAGE[0]]) - size)  # [K, 2]
    return torch.cat([corner, corner + size], 1).float()  # [K, 4]


@lru_cache(maxsize=4)
def random_scene(count: int) -> Scene:
    """`random_boxes` in two images, each on the level that FPN's rule gives it."""
    boxes = random_boxes(count)
    level = assign_levels(boxes, 2, 5)  # [K]
    scaled = boxes / torch.tensor(STRIDES)[level, None]  # [K, 4]
    start, extent = scaled[:, :2], (scaled[:, 2:] - scaled[:, :2]).clamp(min=1)  # [K, 2] each
    place = torch.stack([torch.arange(count) % IMAGES, level], 1)  # [K, 2]
    return Scene(place, start, extent)


def axis_reads(start: Tensor, extent: Tensor, size: int, ratio: int, n: Tensor | int) -> Tensor:
    """The elements of one axis that the samples of each bin read, the lower and the higher ones."""
    step = (extent / size)[:, None, None]  # [K, 1, 1]
    part = (torch.arange(ratio) + 0.5) / ratio  # [S]
    position = start[:, None, None] + (torch.arange(size)[:, None] + part) * step  # [K, P, S]
    low, high, *_ = corners(position, n)
    return torch.cat([low, high], 2)  # [K, P, N]


@lru_cache(maxsize=64)
def touched(count: int, size: int, ratio: int) -> tuple[Tensor, ...]:
    """The elements of every map that at least one RoI reads.

    A RoI reads the same columns in each of its rows. So the maps are marked by a product of two
    matrices per image and level, RoIs by rows and RoIs by columns.
    """
    scene, marked = random_scene(count), []
    for level, lengths in enumerate(shapes()):
        maps = []
        for image in range(IMAGES):
            here = (scene.place == torch.tensor([image, level])).all(1)  # [K]
            axes = []
            for axis, n in ((1, lengths[0]), (0, lengths[1])):
                args = (scene.start[here, axis], scene.extent[here, axis], size, ratio, n)
                read = axis_reads(*args).flatten(1)  # [K, N]
                axes.append(torch.zeros(len(read), n).scatter_(1, read, 1.0))  # [K, N]
            maps.append(axes[0].T @ axes[1] > 0)  # [h, w]
        marked.append(torch.stack(maps))  # [B, h, w]
    return tuple(marked)


def sectors(addresses: Tensor) -> Tensor:
    """How many different sectors hold some addresses."""
    which = (addresses // SECTOR).sort(-1).values  # [..., N]
    return 1 + (which[..., 1:] != which[..., :-1]).sum(-1)


def output_addresses(
    scene: Scene, rows: Tensor, size: int, ratio: int, itemsize: int = 4, programs: int = 1
) -> Tensor:
    """Where 32 neighbouring numbers of the output [K, C, P, P] read a map [B, C, h, w]."""
    h, w = torch.tensor(shapes())[scene.place[rows, 1]].T[..., None, None]  # [K, 1, 1] each
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

    One sample per bin is looked at. The others are read from places that are shifted together,
    which changes nothing on average.
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
