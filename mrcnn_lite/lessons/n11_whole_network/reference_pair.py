"""Two Mask R-CNNs with the same random weights, ours and torchvision's, and pictures for both.

Three things in torchvision stand between the networks and equality, and are handled on its side:

- the labels of its anchors are float32, so that its objectness loss is rounded to float32 whatever
  the network's precision: the twin here gets labels of its own precision;
- its sampler draws with `torch.randperm`: the twin takes the candidates with the smallest keys;
- for small sets its `batched_nms` moves the classes apart by adding offsets to the coordinates,
  which costs float32 the last digits: `one_class_at_a_time` lets it do what it does for large sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import Config, resnet50_fpn, resnet50_fpn_v2
from ...models import MaskRCNN
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


def make_twins(
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
    pictures, _ = make_pictures([(config.image.min_size,) * 2] * 2, seed, torch.float32)
    _set_statistics(theirs, pictures)
    ours = MaskRCNN(config)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())  # and back: no name may be missing
    return ours.to(dtype), theirs.to(dtype)


def make_pictures(
    sizes: list[tuple[int, int]], seed: int, dtype: torch.dtype
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Draw random blotches of the given sizes (H, W) with two to four objects each."""
    generator = torch.Generator().manual_seed(seed)
    images, targets = [], []
    for place, (height, width) in enumerate(sizes):
        coarse = torch.rand(1, 3, 7, 7, generator=generator, dtype=dtype)
        smooth = F.interpolate(coarse, (height, width), mode="bilinear")[0]  # [3, H, W]
        noise = torch.rand(3, height, width, generator=generator, dtype=dtype)
        images.append(0.8 * smooth + 0.2 * noise)
        count = 2 + place % 3
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


@contextmanager
def one_class_at_a_time() -> Iterator[None]:
    """Let torchvision's networks suppress class by class, without offsets."""
    from torchvision.ops import boxes as box_ops

    def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
        keep = torch.zeros_like(scores, dtype=torch.bool)
        for group in idxs.unique():
            rows = (idxs == group).nonzero().flatten()
            keep[rows[box_ops.nms(boxes[rows], scores[rows], iou_threshold)]] = True
        kept = keep.nonzero().flatten()
        return kept[scores[kept].sort(descending=True, stable=True).indices]

    usual = box_ops.batched_nms
    box_ops.batched_nms = batched_nms
    try:
        yield
    finally:
        box_ops.batched_nms = usual


class KeySampler:
    """torchvision's sampler with the choice left to given keys: the smallest are taken."""

    def __init__(self, keys: list[Tensor], count: int, positive_fraction: float) -> None:
        self.keys, self.count, self.limit = keys, count, int(count * positive_fraction)

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return per image which candidates are taken as positives and as background."""
        chosen: tuple[list[Tensor], list[Tensor]] = ([], [])
        for label, key in zip(labels, self.keys, strict=True):
            room = self.count
            for kind, rows, most in ((0, label >= 1, self.limit), (1, label == 0, self.count)):
                rows = rows.nonzero().flatten()
                rows = rows[key[rows].argsort(stable=True)][: min(most, room)]
                room -= len(rows)
                chosen[kind].append(torch.zeros_like(label, dtype=torch.bool))
                chosen[kind][-1][rows] = True
        return chosen


def share_sample(model: nn.Module, config: Config, drawn: list[Tensor], objects: list[int]) -> None:
    """Let torchvision's network sample with the keys that ours drew.

    Ours pads: R proposals per image, then G objects. There each image has its own numbers.
    """
    rpn, heads = model.rpn, model.roi_heads
    assign = type(rpn).assign_targets_to_anchors

    def in_its_own_precision(anchors: list[Tensor], targets: list[dict]) -> tuple:
        labels, boxes = assign(rpn, anchors, targets)
        return [label.to(anchors[0].dtype) for label in labels], boxes

    rpn.assign_targets_to_anchors = in_its_own_precision
    rpn.fg_bg_sampler = KeySampler(list(drawn[0]), config.rpn.samples, config.rpn.positive_fraction)
    width = drawn[1].shape[1] - max(1, *objects)

    class OfRoIs(KeySampler):
        def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            self.keys = [
                torch.cat([row[: len(label) - count], row[width : width + count]])
                for row, label, count in zip(drawn[1], labels, objects, strict=True)
            ]
            return super().__call__(labels)

    heads.fg_bg_sampler = OfRoIs([], config.box.samples, config.box.positive_fraction)


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
def _set_statistics(model: nn.Module, images: list[Tensor]) -> None:
    """Give every batch norm statistics near those of the data, and its neighbours' logits a spread.

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

    def spread(standard: float):
        def rescale(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            if layer not in done:  # the RPN's head runs once per level; the finest decides
                done.add(layer)
                layer.weight.mul_(standard / output.std())

        return rescale

    done: set[nn.Module] = set()
    last_of_block = {m.bn3 for m in model.modules() if hasattr(m, "bn3")}
    hooks = [
        module.register_forward_pre_hook(fit)
        for module in model.modules()
        if hasattr(module, "running_var")
    ]
    box, rpn = model.roi_heads.box_predictor, model.rpn.head
    for layer, standard in (
        (rpn.cls_logits, LOGIT_SPREAD),
        (rpn.bbox_pred, DELTA_SPREAD),
        (box.cls_score, LOGIT_SPREAD),
        (box.bbox_pred, DELTA_SPREAD),
    ):
        hooks.append(layer.register_forward_hook(spread(standard)))
    model.eval()(images)
    for hook in hooks:
        hook.remove()
