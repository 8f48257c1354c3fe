"""Boxes: area, overlap, clipping, and the four numbers that move one box onto another.

A box is (x1, y1, x2, y2) in continuous image coordinates, half open: a box that holds pixel columns
3, 4 and 5 has x1 = 3 and x2 = 6, and its width is x2 - x1 with no "+ 1".

Sums and products of eight or sixteen bits do not fit into them. What is computed from whole numbers
is int64 (overlaps: float64, given as float32), from half precision float32.
"""

import math

import torch
from torch import Tensor

from .constants import constants_like

# A predicted size may grow at most this much (natural log), so that exp() cannot overflow.
# 1000 / 16 is the ratio of the largest image side to the smallest stride in Detectron.
MAX_LOG_SCALE = math.log(1000.0 / 16)
# Sizes below this many pixels are treated as this many, so that padded rows stay finite.
MIN_SIZE = 1e-6

FORMATS = ("xyxy", "xywh", "cxcywh")

Weights = tuple[float, float, float, float]


def box_area(boxes: Tensor, fmt: str = "xyxy") -> Tensor:
    """Area of each box: Tensor[..., 4], written as `box_convert` says, gives Tensor[...]."""
    boxes = _wide(boxes) if fmt == "xyxy" else box_convert(boxes, fmt, "xyxy")
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])  # [...]


def box_iou_loop(a: Tensor, b: Tensor) -> Tensor:
    """`box_iou` of Tensor[N, 4] and Tensor[G, 4], one pair at a time: Tensor[N, G]."""
    iou = a.new_zeros(len(a), len(b))  # [N, G]
    for i, (ax1, ay1, ax2, ay2) in enumerate(a.tolist()):
        for j, (bx1, by1, bx2, by2) in enumerate(b.tolist()):
            width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
            both = max(0.0, width) * max(0.0, height)
            union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - both
            iou[i, j] = both / union if union > 0 else 0.0
    return iou


def box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """Overlap of every box of one set with every box of another.

    Args:
        boxes1: Tensor[..., N, 4].
        boxes2: Tensor[..., G, 4], leading dimensions broadcast against those of `boxes1`.
        fmt: see `box_convert`.

    Returns:
        Tensor[..., N, G] in 0..1: area of the intersection over area of the union; 0 for two boxes
        without area (torchvision answers NaN there).
    """
    whole = not (boxes1.is_floating_point() or boxes2.is_floating_point())
    if fmt != "xyxy":
        boxes1, boxes2 = (box_convert(boxes, fmt, "xyxy") for boxes in (boxes1, boxes2))
    iou = pairwise_iou(boxes1, boxes2)  # [..., N, G]
    return iou.float() if whole else iou


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """`box_iou` of corners: Tensor[..., N, 4] and Tensor[..., G, 4] give Tensor[..., N, G]."""
    a, b = a.to(iou_dtype(a)), b.to(iou_dtype(b))
    # Each coordinate contiguous: the comparisons below then run on whole vector registers.
    ax1, ay1, ax2, ay2 = a.transpose(-1, -2).contiguous().unsqueeze(-1).unbind(-3)  # [..., N, 1]
    bx1, by1, bx2, by2 = b.transpose(-1, -2).contiguous().unsqueeze(-2).unbind(-3)  # [..., 1, G]
    areas = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1)  # [..., N, G]
    # In place: with many boxes, fetching fresh memory takes longer than the arithmetic.
    width = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)  # [..., N, G]
    height = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)  # [..., N, G]
    both = width.mul_(height)
    union = areas.sub_(both).clamp_(min=torch.finfo(both.dtype).tiny)
    return both.div_(union)


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Write boxes [N, 4] as corners, "xyxy", as corner and size, "xywh", or as centre and size,
    "cxcywh": Tensor[N, 4]."""
    if in_fmt == out_fmt:
        return boxes
    centres = "cxcywh" in (in_fmt, out_fmt)
    boxes = boxes.to(iou_dtype(boxes)) if centres else _wide(boxes)  # halves of whole numbers
    first, second = boxes[..., :2], boxes[..., 2:]
    if in_fmt == "xywh":
        second = first + second
    elif in_fmt == "cxcywh":
        first, second = first - second / 2, first + second / 2
    if out_fmt == "xywh":
        second = second - first
    elif out_fmt == "cxcywh":
        first, second = (first + second) / 2, second - first
    return torch.cat([first, second], dim=-1)  # [N, 4]


def clip_boxes(boxes: Tensor, image_size: tuple[int, int] | Tensor) -> Tensor:
    """Move corners that lie outside the image onto its border: Tensor[..., 4] of pixels.

    Args:
        boxes: Tensor[..., 4], pixels.
        image_size: (H, W), or Tensor[..., 2] of them that broadcasts against the boxes.
    """
    if not isinstance(image_size, Tensor):
        image_size = boxes.new_tensor(image_size, dtype=torch.float64)  # [2]
    limit = torch.cat([image_size, image_size], dim=-1).flip(-1)  # [..., 4]: W, H, W, H
    if boxes.is_floating_point():
        boxes = at_least_float32(boxes)
    else:  # an image may be larger than eight bits can say
        limit = limit.clamp(max=torch.iinfo(boxes.dtype).max)
    return torch.minimum(boxes.clamp(min=0), limit.to(boxes.dtype))  # [..., 4]


def encode_boxes(gt: Tensor, proposals: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """The four numbers a network has to predict to move `proposals` onto `gt`.

    Centres are measured in units of the proposal's size, sizes on a log scale, so that the same
    numbers mean the same relative move for small and large boxes. R-CNN (Girshick et al. 2014),
    appendix C, equations 6 to 9.

    Args:
        gt: Tensor[..., 4], the boxes to reach.
        proposals: Tensor[..., 4], the boxes to start from; broadcast against `gt`.
        weights: multiply (dx, dy, dw, dh); Fast R-CNN uses (10, 10, 5, 5).

    Returns:
        Tensor[..., 4] of (dx, dy, dw, dh).
    """
    gt, proposals = at_least_float32(gt), at_least_float32(proposals)
    gt_centre, gt_size = _centre_and_size(gt)  # [..., 2] each
    centre, size = _centre_and_size(proposals)
    size, gt_size = size.clamp(min=MIN_SIZE), gt_size.clamp(min=MIN_SIZE)
    shift = (gt_centre - centre) / size
    scale = torch.log(gt_size / size)
    return torch.cat([shift, scale], dim=-1) * constants_like(gt, weights)  # [..., 4]


def decode_boxes(deltas: Tensor, boxes: Tensor, weights: Weights = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """Move boxes by predicted numbers; the inverse of `encode_boxes`.

    Args:
        deltas: Tensor[..., 4] of (dx, dy, dw, dh).
        boxes: Tensor[..., 4], the boxes to start from; broadcast against `deltas`, so that
            deltas [K, C, 4] for C classes go with boxes [K, 1, 4].
        weights: those that were given to `encode_boxes`.

    Returns:
        Tensor[..., 4]. Growth is limited to 1000 / 16 per step (`MAX_LOG_SCALE`).
    """
    dtype = torch.promote_types(at_least_float32(deltas).dtype, boxes.dtype)
    deltas, boxes = deltas.to(dtype), boxes.to(dtype)
    centre, size = _centre_and_size(boxes)  # [..., 2] each
    deltas = deltas / constants_like(deltas, weights)
    centre = centre + deltas[..., :2] * size  # [..., 2]
    half = 0.5 * size * torch.exp(deltas[..., 2:].clamp(max=MAX_LOG_SCALE))  # [..., 2]
    return torch.cat([centre - half, centre + half], dim=-1)  # [..., 4]


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]  # [..., 2]
    return boxes[..., :2] + 0.5 * size, size


def at_least_float32(x: Tensor) -> Tensor:
    """Return half precision as float32: eight or eleven bits hold no coordinate, no small loss."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def iou_dtype(boxes: Tensor) -> torch.dtype:
    """The type in which areas are compared: float32, or float64 for it and for whole numbers."""
    whole = not boxes.is_floating_point()
    return torch.float64 if whole else torch.promote_types(boxes.dtype, torch.float32)


def _wide(boxes: Tensor) -> Tensor:
    return at_least_float32(boxes) if boxes.is_floating_point() else boxes.long()
