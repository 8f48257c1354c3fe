"""From numbers to detections: softmax, decode, threshold, NMS per class, the best 100 (§3.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import BoxConfig, Config
from ..ops.boxes import clip_boxes, decode_boxes
from ..ops.nms import batched_nms, nms_mask
from ..ops.paste import paste_masks
from .keypoint_head import decode_keypoints
from .transform import Size, resize_boxes, resize_keypoints

MIN_SIDE = 1e-2  # pixels; torchvision drops smaller detections
Detection = dict[str, Tensor]  # of one image: boxes [N, 4], labels [N], scores [N], masks, ...


def score_boxes(
    class_logits: Tensor, deltas: Tensor, proposals: Tensor, image_size: Tensor, config: BoxConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the box branch's output, for one image or several, into a box and a score for every
    class.

    Args:
        class_logits: Tensor[..., R, C]. deltas: Tensor[..., R, C, 4], one correction per class.
        proposals: Tensor[..., R, 4]. image_size: Tensor[..., 2], (height, width) to clip to.

    Returns:
        boxes [..., R, C - 1, 4]; scores [..., R, C - 1]; which can be detections, bool
        [..., R, C - 1]. The background never is one.
    """
    scores = class_logits.softmax(dim=-1)[..., 1:]  # [..., R, C - 1]
    boxes = decode_boxes(deltas[..., 1:, :], proposals[..., None, :], config.code_weights)
    boxes = clip_boxes(boxes, image_size[..., None, None, :])  # [..., R, C - 1, 4]
    large = (boxes[..., 2:] - boxes[..., :2] >= MIN_SIDE).all(dim=-1)
    return boxes, scores, (scores > config.score_threshold) & large


def select_detections(
    class_logits: Tensor, deltas: Tensor, proposals: Tensor, image_size: Tensor, config: BoxConfig
) -> Detection:
    """Turn the box branch's output for one image (see `score_boxes`) into detections: boxes, labels
    and scores, best first, at most `config.detections`."""
    boxes, scores, likely = score_boxes(class_logits, deltas, proposals, image_size, config)
    rows, classes = likely.nonzero(as_tuple=True)  # [N]
    boxes, scores, labels = boxes[rows, classes], scores[rows, classes], classes + 1
    # A box rivals its own class only.
    keep = batched_nms(boxes, scores, labels, config.nms_iou)[: config.detections]
    return {"boxes": boxes[keep], "labels": labels[keep], "scores": scores[keep]}


def select_static(
    class_logits: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    image_sizes: Tensor,
    valid: Tensor,
    config: BoxConfig,
) -> list[Detection]:
    """`select_detections` of a batch with sizes that no value changes, for a GPU: no row is
    dropped, and all classes of all images are suppressed at once.

    `valid` [B, R] says which proposals count; "count" in the result, which rows are detections: the
    first ones of `config.detections`, or of all boxes where these are fewer.
    """
    boxes, scores, likely = score_boxes(class_logits, deltas, proposals, image_sizes, config)
    likely = likely & valid[..., None]  # [B, R, C - 1]
    keep = nms_mask(boxes.transpose(1, 2), scores.mT, likely.mT, config.nms_iou).mT
    scores = scores.masked_fill(~keep, -torch.inf).flatten(1)  # [B, R * (C - 1)]
    scores, index = scores.sort(dim=1, descending=True, stable=True)
    scores, index = scores[:, : config.detections], index[:, : config.detections]  # [B, N] each
    found = {
        "boxes": boxes.flatten(1, 2).take_along_dim(index[..., None], dim=1),  # [B, N, 4]
        "labels": index % likely.shape[2] + 1,  # [B, N]
        "scores": scores,
        "count": (scores > -torch.inf).sum(1),  # [B]
    }
    return [{name: of_images[b] for name, of_images in found.items()} for b in range(len(boxes))]


def drop_padding(detections: list[Detection]) -> list[Detection]:
    """Cut off what `count` says is no detection; the one moment at which the host waits."""
    counts = torch.stack([detection["count"] for detection in detections]).tolist()
    return [
        {name: values[:count] for name, values in detection.items() if name != "count"}
        for detection, count in zip(detections, counts, strict=True)
    ]


def select_masks(mask_logits: Tensor, labels: Tensor, competition: str) -> Tensor:
    """Return the probabilities [N, M, M] of the mask that the box branch's class asks for.

    `mask_logits` are Tensor[N, C, M, M], or Tensor[N, 1, M, M]: one channel, whatever the class.
    "sigmoid" judges the class's channel alone, "softmax" against the others.
    """
    rows = torch.arange(len(labels), device=labels.device)
    channel = torch.zeros_like(labels) if mask_logits.shape[1] == 1 else labels
    if competition == "sigmoid":
        return mask_logits[rows, channel].sigmoid()  # [N, M, M]
    return mask_logits.softmax(dim=1)[rows, channel]  # [N, M, M]


@dataclass(frozen=True)
class PastedMasks:
    """The masks of an image's detections, pasted when they are asked for.

    `masks[3]` is [H, W], `masks[2:5]` is [3, H, W]. All at once, as floats, the masks of 100
    objects in 24 megapixels are 9.6 GB.
    """

    probabilities: Tensor  # [N, M, M]
    boxes: Tensor  # [N, 4], in pixels of the image
    image_size: Size
    rule: str  # see `ops.paste_masks`
    threshold: float | None = None  # None: probabilities; else bool, probability >= threshold

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: int | slice) -> Tensor:
        if isinstance(rows, int):
            return self[rows : rows + 1][0]  # [H, W]
        chosen = self.probabilities[rows], self.boxes[rows]
        return paste_masks(*chosen, self.image_size, self.rule, self.threshold)  # [rows, H, W]


def to_original_size(
    detection: Detection,
    size: tuple[float, float],
    original: Size,
    config: Config,
    lazy_masks: bool = False,
) -> Detection:
    """Scale boxes from the network's image to the user's, and put masks and points there.

    Args:
        detection: boxes [N, 4] in the resized image, and the rest of `RoIHeads.detect`.
        size: (height, width) of the resized image. original: (height, width) of the result.
        config: has the rules, `mask.paste` and `keypoint.decoder`.
        lazy_masks: whether to leave the pasting to who asks for a mask.

    Returns:
        boxes in original pixels, labels, scores; masks: Tensor[N, 1, H, W] in 0..1, or
        `PastedMasks`; keypoints and keypoints_scores, see `decode_keypoints`.
    """
    boxes = resize_boxes(detection["boxes"], size, original)
    found = {"boxes": boxes, "labels": detection["labels"], "scores": detection["scores"]}
    if config.mask:
        masks = PastedMasks(detection["mask_probabilities"], boxes, original, config.mask.paste)
        found["masks"] = masks if lazy_masks else masks[:][:, None]
    if config.keypoint:
        maps, decoder = detection["keypoint_logits"], config.keypoint.decoder
        points, found["keypoints_scores"] = decode_keypoints(maps, detection["boxes"], decoder)
        found["keypoints"] = resize_keypoints(points, size, original)
    return found
