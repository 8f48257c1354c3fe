"""RoIPool (Girshick 2015, Fast R-CNN, section 2.1): the maximum of each cell of a coarse grid.

Two roundings happen. The corners of the RoI are rounded to whole elements of the map, *both ends
included*: corners that round to 0 and 4 cover five elements. Then the borders between the bins are
rounded, each bin outwards (floor of its start, ceil of its end), so that neighbouring bins overlap
when the size is no multiple of the bins: five elements in two bins give 0..2 and 2..4.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mrcnn_lite.ops.backend import choose
from mrcnn_lite.ops.checks import as_pair, as_rois, check_sampling
from mrcnn_lite.ops.pixel_rows import pixel_table


def roi_pool(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
) -> Tensor:
    """Pool every RoI to a fixed grid by maxima.

    Args:
        input: Tensor[B, C, h, w].
        boxes: Tensor[K, 5] of (image index, x1, y1, x2, y2) or a list of B Tensor[R, 4], pixels.
        output_size: P, or (rows, columns).
        spatial_scale: elements of the map per pixel of the image, such as 1 / 32.

    Returns:
        Tensor[K, C, P, P]; an empty bin is 0. The gradient goes to the element that was the
        maximum (the first one among equals).

    Raises:
        TypeError, ValueError: see `checks.as_rois`.
    """
    size = as_pair(output_size)
    check_sampling(spatial_scale)
    image, corners = as_rois(input, boxes)
    form = choose("roi_pool", input.device, roi_pool_loop, _roi_pool_windows)
    return form(input, image, corners, size, spatial_scale)


def round_half_away(x: Tensor) -> Tensor:
    """Round as C++ does: halves away from zero. (`torch.round` and Python round them to even.)"""
    return torch.trunc(x + torch.copysign(torch.full_like(x, 0.5), x))


def roi_pool_loop(
    input: Tensor, image: Tensor, corners: Tensor, size: tuple[int, int], spatial_scale: float
) -> Tensor:
    """One bin at a time.

    Args:
        input: Tensor[B, C, h, w].
        image: Tensor[K] int64.
        corners: Tensor[K, 4], pixels.
        size: (rows, columns) of bins.
        spatial_scale: elements of the map per pixel.

    Returns:
        Tensor[K, C, P, P].
    """
    h, w = input.shape[-2:]
    rounded = round_half_away(corners.detach() * spatial_scale).long().tolist()
    out = []
    for k, (x1, y1, x2, y2) in enumerate(rounded):
        for top, bottom in _windows_loop(y1, y2, size[0], h):
            for left, right in _windows_loop(x1, x2, size[1], w):
                window = input[image[k], :, top:bottom, left:right]  # [C, N, N]
                empty = bottom <= top or right <= left
                out.append(window.sum((1, 2)) if empty else window.flatten(1).max(1).values)
    if not out:
        return input.new_zeros(0, input.shape[1], *size)  # [K, C, P, P]
    return torch.stack(out).unflatten(0, (-1, *size)).permute(0, 3, 1, 2)  # [K, C, P, P]


def _windows_loop(first: int, last: int, bins: int, n: int) -> list[tuple[int, int]]:
    """Half-open windows of the bins of one axis, clipped to an axis of n elements."""
    step = max(last - first + 1, 1) / bins
    ends = [(math.floor(i * step), math.ceil((i + 1) * step)) for i in range(bins)]
    return [(min(max(a + first, 0), n), min(max(b + first, 0), n)) for a, b in ends]


def _roi_pool_windows(
    input: Tensor, image: Tensor, corners: Tensor, size: tuple[int, int], spatial_scale: float
) -> Tensor:
    """All bins at once: each is a bag of pixel rows, and `embedding_bag` takes the maximum.

    A window is a product of an interval of rows and one of columns, so the list of its pixels
    follows from four numbers per bin.
    """
    h, w = input.shape[-2:]
    bins = len(corners) * size[0] * size[1]
    rounded = round_half_away(corners.detach() * spatial_scale).long()  # [K, 4]
    top, tall = _windows(rounded[:, 1], rounded[:, 3], size[0], h)  # [K, P] each
    left, wide = _windows(rounded[:, 0], rounded[:, 2], size[1], w)  # [K, P] each
    count = (tall[:, :, None] * wide[:, None]).view(-1)  # [N] of N = K * P * P bins
    end = count.cumsum(0)  # [N]
    start = end - count
    first = (image[:, None] * h + top)[:, :, None] * w + left[:, None]  # [K, P, P]
    bag = torch.arange(bins, device=input.device).repeat_interleave(count)
    step = torch.arange(len(bag), device=input.device) - start[bag]
    width = wide[:, None].expand(-1, size[0], -1).reshape(-1)[bag]
    pixel = first.view(-1)[bag] + torch.div(step, width, rounding_mode="floor") * w + step % width
    table = pixel_table([input]).to(corners.dtype)  # [B * h * w, C]
    out = F.embedding_bag(pixel, table, offsets=start, mode="max")  # [N, C]
    out = out.view(len(corners), *size, input.shape[1])  # [K, P, P, C]
    return out.permute(0, 3, 1, 2).to(input.dtype)  # [K, C, P, P]


def _windows(first: Tensor, last: Tensor, bins: int, n: int) -> tuple[Tensor, Tensor]:
    """Where each bin begins and how long it is, on an axis of n elements: Tensor[K, P] each."""
    step = (last - first + 1).clamp(min=1).double()[:, None] / bins  # [K, 1]
    i = torch.arange(bins, device=first.device)  # [P]
    start = (torch.floor(i * step).long() + first[:, None]).clamp(0, n)  # [K, P]
    end = (torch.ceil((i + 1) * step).long() + first[:, None]).clamp(0, n)  # [K, P]
    return start, (end - start).clamp(min=0)
