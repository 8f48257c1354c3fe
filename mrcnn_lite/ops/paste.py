"""Masks from the RoI back into the image: what the mask branch has found.

Bilinear sampling on a grid that is parallel to the axes: a matrix for the rows times the mask times
a matrix for the columns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .backend import choose
from .bilinear import Interpolation, bilinear_loop, corners
from .boxes import at_least_float32
from .rois import as_pair, no_results

# Masks whose weights are made at a time when pasting: bounds the memory.
PASTE_CHUNK = 64
RULES = ("torchvision", "pixel_centres")


def paste_masks(
    masks: Tensor,
    boxes: Tensor,
    image_size: tuple[int, int],
    rule: str = "torchvision",
    threshold: float | None = None,
) -> Tensor:
    """Scale M x M masks to their boxes and put each into an image of its own.

    Args:
        masks: Tensor[N, M, M], probabilities.
        boxes: Tensor[N, 4], pixels.
        image_size: (H, W).
        rule: "torchvision" rounds the box to whole pixels, one larger, and stretches the mask over
            them (28 x 28 pixels become 29 x 29). "pixel_centres" samples the mask at the centre
            of every pixel, without rounding (detectron2's rule).
        threshold: if given, the result is bool: probability >= threshold.

    Returns:
        Tensor[N, H, W], float or bool; 0 or False away from the box.
    """
    if not len(masks) and threshold is None:
        return no_results((0, *as_pair(image_size)), masks, boxes)  # [N, H, W]
    form = choose("paste_masks", masks.device, _paste_loop, _paste_tensor)
    return form(masks, at_least_float32(boxes), as_pair(image_size), rule, threshold)


def _paste_loop(
    masks: Tensor, boxes: Tensor, image_size: tuple[int, int], rule: str, threshold: float | None
) -> Tensor:
    """One pixel at a time, over the whole image."""
    out = masks.new_zeros(len(masks), *image_size)  # [N, H, W]
    padded = F.pad(masks, (1, 1, 1, 1))  # [N, M + 2, M + 2]
    y, top, bottom = _positions(boxes[:, 1::2], masks.shape[-2], image_size[0], rule)
    x, left, right = _positions(boxes[:, 0::2], masks.shape[-1], image_size[1], rule)
    for n in range(len(masks)):
        for i in range(top[n], bottom[n]):
            for j in range(left[n], right[n]):
                out[n, i, j] = bilinear_loop(padded[n : n + 1], float(y[n, i]), float(x[n, j]))[0]
    return out if threshold is None else out >= threshold


def _paste_tensor(
    masks: Tensor, boxes: Tensor, image_size: tuple[int, int], rule: str, threshold: float | None
) -> Tensor:
    """Two matrix products per mask, for the pixels of its window only."""
    dtype = masks.dtype if threshold is None else torch.bool
    out = torch.zeros(len(masks), *image_size, dtype=dtype, device=masks.device)  # [N, H, W]
    for first in range(0, len(masks), PASTE_CHUNK):
        part = slice(first, first + PASTE_CHUNK)
        padded = F.pad(masks[part].to(boxes.dtype), (1, 1, 1, 1))  # [N, M + 2, M + 2]
        y, top, bottom = _positions(boxes[part, 1::2], masks.shape[-2], image_size[0], rule)
        x, left, right = _positions(boxes[part, 0::2], masks.shape[-1], image_size[1], rule)
        along_y = _weights(y, padded.shape[1])  # [N, H, M + 2]
        along_x = _weights(x, padded.shape[2])  # [N, W, M + 2]
        for n, mask in enumerate(padded):
            rows, columns = slice(top[n], bottom[n]), slice(left[n], right[n])
            with torch.autocast(masks.device.type, enabled=False):
                window = along_y[n, rows] @ mask @ along_x[n, columns].T  # [H, W] of the window
            out[first + n, rows, columns] = window if threshold is None else window >= threshold
    return out


def _positions(sides: Tensor, m: int, n: int, rule: str) -> tuple[Tensor, list[int], list[int]]:
    """Where each of n pixels of an axis lies on the padded mask, in elements: Tensor[N, pixels].

    `sides`, Tensor[N, 2], are both ends of each box, `m` is the mask's length without the padding.
    Also the first pixel that each mask can reach, and the one after the last.
    """
    low, high = sides[:, :1], sides[:, 1:]  # [N, 1] each
    pixel = torch.arange(n, device=sides.device, dtype=sides.dtype) + 0.5  # [pixels]
    if rule == "torchvision":
        # The box grows by the padding, loses its fraction, and gains the pixel at its end
        # (`TO_REMOVE` in the code), then the mask is stretched over what results.
        half = (high - low) * 0.5 * ((m + 2) / m)
        centre = (high + low) * 0.5
        low, high = torch.trunc(centre - half), torch.trunc(centre + half) + 1
        high = torch.maximum(high, low + 1)
        scale = torch.full_like(low, m + 2) / (high - low)  # [N, 1]; (m + 2) / t rounds twice
        # Rounded once, like the fused multiply-add of the C++ code: hence the detour by float64.
        position = scale.double() * (pixel - low).double() - 0.5  # [N, pixels]
        position = position.to(sides.dtype).clamp(0, m + 1)
        first, last = low, high
    else:
        size = high - low
        position = (pixel - low) / size * m + 0.5  # [N, pixels]
        # Half an element of the mask beyond the box its border still fades out. No size, no mask.
        reach = size / (2 * m)
        first, last = torch.floor(low - reach), torch.ceil(high + reach)
        last = torch.where(size > 0, last, first)
    first, last = first.clamp(0, n), last.clamp(0, n)
    return position, first[:, 0].int().tolist(), torch.maximum(first, last)[:, 0].int().tolist()


def _weights(position: Tensor, m: int) -> Tensor:
    """Bilinear weights of a mask's m elements at each position: Tensor[N, pixels, m]."""
    low, high, fraction, _ = corners(position, m)  # [N, pixels] each
    index = torch.stack([low, high], dim=2)  # [N, pixels, 2]
    weight = torch.stack([1 - fraction, fraction], dim=2)  # [N, pixels, 2]
    return Interpolation(index, weight).matrix(m)
