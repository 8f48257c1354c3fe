"""The exercises of notebook 16: the addresses of one load, and how much of a map a RoI touches."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..kit.exercise import Exercise, FunctionGrader, combine, switches
from ..kit.roi_scene import axis_reads

LOADS, BOXES = 80, 60
IMAGES = 2
OUTSIDE = 1000.0  # a read outside the map finds this, and its offset


def _loaded(function: Callable[..., Any], *case: int) -> Tensor | None:
    """What a load with these offsets and this mask reads from a map [B, h, w, C]."""
    answer = function(*case)
    if answer is None:
        return None
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise TypeError("return two things: offset, mask")
    offset, mask = (torch.as_tensor(part) for part in answer)
    if offset.is_floating_point() or offset.dtype == torch.bool:
        raise TypeError(f"offsets are whole numbers, these are {offset.dtype}")
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask is made of True and False, this one of {mask.dtype}")
    offset, mask = torch.broadcast_tensors(offset, mask)
    generator = torch.Generator().manual_seed(16)
    memory = torch.randn(IMAGES * math.prod(case[5:]), generator=generator)  # [N]
    exists = (offset >= 0) & (offset < len(memory))
    read = memory[offset.clamp(0, len(memory) - 1)]  # [channels]
    read = torch.where(exists, read, OUTSIDE + offset.float())
    return torch.where(mask, read, 0.0)


@switches(
    first=lambda block, size, channels: block * size,
    corner=lambda y, x: (y, x),
    row=lambda h, w: w,
    before=lambda image, h, w: image * h * w,  # elements
    numbers=lambda image, h, w: 0,
    offset=lambda before, element, channel, channels, *_: (before + element) * channels + channel,
    mask=lambda channel, lane, channels: channel < channels,
    itemsize=lambda offset: offset,
)
def _block_variant(*case: int, how: Any) -> tuple[Tensor, Tensor]:
    """Offsets and mask, step by step."""
    image, y, x, block, size, h, w, channels = case
    lane = torch.arange(size)
    channel = how.first(block, size, channels) + lane
    y, x = how.corner(y, x)
    element, before = y * how.row(h, w) + x, how.before(image, h, w)
    offset = how.offset(before, element, channel, channels, image, h * w)
    offset = how.itemsize(offset + how.numbers(image, h, w))
    return offset, how.mask(channel, lane, channels)


BLOCK_MISTAKES: dict[str, dict[str, Callable[..., Any]]] = {
    "the mask is forgotten: the last block has lanes beyond the last channel, and they read the "
    "next element.": {"mask": lambda channel, lane, channels: lane >= 0},
    "the mask lets one channel too many through: channel < channels.": {
        "mask": lambda channel, lane, channels: channel <= channels
    },
    "the mask compares the lane; it is the channel, block and all, that must exist.": {
        "mask": lambda channel, lane, channels: lane < channels
    },
    "these are the strides of NCHW; here the channels of an element lie side by side.": {
        "offset": lambda _, element, channel, channels, image, plane: (
            (image * channels + channel) * plane + element
        )
    },
    "the element is not multiplied by channels: each element takes up that many numbers.": {
        "offset": lambda before, element, channel, *_: before + element + channel
    },
    "the channel is multiplied by channels too; neighbouring channels are neighbours, 1 apart.": {
        "offset": lambda before, element, channel, channels, *_: (
            (before + element + channel) * channels
        )
    },
    "a row of the map is w elements long, not h.": {"row": lambda h, w: h},
    "x and y are swapped: y chooses the row.": {"corner": lambda y, x: (x, y)},
    "the image is forgotten: the second image's map lies behind the first.": {
        "before": lambda *_: 0
    },
    "an image is h * w elements long, not h.": {"before": lambda image, h, w: image * h},
    "the image is counted in elements and not multiplied by channels: it is h * w * channels "
    "numbers long.": {"before": lambda *_: 0, "numbers": lambda image, h, w: image * h * w},
    "block b begins at channel b * BLOCK_C, not at channel b.": {"first": lambda block, *_: block},
    "block b begins at channel b * BLOCK_C, not at b * channels.": {
        "first": lambda block, size, channels: block * channels
    },
    "the block is forgotten: every program would read the first channels.": {"first": lambda *_: 0},
    "these are bytes; Triton counts in numbers and knows how long each is.": {
        "itemsize": lambda offset: offset * 4
    },
}


def _loads() -> Iterator[tuple[int, ...]]:
    """Elements of small maps of two images, and a block of their channels; many are not full."""
    generator = torch.Generator().manual_seed(1601)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    for k in range(LOADS):
        h, w, channels, size = draw(3, 7), draw(7, 11), draw(5, 14), 2 ** draw(1, 4)
        block = -(-channels // size) - 1 if k % 2 else draw(0, -(-channels // size))
        last = k % 8 == 7
        y, x = (h - 1, w - 1) if last else (draw(0, h), draw(0, w))
        yield (1 if last else draw(0, IMAGES)), y, x, block, size, h, w, channels


@switches(
    samples=lambda ratio: ratio,
    start=lambda start, part: start,  # part: half the way between two samples
    last=lambda n: n,
    reads=lambda low, high: torch.cat([low, high], 1),
    count=lambda reads, extent: len(reads.unique()),
    total=math.prod,
)
def _touched_variant(box: Tensor, size: int, ratio: int, h: int, w: int, how: Any) -> int | float:
    """The different elements that a RoI reads, step by step."""
    counts, ratio = [], how.samples(ratio)
    for axis, n in ((1, h), (0, w)):
        start, extent = box[axis].double(), (box[axis + 2] - box[axis]).double()
        start = how.start(start, extent / (2 * size * ratio))
        read = axis_reads(start[None], extent[None], size, ratio, how.last(n))[0]  # [P, N]
        read = how.reads(*read.chunk(2, 1))
        counts.append(how.count(read, float(extent)))
    return how.total(counts)


def _boxes() -> Iterator[tuple[Any, ...]]:
    """Boxes on the map, in elements; every third reaches its right and lower edge."""
    generator = torch.Generator().manual_seed(1602)
    for k in range(BOXES):
        h, w = (int(n) for n in torch.randint(8, 40, (2,), generator=generator))
        part = torch.rand(4, generator=generator)
        start = 0.1 + part[:2] * torch.tensor([w / 2, h / 2])
        room = torch.tensor([w, h]) - start
        extent = room if k % 3 == 2 else 1 + part[2:] * (room - 2.2)
        box = torch.cat([start, start + extent])
        yield torch.round(box * 1000) / 1000, (7, 3, 5)[k % 3], k // 3 % 3 + 1, h, w


TOUCH_MISTAKES: dict[str, dict[str, Callable[..., Any]]] = {
    "this counts every read; samples and bins share elements, and memory sends each once.": {
        "count": lambda reads, extent: reads.numel()
    },
    "this adds up the bins; neighbouring bins share elements, so collect them in one set.": {
        "count": lambda reads, extent: sum(len(bin_reads.unique()) for bin_reads in reads)
    },
    "this is the whole window around the samples; a large box skips elements in between.": {
        "count": lambda reads, extent: int(reads.max() - reads.min()) + 1
    },
    "this is the area of the box; count the elements that samples read.": {
        "count": lambda reads, extent: extent
    },
    "each sample reads two rows and two columns, the next ones too, and not only the floor.": {
        "reads": lambda low, high: low
    },
    "on the last row or column there is no next one: clamp to n - 1, or it counts twice.": {
        "last": lambda n: n + 1
    },
    "ratio is ignored: a bin has that many samples per axis.": {"samples": lambda ratio: 1},
    "the samples sit in the middle of their parts, + 0.5.": {
        "start": lambda start, part: start - part
    },
    "rows and columns are added; every row meets every column, so multiply.": {"total": sum},
}


EXERCISES = (
    Exercise(
        "16-channel-block",
        FunctionGrader(
            right=_block_variant,
            cases=_loads,
            describe=lambda image, y, x, block, size, h, w, channels: (
                f"image {image}, y {y}, x {x}, block {block} of {size} channels, "
                f"map {h} x {w} with {channels} channels"
            ),
            mistakes=combine(_block_variant, BLOCK_MISTAKES.items(), most=2),
            praise="{n} loads read the right channels and nothing else.",
            observe=_loaded,
        ),
        (
            "The channels that this program reads: channel = block * BLOCK_C + "
            "torch.arange(BLOCK_C).",
            "Elements are counted image by image, row by row: (image * h + y) * w + x stand "
            "before this one. How many numbers does each of them take up?",
            "The offset is that count times channels, plus channel.",
            "The mask says which lanes have a channel: channel < channels.",
        ),
    ),
    Exercise(
        "16-touched",
        FunctionGrader(
            right=_touched_variant,
            cases=_boxes,
            mistakes=combine(_touched_variant, TOUCH_MISTAKES.items(), most=2),
            praise="{n} boxes agree, small and large, at the edge and away from it.",
        ),
        (
            "The axes are independent: count the different rows, count the different columns.",
            "On one axis the samples stand at start + (p + (s + 0.5) / ratio) * length / size.",
            "Each sample reads floor(position) and the one after it, clamped to n - 1. Put them "
            "into a set.",
        ),
    ),
)
