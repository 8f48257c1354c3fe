"""Exercise of notebook 12: mirror an image together with its boxes and masks."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...datasets.transforms import flip_x
from ..kit.exercise import Exercise, FaultGrader, Mistake, as_numbers, same

Sample = tuple[Tensor, dict[str, Tensor]]
IN_PLACE = "your function writes into its inputs; the next epoch would see them flipped."


def _cases() -> Iterator[Sample]:
    """Random images, none square, with 3, 1 and 0 objects."""
    generator = torch.Generator().manual_seed(12)
    for height, width, count in ((12, 20, 3), (21, 9, 1), (8, 10, 0)):
        image = torch.rand(3, height, width, generator=generator)
        masks = (torch.rand(count, height, width, generator=generator) > 0.5).to(torch.uint8)
        first = torch.rand(count, 2, generator=generator)  # parts of the image
        last = first + (1 - first) * (0.1 + 0.9 * torch.rand(count, 2, generator=generator))
        boxes = torch.cat([first, last], 1) * torch.tensor([width, height, width, height])
        labels = torch.randint(1, 6, (count,), generator=generator)
        yield image, {"boxes": boxes, "labels": labels, "masks": masks}


def _mirrored(boxes: Tensor, size: float, axis: int = 0) -> Tensor:
    """Boxes [G, 4] in the mirror, `size` px wide (axis 0) or high (axis 1); edges keep places."""
    signs, shift = torch.ones(4), torch.zeros(4)
    signs[axis::2], shift[axis::2] = -1, size
    return boxes * signs + shift


CROSSED = [2, 1, 0, 3]  # columns of a box with x1 and x2 exchanged
# Per part of a sample: what is wrong with it, and how it comes about from (part, height, width).
KNOWN: dict[str, dict[str, Callable[[Tensor, int, int], Tensor]]] = {
    "image": {
        "it is not mirrored.": lambda x, h, w: x,
        "it stands on its head: left and right is the last axis.": lambda x, h, w: x.flip(1),
        "the colours are exchanged: axis 0 holds the channels.": lambda x, h, w: x.flip(0),
    },
    "boxes": {
        "they are still where they were.": lambda x, h, w: x,
        "x1 and x2 have changed places: after W - x the left edge is the right one.": (
            lambda x, h, w: _mirrored(x, w)
        ),
        "they are one pixel off: W - 1 - x mirrors the indices of pixels, but a box is a pair "
        "of places, from 0 to W. Take W - x.": lambda x, h, w: _mirrored(x, w - 1)[:, CROSSED],
        "one pixel off, W - 1 - x, and x1 and x2 have changed places too.": (
            lambda x, h, w: _mirrored(x, w - 1)
        ),
        "they are mirrored with the height; columns count up to W.": (
            lambda x, h, w: _mirrored(x, h)[:, CROSSED]
        ),
        "they are mirrored up and down.": lambda x, h, w: _mirrored(x, h, 1)[:, [0, 3, 2, 1]],
    },
    "masks": {
        "they are not mirrored.": lambda x, h, w: x,
        "they stand on their heads: left and right is the last axis.": lambda x, h, w: x.flip(1),
        "the objects are in reverse order: axis 0 counts them.": lambda x, h, w: x.flip(0),
    },
    "labels": {"their order has changed.": lambda x, h, w: x.flip(0)},
}


def _fault(function: Callable[..., Any], image: Tensor, target: dict) -> str | None:
    """What is wrong with one sample; None for nothing."""
    given = (image.clone(), {name: value.clone() for name, value in target.items()})
    answer = function(*given)
    if answer is None:
        raise NotImplementedError
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not isinstance(answer[1], dict):
        return f"return two things, image and target; this is a {type(answer).__name__}."
    before = {"image": image, **target}
    right = _flip(before)
    yours = {**answer[1], "image": answer[0]}
    faults = {
        name: _wrong_part(name, yours.get(name), right[name], before[name], image.shape[1:])
        for name in right
    }
    lines = [f"{name}: {fault}" for name, fault in faults.items() if fault]
    after = {"image": given[0], **given[1]}
    if not all(same(after[name], before[name]) for name in before):
        lines.append(IN_PLACE)
    return "\n".join(lines) or None


def _flip(sample: dict[str, Tensor]) -> dict[str, Tensor]:
    """`flip_x`, with the image as a part like the others."""
    image, target = flip_x(sample["image"], {k: v for k, v in sample.items() if k != "image"})
    return {"image": image, **target}


def _wrong_part(
    name: str, yours: Any, right: Tensor, before: Tensor, size: tuple[int, int]
) -> str | None:
    if yours is None:
        return "missing in the target that you return."
    numbers = as_numbers(yours)
    if numbers is None:
        return f"a {type(yours).__name__}, not numbers."
    if numbers.shape != right.shape:
        return f"the shape is {list(numbers.shape)}, it should be {list(right.shape)}."
    if same(yours, right):
        return None
    for message, wrong in KNOWN[name].items():
        if same(yours, wrong(before, *size)):
            return message
    gap = (numbers - right.double()).abs()
    row = int(gap.reshape(len(gap), -1).amax(1).argmax())
    if name == "boxes":
        mine, other = ([round(v, 2) for v in t[row].tolist()] for t in (numbers, right))
        return f"box {row} is {mine}, it should be {other}."
    return f"the largest error is {gap.max():.4f}, in row {row} of the first axis."


def _wrong_flip(
    image: Tensor, target: dict[str, Tensor], part: str, wrong: Callable[..., Tensor]
) -> Sample:
    """A flip that is right but for one part."""
    before = {"image": image, **target}
    sample = {**_flip(before), part: wrong(before[part], *image.shape[1:])}
    return sample.pop("image"), sample


def _in_place(image: Tensor, target: dict[str, Tensor]) -> Sample:
    """The right answer, which is also written over the question."""
    new_image, new_target = flip_x(image, target)
    target["boxes"].copy_(new_target["boxes"])
    return new_image, new_target


EXERCISES = (
    Exercise(
        "12-flip",
        FaultGrader(
            _fault,
            _cases,
            describe=lambda image, target: (
                f"an image {image.shape[1]} high, {image.shape[2]} wide, "
                f"with {len(target['boxes'])} objects"
            ),
            praise="image, boxes and masks agree, without objects too.",
        ),
        (
            "Images and masks: tensor.flip(-1) mirrors the last axis, the columns.",
            "A place x lands at W - x. Which edge of the mirrored box is the left one?",
            'Build a new target: {**target, "boxes": …, "masks": …}; the labels stay.',
        ),
        (
            *(
                Mistake(f"{part}: {message}", partial(_wrong_flip, part=part, wrong=wrong))
                for part, known in KNOWN.items()
                for message, wrong in known.items()
            ),
            Mistake(IN_PLACE, _in_place),
        ),
    ),
)
