"""Exercise of notebook 12: mirror an image together with its boxes and masks."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ...datasets.transforms import flip_x
from ..kit.exercise import Exercise, Mistake, Verdict, as_numbers, is_stub, not_yet, same

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


def _mirrored(boxes: Tensor, width: float) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([width - x2, y1, width - x1, y2], 1)  # [G, 4]


def _upside_down(boxes: Tensor, height: float) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([x1, height - y2, x2, height - y1], 1)  # [G, 4]


# Per part of a sample: the words for a wrong one, and how it comes about.
SLIPS: dict[str, tuple[tuple[str, Callable[[Tensor, int, int], Tensor]], ...]] = {
    "image": (
        ("it is not mirrored.", lambda x, h, w: x),
        ("it stands on its head: left and right is the last axis.", lambda x, h, w: x.flip(1)),
        ("the colours are exchanged: axis 0 holds the channels.", lambda x, h, w: x.flip(0)),
    ),
    "boxes": (
        ("they are still where they were.", lambda x, h, w: x),
        (
            "x1 and x2 have changed places: after W - x the left edge is the right one.",
            lambda x, h, w: _mirrored(x, w)[:, [2, 1, 0, 3]],
        ),
        (
            "they are one pixel off: W - 1 - x mirrors the indices of pixels, but a box is a pair "
            "of places, from 0 to W. Take W - x.",
            lambda x, h, w: _mirrored(x, w - 1),
        ),
        (
            "one pixel off, W - 1 - x, and x1 and x2 have changed places too.",
            lambda x, h, w: _mirrored(x, w - 1)[:, [2, 1, 0, 3]],
        ),
        (
            "they are mirrored with the height; columns count up to W.",
            lambda x, h, w: _mirrored(x, h),
        ),
        ("they are mirrored up and down.", lambda x, h, w: _upside_down(x, h)),
    ),
    "masks": (
        ("they are not mirrored.", lambda x, h, w: x),
        ("they stand on their heads: left and right is the last axis.", lambda x, h, w: x.flip(1)),
        ("the objects are in reverse order: axis 0 counts them.", lambda x, h, w: x.flip(0)),
    ),
    "labels": (("their order has changed.", lambda x, h, w: x.flip(0)),),
}  # fmt: skip


def grade(function: Any) -> Verdict:
    """Judge `function(image, target) -> (image, target)`; never raises because of it."""
    if function is None:
        return not_yet("the function")
    if not callable(function):
        return Verdict(False, "Hand over the function itself, without calling it.")
    for image, target in _cases():
        words = _fault(function, image, target)
        if words == "":
            return not_yet("the function")
        if words is not None:
            size = f"{image.shape[1]} high, {image.shape[2]} wide"
            what = f"an image {size}, with {len(target['boxes'])} objects"
            return Verdict(False, f"Not right yet, for {what}:\n{words}")
    return Verdict(True, "Passed: image, boxes and masks agree, without objects too.")


def _fault(function: Callable[..., Any], image: Tensor, target: dict) -> str | None:
    """What is wrong with one sample; "" for an empty function, None for nothing."""
    given = (image.clone(), {name: value.clone() for name, value in target.items()})
    try:
        answer = function(*given)
    except Exception as error:
        if is_stub(error):
            return ""
        return f"your function raised {type(error).__name__}: {error}"
    if answer is None:
        return ""
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not isinstance(answer[1], dict):
        return f"return two things, image and target; this is a {type(answer).__name__}."
    right_image, right_target = flip_x(image, target)
    right = {"image": right_image, **right_target}
    before = {"image": image, **target}
    yours = {**answer[1], "image": answer[0]}
    lines = [
        f"{name}: {words}"
        for name in right
        if (words := _part(name, yours.get(name), right[name], before[name], image.shape))
    ]
    if not same(given[0], image) or any(not same(given[1][n], target[n]) for n in target):
        lines.append(IN_PLACE)
    return "\n".join(lines) or None


def _part(name: str, yours: Any, right: Tensor, before: Tensor, shape: torch.Size) -> str | None:
    """What is wrong with one part of the sample; None for nothing."""
    if yours is None:
        return "missing in the target that you return."
    numbers = as_numbers(yours)
    if numbers is None:
        return f"a {type(yours).__name__}, not numbers."
    if numbers.shape != right.shape:
        return f"the shape is {list(numbers.shape)}, it should be {list(right.shape)}."
    if same(yours, right):
        return None
    for words, slip in SLIPS[name]:
        if same(yours, slip(before, shape[1], shape[2])):
            return words
    gap = (numbers - right.double()).abs()
    row = int(gap.reshape(len(gap), -1).amax(1).argmax())
    if name == "boxes":
        found, wanted = ([round(v, 2) for v in t[row].tolist()] for t in (numbers, right))
        return f"box {row} is {found}, it should be {wanted}."
    return f"the largest error is {gap.max():.4f}, in row {row} of the first axis."


def _slipped(part: str, slip: Callable[[Tensor, int, int], Tensor]) -> Callable[..., Sample]:
    """A flip that is right but for one part."""

    def function(image: Tensor, target: dict[str, Tensor]) -> Sample:
        height, width = image.shape[1:]
        new_image, new_target = flip_x(image, target)
        if part == "image":
            return slip(image, height, width), new_target
        return new_image, {**new_target, part: slip(target[part], height, width)}

    return function


def _in_place(image: Tensor, target: dict[str, Tensor]) -> Sample:
    """The right answer, which is also written over the question."""
    new_image, new_target = flip_x(image, target)
    target["boxes"].copy_(new_target["boxes"])
    return new_image, new_target


MISTAKES = (
    *(
        Mistake(f"{part}: {words}", _slipped(part, slip))
        for part, slips in SLIPS.items()
        for words, slip in slips
    ),
    Mistake(IN_PLACE, _in_place),
)


EXERCISES = (
    Exercise(
        "12-flip",
        grade,
        (
            "Images and masks: tensor.flip(-1) mirrors the last axis, the columns.",
            "A place x lands at W - x. Which edge of the mirrored box is the left one?",
            'Build a new target: {**target, "boxes": …, "masks": …}; the labels stay.',
        ),
        MISTAKES,
    ),
)
