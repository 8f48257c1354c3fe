"""Every number of the network and of its training, in one frozen dataclass of six sections.

`§` cites Mask R-CNN (arXiv 1703.06870), `FR` Faster R-CNN (1506.01497), `FPN` (1612.03144); `tv`
marks a value that the paper leaves open and torchvision fixed. The defaults are
`maskrcnn_resnet50_fpn`; `lite()` is the laptop's network.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class ImageConfig:
    """What happens to an image before the first convolution."""

    min_size: int = 800  # §3.1: the shorter side is resized to 800 pixels
    max_size: int = 1333  # tv: ... unless the longer side would pass this
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # tv: ImageNet, RGB in 0..1
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)  # tv
    size_divisible: int = 32  # FPN §3: the coarsest stride must divide the padded size
    channels_last: bool = True  # memory layout, in which convolutions are faster; same results


@dataclass(frozen=True)
class BackboneConfig:
    """The body (§3, "backbone") and the pyramid on top of it."""

    kind: str = "resnet"  # §3: "resnet", or "small" for two CPU cores
    depth: int = 50  # §3: 18, 34, 50, 101, 152 ("resnet" only)
    widths: tuple[int, ...] = (32, 48, 64, 96)  # channels at strides 4, 8, 16, 32 ("small" only)
    blocks: tuple[int, ...] = (1, 1, 1, 1)  # residual blocks at each stride ("small" only)
    norm: str = "frozen_batch"  # §3.1 freezes it; "group" trains from scratch, "batch" is _v2's
    norm_eps: float = 1e-5  # of the frozen norm; tv: 0 for its COCO_V1 weights ("resnet" only)
    trainable_layers: int = 3  # tv: stages that train, from the top, 0..5 ("resnet" only)
    fpn_channels: int = 256  # FPN §3: d = 256
    fpn_norm: str = "none"  # FPN §3 has none; "group" from scratch, "batch" in _v2
    extra_level: bool = True  # FPN §4.1: P6, a stride-2 subsampling of P5, for the largest anchors


@dataclass(frozen=True)
class RPNConfig:
    """Region proposal network (FR §3)."""

    anchor_sizes: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))  # FPN §4.1
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # FR §3.1.1: height / width
    foreground_iou: float = 0.7  # FR §3.1.2
    background_iou: float = 0.3  # FR §3.1.2
    samples: int = 256  # FR §3.1.3: anchors per image in the loss
    positive_fraction: float = 0.5  # FR §3.1.3
    convs: int = 1  # FR §3.1: one 3 x 3 convolution; two in _v2
    pre_nms_train: int = 2000  # FPN: kept per level before NMS
    pre_nms_test: int = 1000  # tv
    post_nms_train: int = 2000  # tv: kept per image after NMS
    post_nms_test: int = 1000  # §3.1: 1000 with FPN
    nms_iou: float = 0.7  # FR §3.3
    min_size: float = 1e-3  # tv: smaller proposals (in pixels) are dropped


@dataclass(frozen=True)
class BoxConfig:
    """Classification and box regression of each RoI (Fast R-CNN's head)."""

    roi_levels: int = 4  # FPN §4.2: RoIs are pooled from P2..P5; 1 = everything from P2
    pooled_size: int = 7  # §3, Figure 4
    sampling_ratio: int = 2  # §3: four points per bin, i.e. 2 x 2
    aligned: bool = False  # tv: no half-pixel shift; its pretrained weights depend on that
    convs: tuple[int, ...] = ()  # channels of 3 x 3 convolutions before the head's last layer
    norm: str = "none"  # of those convolutions
    head_channels: int = 1024  # Figure 4: two fully connected layers; one after convolutions
    foreground_iou: float = 0.5  # §3.1
    samples: int = 512  # §3.1: RoIs per image with FPN
    positive_fraction: float = 0.25  # §3.1: 1 : 3
    code_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)  # Fast R-CNN: scaling of the targets
    score_threshold: float = 0.05  # tv: weaker detections are not reported
    nms_iou: float = 0.5  # §3.1 (Fast R-CNN)
    detections: int = 100  # §3.1: boxes per image that reach the mask branch


@dataclass(frozen=True)
class MaskConfig:
    """The mask branch (§3, "mask representation")."""

    pooled_size: int = 14  # Figure 4, right
    sampling_ratio: int = 2  # §3
    aligned: bool = False  # tv
    channels: tuple[int, ...] = (256, 256, 256, 256)  # Figure 4: four 3 x 3 convolutions
    hidden: int = 256  # Figure 4: channels of the 2 x 2 deconvolution
    norm: str = "none"  # "group" for training from scratch
    rois: int = 128  # §3.1: the positives; a cap on them makes a CPU step cheap
    targets_aligned: bool = False  # tv: its mask targets carry a half-pixel shift (notebook 09)
    competition: str = "sigmoid"  # §3 "decoupled"; "softmax" is the ablation of Table 2b
    class_agnostic: bool = False  # §4.2: one mask for all classes
    paste: str = "torchvision"  # or "pixel_centres", which has no rounding (notebook 10)


@dataclass(frozen=True)
class TrainingConfig:
    """Optimisation. The defaults are for two CPU cores and a network from scratch."""

    batch_size: int = 8  # images per step over all processes
    optimizer: str = "adamw"  # "sgd" is the paper's (§3.1)
    learning_rate: float = 3e-3  # for the batch size above
    weight_decay: float = 1e-2  # not applied to norms and biases
    warmup_steps: int = 100  # linear, from near 0: the first gradients are the wildest
    decay_fraction: float = 0.6  # last part of the run; the rate falls to 0 by a cosine
    gradient_clip: float = 10.0  # largest L2 norm of all gradients together
    ema_decay: float = 0.995  # running average of the weights that is saved and evaluated
    crop_size: int = 128  # side of the training crops of stored images; 0 = whole images
    scale_range: tuple[float, float] = (0.75, 1.33)  # ... and how much they are scaled
    precision: str = "fp32"  # or "bf16": convolutions and linear layers; boxes and losses stay fp32
    accumulate: int = 1  # parts in which a process takes its share of a batch, to save memory


@dataclass(frozen=True)
class Config:
    """A whole network and its training; `num_classes` counts the background as class 0."""

    num_classes: int = 91  # §4: the 80 COCO classes under their 90 ids, and the background
    image: ImageConfig = field(default_factory=ImageConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    rpn: RPNConfig = field(default_factory=RPNConfig)
    box: BoxConfig = field(default_factory=BoxConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, numbers, strings and tuples, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Build a Config from `to_dict`'s form (lists may stand for tuples).

        Raises:
            ValueError: a section or field is unknown; the message names it.
        """
        parts: dict[str, Any] = {}
        sections = {f.name: f for f in fields(cls)}
        for name, value in values.items():
            if name not in sections:
                raise ValueError(f"config: unknown section {name!r}; known: {sorted(sections)}")
            if name == "num_classes":
                parts[name] = int(value)
                continue
            section = sections[name].default_factory  # type: ignore[misc]
            known = {f.name for f in fields(section)}
            if unknown := set(value) - known:
                raise ValueError(
                    f"config.{name}: unknown field {sorted(unknown)[0]!r}; known: {sorted(known)}"
                )
            parts[name] = section(**{k: _as_tuple(v) for k, v in value.items()})
        return cls(**parts)

    def with_(self, **sections: dict[str, Any]) -> Config:
        """Return a copy with some fields changed: `config.with_(mask={"rois": 8})`."""
        changed = {
            name: replace(getattr(self, name), **values) for name, values in sections.items()
        }
        return replace(self, **changed)


def _as_tuple(value: Any) -> Any:
    """Turn JSON's lists back into tuples, so that the config stays frozen and hashable."""
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list) else value


def resnet50_fpn(num_classes: int = 91) -> Config:
    """Return torchvision's `maskrcnn_resnet50_fpn`: the paper's R50-FPN with its defaults."""
    training = TrainingConfig(2, "sgd", 2.5e-3, 1e-4, 500, ema_decay=0.0, crop_size=0)
    return Config(num_classes=num_classes, training=training)


def resnet50_fpn_v2(num_classes: int = 91) -> Config:
    """Return torchvision's `maskrcnn_resnet50_fpn_v2`: trained batch norms in every part, two
    convolutions in the RPN and four before the box branch (Li et al. 2021, Benchmarking Detection
    Transfer Learning with Vision Transformers)."""
    return resnet50_fpn(num_classes).with_(
        backbone={"norm": "batch", "fpn_norm": "batch"},
        rpn={"convs": 2},
        box={"convs": (256,) * 4, "norm": "batch"},
        mask={"norm": "batch"},
    )


def lite(num_classes: int = 6) -> Config:
    """Return the small network that two CPU cores train from scratch in minutes."""
    return Config(
        num_classes=num_classes,
        image=ImageConfig(128, 512, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        backbone=BackboneConfig(
            kind="small",
            blocks=(2, 2, 1, 1),
            norm="group",
            fpn_channels=48,
            fpn_norm="group",
            extra_level=False,
        ),
        rpn=RPNConfig(
            anchor_sizes=((16,), (24,), (36,), (52,)),
            aspect_ratios=(1.0,),
            samples=64,
            pre_nms_train=200,
            pre_nms_test=200,
            post_nms_train=64,
            post_nms_test=50,
        ),
        box=BoxConfig(
            roi_levels=1,
            convs=(48, 48),
            norm="group",
            head_channels=128,
            samples=32,
            positive_fraction=0.5,
        ),
        mask=MaskConfig(
            channels=(32, 32, 32, 32),
            hidden=32,
            norm="group",
            rois=4,
            targets_aligned=True,
            paste="pixel_centres",
        ),
    )


PRESETS = {"lite": lite, "resnet50_fpn": resnet50_fpn, "resnet50_fpn_v2": resnet50_fpn_v2}
