"""Exercise of notebook 10: paste a mask into the image as torchvision does."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import ops
from ..kit.exercise import Exercise, FunctionGrader, Mistake


def _cases() -> Iterator[tuple[Tensor, Tensor, tuple[int, int]]]:
    """A mask [M, M], its box [4] and the image's (H, W); the last two reach over the edge."""
    generator = torch.Generator().manual_seed(11)
    corners = [
        (2.0, 3.0, 14.0, 11.0),
        (4.3, 1.8, 9.6, 12.7),
        (6.5, 5.5, 7.0, 6.2),
        (1.6, 2.7, 15.4, 13.9),
        (-4.6, -2.7, 8.2, 7.9),
        (9.7, 8.6, 22.1, 18.4),
    ]
    for i, box in enumerate(corners):
        m = (4, 7, 5)[i % 3]
        yield torch.rand(m, m, generator=generator), torch.tensor(box), (16, 19)


def _right(mask: Tensor, box: Tensor, image_size: tuple[int, int]) -> Tensor:
    return ops.paste_masks(mask[None], box[None], image_size, rule="torchvision")[0]  # [H, W]


def _variant(
    pad: int = 1, grow: bool = True, extra: int = 1, corner: bool = False, whole: Any = int
) -> Callable[[Tensor, Tensor, tuple[int, int]], Tensor]:
    """Torchvision's steps, each of which can be left out or done wrongly."""

    def paste(mask: Tensor, box: Tensor, image_size: tuple[int, int]) -> Tensor:
        scale = (len(mask) + 2) / len(mask) if grow else 1.0
        mask = F.pad(mask, (pad,) * 4)  # [M, M]
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * scale
        ends = torch.cat([centre - half, centre + half]).tolist()
        x1, y1, x2, y2 = (int(whole(value)) for value in ends)
        size = (max(y2 - y1 + extra, 1), max(x2 - x1 + extra, 1))
        mask = F.interpolate(mask[None, None], size, mode="bilinear", align_corners=corner)[0, 0]
        out = torch.zeros(image_size)  # [H, W]
        top, left = max(y1, 0), max(x1, 0)
        part = mask[top - y1 :, left - x1 :][: image_size[0] - top, : image_size[1] - left]
        out[top : top + part.shape[0], left : left + part.shape[1]] = part
        return out

    return paste


def _floor(value: float) -> int:
    return int(value // 1)


MISTAKES = (
    Mistake(
        "the window is one pixel too small: torchvision counts the last pixel in, "
        "x2 - x1 + 1 columns.",
        _variant(extra=0),
    ),
    Mistake("the corners are rounded. int() cuts off what stands after the point.",
            _variant(whole=round)),
    Mistake("the corners are rounded down. int() cuts towards 0, which differs left of the image.",
            _variant(whole=_floor)),
    Mistake("the ring of zeros around the mask is missing.", _variant(pad=0)),
    Mistake("the mask has its ring of zeros, but the box was not enlarged by (M + 2) / M.",
            _variant(grow=False)),
    Mistake("neither the ring of zeros nor the enlarged box is there.",
            _variant(pad=0, grow=False)),
    Mistake("align_corners=True stretches the mask from edge to edge. Use False.",
            _variant(corner=True)),
    Mistake(
        "this is the pixel-centre rule, the better one. The exercise asks for torchvision's.",
        lambda m, b, s: ops.paste_masks(m[None], b[None], s, rule="pixel_centres")[0],
    ),
    Mistake("the mask is already thresholded. Return its probabilities.",
            lambda m, b, s: (_right(m, b, s) >= 0.5).float()),
)  # fmt: skip


EXERCISES = (
    Exercise(
        "10-paste",
        FunctionGrader(
            right=_right,
            cases=_cases,
            describe=lambda m, b, s: (
                f"a {len(m)}x{len(m)} mask in box {[round(v, 1) for v in b.tolist()]}, "
                f"image {s[0]}x{s[1]}"
            ),
            mistakes=MISTAKES,
            praise="torchvision's pixels in {n} images, two boxes over the edge included.",
        ),
        (
            "F.pad(mask, (1, 1, 1, 1)) puts the ring of zeros; the box grows about its centre.",
            "With x1, y1, x2, y2 as integers: F.interpolate(mask[None, None], "
            "(y2 - y1 + 1, x2 - x1 + 1), mode='bilinear', align_corners=False)[0, 0].",
            "Where the window leaves the image, copy the part that is inside: rows "
            "max(y1, 0) to min(y2 + 1, H) of the image are rows max(y1, 0) - y1 and on of it.",
        ),
    ),
)
