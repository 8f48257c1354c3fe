"""What a network sees on its way to the answer: the stages of Figure 1, kept for looking at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .mask_rcnn import MaskRCNN
from .postprocess import to_original_size
from .transform import batch_images, resize_boxes


@dataclass(frozen=True)
class Inside:
    """One image and everything between it and its detections."""

    image: Tensor  # [3, H, W] in 0..1
    features: list[Tensor]  # the pyramid, finest level first: [C, h, w] each
    proposals: Tensor  # [R, 4], best first, in pixels of the image
    pooled: Tensor  # [N, C, P, P]: RoIAlign's answer for the mask branch, per detection
    mask_logits: Tensor  # [N, C, M, M]: one channel per class
    detections: dict[str, Tensor]  # boxes [N, 4], labels [N], scores [N], masks [N, 1, H, W]


@torch.inference_mode()
def look_inside(model: MaskRCNN, image: Tensor) -> Inside:
    """Run a network on one image, stage by stage, and keep what each stage gave.

    Args:
        model: its mode is restored afterwards.
        image: Tensor[3, H, W], RGB in 0..1.

    Returns:
        The stages; `detections` is what `model([image])` gives in evaluation mode.
    """
    training = model.training
    model.eval()
    batch, _ = batch_images([image], None, model.config.image)
    size, heads = batch.padded_size, model.roi_heads
    features = model.backbone(batch.pixels)
    proposals, valid, _ = model.rpn(features, size, batch.sizes, None, model.keys)
    (found,) = heads.detect(features, proposals, valid, size, batch.sizes)
    pooled = heads.mask_roi_pool(features, [found["boxes"]], size)  # [K, C, P, P]
    logits = heads.mask_predictor(heads.mask_head(pooled))  # [K, C, M, M]
    model.train(training)
    original, resized = batch.original_sizes[0], batch.resized_sizes[0]
    return Inside(
        image,
        [level[0] for level in features],
        resize_boxes(proposals[0][valid[0]], resized, original),
        pooled,
        logits,
        to_original_size(found, resized, original, model.config.mask.paste),
    )
