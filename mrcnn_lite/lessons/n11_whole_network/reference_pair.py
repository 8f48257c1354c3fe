"""Two Mask R-CNNs with the same random weights, ours and torchvision's, and images for both.

Three things in torchvision stand between the networks and equality, and are handled on its side:

- the labels of its anchors are float32, so that its objectness loss is rounded to float32 whatever
  the network's precision: here it gets labels of its own precision;
- its sampler draws with `torch.randperm`: here it takes the candidates of the smallest priorities;
- for small sets its `batched_nms` moves the classes apart by adding offsets to the coordinates,
  which costs float32 the last digits: `one_class_at_a_time` lets it do what it does for large sets.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import BoxConfig, Config, RPNConfig, resnet50_fpn, resnet50_fpn_v2
from ...models import MaskRCNN
from ...models.matching import random_priorities
from ...models.torchvision_names import KEYWORDS

VERSIONS = {"v1": resnet50_fpn, "v2": resnet50_fpn_v2}
CLASSES = 5
# torchvision's keywords; fewer and smaller than its defaults, so that a comparison takes seconds.
SETTINGS = {
    "min_size": 128,
    "max_size": 192,
    "rpn_pre_nms_top_n_train": 600,
    "rpn_post_nms_top_n_train": 200,
    "rpn_pre_nms_top_n_test": 300,
    "rpn_post_nms_top_n_test": 100,
    "box_batch_size_per_image": 128,
}
LOGIT_SPREAD = 2.0  # standard deviation of class and objectness logits: clear winners, few ties
DELTA_SPREAD = 0.3


def make_pair(
    version: str,
    seed: int,
    dtype: torch.dtype,
    settings: dict[str, Any] | None = None,
    classes: int = CLASSES,
) -> tuple[MaskRCNN, nn.Module]:
    """Build both networks with the same random weights."""
    torch.manual_seed(seed)
    settings = SETTINGS if settings is None else settings
    config = replace(VERSIONS[version](), num_classes=classes)
    for keyword, value in settings.items():
        section, field = KEYWORDS[keyword]
        config = config.with_(**{section: {field: value}})
    if version == "v2":  # torchvision trains all of a network that starts without weights
        config = config.with_(backbone={"trainable_layers": 5})
    theirs = _torchvision(version, settings | {"num_classes": classes})
    images, _ = make_images([(config.image.min_size,) * 2] * 2, seed, torch.float32)
    _randomize(theirs, images)
    ours = MaskRCNN(config)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())  # and back: no name may be missing
    return ours.to(dtype), theirs.to(dtype)


def make_images(
    sizes: list[tuple[int, int]], seed: int, dtype: torch.dtype
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Draw random blotches of the given sizes (H, W) with two to four objects each."""
    generator = torch.Generator().manual_seed(seed)
    images, targets = [], []
    for index, (height, width) in enumerate(sizes):
        coarse = torch.rand(1, 3, 7, 7, generator=generator, dtype=dtype)
        smooth = F.interpolate(coarse, (height, width), mode="bilinear")[0]  # [3, H, W]
        noise = torch.rand(3, height, width, generator=generator, dtype=dtype)
        images.append(0.8 * smooth + 0.2 * noise)
        count = 2 + index % 3
        extent = torch.tensor([width, height], dtype=dtype)
        corner = torch.rand(count, 2, generator=generator, dtype=dtype) * extent / 2
        side = (0.15 + 0.3 * torch.rand(count, 2, generator=generator, dtype=dtype)) * extent
        boxes = torch.cat([corner, corner + side], dim=1)  # [G, 4]
        masks = torch.zeros(count, height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.round().int().tolist(), strict=True):
            mask[y1 : max(y1 + 1, y2 - 3), x1:x2] = 1
        labels = torch.randint(1, CLASSES, (count,), generator=generator)
        targets.append({"boxes": boxes, "labels": labels, "masks": masks})
    return images, targets


def one_class_at_a_time() -> AbstractContextManager:
    """Inside, torchvision's networks suppress class by class, without offsets."""
    from torchvision.ops import boxes

    return mock.patch.object(boxes, "batched_nms", boxes._batched_nms_vanilla)


def record_priorities(model: MaskRCNN, generator: torch.Generator | None = None) -> list[Tensor]:
    """A list that our network fills as it draws: [B, A] for anchors, then [B, R + G] for RoIs."""
    drawn: list[Tensor] = []
    draw = random_priorities(generator)

    def priorities(shape: tuple[int, ...], device: torch.device) -> Tensor:
        drawn.append(draw(shape, device))
        return drawn[-1]

    model.sampler.priorities = priorities
    return drawn


class PrioritySampler:
    """torchvision's sampler with the choice left to priorities [B, N]: the smallest are taken.

    Ours pads: a row is for R proposals, then G objects. There each image has its own numbers;
    `objects` tells how many of its candidates are objects.
    """

    def __init__(self, priorities: Tensor, config: RPNConfig | BoxConfig, objects: list[int]):
        self.priorities, self.config, self.objects = priorities, config, objects
        self.first_object = priorities.shape[1] - max(1, *objects)

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Per image, which candidates are taken as positives and as background."""
        positives, background = [], []
        for label, row, count in zip(labels, self.priorities, self.objects, strict=True):
            own = row[self.first_object :][:count]
            row = torch.cat([row[: len(label) - count], own])  # [N]
            room = self.config.samples
            limit = int(room * self.config.positive_fraction)
            positives.append(_smallest(row, label >= 1, limit))
            background.append(_smallest(row, label == 0, room - int(positives[-1].sum())))
        return positives, background


def _smallest(priorities: Tensor, candidates: Tensor, count: int) -> Tensor:
    """Which candidates have the smallest priorities, bool [N]."""
    chosen, rows = torch.zeros_like(candidates), candidates.nonzero().flatten()
    chosen[rows[priorities[rows].argsort(stable=True)][:count]] = True
    return chosen


def share_sample(model: nn.Module, config: Config, drawn: list[Tensor], objects: list[int]) -> None:
    """Let torchvision's network sample with the priorities that ours drew for as many objects."""
    rpn, heads = model.rpn, model.roi_heads
    assign = type(rpn).assign_targets_to_anchors

    def in_its_own_precision(anchors: list[Tensor], targets: list[dict]) -> tuple:
        labels, boxes = assign(rpn, anchors, targets)
        return [label.to(anchors[0].dtype) for label in labels], boxes

    rpn.assign_targets_to_anchors = in_its_own_precision
    rpn.fg_bg_sampler = PrioritySampler(drawn[0], config.rpn, [0] * len(objects))
    heads.fg_bg_sampler = PrioritySampler(drawn[1], config.box, objects)


def _torchvision(version: str, settings: dict[str, Any]) -> nn.Module:
    """Build torchvision's network; v1 with the frozen batch norms that its trained form has."""
    from torchvision.models import detection

    if version == "v2":
        return detection.maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, **settings)
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, trainable_layers=3
    )
    return detection.MaskRCNN(backbone, **settings)


@torch.no_grad()
def _randomize(model: nn.Module, images: list[Tensor]) -> None:
    """Give batch norms statistics near those of the data, and the predictors' outputs a spread.

    Fresh batch norms are all alike and would hide mistakes; arbitrary ones would let the values
    of a deep network explode.
    """

    def fit(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        noise = torch.rand(2, len(norm.running_var))
        norm.running_mean.copy_(inputs[0].mean((0, 2, 3)) + 0.1 * noise[0])
        norm.running_var.copy_(inputs[0].var((0, 2, 3)) * (0.5 + noise[1]) + 1e-3)
        norm.weight.data.uniform_(0.5, 1.5)
        if norm in last_of_block:  # residual branches are weak in trained networks too
            norm.weight.data.mul_(0.2)
        norm.bias.data.normal_(0, 0.1)

    def rescale(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if layer in spreads:  # the RPN's head runs once per level; the finest decides
            layer.weight.mul_(spreads.pop(layer) / output.std())

    last_of_block = {m.bn3 for m in model.modules() if hasattr(m, "bn3")}
    box, rpn = model.roi_heads.box_predictor, model.rpn.head
    spreads = dict.fromkeys((rpn.cls_logits, box.cls_score), LOGIT_SPREAD)
    spreads |= dict.fromkeys((rpn.bbox_pred, box.bbox_pred), DELTA_SPREAD)
    norms = [module for module in model.modules() if hasattr(module, "running_var")]
    hooks = [norm.register_forward_pre_hook(fit) for norm in norms]
    hooks += [layer.register_forward_hook(rescale) for layer in spreads]
    model.eval()(images)
    for hook in hooks:
        hook.remove()
