"""From numbers to detections: softmax, decode, threshold, NMS per class, the best 100 (§3.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import BoxConfig
from ..ops import batched_nms, clip_boxes, decode_boxes, nms_mask, paste_masks
from .transform import resize_boxes

MIN_SIZE = 1e-2  # pixels; torchvision drops smaller detections


def select_detections(
    class_logits: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    image_size: tuple[float, float] | Tensor,
    config: BoxConfig,
    valid: Tensor | None = None,
) -> dict[str, Tensor]:
    """Turn the box branch's output for one image into detections.

    On a CPU it pays to go on with the few boxes above the threshold. A GPU does not wait to learn
    how many they are: it is given `valid`, and all results keep their size.

    Args:
        class_logits: Tensor[R, C]. deltas: Tensor[R, C, 4], one correction per class.
        proposals: Tensor[R, 4]. image_size: (height, width) to clip to.
        config: thresholds.
        valid: bool Tensor[R], which proposals count; None when all do.

    Returns:
        boxes Tensor[N, 4], labels int64 Tensor[N], scores Tensor[N], best first, N at most
        `config.detections`. With `valid` N is that number, or all boxes where these are fewer, and
        count is a Tensor[] of how many are detections: the first ones.
    """
    scores = class_logits.softmax(dim=-1)[:, 1:]  # [R, C - 1]: the background is never a detection
    boxes = decode_boxes(deltas[:, 1:], proposals[:, None], config.code_weights)  # [R, C - 1, 4]
    boxes = clip_boxes(boxes, image_size)
    big = (boxes[..., 2:] - boxes[..., :2] >= MIN_SIZE).all(dim=-1)
    if valid is not None:
        valid = valid[:, None] & (scores > config.score_threshold) & big  # [R, C - 1]
        return _select_padded(scores, boxes, valid, config)
    rows, classes = torch.nonzero((scores > config.score_threshold) & big, as_tuple=True)  # [N]
    boxes, scores, labels = boxes[rows, classes], scores[rows, classes], classes + 1
    keep = batched_nms(boxes, scores, labels, config.nms_iou)[
        : config.detections
    ]  # a box rivals its own class only
    return {"boxes": boxes[keep], "labels": labels[keep], "scores": scores[keep]}


def _select_padded(
    scores: Tensor, boxes: Tensor, valid: Tensor, config: BoxConfig
) -> dict[str, Tensor]:
    """The rest of `select_detections` with sizes that no value changes: a class is a problem."""
    keep = nms_mask(boxes.transpose(0, 1), scores.T, valid.T, config.nms_iou).T  # [R, C - 1]
    scores = scores.masked_fill(~keep, -torch.inf).flatten()  # [R * (C - 1)]
    scores, index = scores.sort(descending=True, stable=True)
    scores, index = scores[: config.detections], index[: config.detections]  # [N] each
    return {
        "boxes": boxes.flatten(0, 1)[index],  # [N, 4]
        "labels": index % valid.shape[1] + 1,
        "scores": scores,
        "count": (scores > -torch.inf).sum(),
    }


def trim(detections: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Cut off what `count` says is no detection; the one moment at which the host waits."""
    if not detections or "count" not in detections[0]:
        return detections
    counts = torch.stack([found["count"] for found in detections]).tolist()
    return [
        {name: values[:count] for name, values in found.items() if name != "count"}
        for found, count in zip(detections, counts, strict=True)
    ]


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
