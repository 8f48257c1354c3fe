"""Intermediate outputs: what a network computes on its way, the stages of Figure 1."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .mask_rcnn import MaskRCNN
from .transform import resize_boxes


@dataclass(frozen=True)
class IntermediateOutputs:
    """One image and everything between it and its detections."""

    image: Tensor  # [3, H, W] in 0..1
    features: list[Tensor]  # the pyramid, finest level first: [C, h, w] each
    proposals: Tensor  # [R, 4], best first, in pixels of the image
    pooled: Tensor  # [N, C, P, P]: RoIAlign's answer for the mask branch, per detection
    mask_logits: Tensor  # [N, C, M, M]: one channel per class
    detections: dict[str, Tensor]  # boxes [N, 4], labels [N], scores [N], masks [N, 1, H, W]


@torch.inference_mode()
def intermediate_outputs(model: MaskRCNN, image: Tensor) -> IntermediateOutputs:
    """Run a network on one image and keep what each stage gave.

    Args:
        model: its mode is restored afterwards.
        image: Tensor[3, H, W], RGB in 0..1.

    Returns:
        The stages; `detections` is what `model([image])` gives in evaluation mode.
    """
    outputs: list[Any] = []
    hooks = [
        module.register_forward_hook(lambda _, inputs, output: outputs.append((inputs, output)))
        for module in (model.rpn, model.roi_heads.mask_roi_pool, model.roi_heads.mask_predictor)
    ]
    training = model.training
    try:
        (detections,) = model.eval()([image])
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    ((maps, _, sizes), (proposals, valid, _)), (_, pooled), (_, logits) = outputs
    resized = tuple(sizes[0].tolist())  # (height, width) that the network saw
    proposals = resize_boxes(proposals[0][valid[0]], resized, tuple(image.shape[-2:]))
    levels, count = [level[0] for level in maps], len(detections["boxes"])
    return IntermediateOutputs(image, levels, proposals, pooled[:count], logits[:count], detections)
