"""Where a training starts: at torchvision's weights, at a state dict, or at an earlier run."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..config import PRESETS, Config
from ..models import MaskRCNN, check_fits, read_weights
from ..models.pretrained import (
    COCO,
    COCO_V2,
    published,
    read_published,
    read_state,
    wants_no_eps,
)

ENUMS = {"resnet50_fpn": COCO, "resnet50_fpn_v2": COCO_V2}
IMAGENET, SHAPES = "imagenet", "shapes"
SHIPPED = Path(__file__).resolve().parents[2] / "data" / "weights" / "shapes_lite.safetensors"
NAMES = ("DEFAULT", "COCO_V1", IMAGENET)
STAGES = 3  # tv: how many train of a backbone that was trained before
BOX, MASK = "roi_heads.box_predictor", "roi_heads.mask_predictor.mask_fcn_logits"
KEYPOINT = "roi_heads.keypoint_"
ANCHORS = "rpn.head.cls_logits", "rpn.head.bbox_pred"  # what they say is of each anchor


class Start:
    """Weights to start from, and the config of the network that they belong to.

    Args:
        init: "DEFAULT" (torchvision's weights of COCO), "imagenet" (torchvision's of the backbone),
            "shapes" (ours of the lite network on drawn shapes), a state dict (`.pth`, `.pt`,
            `.safetensors`), or a run: its folder or its weights.
        preset: which network; by default a run's own, else "resnet50_fpn".

    Raises:
        FileNotFoundError, ValueError: there are no such weights, or they are of another preset.
    """

    def __init__(self, init: str, preset: str | None = None) -> None:
        self.init, self.class_names, self._tensors = init, None, None
        path = Path(init)
        if init == SHAPES and not path.exists():
            path, preset = SHIPPED, preset or "lite"
        if path.is_dir() or _is_ours(path):
            self.config, self.class_names, self._tensors = read_weights(path)
            if self.config.backbone.kind == "resnet":
                self.config = self.config.with_(backbone={"trainable_layers": STAGES})
            if preset:
                given = PRESETS[preset]()
                if _family(given) != _family(self.config):
                    raise ValueError(f"--init {init}: its network is not of preset {preset}")
                self.config = replace(self.config, training=given.training)
            return
        if init not in NAMES and not path.is_file():
            raise FileNotFoundError(
                f"--init {init}: no such weights; give {', '.join(NAMES)}, {SHAPES}, a state dict "
                "(a .pth or .safetensors file) or the folder of a run"
            )
        preset = preset or "resnet50_fpn"
        if init in NAMES and preset not in ENUMS:
            known = " or ".join(ENUMS)
            raise ValueError(f"--init {init}: torchvision has none of preset {preset}, but {known}")
        self.config, self._enum = PRESETS[preset](), ENUMS.get(preset)
        weights = init if init in NAMES else path
        if preset == "resnet50_fpn" and init != IMAGENET and wants_no_eps(weights):
            self.config = self.config.with_(backbone={"norm_eps": 0.0})

    def load_into(self, model: MaskRCNN, class_names: list[str]) -> str:
        """Copy the weights into a network. The last layers stay new where the classes are others,
        and those of a run's RPN where the anchors are.

        Returns:
            A sentence: from where the weights are, and which parts are new.

        Raises:
            ValueError: the weights cannot be had, or are of another network.
        """
        source, state = self._read(model.config)
        if "conv1.weight" in state:  # a ResNet that classifies images
            state = {name: value for name, value in state.items() if not name.startswith("fc.")}
            body = model.backbone.body
            check_fits(f"--init {source}", body, state)
            body.load_state_dict(state, strict=False)
            return f"the backbone starts from {source}; all other parts are new"
        own, new = model.state_dict(), ()
        classes = len(state.get(f"{BOX}.cls_score.bias", ()))
        if classes != model.num_classes or self.class_names not in (None, class_names):
            mask = model.config.mask
            new = (BOX, MASK) if mask and not mask.class_agnostic else (BOX,)
        if not (had := any(name.startswith(KEYPOINT) for name in state)):
            new += (KEYPOINT,)
        if others := self.class_names and _anchors(self.config) != _anchors(model.config):
            new += ANCHORS
        if model.config.keypoint is None:
            state = {n: value for n, value in state.items() if not n.startswith(KEYPOINT)}
        state |= {name: value for name, value in own.items() if name.startswith(new)}
        check_fits(f"--init {source}", model, state)
        model.load_state_dict(state, strict=False)
        told = f"starts from {source}"
        if others:
            told += f"; {' and '.join(ANCHORS)} new, because the anchors are others"
        if BOX in new:
            counts = f"{classes} there, {model.num_classes} here"
            new_parts = " and ".join(part for part in new if part in (BOX, MASK))
            told += f"; {new_parts} new, because the classes are others ({counts})"
        if model.config.keypoint and KEYPOINT in new:
            told += "; the keypoint branch is new"
        if had and not model.config.keypoint:
            told += "; its keypoint branch is left out"
        return told

    def _read(self, config: Config) -> tuple[str, dict[str, Tensor]]:
        """The weights' name and their tensors."""
        if self._tensors is not None:
            return self.init, dict(self._tensors)
        if self.init not in NAMES:
            return self.init, read_state(Path(self.init))
        if self.init == IMAGENET:
            member = published(f"ResNet{config.backbone.depth}_Weights", "IMAGENET1K_V1")
        else:
            member = published(self._enum, self.init)
        return str(member), read_published(member)


def _is_ours(path: Path) -> bool:
    """Whether a file of weights says its config and class names, or is damaged."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return "class_names" in (file.metadata() or {})
    except SafetensorError:
        return True


def _anchors(config: Config) -> tuple:
    """What the RPN's last layers are made for."""
    return config.rpn.anchor_sizes, config.rpn.aspect_ratios


def _family(config: Config) -> tuple:
    """What tells the presets' networks apart."""
    return config.backbone.kind, config.rpn.convs, config.box.convs
