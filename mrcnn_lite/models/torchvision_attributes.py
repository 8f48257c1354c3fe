"""What users of torchvision set on a model that is built, under torchvision's names.

`model.roi_heads.score_thresh = 0.9`, `model.rpn._pre_nms_top_n["testing"] = 300` and
`model.transform.max_size = 640` change the number in the module's config that the network reads,
and with it `model.config`. What the network would not read is refused by name.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

SUBCLASS = "use a subclass of it with a forward of its own"
OPTIONAL = ("mask", "keypoint")  # branches, and sections of the config


class Setting:
    """A number of the module's config, such as `Setting("box.nms_iou")`."""

    def __init__(self, field: str) -> None:
        self.path = field.split(".")

    def __get__(self, module: Any, owner: type | None = None) -> Any:
        return self if module is None else reduce(getattr, self.path, module.config)

    def __set__(self, module: Any, value: Any) -> None:
        module.config = _with(module.config, self.path, value)


def _with(config: Any, path: list[str], value: Any) -> Any:
    """A copy of a section with one field changed; the section refuses what nothing could use."""
    name, *rest = path
    return replace(config, **{name: _with(getattr(config, name), rest, value) if rest else value})


class Group:
    """Several numbers that torchvision keeps in an object or a dict of that name.

    Args:
        fields: each one's name there and its field in the config, or a constant (no string).
    """

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Any, owner: type | None = None) -> Any:
        return self if module is None else _View(module, self)

    def __set__(self, module: Any, value: Any) -> None:
        if not isinstance(value, Mapping):
            names = " or ".join(f"{self.name}.{name}" for name in self.fields)
            raise AttributeError(f"{module.WHERE}.{self.name} has no effect here; set {names}")
        for name, number in value.items():
            _View(module, self)[name] = number


class _View(Mapping):
    """A group of one module: its numbers as attributes and as items."""

    def __init__(self, module: Any, group: Group) -> None:
        vars(self).update(_module=module, _group=group)

    def __getitem__(self, name: str) -> Any:
        field = self._group.fields[name]
        return Setting(field).__get__(self._module) if isinstance(field, str) else field

    def __setitem__(self, name: str, value: Any) -> None:
        field = self._group.fields.get(name)
        if not isinstance(field, str):
            where = f"{self._module.WHERE}.{self._group.name}.{name}"
            raise AttributeError(f"{where} has no effect here; {SUBCLASS}")
        Setting(field).__set__(self._module, value)

    def __getattr__(self, name: str) -> Any:
        if name not in self._group.fields:
            raise AttributeError(f"{self._module.WHERE}.{self._group.name} has no {name}")
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._group.fields)

    def __len__(self) -> int:
        return len(self._group.fields)

    def __repr__(self) -> str:
        return repr(dict(self))


class AsInTorchvision:
    """A module that sets what torchvision's has, or refuses to.

    `WHERE` is what a user calls it; `PARTS` has the types of its modules, `REFUSED` what to do
    instead of setting an attribute that nothing would read.

    Args:
        attributes: to be set once torch has made room for them.
    """

    WHERE = "model"
    PARTS: Mapping[str, type] = {}
    REFUSED: Mapping[str, str] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        where = f"{self.WHERE}.{name}"
        if name in self.REFUSED:
            raise AttributeError(f"{where} has no effect here; {self.REFUSED[name]}")
        if name in self.PARTS and not isinstance(value, self.PARTS[name]):
            asked = self.PARTS[name].__name__.replace("Attributes", " of this package")
            raise TypeError(f"{where} is {type(value).__name__}; give a {asked}")
        branch = name.partition("_")[0]
        if name in self.PARTS and branch in OPTIONAL and getattr(self.config, branch) is None:
            raise AttributeError(
                f"{where}: this network has no {branch} branch; its config says so"
            )
        if name == "keypoint_predictor" and hasattr(value, "out_channels"):
            self.config = _with(self.config, ["keypoint", "count"], value.out_channels)
        if name == "backbone":
            old = getattr(getattr(self, name, None), "out_channels", None)
            new = getattr(value, "out_channels", None)
            if not isinstance(new, int) or old not in (None, new):
                asked = "the number of channels of each of its maps" if old is None else old
                raise ValueError(
                    f"{where} has out_channels {new!r}; give {asked}, or build the network for it: "
                    "MaskRCNN(config, backbone=...)"
                )
        if isinstance(getattr(type(self), name, None), Setting | Group):
            object.__setattr__(self, name, value)  # torch would store a module beside it
        else:
            super().__setattr__(name, value)


def no_effect(cure: str, *names: str) -> dict[str, str]:
    """Return `REFUSED` for names with one cure."""
    return dict.fromkeys(names, cure)


def anchors_of(generator: nn.Module, features: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Ask a generator of torchvision's for the anchors of an image of `size` (H, W): Tensor[A, 4];
    it only reads sizes, and the type in which anchors shall come."""
    dtype = torch.promote_types(features[0].dtype, torch.float32)
    wide = features[0].new_zeros((), dtype=dtype)
    images = SimpleNamespace(tensors=wide.expand(1, 3, *size), image_sizes=[size])
    (anchors,) = generator(images, [wide.expand(feature.shape) for feature in features])
    return anchors


class TransformAttributes(AsInTorchvision):
    """Those of `GeneralizedRCNNTransform`."""

    WHERE = "model.transform"
    REFUSED = no_effect(
        "resize images yourself, or set min_size, max_size, image_mean and image_std",
        "fixed_size", "resize", "normalize", "torch_choice", "batch_images", "max_by_axis",
        "postprocess", "_onnx_batch_images",
    )  # fmt: skip
    max_size, size_divisible = Setting("max_size"), Setting("size_divisible")
    image_mean, image_std = Setting("mean"), Setting("std")
    _skip_resize = Setting("skip_resize")

    @property
    def min_size(self) -> tuple[int, ...]:
        """The shorter sides of which training draws one; the last one counts in evaluation."""
        return self.config.train_min_sizes or (self.config.min_size,)

    @min_size.setter
    def min_size(self, sizes: int | Sequence[int]) -> None:
        """Take one side or several."""
        sizes = tuple(sizes) if isinstance(sizes, Sequence) else (sizes,)
        several, last = sizes if len(sizes) > 1 else (), sizes[-1] if sizes else None
        self.config = replace(self.config, min_size=last, train_min_sizes=several)


class AnchorAttributes(AsInTorchvision):
    """Those of `AnchorGenerator`."""

    WHERE = "model.rpn.anchor_generator"
    REFUSED = no_effect(
        "set its sizes and aspect_ratios",
        "cell_anchors", "generate_anchors", "set_cell_anchors", "grid_anchors",
        "num_anchors_per_location",
    )  # fmt: skip


class RPNAttributes(AsInTorchvision):
    """Those of `RegionProposalNetwork`."""

    WHERE = "model.rpn"
    PARTS = dict.fromkeys(("anchor_generator", "head"), nn.Module)
    REFUSED = no_effect(
        SUBCLASS,
        "box_similarity", "assign_targets_to_anchors", "compute_loss", "filter_proposals",
        "_get_top_n_idx",
    ) | no_effect(
        "set _pre_nms_top_n and _post_nms_top_n", "pre_nms_top_n", "post_nms_top_n"
    )  # fmt: skip
    nms_thresh, score_thresh = Setting("nms_iou"), Setting("score_threshold")
    min_size = Setting("min_size")
    _pre_nms_top_n = Group(training="pre_nms_train", testing="pre_nms_test")
    _post_nms_top_n = Group(training="post_nms_train", testing="post_nms_test")
    fg_bg_sampler = Group(batch_size_per_image="samples", positive_fraction="positive_fraction")
    proposal_matcher = Group(
        high_threshold="foreground_iou", low_threshold="background_iou",
        allow_low_quality_matches=True,
    )  # fmt: skip
    box_coder = Group(weights=(1.0, 1.0, 1.0, 1.0), bbox_xform_clip=math.log(1000.0 / 16))


class PoolAttributes(AsInTorchvision):
    """Those of `MultiScaleRoIAlign`."""

    WHERE = "model.roi_heads.box_roi_pool or mask_roi_pool"
    REFUSED = no_effect("scales follow from the sizes of every call", "scales", "map_levels")


class HeadsAttributes(AsInTorchvision):
    """Those of `RoIHeads`."""

    WHERE = "model.roi_heads"
    PARTS: ClassVar = {
        f"{branch}_{part}": nn.Module
        for branch in ("box", *OPTIONAL)
        for part in ("roi_pool", "head", "predictor")
    }
    REFUSED = no_effect(
        SUBCLASS,
        "box_similarity", "assign_targets_to_proposals", "subsample", "add_gt_proposals",
        "check_targets", "select_training_samples", "postprocess_detections", "has_mask",
        "has_keypoint",
    )  # fmt: skip
    score_thresh, nms_thresh = Setting("box.score_threshold"), Setting("box.nms_iou")
    detections_per_img = Setting("box.detections")
    fg_bg_sampler = Group(
        batch_size_per_image="box.samples", positive_fraction="box.positive_fraction"
    )
    proposal_matcher = Group(
        high_threshold="box.foreground_iou", low_threshold="box.background_iou",
        allow_low_quality_matches=False,
    )  # fmt: skip
    box_coder = Group(weights="box.code_weights", bbox_xform_clip=math.log(1000.0 / 16))


class ModelAttributes(AsInTorchvision):
    """Those of `MaskRCNN`."""

    PARTS: ClassVar = {
        "backbone": nn.Module,
        "transform": TransformAttributes,
        "rpn": RPNAttributes,
        "roi_heads": HeadsAttributes,
    }
    REFUSED = no_effect(SUBCLASS, "eager_outputs", "_has_warned")
