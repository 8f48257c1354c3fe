"""The exercises of notebook 02: a map read at any position, boxes of three conventions."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...ops import bilinear
from ..kit.exercise import Exercise, FunctionGrader, combine, switches

INSIDE, EDGES = 60, 60  # positions with two neighbours, positions near the ends of the map
FORMS = ("coco", "inclusive", "voc")
SETS = 8  # sets of boxes for each form


def _right_sample(values: Tensor, x: float, stride: float, aligned: bool) -> Tensor:
    position = torch.tensor(x / stride - (0.5 if aligned else 0.0), dtype=values.dtype)
    return bilinear(values[None, None], torch.zeros_like(position), position)[0]


@switches(
    half=lambda aligned: 0.5 if aligned else 0.0,
    unit=lambda stride: 1,  # of the half, in elements
    scale=lambda stride: stride,
    left="clamp",
    right=True,
    pick=None,  # one element instead of a mixture
    mirror=False,
)
def _sample_variant(values: Tensor, x: float, stride: float, aligned: bool, how: Any) -> Tensor:
    """One reading, step by step."""
    last, left = len(values) - 1, how.left
    position = x / how.scale(stride) - how.half(aligned) / how.unit(stride)
    if left == "zero" and not 0 <= position <= last:
        return values.new_zeros(())
    position = max(position, 0.0) if left == "clamp" else position
    position = min(position, float(last)) if how.right else position
    if how.pick:
        return values[min(how.pick(position), last)]
    low = math.floor(position)
    fraction = position - (max(low, 0) if left == "extend" else low)
    low = low if left == "wrap" else max(low, 0)
    high = min(low + 1, last) if how.right else low + 1
    low, high = (high, low) if how.mirror else (low, high)
    return (1 - fraction) * values[low] + fraction * values[high]


SAMPLE_MISTAKES = {
    "`aligned` is ignored: with True the middle of element 0 lies at 0.5, so take 0.5 off.": {
        "half": lambda _: 0.0
    },
    "the half is always taken off; with aligned=False element 0 lies at 0.": {
        "half": lambda _: 0.5
    },
    "the half is taken off twice; a middle is half an element away from a border, not one.": {
        "half": lambda aligned: 1.0 if aligned else 0.0
    },
    "the half goes the wrong way: from image to map it is taken off, not added.": {
        "half": lambda aligned: -0.5 if aligned else 0.0
    },
    "the two values of `aligned` are exchanged: it is True that takes the half off.": {
        "half": lambda aligned: 0.0 if aligned else 0.5
    },
    "this takes off half an image pixel; it is half an element of the map, so divide first.": {
        "unit": lambda stride: stride
    },
    "x is in image px; divide it by the stride.": {"scale": lambda _: 1},
    "the place is rounded to one element; mix the two neighbours.": {"pick": round},
    "only the element before the place counts here; mix it with the next one.": {
        "pick": math.floor
    },
    "the weights are mirrored: the nearer element must get the larger one.": {"mirror": True},
    "left of the first middle the index is -1, and Python takes the last element: clamp to 0.": {
        "left": "wrap"
    },
    "left of the first middle the index is clamped but its weight is not: clamp the position.": {
        "left": "extend"
    },
    "the index is moved onto the map only after the weight was taken from it: move the "
    "position, then take its floor.": {"left": "index"},
    "beyond the outermost elements this is 0; the nearest element counts there.": {"left": "zero"},
    "at the right end there is no next element: clamp to the last one.": {"right": False},
}


def _positions() -> Iterator[tuple[Any, ...]]:
    """Random maps and positions: first between two elements, then near both ends of the image."""
    generator = torch.Generator().manual_seed(202)

    def draw(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    for k in range(INSIDE + EDGES):
        stride, count = (4, 8, 16, 32)[int(draw(0, 4))], int(draw(4, 9))
        values = torch.randn(count, generator=generator)  # [w]
        if k % 10 == 0 and k < INSIDE:  # undivided, these positions exist on the map
            stride, values = 4, torch.randn(24, generator=generator)  # [w]
            element = draw(1.6, 5)
        elif k < INSIDE:
            element = draw(1.6, count - 1.6)
        else:
            element = draw(0, 0.45) if k % 4 < 2 else draw(count - 0.45, count)
        yield values, round(element * stride, 2), stride, k % 2 == 1


@switches(
    coco=(0, 0),  # what is added to both corners
    inclusive=(0, 1),
    voc=(-1, 0),
    kind="corner",  # how "coco" is read
    turn=False,  # x and y exchanged
)
def _half_open(boxes: Tensor, form: str, how: Any) -> Tensor:
    """Half-open boxes, step by step."""
    first, second = boxes[:, :2], boxes[:, 2:]  # [N, 2] each
    if form == "coco" and how.kind == "corner":
        second = first + second
    elif form == "coco" and how.kind == "centre":
        first, second = first - second / 2, first + second / 2
    low, high = getattr(how, form)
    boxes = torch.cat([first + low, second + high], 1)  # [N, 4]
    return boxes[:, [1, 0, 3, 2]] if how.turn else boxes


def _boxes() -> Iterator[tuple[Any, ...]]:
    """Sets of boxes that hold whole pixels, some of them one pixel only, written in each form."""
    generator = torch.Generator().manual_seed(203)
    for form in FORMS:
        for _ in range(SETS):
            first = torch.randint(0, 90, (5, 2), generator=generator).float()  # [N, 2]
            sides = torch.randint(1, 60, (5, 2), generator=generator).float()  # [N, 2]
            sides[0] = 1.0
            second = {"coco": sides, "inclusive": first + sides - 1, "voc": first + sides}[form]
            yield torch.cat([first + (form == "voc"), second], 1), form  # [N, 4]


HALF_OPEN_MISTAKES = {
    "coco: the last two numbers are width and height, not a corner.": {"kind": "as corner"},
    "coco: x and y are the upper left corner, not the middle.": {"kind": "centre"},
    "coco: x + w - 1 is the last pixel of the box; a half-open box ends behind it, at x + w.": {
        "coco": (0, -1)
    },
    "coco: a width needs no + 1; x + w is where the box ends.": {"coco": (0, 1)},
    "inclusive: the last pixel belongs to the box, and it ends one further: + 1.": {
        "inclusive": (0, 0)
    },
    "inclusive: only the end moves; the first pixel begins at its own index.": {
        "inclusive": (1, 1)
    },
    "inclusive: this widens the box on both sides; only its end lies one further.": {
        "inclusive": (-1, 1)
    },
    "voc: pixels are counted from 1 there, and both ends belong to the box.": {"voc": (0, 0)},
    "voc: all four numbers count from 1, but the last pixel belongs to the box: "
    "- 1 and + 1 at its end cancel.": {"voc": (-1, -1)},
    "voc: this counts from 0; the first pixel of a row is number 1 there.": {"voc": (0, 1)},
    "voc: the box is one pixel too long; counting from 1 has used up the + 1.": {"voc": (-1, 1)},
    "x and y are exchanged.": {"turn": True},
}


EXERCISES = (
    Exercise(
        "02-sample",
        FunctionGrader(
            right=_right_sample,
            cases=_positions,
            mistakes=combine(_sample_variant, SAMPLE_MISTAKES.items(), most=2),
            praise="{n} positions agree, under both models, the ends of the map included.",
            tiers=(INSIDE,),
        ),
        (
            "First the position on the map: x / stride, and half an element less if the elements "
            "are areas.",
            "The element at or before the position is floor(position); what is left over is the "
            "weight of the next one.",
            "Near the ends the position lies outside 0 .. len(values) - 1. Move it onto the map "
            "before you take its floor.",
            "On the last element itself there is no next one: use min(low + 1, len(values) - 1).",
        ),
    ),
    Exercise(
        "02-half-open",
        FunctionGrader(
            right=_half_open,
            cases=_boxes,
            mistakes=combine(_half_open, HALF_OPEN_MISTAKES.items(), most=2),
            praise="{n} sets of boxes agree, in all three forms.",
            tiers=(SETS, 2 * SETS),
        ),
        (
            "Draw a row of pixels and a box that holds columns 3, 4 and 5. Where does it begin, "
            "where does it end, on a ruler where column 3 fills 3 to 4?",
            "That box is (3, 6) half open, (3, 5) inclusive, (4, 6) for VOC and (3, 3) for COCO, "
            "which means x = 3 and width 3.",
            "Only one form needs a + 1, and only one a - 1.",
        ),
    ),
)
