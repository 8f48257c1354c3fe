"""A tiny Mask R-CNN of ours and torchvision's with the same weights, for tests that need both."""

from collections import OrderedDict

import torch
import torchvision
from torch import nn

from mrcnn_lite.config import Config, resnet50_fpn
from mrcnn_lite.models import MaskRCNN

DETECTION = torchvision.models.detection
CLASSES, CHANNELS, HIDDEN = 4, 8, 32
ALL = 100_000  # larger than any number of candidates: chance plays no part


class TinyBackbone(nn.Module):
    """A user's own: maps at strides 4, 8, ..., in the form that is asked for."""

    def __init__(self, levels: int, form: str = "dict") -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 4, 4)
        self.stages = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 2, 2) for _ in range(levels - 1))
        self.form, self.out_channels = form, CHANNELS

    def forward(self, x):
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1].relu()))
        if self.form == "tensor":
            return maps[0]
        return OrderedDict((str(n), x) for n, x in enumerate(maps)) if self.form == "dict" else maps


def anchor_sizes(levels: int) -> tuple[tuple[int, ...], ...]:
    """One size a level; a single level has them all."""
    return ((12, 24, 48),) if levels == 1 else tuple((12 << level,) for level in range(levels))


def tiny_config(levels: int = 2) -> Config:
    """Everything is sampled, so that losses do not depend on chance."""
    return resnet50_fpn(CLASSES).with_(
        image={"min_size": 48, "max_size": 80, "channels_last": False},
        backbone={"fpn_channels": CHANNELS},
        rpn={
            "anchor_sizes": anchor_sizes(levels), "samples": ALL, "positive_fraction": 1.0,
            "pre_nms_train": 60, "pre_nms_test": 50, "post_nms_train": 30, "post_nms_test": 25,
        },
        box={
            "head_channels": HIDDEN, "samples": ALL, "positive_fraction": 1.0, "detections": 12,
            "score_threshold": 0.1, "roi_levels": min(levels, 4),
        },
        mask={"channels": (CHANNELS,), "hidden": CHANNELS, "rois": ALL},
    )  # fmt: skip


def tiny_pair(levels: int = 2, form: str = "dict") -> tuple[MaskRCNN, nn.Module]:
    """Our network and torchvision's, in float64 and evaluation mode."""
    torch.manual_seed(0)
    names, one_ratio = [str(level) for level in range(min(levels, 4))], (0.5, 1.0, 2.0)
    pool, heads = torchvision.ops.MultiScaleRoIAlign, DETECTION.mask_rcnn
    theirs = DETECTION.MaskRCNN(
        TinyBackbone(levels, "tensor" if form == "tensor" else "dict"),
        min_size=48, max_size=80,
        rpn_anchor_generator=DETECTION.rpn.AnchorGenerator(
            anchor_sizes(levels), (one_ratio,) * levels
        ),
        rpn_batch_size_per_image=ALL, rpn_positive_fraction=1.0,
        rpn_pre_nms_top_n_train=60, rpn_pre_nms_top_n_test=50,
        rpn_post_nms_top_n_train=30, rpn_post_nms_top_n_test=25,
        box_roi_pool=pool(names, 7, 2),
        box_head=DETECTION.faster_rcnn.TwoMLPHead(CHANNELS * 49, HIDDEN),
        box_predictor=DETECTION.faster_rcnn.FastRCNNPredictor(HIDDEN, CLASSES),
        box_batch_size_per_image=ALL, box_positive_fraction=1.0, box_detections_per_img=12,
        box_score_thresh=0.1,
        mask_roi_pool=pool(names, 14, 2),
        mask_head=heads.MaskRCNNHeads(CHANNELS, (CHANNELS,), 1),
        mask_predictor=heads.MaskRCNNPredictor(CHANNELS, CHANNELS, CLASSES),
    )  # fmt: skip
    for name, value in theirs.named_parameters():  # scores that differ, boxes that move
        if value.dim() > 1:
            nn.init.normal_(value, std=0.2 if "bbox_pred" not in name else 0.05)
    ours = MaskRCNN(tiny_config(levels), backbone=TinyBackbone(levels, form))
    ours.load_state_dict(theirs.state_dict())
    return ours.double().eval(), theirs.double().eval()


def images_and_targets(dtype: torch.dtype = torch.float64) -> tuple[list, list]:
    """Two small images of different sizes with two and one objects."""
    g = torch.Generator().manual_seed(3)
    images, targets = [], []
    boxes = [[[4.0, 6, 30, 40], [20, 10, 60, 50]], [[2.0, 2, 40, 30]]]
    for (height, width), rows in zip(((64, 72), (50, 50)), boxes, strict=True):
        images.append(torch.rand(3, height, width, generator=g, dtype=torch.float64).to(dtype))
        masks = torch.zeros(len(rows), height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, rows, strict=True):
            mask[int(y1) : int(y2), int(x1) : int(x2) - 2] = 1
        labels = torch.arange(len(rows)) + 1
        targets.append({"boxes": torch.tensor(rows, dtype=dtype), "labels": labels, "masks": masks})
    return images, targets


def answers(model: nn.Module, training: bool) -> list[torch.Tensor]:
    """What a model gives: its losses in order of their names, or all its detections."""
    images, targets = images_and_targets()
    if training:
        losses = model.train()(images, [dict(target) for target in targets])
        return [losses[name].detach().double() for name in sorted(losses)]
    with torch.no_grad():
        found = model.eval()(images)
    return [one[name].double() for one in found for name in ("boxes", "scores", "labels", "masks")]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    """Say whether two answers are equal up to rounding (torchvision has float32 inside)."""
    pairs = [*zip(one, other, strict=True)]
    if any(a.shape != b.shape for a, b in pairs):
        return False
    return all(torch.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in pairs)
