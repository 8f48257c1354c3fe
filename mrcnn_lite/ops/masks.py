"""Masks between image and RoI: cut one out for training, put one back for prediction."""

import torch
from torch import Tensor

from mrcnn_lite.ops.checks import check_boxes, check_tensor
from mrcnn_lite.ops.roi_align import roi_extent
from mrcnn_lite.ops.taps import axis_taps, dense


def crop_masks(
    masks: Tensor, boxes: Tensor, matched: Tensor, size: int, aligned: bool = False
) -> Tensor:
    """Cut the matched object's mask out of the image and scale it to M x M.

    This is RoIAlign of the 0/1 mask with adaptive sampling (torchvision's
    `project_masks_on_boxes`), so cells on the outline hold fractions: soft targets.

    Args:
        masks: Tensor[G, H, W] uint8, bool or float, 1 on the object.
        boxes: Tensor[K, 4], pixels.
        matched: Tensor[K] int64, which mask belongs to each box.
        size: M.
        aligned: False is torchvision's rule, which moves the target by half a pixel; True is exact.

    Returns:
        Tensor[K, M, M] in 0..1.
    """
    check_tensor(masks, "masks", "[G, H, W]", floating=False)
    check_boxes(boxes, "boxes", "[K, 4]")
    start, extent = roi_extent(boxes, 1.0, aligned)
    h, w = masks.shape[-2:]
    along_y = dense(axis_taps(start[:, 1], extent[:, 1], size, -1, h), h)  # [K, M, H]
    along_x = dense(axis_taps(start[:, 0], extent[:, 0], size, -1, w), w)  # [K, M, W]
    return along_y @ masks[matched].to(along_y.dtype) @ along_x.transpose(1, 2)  # [K, M, M]


def paste_masks(
    masks: Tensor,
    boxes: Tensor,
    image_size: tuple[int, int],
    rule: str = "torchvision",
    threshold: float | None = None,
) -> Tensor:
    """Scale M x M masks to their boxes and put them into images of their own.

    Args:
        masks: Tensor[N, M, M], probabilities.
        boxes: Tensor[N, 4], pixels.
        image_size: (H, W).
        rule: "torchvision" or "pixel_centres".
        threshold: if given, the result is bool: probability >= threshold.

    Returns:
        Tensor[N, H, W], float or bool.
    """
    check_tensor(masks, "masks", "[N, M, M]")
    check_boxes(boxes, "boxes", "[N, 4]")
    weights = _RULES[rule]
    dtype = masks.dtype if threshold is None else torch.bool
    out = torch.zeros(len(masks), *image_size, dtype=dtype, device=masks.device)  # [N, H, W]
    for n, box in enumerate(boxes):
        top, along_y = weights(box[1], box[3], masks.shape[-2], image_size[0])
        left, along_x = weights(box[0], box[2], masks.shape[-1], image_size[1])
        part = along_y @ masks[n] @ along_x.T  # [H, W] of the window
        part = part if threshold is None else part >= threshold
        out[n, top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def _centre_weights(low: Tensor, high: Tensor, m: int, n: int) -> tuple[int, Tensor]:
    first, last = max(int(low.floor()), 0), min(int(high.ceil()), n)
    pixel = torch.arange(first, max(last, first), device=low.device, dtype=low.dtype)
    position = (pixel + 0.5 - low) / (high - low) * m - 0.5
    return first, _hat(position, m)


def _torchvision_weights(low: Tensor, high: Tensor, m: int, n: int) -> tuple[int, Tensor]:
    centre, half = (low + high) * 0.5, (high - low) * 0.5 * (m + 2) / m
    start, end = int(centre - half), int(centre + half)
    size = max(end - start + 1, 1)
    first, last = max(start, 0), min(end + 1, n)
    pixel = torch.arange(first, max(last, first), device=low.device, dtype=low.dtype) - start
    position = ((pixel + 0.5) * ((m + 2) / size) - 0.5).clamp(min=0, max=m + 1)
    return first, _hat(position - 1, m)


def _hat(position: Tensor, m: int) -> Tensor:
    element = torch.arange(m, device=position.device, dtype=position.dtype)
    return (1 - (position[:, None] - element).abs()).clamp(min=0)  # [N, M]


_RULES = {"torchvision": _torchvision_weights, "pixel_centres": _centre_weights}
