"""Exercise of notebook 11: another pooler for the box branch."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ... import ops
from ..kit.exercise import Exercise, FunctionGrader, Mistake

SIZE = 7


def _cases() -> Iterator[tuple[list[Tensor], list[Tensor], tuple[int, int]]]:
    """Features of a pyramid, boxes per image, and the padded image's (H, W)."""
    generator = torch.Generator().manual_seed(11)
    sizes = ((1, 4, (64, 64)), (2, 8, (96, 64)), (3, 4, (64, 128)))  # images, finest stride, image
    for images, finest, (height, width) in sizes:
        features = [
            torch.randn(images, 4, height // stride, width // stride, generator=generator)
            for stride in (finest, 2 * finest, 4 * finest)
        ]
        boxes = []
        for image in range(images):
            corner = torch.rand(3 + image, 2, generator=generator) * 30
            size = 8 + torch.rand(3 + image, 2, generator=generator) * 30
            boxes.append(torch.cat([corner, corner + size], dim=1))  # [R, 4]
        yield features, boxes, (height, width)


def _right(features: list[Tensor], boxes: list[Tensor], size: tuple[int, int]) -> Tensor:
    scale = features[0].shape[-2] / size[0]
    return ops.roi_pool(features[0], boxes, SIZE, scale)  # [K, C, P, P]


def _on_map(features: list[Tensor], boxes: list[Tensor], size: tuple[int, int]) -> list[Tensor]:
    return [of_image * features[0].shape[-2] / size[0] for of_image in boxes]


def _scaled(scale: float) -> Callable[..., Tensor]:
    return lambda f, b, s: ops.roi_pool(f[0], b, SIZE, scale)


def _of_level(level: int) -> Callable[..., Tensor]:
    return lambda f, b, s: ops.roi_pool(f[level], b, SIZE, f[level].shape[-2] / s[0])


def _aligned(ratio: int, aligned: bool) -> Callable[..., Tensor]:
    return lambda f, b, s: ops.roi_align(f[0], b, SIZE, f[0].shape[-2] / s[0], ratio, aligned)


FIXED = (
    "spatial_scale is a fixed number; another network's finest level has another stride. Compute "
    "it from the sizes that you are given."
)
COARSE = "another level is pooled. The finest is features[0]."
ALIGN = "this is RoIAlign, which is there already. The exercise asks for RoIPool."
MISTAKES = (
    Mistake("the boxes are in pixels of the image, the map is smaller: give spatial_scale, the "
            "map's height divided by the image's.",
            lambda f, b, s: ops.roi_pool(f[0], b, SIZE)),
    Mistake("spatial_scale is upside down: elements of the map per pixel, such as 1 / 4.",
            lambda f, b, s: ops.roi_pool(f[0], b, SIZE, s[0] / f[0].shape[-2])),
    Mistake("the map's height is divided by the image's width; padded_size is (H, W).",
            lambda f, b, s: ops.roi_pool(f[0], b, SIZE, f[0].shape[-2] / s[1])),
    Mistake("the map's width is divided by the image's height; padded_size is (H, W).",
            lambda f, b, s: ops.roi_pool(f[0], b, SIZE, f[0].shape[-1] / s[0])),
    Mistake("the boxes are scaled twice: spatial_scale does it.",
            lambda f, b, s: ops.roi_pool(f[0], _on_map(f, b, s), SIZE, f[0].shape[-2] / s[0])),
    Mistake("every level is pooled. Only the finest is asked for, features[0].",
            lambda f, b, s: torch.cat([ops.roi_pool(x, b, SIZE, x.shape[-2] / s[0]) for x in f])),
    Mistake("the mask branch takes 14 x 14; the box branch asks for 7 x 7.",
            lambda f, b, s: ops.roi_pool(f[0], b, 14, f[0].shape[-2] / s[0])),
    Mistake("only the first image's boxes are pooled.",
            lambda f, b, s: ops.roi_pool(f[0][:1], b[:1], SIZE, f[0].shape[-2] / s[0])),
    *(Mistake(FIXED, _scaled(1 / stride)) for stride in (4, 8, 16, 32)),
    *(Mistake(COARSE, _of_level(level)) for level in (1, 2)),
    *(Mistake(ALIGN, _aligned(*how)) for how in ((2, False), (2, True), (0, False), (0, True))),
)  # fmt: skip


EXERCISES = (
    Exercise(
        "11-pooler",
        FunctionGrader(
            right=_right,
            cases=_cases,
            mistakes=MISTAKES,
            praise="RoIPool on the finest level, in {n} batches.",
        ),
        (
            "features[0] is the finest level, [B, C, h, w]; padded_size is (H, W) of the image.",
            "ops.roi_pool(features[0], boxes, 7, spatial_scale) takes the list of boxes as it is.",
            "spatial_scale = features[0].shape[-2] / padded_size[0].",
        ),
    ),
)
