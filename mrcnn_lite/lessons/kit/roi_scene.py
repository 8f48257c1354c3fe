"""A thousand RoIs on the levels of a pyramid, and which elements of the maps they read."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...ops import assign_levels
from ...ops.bilinear import corners

STRIDES = (4, 8, 16, 32)
IMAGE = (800, 1344)  # (H, W) of the padded images, pixels
IMAGES = 2


@dataclass(frozen=True)
class Scene:
    """RoIs on the levels of a pyramid from which they are read."""

    source: Tensor  # [K, 2] of (image, level)
    start: Tensor  # [K, 2] of (x, y), elements of the RoI's level
    extent: Tensor  # [K, 2] of (width, height), elements


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
    source = torch.stack([torch.arange(count) % IMAGES, level], 1)  # [K, 2]
    return Scene(source, start, extent)


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
            here = (scene.source == torch.tensor([image, level])).all(1)  # [K]
            axes = []
            for axis, n in ((1, lengths[0]), (0, lengths[1])):
                args = (scene.start[here, axis], scene.extent[here, axis], size, ratio, n)
                read = axis_reads(*args).flatten(1)  # [K, N]
                axes.append(torch.zeros(len(read), n).scatter_(1, read, 1.0))  # [K, N]
            maps.append(axes[0].T @ axes[1] > 0)  # [h, w]
        marked.append(torch.stack(maps))  # [B, h, w]
    return tuple(marked)
