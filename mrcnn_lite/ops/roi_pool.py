"""RoIPool (Girshick 2015, Fast R-CNN, section 2.1): the maximum of each bin of a coarse grid.

Two roundings happen. The corners of the RoI are rounded to whole elements of the map, *both ends
included*: corners that round to 0 and 4 cover five elements. Then the borders between the bins are
rounded, each bin outwards (floor of its start, ceil of its end), so that neighbouring bins overlap
when the size is no multiple of the bins: five elements in two bins give 0..2 and 2..4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .backend import choose
from .rois import Boxes, OutputSize, as_pair, no_results, split_rois
from .sparse_gather import channels_last_table


def roi_pool(
    input: Tensor, boxes: Boxes, output_size: OutputSize, spatial_scale: float = 1.0
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
    """
    image, corners = split_rois(input, boxes)
    shape = len(image), input.shape[1], *as_pair(output_size)
    if 0 in shape:
        return no_results(shape, input)  # [K, C, P, P]
    form = choose("roi_pool", input.device, roi_pool_loop, _roi_pool_tensor)
    return form(input, image, corners, shape[2:], spatial_scale)


def round_half_away(x: Tensor) -> Tensor:
    """Round as C++ does: halves away from zero. (`torch.round` and Python round them to even.)"""
    whole = torch.trunc(x)  # x + 0.5 may itself be rounded up to the next whole number
    return torch.where((x - whole).abs() >= 0.5, whole + x.sign(), whole)


def roi_pool_bins(
    corners: Tensor, size: tuple[int, int], spatial_scale: float, h: int, w: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The elements that each bin holds of a map of h rows and w columns.

    RoIs with Tensor[K, 4] pixels as corners, divided into `size`, (rows, columns) of bins, give top
    and bottom, Tensor[K, rows] int64, left and right, Tensor[K, columns] int64: half open, clipped
    to the map, so that a bin beside it is empty.
    """
    x1, y1, x2, y2 = round_half_away(corners.detach() * spatial_scale).split(1, dim=1)  # [K, 1]
    return *_bins(y1, y2, size[0], h), *_bins(x1, x2, size[1], w)


def _bins(first: Tensor, last: Tensor, bins: int, n: int) -> tuple[Tensor, Tensor]:
    """Where each bin of RoIs [K, 1] begins and ends on an axis of n elements: Tensor[K, P] each.

    All in the type of the corners, as in torchvision: 7 float32 sevenths of 29 are more than 29.
    """
    step = (last - first + 1).clamp(min=1) / bins  # [K, 1]
    border = torch.arange(bins + 1, device=first.device) * step  # [K, P + 1]
    start = (torch.floor(border[:, :-1]) + first).clamp(0, n)  # [K, P]
    end = (torch.ceil(border[:, 1:]) + first).clamp(0, n)  # [K, P]
    return start.long(), end.long()


def roi_pool_loop(
    input: Tensor, image: Tensor, corners: Tensor, size: tuple[int, int], spatial_scale: float
) -> Tensor:
    """One bin at a time: image Tensor[K] and corners Tensor[K, 4] give Tensor[K, C, P, P]."""
    bins = roi_pool_bins(corners, size, spatial_scale, *input.shape[-2:])
    out = []
    for k, (top, bottom, left, right) in enumerate(zip(*(side.tolist() for side in bins))):
        for y1, y2 in zip(top, bottom):
            for x1, x2 in zip(left, right):
                window = input[image[k], :, y1:y2, x1:x2]  # [C, N, N]
                empty = y2 <= y1 or x2 <= x1
                out.append(window.sum((1, 2)) if empty else window.flatten(1).max(1).values)
    return torch.stack(out).unflatten(0, (-1, *size)).permute(0, 3, 1, 2)  # [K, C, P, P]


def _roi_pool_tensor(
    input: Tensor, image: Tensor, corners: Tensor, size: tuple[int, int], spatial_scale: float
) -> Tensor:
    """All bins at once: each is a bag of pixels, of which `embedding_bag` takes the maximum."""
    h, w = input.shape[-2:]
    top, bottom, left, right = roi_pool_bins(corners, size, spatial_scale, h, w)
    tall, wide = (bottom - top).clamp(min=0), (right - left).clamp(min=0)  # [K, P] each
    count = (tall[:, :, None] * wide[:, None]).view(-1)  # [N] of N = K * P * P bins
    start = count.cumsum(0) - count  # [N]
    first = (image[:, None] * h + top)[:, :, None] * w + left[:, None]  # [K, P, P]
    bag = torch.repeat_interleave(count)  # [pixels], to which bin each belongs
    step = torch.arange(len(bag), device=input.device) - start[bag]
    width = wide[:, None].expand(-1, size[0], -1).reshape(-1)[bag]
    row = torch.div(step, width, rounding_mode="floor")
    pixel = first.view(-1)[bag] + step + row * (w - width)
    table = channels_last_table([input]).to(corners.dtype)  # [B * h * w, C]
    out = F.embedding_bag(pixel, table, offsets=start, mode="max")  # [N, C]
    out = out.view(len(corners), *size, input.shape[1])  # [K, P, P, C]
    return out.permute(0, 3, 1, 2).to(input.dtype)  # [K, C, P, P]
