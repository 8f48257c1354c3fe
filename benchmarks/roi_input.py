"""Feature pyramids and RoIs for the GPU benchmarks, and the bytes that they make necessary.

The sizes of the RoIs are drawn log-normally, so that about three of four belong to the finest
level, as a detector's proposals do. Their corners lie on whole pixels and their sides are multiples
of 2 P: then every sample's position is exact in float32, and a comparison with float64 shows the
arithmetic. (Elsewhere float32 rounds positions, by 2e-5 of an element at element 300, for any
implementation.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.gpu import Runner
from mrcnn_lite.ops import assign_levels, multiscale_roi_align
from mrcnn_lite.ops.bilinear import interpolation
from mrcnn_lite.ops.roi_align import roi_extent

STRIDES = (4, 8, 16, 32)
SAMPLES = 2
MEDIAN, SPREAD, ASPECT = 64.0, 0.9, 0.2  # pixels; logarithms


@dataclass(frozen=True)
class Size:
    """One size of the problem."""

    images: int = 2  # in the batch
    channels: int = 256
    image: tuple[int, int] = (800, 1344)  # (H, W) in pixels
    rois: int = 1000  # in all images together
    pooled: int = 7  # P
    canonical: int = 224  # side of the box that goes to level 4


FULL = Size()
TINY = Size(2, 4, (32, 64), 3, 2, 20)


def size_of(runner: Runner, **changes: int) -> Size:
    """The full size with some fields changed, or a tiny one in a rehearsal."""
    return TINY if runner.dry else replace(FULL, **changes)


def make_maps(size: Size, dtype: torch.dtype, device: str) -> list[Tensor]:
    """Random maps of strides 4 to 32, channels last: L Tensor[B, C, h, w]."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(size.image[0] // s, size.image[1] // s) for s in STRIDES]
    maps = [
        torch.randn(size.images, size.channels, *shape, generator=generator) for shape in shapes
    ]
    layout = torch.channels_last
    return [m.to(dtype).to(device).contiguous(memory_format=layout) for m in maps]


def make_boxes(size: Size, device: str, seed: int = 1) -> list[Tensor]:
    """RoIs for each image: float32 B Tensor[R, 4] in pixels."""
    generator = torch.Generator().manual_seed(seed)
    extent = torch.tensor([size.image[1], size.image[0]], dtype=torch.float32)
    step = 2 * size.pooled
    boxes = []
    for image in range(size.images):
        count = size.rois // size.images + (image < size.rois % size.images)
        side = MEDIAN * torch.exp(SPREAD * torch.randn(count, 1, generator=generator))
        side = side * torch.exp(ASPECT * torch.randn(count, 2, generator=generator))  # [R, 2]
        side = torch.minimum((side / step).round().clamp(min=1), (extent / step).floor()) * step
        corner = (torch.rand(count, 2, generator=generator) * (extent - side)).floor()  # [R, 2]
        boxes.append(torch.cat([corner, corner + side], dim=1).to(device))  # [R, 4]
    return boxes


def ours(maps: list[Tensor], boxes: list[Tensor], size: Size) -> Tensor:
    """Our RoIAlign of all levels: Tensor[K, C, P, P]."""
    return multiscale_roi_align(
        maps, boxes, size.image, size.pooled, SAMPLES, canonical_scale=size.canonical
    )


def torchvisions_pooler(size: Size) -> Callable[[list[Tensor], list[Tensor]], Tensor]:
    """torchvision's module for the same."""
    from torchvision.ops import MultiScaleRoIAlign

    names = [str(level) for level in range(len(STRIDES))]
    pooler = MultiScaleRoIAlign(names, size.pooled, SAMPLES, canonical_scale=size.canonical)
    sizes = [size.image] * size.images

    def pool(maps: list[Tensor], boxes: list[Tensor]) -> Tensor:
        return pooler(OrderedDict(zip(names, maps, strict=True)), boxes, sizes)

    return pool


def level_of_each(boxes: list[Tensor], size: Size) -> Tensor:
    """The level of each RoI, 0 for the finest: int64 Tensor[K]."""
    return assign_levels(torch.cat(boxes), 2, 5, size.canonical)


def rois_by_level(boxes: list[Tensor], size: Size) -> list[Tensor]:
    """RoIs as torchvision's operation takes them, level by level: L Tensor[K, 5]."""
    image = [torch.full_like(one[:, :1], index) for index, one in enumerate(boxes)]
    rois = torch.cat([torch.cat(image), torch.cat(boxes)], dim=1)  # [K, 5]
    level = level_of_each(boxes, size)
    return [rois[level == l] for l in range(len(STRIDES))]


def torchvisions_kernels(maps: list[Tensor], rois: list[Tensor], pooled: int) -> list[Tensor]:
    """torchvision's operation once per level, without what `MultiScaleRoIAlign` does around it."""
    from torchvision.ops import roi_align

    return [
        roi_align(feature, boxes, pooled, 1 / stride, SAMPLES, aligned=False)
        for feature, boxes, stride in zip(maps, rois, STRIDES, strict=True)
    ]


def touched_elements(size: Size, boxes: list[Tensor]) -> int:
    """How many elements of the maps, channels aside, some RoI reads."""
    total = 0
    rows = [part.cpu() for part in rois_by_level(boxes, size)]
    for level, stride in zip(rows, STRIDES, strict=True):
        h, w = size.image[0] // stride, size.image[1] // stride
        touched = torch.zeros(size.images, h, w, dtype=torch.bool)
        scale = torch.full((len(level), 1), 1 / stride)
        start, extent = roi_extent(level[:, 1:], scale, False)  # [K, 2] each
        y = interpolation(start[:, 1], extent[:, 1], size.pooled, SAMPLES, h)
        x = interpolation(start[:, 0], extent[:, 0], size.pooled, SAMPLES, w)
        for k, image in enumerate(level[:, 0].int().tolist()):
            row = y.index[k][y.weight[k] != 0].unique()
            column = x.index[k][x.weight[k] != 0].unique()
            touched[image, row[:, None], column] = True
        total += int(touched.sum())
    return total


def bytes_forward(size: Size, boxes: list[Tensor], width: int) -> int:
    """What the forward pass must move at `width` bytes a number: elements read once, the output."""
    elements = touched_elements(size, boxes) + size.rois * size.pooled**2
    return elements * size.channels * width


def scattered_boxes(
    g: torch.Generator, shape: tuple, size: tuple, reach: float, most: float
) -> Tensor:
    """Boxes [..., 4] that begin in the first `reach` of an image; sides of 5 % to 5 % + `most`."""
    extent = torch.tensor([size[1], size[0]])
    corner = torch.rand(*shape, 2, generator=g) * extent * reach
    side = (0.05 + most * torch.rand(*shape, 2, generator=g)) * extent
    return torch.cat([corner, corner + side], dim=-1)
