"""The exercises of notebook 16: the addresses of one load, and how much of a map a RoI touches."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..kit.exercise import Exercise, FunctionGrader, Mistake, Verdict, combine
from .traffic import axis_reads

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
    found = memory[offset.clamp(0, len(memory) - 1)]  # [channels]
    found = torch.where(exists, found, OUTSIDE + offset.float())
    return torch.where(mask, found, 0.0)


@dataclass(frozen=True)
class _BlockWay:
    """A switch for everything that people get wrong; the defaults are right."""

    first: str = "block"
    row: str = "w"
    swap: bool = False
    before: str = "whole"
    order: str = "channels last"
    mask: str = "channel"
    itemsize: int = 1


def _block_variant(*case: int, **changes: Any) -> tuple[Tensor, Tensor]:
    """Offsets and mask as somebody with these `_BlockWay` switches would write them."""
    image, y, x, block, size, h, w, channels = case
    way, lane = _BlockWay(**changes), torch.arange(size)
    first = {"block": block * size, "unscaled": block, "none": 0, "channels": block * channels}
    channel = first[way.first] + lane
    y, x = (x, y) if way.swap else (y, x)
    element = y * (w if way.row == "w" else h) + x
    before = {"whole": image * h * w, "none": 0, "rows": image * h, "short": 0}[way.before]
    offset = {
        "channels last": (before + element) * channels + channel,
        "NCHW": (image * channels + channel) * h * w + element,
        "no stride": before + element + channel,
        "both": (before + element + channel) * channels,
    }[way.order]
    offset = offset + image * h * w * (way.before == "short")
    masks = {
        "channel": channel < channels,
        "none": lane >= 0,
        "equal": channel <= channels,
        "lane": lane < channels,
    }
    return offset * way.itemsize, masks[way.mask]


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


BLOCK_SLIPS = (
    (
        "the mask is forgotten: the last block has lanes beyond the last channel, and they read "
        "the next element.",
        {"mask": "none"},
    ),
    ("the mask lets one channel too many through: channel < channels.", {"mask": "equal"}),
    (
        "the mask compares the lane; it is the channel, block and all, that must exist.",
        {"mask": "lane"},
    ),
    (
        "these are the strides of NCHW; here the channels of an element lie side by side.",
        {"order": "NCHW"},
    ),
    (
        "the element is not multiplied by channels: each element takes up that many numbers.",
        {"order": "no stride"},
    ),
    (
        "the channel is multiplied by channels too; neighbouring channels are neighbours, 1 apart.",
        {"order": "both"},
    ),
    ("a row of the map is w elements long, not h.", {"row": "h"}),
    ("x and y are swapped: y chooses the row.", {"swap": True}),
    ("the image is forgotten: the second image's map lies behind the first.", {"before": "none"}),
    ("an image is h * w elements long, not h.", {"before": "rows"}),
    (
        "the image is counted in elements and not multiplied by channels: it is h * w * channels "
        "numbers long.",
        {"before": "short"},
    ),
    ("block b begins at channel b * BLOCK_C, not at channel b.", {"first": "unscaled"}),
    ("block b begins at channel b * BLOCK_C, not at b * channels.", {"first": "channels"}),
    ("the block is forgotten: every program would read the first channels.", {"first": "none"}),
    (
        "these are bytes; Triton counts in numbers and knows how long each is.",
        {"itemsize": 4},
    ),
)


@dataclass(frozen=True)
class _LoadGrader:
    """Judges offsets and a mask by what a load with them would read."""

    mistakes: tuple[Mistake, ...]

    def __call__(self, function: Any) -> Verdict:
        """Judge the learner's function; never raises because of it."""
        grader = FunctionGrader(
            right=partial(_loaded, _block_variant),
            cases=_loads,
            describe=lambda image, y, x, block, size, h, w, channels: (
                f"image {image}, y {y}, x {x}, block {block} of {size} channels, "
                f"map {h} x {w} with {channels} channels"
            ),
            mistakes=tuple(
                Mistake(m.message, partial(_loaded, m.function), m.several) for m in self.mistakes
            ),
            praise="{n} loads read the right channels and nothing else.",
        )
        return grader(partial(_loaded, function) if callable(function) else function)


def _right_touched(box: Tensor, size: int, ratio: int, h: int, w: int) -> int:
    counts = []
    for axis, n in ((1, h), (0, w)):
        start, end = box[axis : axis + 1], box[axis + 2 : axis + 3]
        counts.append(len(axis_reads(start, end - start, size, ratio, n).unique()))
    return math.prod(counts)


@dataclass(frozen=True)
class _TouchWay:
    """A switch for everything that people get wrong; the defaults are right."""

    count: str = "different"
    neighbours: tuple[int, ...] = (0, 1)
    clamp: bool = True
    samples: str = "used"
    place: float = 0.5
    total: str = "product"


def _touched_variant(
    box: Tensor, size: int, ratio: int, h: int, w: int, **changes: Any
) -> int | float:
    """The count as somebody with these `_TouchWay` switches would write it."""
    way, counts = _TouchWay(**changes), []
    samples = ratio if way.samples == "used" else 1
    for axis, n in ((1, h), (0, w)):
        start, step = float(box[axis]), float(box[axis + 2] - box[axis]) / size
        bins = []
        for p in range(size):
            at = [start + (p + (s + way.place) / samples) * step for s in range(samples)]
            read = [math.floor(a) + side for a in at for side in way.neighbours]
            bins.append([min(r, n - 1) for r in read] if way.clamp else read)
        every = [r for read in bins for r in read]
        counts.append(
            {
                "different": len(set(every)),
                "all": len(every),
                "per bin": sum(len(set(read)) for read in bins),
                "window": max(every) - min(every) + 1,
                "box": step * size,
            }[way.count]
        )
    return math.prod(counts) if way.total == "product" else sum(counts)


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


TOUCH_SLIPS = (
    (
        "this counts every read; samples and bins share elements, and memory sends each once.",
        {"count": "all"},
    ),
    (
        "this adds up the bins; neighbouring bins share elements, so collect them in one set.",
        {"count": "per bin"},
    ),
    (
        "this is the whole window around the samples; a large box skips elements in between.",
        {"count": "window"},
    ),
    ("this is the area of the box; count the elements that samples read.", {"count": "box"}),
    (
        "each sample reads two rows and two columns, the next ones too, and not only the floor.",
        {"neighbours": (0,)},
    ),
    (
        "on the last row or column there is no next one: clamp to n - 1, or it counts twice.",
        {"clamp": False},
    ),
    ("ratio is ignored: a bin has that many samples per axis.", {"samples": "one"}),
    ("the samples sit in the middle of their parts, + 0.5.", {"place": 0.0}),
    (
        "rows and columns are added; every row meets every column, so multiply.",
        {"total": "sum"},
    ),
)


_grade_touched = FunctionGrader(
    right=_right_touched,
    cases=_boxes,
    describe=lambda box, size, ratio, h, w: (
        f"box {[round(n, 3) for n in box.tolist()]}, {size} x {size} bins, ratio {ratio}, "
        f"map {h} x {w}"
    ),
    mistakes=combine(_touched_variant, TOUCH_SLIPS, most=2),
    praise="{n} boxes agree, small and large, at the edge and away from it.",
)


EXERCISES = (
    Exercise(
        "16-channel-block",
        _LoadGrader(combine(_block_variant, BLOCK_SLIPS, most=2)),
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
        _grade_touched,
        (
            "The axes are independent: count the different rows, count the different columns.",
            "On one axis the samples stand at start + (p + (s + 0.5) / ratio) * length / size.",
            "Each sample reads floor(position) and the one after it, clamped to n - 1. Put them "
            "into a set.",
        ),
    ),
)
