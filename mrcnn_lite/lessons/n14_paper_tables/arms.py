"""The arms of the experiments: what each one changes in the lite network, and nothing else.

Arms of one seed share the initial weights (where the shapes agree), the drawn images, their order
and the sampling priorities. Everything random differs from seed to seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...config import Config, lite
from ...datasets import Shapes
from ...models import MaskRCNN
from ...models.fpn import NamedMaps
from ...models.transform import Size, Targets
from ...models.variants import LeanRoIHeads
from ...ops import roi_align, roi_pool
from ...ops.roi_pool import round_half_away
from ...training import TrainingRun
from ...training.run import make_optimizer

FINEST, COARSE, COARSEST = "0", "2", "3"  # names of the maps at strides 4, 16 and 32
TRAINING = {"optimizer": "muon", "batch_size": 4}  # see "amended" in the plan
TRAIN_SEED = 100  # of the drawn images of seed 0; those of the course's other networks are 1 and 2
MLP_WIDTH = 256
SAMPLES = 2  # per bin and axis

Operator = Callable[[Tensor, list[Tensor], int, float], Tensor]


def align(features: Tensor, boxes: list[Tensor], size: int, scale: float) -> Tensor:
    """Paper §3: nothing is rounded."""
    return roi_align(features, boxes, size, scale, SAMPLES)


def pool(features: Tensor, boxes: list[Tensor], size: int, scale: float) -> Tensor:
    """Fast R-CNN: RoI and bins are rounded, the maximum counts."""
    return roi_pool(features, boxes, size, scale)


def warp(features: Tensor, boxes: list[Tensor], size: int, scale: float) -> Tensor:
    """RoIWarp as the paper tests it: the RoI is rounded, inside of it values are bilinear."""
    rounded = []
    for box in boxes:
        corners = round_half_away(box * scale)  # [R, 4]
        last = torch.maximum(corners[:, 2:], corners[:, :2] + 1)  # [R, 2]
        rounded.append(torch.cat([corners[:, :2], last], dim=1) / scale)  # [R, 4]
    return roi_align(features, rounded, size, scale, SAMPLES)


class OneLevelPooler(nn.Module):
    """Pool every box from one map; takes the place of the network's pools.

    Args:
        operator: `align`, `pool` or `warp`.
        level: name of the map.
        size: P.
    """

    def __init__(self, operator: Operator, level: str, size: int) -> None:
        super().__init__()
        self.operator, self.level, self.size = operator, level, size

    def forward(self, features: NamedMaps, boxes: list[Tensor], image_shapes: list[Size]) -> Tensor:
        """Return Tensor[K, C, P, P]."""
        features = features[self.level]  # [B, C, h, w]
        scale = features.shape[-2] / image_shapes[0][0]  # lite's images are whole strides
        return self.operator(features, boxes, self.size, scale)


class MasksOfObjects(LeanRoIHeads):
    """The mask branch learns from the true boxes alone, not from proposals around them."""

    def mask_losses(
        self, features: NamedMaps, rois: tuple[Tensor, ...], size: Size, targets: Targets
    ) -> dict[str, Tensor]:
        """See `RoIHeads.mask_losses`; the sampled RoIs are not looked at."""
        number = torch.arange(targets.valid.shape[1]).expand(targets.valid.shape)  # [B, G]
        labels = targets.labels.masked_fill(~targets.valid, 0)  # [B, G]
        return super().mask_losses(features, (targets.boxes, number, labels), size, targets)


class NoMasks(LeanRoIHeads):
    """Faster R-CNN: the mask branch is there and learns nothing."""

    def mask_losses(self, *inputs: Any) -> dict[str, Tensor]:
        """No loss."""
        return {}


def with_pools(operator: Operator, level: str) -> Callable[[MaskRCNN], None]:
    """Both branches pool with this operator from this map."""

    def change(model: MaskRCNN) -> None:
        box, mask = model.config.box.pooled_size, model.config.mask.pooled_size
        model.roi_heads.box_roi_pool = OneLevelPooler(operator, level, box)
        model.roi_heads.mask_roi_pool = OneLevelPooler(operator, level, mask)

    return change


def with_heads(kind: type) -> Callable[[MaskRCNN], None]:
    """The second stage is of this kind; its weights stay."""

    def change(model: MaskRCNN) -> None:
        model.roi_heads.__class__ = kind

    return change


def with_mlp(model: MaskRCNN) -> None:
    """Table 2e: two fully connected layers, normalised as the convolutions are, then all masks."""
    config = model.config
    pooled, side = config.mask.pooled_size, 2 * config.mask.pooled_size
    inputs, outputs = config.backbone.fpn_channels * pooled**2, config.num_classes * side**2
    layers: list[nn.Module] = [nn.Flatten()]  # [K, C * P * P]
    for width in (inputs, MLP_WIDTH):
        layers += [nn.Linear(width, MLP_WIDTH), nn.LayerNorm(MLP_WIDTH), nn.ReLU(inplace=True)]
    model.roi_heads.mask_head = nn.Sequential(*layers)  # [K, MLP_WIDTH]
    masks = nn.Unflatten(1, (config.num_classes, side, side))  # [K, C, M, M]
    model.roi_heads.mask_predictor = nn.Sequential(nn.Linear(MLP_WIDTH, outputs), masks)


def _same(model: MaskRCNN) -> None:
    pass


# Of each arm the fields of the config that it changes, and what it changes in the network.
ARMS: dict[str, tuple[dict[str, dict[str, Any]], Callable[[MaskRCNN], None]]] = {
    "lite": ({}, _same),  # RoIAlign at stride 4, two samples, sigmoid, FCN, a mask per class
    "pool at 4": ({}, with_pools(pool, FINEST)),
    "warp at 4": ({}, with_pools(warp, FINEST)),
    "align at 16": ({}, with_pools(align, COARSE)),
    "pool at 16": ({}, with_pools(pool, COARSE)),
    "align at 32": ({}, with_pools(align, COARSEST)),
    "pool at 32": ({}, with_pools(pool, COARSEST)),
    "warp at 32": ({}, with_pools(warp, COARSEST)),
    "one sample": ({"box": {"sampling_ratio": 1}, "mask": {"sampling_ratio": 1}}, _same),
    "four samples": ({"box": {"sampling_ratio": 4}, "mask": {"sampling_ratio": 4}}, _same),
    "adaptive samples": ({"box": {"sampling_ratio": 0}, "mask": {"sampling_ratio": 0}}, _same),
    "softmax": ({"mask": {"competition": "softmax"}}, _same),
    "MLP": ({}, with_mlp),
    "one mask": ({"mask": {"class_agnostic": True}}, _same),
    "objects only": ({}, with_heads(MasksOfObjects)),
    "no masks": ({}, with_heads(NoMasks)),
    "shifted targets": ({"mask": {"targets_aligned": False}}, _same),
    "AdamW": ({"training": {"optimizer": "adamw"}}, _same),
}


def start(arm: str, seed: int) -> tuple[TrainingRun, Shapes]:
    """Return a run of an arm before its first step, and the images that it is to see.

    Args:
        arm: one of `ARMS`.
        seed: of weights, images and sampling.
    """
    fields, change = ARMS[arm]
    config: Config = lite().with_(training=TRAINING).with_(**fields)
    images = Shapes(None, TRAIN_SEED + seed)
    run = TrainingRun(config, images.class_names, seed)
    change(run.model)
    run.model.to(memory_format=torch.channels_last).train()
    # Of the weights that are there now.
    run.optimizer = make_optimizer(run.model, config.training)
    run.average = {name: value.clone() for name, value in run.model.state_dict().items()}
    return run, images
