"""Every number of the network and of its training, in one frozen dataclass of seven sections.

`§` cites Mask R-CNN (arXiv 1703.06870), `FR` Faster R-CNN (1506.01497), `FPN` (1612.03144); `tv`
marks a value that the paper leaves open and torchvision fixed. The defaults are
`maskrcnn_resnet50_fpn`; `lite()` is the laptop's network.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cache
from math import inf
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

# The types say what is allowed: a plain int counts from 1, a plain float from 0.
Count = Annotated[int, 0, 10**9]
Stages = Annotated[int, 0, 5]
Classes = Annotated[int, 2, 10**6]
Ratio = Annotated[int, -1, 10**9]  # torchvision's: below 1 as many samples as the bin is wide
Fraction = Annotated[float, 0, 1]
Positive = Annotated[float, 1e-12, inf]
Finite = Annotated[float, -(10.0**9), 10.0**9]
Four = tuple[Positive, Positive, Positive, Positive]
Sizes = tuple[tuple[Positive, ...], ...]
Norm = Literal["group", "batch", "frozen_batch", "none"]
Paste = Literal["torchvision", "pixel_centres"]
Precision = Literal["fp32", "bf16"]


class Checked:
    """A section that refuses, where it is written, what no network or training could use."""

    def __post_init__(self) -> None:
        section = type(self).__name__.removesuffix("Config").lower()
        for name, kind in _types(type(self)).items():
            value = plain(getattr(self, name))
            if asked := _asked(value, kind):
                name = ".".join(filter(None, ("config", section, name)))
                raise ValueError(f"{name} is {value!r}; give {asked}")
            object.__setattr__(self, name, value)  # JSON's lists as tuples: it stays hashable


@dataclass(frozen=True)
class ImageConfig(Checked):
    """What happens to an image before the first convolution."""

    min_size: int = 800  # §3.1: the shorter side is resized to 800 pixels
    max_size: int = 1333  # tv: ... unless the longer side would pass this
    train_min_sizes: tuple[int, ...] = ()  # tv: training draws its `min_size` from these, if any
    skip_resize: bool = False  # tv: in training, for images that come resized; so do crops
    mean: tuple[Finite, Finite, Finite] = (0.485, 0.456, 0.406)  # tv: ImageNet, RGB in 0..1
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)  # tv
    size_divisible: int = 32  # FPN §3: the coarsest stride must divide the padded size
    channels_last: bool = True  # memory layout, in which convolutions are faster; same results


@dataclass(frozen=True)
class BackboneConfig(Checked):
    """The body (§3, "backbone") and the pyramid on top of it."""

    kind: Literal["resnet", "small"] = "resnet"  # §3: "resnet", or "small" for two CPU cores
    depth: Literal[18, 34, 50, 101, 152] = 50  # §3 ("resnet" only)
    widths: tuple[int, ...] = (32, 48, 64, 96)  # channels at strides 4, 8, 16, 32 ("small" only)
    blocks: tuple[int, ...] = (1, 1, 1, 1)  # residual blocks at each stride ("small" only)
    norm: Norm = "frozen_batch"  # §3.1 freezes it; "group" trains from scratch, "batch" is _v2's
    norm_eps: float = 1e-5  # of the frozen norm; tv: 0 for its COCO_V1 weights ("resnet" only)
    trainable_layers: Stages = 3  # tv: stages that train, from the top, 0..5 ("resnet" only)
    fpn_channels: int = 256  # FPN §3: d = 256
    fpn_norm: Norm = "none"  # FPN §3 has none; "group" from scratch, "batch" in _v2
    extra_level: bool = True  # FPN §4.1: P6, a stride-2 subsampling of P5, for the largest anchors


@dataclass(frozen=True)
class RPNConfig(Checked):
    """Region proposal network (FR §3)."""

    anchor_sizes: Sizes = ((32,), (64,), (128,), (256,), (512,))  # FPN §4.1
    aspect_ratios: tuple[Positive, ...] = (0.5, 1.0, 2.0)  # FR §3.1.1: height / width
    foreground_iou: Fraction = 0.7  # FR §3.1.2
    background_iou: Fraction = 0.3  # FR §3.1.2
    samples: int = 256  # FR §3.1.3: anchors per image in the loss
    positive_fraction: Fraction = 0.5  # FR §3.1.3
    convs: int = 1  # FR §3.1: one 3 x 3 convolution; two in _v2
    pre_nms_train: int = 2000  # FPN: kept per level before NMS
    pre_nms_test: int = 1000  # tv
    post_nms_train: int = 2000  # tv: kept per image after NMS
    post_nms_test: int = 1000  # §3.1: 1000 with FPN
    nms_iou: Fraction = 0.7  # FR §3.3
    score_threshold: Fraction = 0.0  # tv: less likely proposals are dropped
    min_size: float = 1e-3  # tv: smaller proposals (in pixels) are dropped


@dataclass(frozen=True)
class BoxConfig(Checked):
    """Classification and box regression of each RoI (Fast R-CNN's head)."""

    roi_levels: int = 4  # FPN §4.2: RoIs are pooled from P2..P5; 1 = everything from P2
    pooled_size: int = 7  # §3, Figure 4
    sampling_ratio: Ratio = 2  # §3: four points per bin, i.e. 2 x 2
    aligned: bool = False  # tv: no half-pixel shift; its pretrained weights depend on that
    convs: tuple[int, ...] = ()  # channels of 3 x 3 convolutions before the head's last layer
    norm: Norm = "none"  # of those convolutions
    head_channels: int = 1024  # Figure 4: two fully connected layers; one after convolutions
    foreground_iou: Fraction = 0.5  # §3.1
    background_iou: Fraction = 0.5  # tv: between the two a RoI is ignored
    samples: int = 512  # §3.1: RoIs per image with FPN
    positive_fraction: Fraction = 0.25  # §3.1: 1 : 3
    code_weights: Four = (10.0, 10.0, 5.0, 5.0)  # Fast R-CNN: scaling of the targets
    score_threshold: Fraction = 0.05  # tv: weaker detections are not reported
    nms_iou: Fraction = 0.5  # §3.1 (Fast R-CNN)
    detections: int = 100  # §3.1: boxes per image that reach the mask branch


@dataclass(frozen=True)
class MaskConfig(Checked):
    """The mask branch (§3, "mask representation")."""

    pooled_size: int = 14  # Figure 4, right
    sampling_ratio: Ratio = 2  # §3
    aligned: bool = False  # tv
    channels: tuple[int, ...] = (256, 256, 256, 256)  # Figure 4: four 3 x 3 convolutions
    hidden: int = 256  # Figure 4: channels of the 2 x 2 deconvolution
    norm: Norm = "none"  # "group" for training from scratch
    rois: int = 128  # §3.1: the positives; a cap on them makes a CPU step cheap
    batch_rois: int = 64  # --fast: rows per image, filled from a whole batch (`filled_masks`)
    targets_aligned: bool = False  # tv: its mask targets carry a half-pixel shift (notebook 09)
    competition: Literal["sigmoid", "softmax"] = "sigmoid"  # §3 "decoupled"; Table 2b: "softmax"
    class_agnostic: bool = False  # §4.2: one mask for all classes
    paste: Paste = "torchvision"  # or "pixel_centres", which has no rounding (notebook 10)


@dataclass(frozen=True)
class KeypointConfig(Checked):
    """The keypoint branch (§5, "Mask R-CNN for human pose estimation")."""

    count: int = 17  # §5: points of an object, one map each; COCO's person has 17
    pooled_size: int = 14  # §5
    sampling_ratio: Ratio = 2  # §3
    aligned: bool = False  # tv
    channels: tuple[int, ...] = (512,) * 8  # §5: eight 3 x 3 convolutions
    norm: Norm = "none"  # "group" for training from scratch
    rois: int = 128  # as of the mask branch
    closed_edge: bool = False  # tv: True: a point on the right or lower edge is in the last cell
    decoder: Literal["quadratic", "centre", "torchvision"] = "quadratic"  # tv: the last one


@dataclass(frozen=True)
class TrainingConfig(Checked):
    """Optimisation. The defaults are for two CPU cores and a network from scratch."""

    batch_size: int = 8  # images per step over all processes
    optimizer: Literal["adamw", "muon", "sgd"] = "adamw"  # "sgd" is the paper's (§3.1)
    learning_rate: Positive = 3e-3  # for the batch size above
    weight_decay: float = 1e-2  # not applied to norms and biases
    warmup_steps: Count = 100  # linear, from near 0: the first gradients are the wildest
    decay_fraction: Fraction = 0.6  # last part of the run; the rate falls to 0 by a cosine
    gradient_clip: Positive = 10.0  # largest L2 norm of all gradients together
    ema_decay: Fraction = 0.995  # running average of the weights that is saved and evaluated
    crop_size: Count = 128  # side of the training crops of stored images; 0 = whole images
    scale_range: tuple[Positive, Positive] = (0.75, 1.33)  # ... and how much they are scaled
    turns: Literal["all", "flip"] = "all"  # of crops: a square's eight, or left and right alone
    copy_paste: Fraction = 0.5  # of crops, into which objects of another image are pasted
    precision: Precision = "fp32"  # or "bf16": convolutions and linear layers; losses stay fp32
    by_orientation: bool = True  # whole images: a batch is of tall or of wide ones, if it can be
    accumulate: int = 1  # parts in which a process takes its share of a batch, to save memory


@dataclass(frozen=True)
class Config(Checked):
    """A whole network and its training; `num_classes` counts the background as class 0."""

    num_classes: Classes = 91  # §4: the 80 COCO classes under their 90 ids, and the background
    image: ImageConfig = field(default_factory=ImageConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    rpn: RPNConfig = field(default_factory=RPNConfig)
    box: BoxConfig = field(default_factory=BoxConfig)
    mask: MaskConfig | None = field(default_factory=MaskConfig)  # None: no such branch
    keypoint: KeypointConfig | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, numbers, strings and tuples, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Build a Config from `to_dict`'s form, or a part of it; errors as of `with_`."""
        if not isinstance(values, dict):
            raise ValueError(f"config is {values!r}; give its sections by name")
        return cls().with_(**values)

    def with_(self, /, **sections: Any) -> Config:
        """Return a copy with some fields changed: `config.with_(mask={"rois": 8}, num_classes=3)`.

        Raises:
            ValueError: a section or field is unknown, or holds what cannot be used; it is named.
        """
        for name, values in sections.items():
            if name not in (known := _types(type(self))):
                raise ValueError(f"config: unknown section {name!r}; known: {sorted(known)}")
            if isinstance(values, dict) and name != "num_classes":
                section = getattr(self, name) or get_args(known[name])[0]()
                for key in values.keys() - (known := _types(type(section))).keys():
                    known = sorted(known)
                    raise ValueError(f"config.{name}: unknown field {key!r}; known: {known}")
                sections[name] = replace(section, **values)
        return replace(self, **sections)


@cache
def _types(section: type) -> dict[str, Any]:
    """The type of every field, with its range."""
    return get_type_hints(section, include_extras=True)


def plain(value: Any) -> Any:
    """A value of JSON or numpy as Python's own, hashable one."""
    if isinstance(value, list | tuple):
        return tuple(plain(v) for v in value)
    return value.item() if isinstance(value, np.generic) else value


def _asked(value: Any, kind: Any) -> str:
    """What the type of a field asks for where the value is something else."""
    parts = get_args(kind)
    if type(None) in parts:  # a branch that may be left out
        return "" if value is None or isinstance(value, parts[0]) else f"a {parts[0].__name__}"
    if kind is bool or (isinstance(kind, type) and issubclass(kind, Checked)):
        return "" if isinstance(value, kind) else f"a {kind.__name__}"
    if get_origin(kind) is Literal:
        known = any(type(value) is type(part) and value == part for part in parts)
        return "" if known else " or ".join(map(str, parts))
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            return f"several values in brackets, each {_asked(None, parts[0])}"
        kinds = parts[:1] * len(value) if parts[-1] is ... else parts
        if len(kinds) != len(value) or not (value or parts[0] is int):  # a head without layers
            return f"{len(kinds) or 'one or more'} values"
        return next(filter(None, map(_asked, value, kinds)), "")
    number, low, high = parts or (kind, *((1, 10**9) if kind is int else (0, 10**9)))
    good = isinstance(value, int if number is int else int | float) and not isinstance(value, bool)
    whole = "a whole number" if number is int else "a number"
    return "" if good and low <= value <= high else f"{whole} from {low:g} to {high:g}"


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


def from_scratch(config: Config) -> Config:
    """Return the config with which random weights can learn: all stages train, and a frozen batch
    norm, which needs what a training left in it, becomes a group norm: two images are too few for
    the statistics of a batch (He et al. 2019, Rethinking ImageNet Pre-training)."""
    backbone = config.backbone
    norm = "group" if backbone.norm == "frozen_batch" else backbone.norm
    stages = 5 if backbone.kind == "resnet" else backbone.trainable_layers  # not of "small"
    return config.with_(backbone={"norm": norm, "trainable_layers": stages})


def lite(num_classes: int = 6) -> Config:
    """Return the small network that two CPU cores train from scratch in minutes."""
    return Config(
        num_classes=num_classes,
        image=ImageConfig(128, 512, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        backbone=BackboneConfig("small", blocks=(2, 2, 1, 1), norm="group", fpn_channels=48,
                                fpn_norm="group", extra_level=False),
        rpn=RPNConfig(((16,), (24,), (36,), (52,)), aspect_ratios=(1.0,), samples=64,
                      pre_nms_train=200, pre_nms_test=200, post_nms_train=64, post_nms_test=50),
        box=BoxConfig(roi_levels=1, convs=(48, 48), norm="group", head_channels=128, samples=32,
                      positive_fraction=0.5),
        mask=MaskConfig(channels=(32, 32, 32, 32), hidden=32, norm="group", rois=4,
                        targets_aligned=True, paste="pixel_centres"),
        training=TrainingConfig(optimizer="muon"),
    )  # fmt: skip


def with_keypoints(config: Config, count: int) -> Config:
    """Return the config with a branch for `count` keypoints, a small one on the small backbone."""
    new = config.keypoint is None and config.backbone.kind == "small"
    small = {"channels": (48,) * 4, "norm": "group", "rois": 8} if new else {}
    return config.with_(keypoint=small | {"count": count})


PRESETS = {"lite": lite, "resnet50_fpn": resnet50_fpn, "resnet50_fpn_v2": resnet50_fpn_v2}
