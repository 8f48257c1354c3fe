"""From numbers to detections: softmax, decode, threshold, NMS per class, the best 100 (§3.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import BoxConfig
from ..ops import batched_nms, clip_boxes, decode_boxes, paste_masks
from .transform import resize_boxes

MIN_SIZE = 1e-2  # pixels; torchvision drops smaller detections


def select_detections(
    class_logits: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    image_size: tuple[float, float],
    config: BoxConfig,
) -> dict[str, Tensor]:
    """Turn the box branch's output for one image into detections.

    Args:
        class_logits: Tensor[R, C]. deltas: Tensor[R, C, 4], one correction per class.
        proposals: Tensor[R, 4]. image_size: (height, width) to clip to.
        config: thresholds.

    Returns:
        boxes Tensor[N, 4], labels int64 Tensor[N], scores Tensor[N], best first, N at most
        `config.detections`.
    """
    scores = class_logits.softmax(dim=-1)[:, 1:]  # [R, C - 1]: the background is never a detection
    boxes = decode_boxes(deltas[:, 1:], proposals[:, None], config.code_weights)  # [R, C - 1, 4]
    boxes = clip_boxes(boxes, image_size)
    big = (boxes[..., 2:] - boxes[..., :2] >= MIN_SIZE).all(dim=-1)
    rows, classes = torch.nonzero((scores > config.score_threshold) & big, as_tuple=True)  # [N]
    boxes, scores, labels = boxes[rows, classes], scores[rows, classes], classes + 1
    keep = batched_nms(boxes, scores, labels, config.nms_iou)[
        : config.detections
    ]  # a box rivals its own class only
    return {"boxes": boxes[keep], "labels": labels[keep], "scores": scores[keep]}


def select_masks(
    mask_logits: Tensor, labels: Tensor, class_agnostic: bool, competition: str
) -> Tensor:
    """Return the probabilities of the mask that the box branch's class asks for.

    Args:
        mask_logits: Tensor[N, C, M, M]. labels: int64 Tensor[N]. class_agnostic: there is one
            channel for all.
        competition: "sigmoid" judges the class's channel alone, "softmax" against the others.

    Returns:
        Tensor[N, M, M] in 0..1.
    """
    rows = torch.arange(len(labels), device=labels.device)
    channel = torch.zeros_like(labels) if class_agnostic else labels
    if competition == "sigmoid":
        return mask_logits[rows, channel].sigmoid()  # [N, M, M]
    return mask_logits.softmax(dim=1)[rows, channel]  # [N, M, M]


def to_original_size(
    detections: dict[str, Tensor],
    size: tuple[float, float],
    original: tuple[int, int],
    paste_rule: str,
) -> dict[str, Tensor]:
    """Scale boxes from the network's image to the learner's and paste the masks there.

    Args:
        detections: boxes [N, 4] in the resized image, mask_probabilities [N, M, M] and the rest.
        size: (height, width) of the resized image. original: (height, width) of the result.
        paste_rule: "torchvision" or "pixel_centres".

    Returns:
        The same dict with boxes in original pixels and masks Tensor[N, 1, H, W] in 0..1.
    """
    boxes = resize_boxes(detections["boxes"], size, original)
    masks = paste_masks(
        detections["mask_probabilities"], boxes, original, rule=paste_rule
    )  # [N, H, W]
    return {
        "boxes": boxes,
        "labels": detections["labels"],
        "scores": detections["scores"],
        "masks": masks[:, None],  # [N, 1, H, W]
    }
