"""The network as other programs run it: one tensor of images in, tensors of fixed sizes out.

An exporter writes down the operations, not the values: no size may depend on what the network
finds. So every image gets as many rows as it may have detections; the first `count` are detections,
the others are zero.
"""

import torch
from torch import Tensor, nn

from ..config import BoxConfig, Config
from ..models import MaskRCNN
from ..models.postprocess import Detection, score_boxes, select_static, to_original_size
from ..models.transform import Size
from ..ops.nms import suppress

# Pairs of proposals, over classes and images, up to which all of them are suppressed at once.
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
            `output_names`: boxes [B, N, 4] in pixels, best first, labels [B, N], scores [B, N],
            masks [B, N, M, M] (probabilities inside each box, for `ops.paste_masks`), keypoints
            [B, N, points, 3] and keypoints_scores [B, N, points], count [B]; for one image without
            the first dimension.
        """
        model, heads = self.model, self.model.roi_heads
        batch, _ = model.transform([*images])
        size, settings = batch.padded_size, heads.config.box
        features = model.features(batch.pixels)
        proposals, valid, _ = model.rpn([*features.values()], size, batch.sizes)
        predictions = heads.predict_boxes(features, [*proposals], size)
        logits, deltas = (part.unflatten(0, valid.shape) for part in predictions)  # [B, R, ...]
        inputs = logits, deltas, proposals, batch.sizes, valid
        if valid.numel() * valid.shape[1] * (logits.shape[2] - 1) <= MAX_PAIRS:
            detections = select_static(*inputs, settings)
        else:
            detections = [select_sparse(*image, settings) for image in zip(*inputs, strict=True)]
        detections = heads.add_masks(features, detections, size)
        sizes = zip(batch.resized_sizes, batch.original_sizes, strict=True)
        images = zip(detections, sizes, strict=True)
        config = graph_config(model)
        found = [outputs(detection, *pair, config) for detection, pair in images]
        found = zip(*found, strict=True)  # from images to outputs
        return tuple(parts[0] if len(parts) == 1 else torch.stack(parts) for parts in found)


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


def graph_config(model: MaskRCNN) -> Config:
    """The config of what is written down: keypoints by "quadratic", because torchvision's decoder
    resizes each map to its box."""
    keypoint = model.config.keypoint
    if keypoint and keypoint.decoder == "torchvision":
        return model.config.with_(keypoint={"decoder": "quadratic"})
    return model.config


def output_names(config: Config) -> list[str]:
    """What the network gives, in this order, as far as it has the branches."""
    regions = ["masks"] * bool(config.mask)
    points = ["keypoints", "keypoints_scores"] * bool(config.keypoint)
    return ["boxes", "labels", "scores", *regions, *points, "count"]


def outputs(detection: Detection, resized: Size, original: Size, config: Config) -> list[Tensor]:
    """The `output_names` of one image, in pixels of the given one; zeros beyond `count`."""
    count = detection.pop("count")
    found = to_original_size(detection, resized, original, config, lazy_masks=True)
    if config.mask:
        found["masks"] = found["masks"].probabilities  # [N, M, M]
    beyond = torch.arange(len(found["boxes"]), device=count.device) >= count  # [N]
    # Scores beyond `count` are -inf, which times zero would be NaN.
    blank = {k: v.masked_fill(beyond.view(-1, *[1] * (v.ndim - 1)), 0) for k, v in found.items()}
    return [*(blank[name] for name in output_names(config)[:-1]), count]
