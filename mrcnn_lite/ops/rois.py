"""Regions of interest (RoIs): torchvision's two forms of giving them, and the one used inside."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Boxes = Tensor | Sequence[Tensor]  # [K, 5] of (image index, x1, y1, x2, y2), or B x [R, 4]
OutputSize = int | tuple[int, int]  # P, or (rows, columns)


class Rois(NamedTuple):
    """RoIs that know where they belong."""

    image: Tensor  # [K] int64
    corners: Tensor  # [K, 4], pixels, at least float32
    level: Tensor  # [K] int64, the map that each is read from; 0 for the finest


class Grid(NamedTuple):
    """How a RoI is divided and sampled: see `roi_align`."""

    size: tuple[int, int]  # (rows, columns) of bins
    samples: int  # S; 0 or less is adaptive
    aligned: bool


def split_rois(input: Tensor, boxes: Boxes) -> tuple[Tensor, Tensor]:
    """Read Tensor[K, 5] or a list of B Tensor[R, 4]: image Tensor[K] int64, corners Tensor[K, 4].

    Eleven or eight bits cannot hold a coordinate: beside half precision the corners are float32.
    """
    if isinstance(boxes, Tensor):
        image, corners = boxes[:, 0].detach().long(), boxes[:, 1:]  # [K], [K, 4]
    elif not boxes:
        image, corners = input.new_zeros(0, dtype=torch.int64), input.new_zeros(0, 4)
    else:
        # Filled, not copied from a list: a GPU's host need not wait.
        images = [one.new_full((len(one),), b, dtype=torch.int64) for b, one in enumerate(boxes)]
        image, corners = torch.cat(images), torch.cat(list(boxes))  # [K], [K, 4]
    half = input.dtype in (torch.float16, torch.bfloat16)
    return image, corners.float() if half else corners


def no_results(shape: Sequence[int], *sources: Tensor) -> Tensor:
    """Return zeros of a shape that holds nothing, in the graph of what they would come from."""
    return sources[0].new_zeros(shape) + sum(source[:0].sum() for source in sources)


def as_pair(size: OutputSize) -> tuple[int, int]:
    """Read `7` or `(7, 7)` as (rows, columns)."""
    rows, columns = size if isinstance(size, Sequence) else (size, size)
    return int(rows), int(columns)
