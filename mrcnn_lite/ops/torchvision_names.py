"""Operations under torchvision's names that the network itself does not call."""

import torch
from torch import Tensor

from .boxes import at_least_float32, clip_boxes


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """`clip_boxes` under torchvision's name: Tensor[N, 4]."""
    return clip_boxes(boxes, size)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Return the rows of boxes [N, 4] whose sides both measure at least `min_size` pixels."""
    boxes = at_least_float32(boxes)
    return (boxes[:, 2:] - boxes[:, :2] >= min_size).all(dim=1).nonzero()[:, 0]  # [N]


def masks_to_boxes(masks: Tensor) -> Tensor:
    """Return torchvision's boxes of masks [N, H, W]: the first and the *last* pixel, Tensor[N, 4].

    So a mask of one pixel has a box of size 0. (The half-open boxes of this package, one larger,
    come from `mrcnn_lite.datasets.masks.mask_boxes`.) An empty mask gives zeros.
    """
    boxes = torch.zeros(len(masks), 4, device=masks.device)  # [N, 4]
    for row, mask in enumerate(masks):
        y, x = mask.nonzero(as_tuple=True)
        if len(x):
            boxes[row] = torch.stack([x.min(), y.min(), x.max(), y.max()])
    return boxes
