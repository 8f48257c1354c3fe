"""Exercise of notebook 10: paste a mask into the image as torchvision does."""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import ops
from ..kit.exercise import Exercise, FunctionGrader, Mistake, combine, switches


def _cases() -> Iterator[tuple[Tensor, Tensor, tuple[int, int]]]:
    """A mask [M, M], a box [4], the image's (H, W): plain ones, a tiny one, two over the edge."""
    generator = torch.Generator().manual_seed(11)
    corners = [
        (5.0, 5.0, 13.0, 11.0),
        (4.3, 1.8, 9.6, 12.7),
        (4.6, 4.7, 13.4, 12.9),
        (6.5, 5.5, 7.0, 6.2),
        (-4.6, -2.7, 8.2, 7.9),
        (9.7, 8.6, 22.1, 18.4),
    ]
    for i, box in enumerate(corners):
        m = (4, 7, 5)[i % 3]
        yield torch.rand(m, m, generator=generator), torch.tensor(box), (16, 19)


def _right(mask: Tensor, box: Tensor, image_size: tuple[int, int]) -> Tensor:
    return ops.paste_masks(mask[None], box[None], image_size, rule="torchvision")[0]  # [H, W]


BILINEAR = {"mode": "bilinear", "align_corners": False}


@switches(
    order=lambda box: box,
    pad=1,
    grow=True,
    extra=1,
    resize=BILINEAR,
    whole=int,
    clip=True,
    give=lambda pasted: pasted,
)
def _variant(mask: Tensor, box: Tensor, image_size: tuple[int, int], how: Any) -> Tensor:
    """Torchvision's paste, step by step."""
    scale = (len(mask) + 2) / len(mask) if how.grow else 1.0
    mask = F.pad(mask, (how.pad,) * 4)  # [M, M]
    box = how.order(box)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * scale
    x1, y1, x2, y2 = map(how.whole, torch.cat([centre - half, centre + half]).tolist())
    size = (max(y2 - y1 + how.extra, 1), max(x2 - x1 + how.extra, 1))
    mask = F.interpolate(mask[None, None], size, **how.resize)[0, 0]
    out = torch.zeros(image_size)  # [H, W]
    if not how.clip:
        out[y1 : y1 + size[0], x1 : x1 + size[1]] = mask  # raises over the edge
        return how.give(out)
    top, left = max(y1, 0), max(x1, 0)
    part = mask[top - y1 :, left - x1 :][: image_size[0] - top, : image_size[1] - left]
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return how.give(out)


MISTAKES = {
    "the window is one pixel too small: torchvision counts the last pixel in, "
    "x2 - x1 + 1 columns.": {"extra": 0},
    "the corners are rounded. int() cuts off what stands after the point.": {"whole": round},
    "the corners are rounded down. int() cuts towards 0, which differs left of the image.": {
        "whole": math.floor
    },
    "the ring of zeros around the mask is missing.": {"pad": 0},
    "the mask has its ring of zeros, but the box was not enlarged by (M + 2) / M.": {"grow": False},
    "neither the ring of zeros nor the enlarged box is there.": {"pad": 0, "grow": False},
    "rows and columns are exchanged: a box is (x1, y1, x2, y2), an image [row, column].": {
        "order": lambda box: box[[1, 0, 3, 2]]
    },
    "align_corners=True stretches the mask from edge to edge. Use False.": {
        "resize": {**BILINEAR, "align_corners": True}
    },
    "F.interpolate repeats the nearest cell if it is not told mode='bilinear'.": {"resize": {}},
    "the window reaches over the image's edge, where nothing can be written. Copy only the part "
    "of it that is inside.": {"clip": False},
    "the mask is already thresholded. Return its probabilities.": {
        "give": lambda pasted: (pasted >= 0.5).float()
    },
}
BETTER = Mistake(
    "this is the pixel-centre rule, the better one. The exercise asks for torchvision's.",
    lambda m, b, s: ops.paste_masks(m[None], b[None], s, rule="pixel_centres")[0],
)


EXERCISES = (
    Exercise(
        "10-paste",
        FunctionGrader(
            right=_right,
            cases=_cases,
            mistakes=(*combine(_variant, MISTAKES.items(), most=4), BETTER),
            praise="torchvision's pixels in {n} images, two boxes over the edge included.",
            tiers=(3, 4),
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
