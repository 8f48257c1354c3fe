"""Exercise of notebook 09: cut out the mask targets."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import ops
from ..kit.exercise import Exercise, FunctionGrader, Mistake, combine, switches


def _target_cases() -> Iterator[tuple[Any, ...]]:
    """Random objects and proposals: masks [G, H, W], boxes [K, 4], matched [K], size."""
    generator = torch.Generator().manual_seed(9)
    for size in (1, 2, 4, 7):
        coarse = torch.rand(3, 5, 6, generator=generator) > 0.5  # [G, h, w]
        masks = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2).to(torch.uint8)  # [G, H, W]
        corner = torch.rand(4, 2, generator=generator) * 10  # [K, 2]
        extent = 3 + torch.rand(4, 2, generator=generator) * 12  # [K, 2]
        matched = torch.tensor([2, 0, 2, 1])
        yield masks, torch.cat([corner, corner + extent], dim=1), matched, size


def _targets(masks: Tensor, boxes: Tensor, matched: Tensor, size: int) -> Tensor:
    return ops.crop_masks(masks, boxes, matched, size, aligned=False)  # [K, M, M]


@switches(
    aligned=False,
    ratio=-1,
    scale=1.0,
    index=lambda matched, count: matched,
    soft=lambda pooled: pooled,
    give=lambda pooled: pooled[:, 0],
)
def _variant(masks: Tensor, boxes: Tensor, matched: Tensor, size: int, how: Any) -> Tensor:
    """Torchvision's targets, step by step."""
    index = how.index(matched, len(masks))
    rois = torch.cat([index[:, None].to(boxes), boxes], dim=1)  # [K, 5]
    objects = masks[:, None].to(boxes)  # [G, 1, H, W]
    pooled = ops.roi_align(objects, rois, size, how.scale, how.ratio, aligned=how.aligned)
    return how.give(how.soft(pooled))  # [K, M, M]


def _cut(
    masks: Tensor, boxes: Tensor, matched: Tensor, size: int, whole: Any, options: dict[str, Any]
) -> Tensor:
    """Whole pixels are cut out, then resized."""
    parts = []
    for box, m in zip(boxes, matched):
        x1, y1, x2, y2 = whole(box)
        crop = masks[m, y1:y2, x1:x2][None, None].float()  # [1, 1, h, w]
        parts.append(F.interpolate(crop, (size, size), **options)[0, 0])
    return torch.stack(parts)  # [K, M, M]


def _scaled(masks: Tensor, boxes: Tensor, matched: Tensor, size: int) -> Tensor:
    resized = F.interpolate(masks[:, None].to(boxes), (size, size), mode="bilinear")
    return resized[matched, 0]  # [K, M, M]


THRESHOLDED = "the target was thresholded. torchvision keeps the fractions on the outline."
# What is wrong, and the switches of `_variant` that make it so.
TARGET_MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "the target is shifted by half a pixel against torchvision's. That is the better target, "
        "but this exercise asks for aligned=False.",
        {"aligned": True},
    ),
    (THRESHOLDED, {"soft": lambda pooled: (pooled >= 0.5).float()}),
    (THRESHOLDED, {"soft": lambda pooled: (pooled > 0.5).float()}),
    (
        "`matched` says which object belongs to each box; it is not used.",
        {"index": lambda matched, count: torch.arange(len(matched)).clamp(max=count - 1)},
    ),
    (
        "rows and columns are exchanged: a box is (x1, y1, x2, y2).",
        {"give": lambda pooled: pooled[:, 0].transpose(1, 2)},
    ),
    *(
        (
            f"sampling_ratio={ratio} is for features. A mask is sampled adaptively: "
            "sampling_ratio=-1.",
            {"ratio": ratio},
        )
        for ratio in (2, 1)
    ),
    *(
        (
            "spatial_scale is for feature maps. A mask is as large as its image: 1.",
            {"scale": 1 / stride},
        )
        for stride in (4, 8, 16, 32)
    ),
    (
        "the channel axis of RoIAlign's output is still there. Drop it with [:, 0].",
        {"give": lambda pooled: pooled},
    ),
)
CUT = (
    "whole pixels are cut out and resized, so the box is {}. Let RoIAlign sample the mask inside "
    "the exact box."
)
WHOLE = {
    "cut off to integers": lambda box: box.int().tolist(),
    "rounded": lambda box: box.round().int().tolist(),
    "widened to whole pixels": lambda box: [*box[:2].floor().int(), *box[2:].ceil().int()],
}
RESIZE = ({"mode": "bilinear"}, {}, {"mode": "bilinear", "align_corners": True}, {"mode": "area"})


def _cuts() -> tuple[Mistake, ...]:
    """The natural first try: crop, then interpolate, in all its forms."""
    return tuple(
        Mistake(CUT.format(what), partial(_cut, whole=whole, options=options))
        for what, whole in WHOLE.items()
        for options in RESIZE
    )


EXERCISES = (
    Exercise(
        "09-mask-targets",
        FunctionGrader(
            right=_targets,
            cases=_target_cases,
            mistakes=(
                *combine(_variant, TARGET_MISTAKES, most=2),
                *_cuts(),
                Mistake("the whole mask was scaled. First cut out the box.", _scaled),
            ),
            praise="torchvision's targets in {n} batches of proposals.",
        ),
        (
            "A target is RoIAlign of the 0/1 mask: the mask is a feature map of one channel.",
            "ops.roi_align takes rows of (image index, x1, y1, x2, y2). Let every object be an "
            "image of its own: then the index is `matched`.",
            "masks[:, None].float() has shape [G, 1, H, W]; spatial_scale is 1, sampling_ratio "
            "-1, aligned False; [:, 0] takes the channel away again.",
        ),
    ),
)
