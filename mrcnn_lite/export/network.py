"""The network as other programs run it: one tensor of images in, tensors of fixed sizes out.

An exporter writes down the operations, not the values: no size may depend on what the network
finds. So every image gets as many rows as it may have detections; the first `count` are detections,
the others are zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import BoxConfig
from ..models import MaskRCNN
from ..models.postprocess import Detection, score_boxes, select_static
from ..models.transform import Size, resize_boxes
from ..ops.nms import suppress

OUTPUTS = ("boxes", "labels", "scores", "masks", "count")
# Pairs of proposals, over all classes, up to which every class is suppressed with all of them.
MAX_PAIRS = 1 << 23


class FixedNetwork(nn.Module):
    """A `MaskRCNN` in evaluation mode, for images of one size."""

    def __init__(self, model: MaskRCNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Find the objects of images.

        Args:
            images: Tensor[B, 3, H, W], RGB in 0..1.

        Returns:
            boxes [B, N, 4] in pixels, best first, labels [B, N], scores [B, N], masks [B, N, M, M]
            (probabilities inside each box, for `ops.paste_masks`), count [B]; for one image without
            the first dimension.
        """
        model, heads = self.model, self.model.roi_heads
        batch, _ = model.transform([*images])
        size, settings = batch.padded_size, heads.config.box
        features = model.features(batch.pixels)
        proposals, valid, _ = model.rpn([*features.values()], size, batch.sizes)
        predictions = heads.predict_boxes(features, [*proposals], size)
        logits, deltas = (part.unflatten(0, valid.shape) for part in predictions)  # [B, R, ...]
        rows, classes = logits.shape[1:]
        select = select_static if rows**2 * (classes - 1) <= MAX_PAIRS else select_sparse
        inputs = zip(logits, deltas, proposals, batch.sizes, valid, strict=True)
        detections = [select(*image, settings) for image in inputs]
        detections = heads.add_masks(features, detections, size)
        sizes = zip(batch.resized_sizes, batch.original_sizes, strict=True)
        found = [outputs(d, *size) for d, size in zip(detections, sizes, strict=True)]
        return found[0] if len(found) == 1 else tuple(map(torch.stack, zip(*found, strict=True)))


def select_sparse(
    class_logits: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    image_size: Tensor,
    valid: Tensor,
    config: BoxConfig,
) -> Detection:
    """`select_static` where proposals and classes are many: only likely boxes are compared."""
    boxes, scores, likely = score_boxes(class_logits, deltas, proposals, image_size, config)
    chosen = (likely & valid[:, None]).flatten().nonzero()[:, 0]  # [N]
    scores, order = scores.flatten()[chosen].sort(descending=True, stable=True)  # [N] each
    chosen = chosen[order]
    boxes, labels = boxes.flatten(0, 1)[chosen], chosen % likely.shape[1] + 1  # [N, 4], [N]
    every = torch.ones_like(labels, dtype=torch.bool)[None]  # [1, N]
    keep = suppress(boxes[None], every, labels[None], config.nms_iou)[0]  # [N]
    scores = scores.masked_fill(~keep, -torch.inf)
    spare = config.detections  # rows to fill up with
    boxes = torch.cat([boxes, boxes.new_zeros(spare, 4)])  # [N + spare, 4]
    labels = torch.cat([labels, labels.new_zeros(spare)])
    scores = torch.cat([scores, scores.new_full((spare,), -torch.inf)])
    scores, index = scores.sort(descending=True, stable=True)
    scores, index = scores[:spare], index[:spare]
    count = (scores > -torch.inf).sum()
    return {"boxes": boxes[index], "labels": labels[index], "scores": scores, "count": count}


def outputs(detection: Detection, resized: Size, original: Size) -> tuple[Tensor, ...]:
    """In the order of `OUTPUTS`: boxes in pixels of the given image, zeros beyond `count`."""
    boxes = resize_boxes(detection["boxes"], resized, original)  # [N, 4]
    count = detection["count"]
    is_one = torch.arange(len(boxes), device=boxes.device) < count  # [N]
    values = boxes, detection["labels"], detection["scores"], detection["mask_probabilities"]
    # Scores beyond `count` are -inf, which times zero would be NaN.
    blank = (v.masked_fill(~is_one.view(-1, *[1] * (v.ndim - 1)), 0) for v in values)
    return *blank, count
