"""State dicts of networks that were trained before: torchvision's published ones, and files."""

import re
from argparse import Namespace
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# torchvision's enums of weights
COCO, COCO_V2 = "MaskRCNN_ResNet50_FPN_Weights", "MaskRCNN_ResNet50_FPN_V2_Weights"
COCO_KEYPOINTS = "KeypointRCNN_ResNet50_FPN_Weights"
IMAGENET = "ResNet50_Weights"
FILES = (".pth", ".pt", ".safetensors")
WRAPPERS = ("model", "state_dict", "model_state_dict")  # under which training scripts keep it
# torchvision's published COCO weights have these names; its own modules read them as the new ones.
OLD_NAMES = (
    (re.compile(r"((?:inner|layer)_blocks\.\d+)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"(rpn\.head\.conv)\.(weight|bias)$"), r"\1.0.0.\2"),
    (re.compile(r"mask_fcn(\d)\.(weight|bias)$"), lambda m: f"{int(m[1]) - 1}.0.{m[2]}"),
)
KINDS = (  # how a file begins, and what it then is
    (b"mrcnn_lite checkpoint", "a run's checkpoint; its weights are last.safetensors beside it"),
    (b"PK\x03\x04", "a file of torch.save"),
    (b"\x80", "a file of torch.save"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file with git lfs pull"),
    (b"<", "a page of HTML or XML, not a download; fetch the file again"),
)


def rename_old_keys(module: nn.Module, state: dict[str, Any], *_unused: Any) -> None:
    """Give an old state dict today's names, in place: a hook of `MaskRCNN` and `MaskHead`."""
    for old in list(state):
        for pattern, new in OLD_NAMES:
            if (name := pattern.sub(new, old)) != old:
                state[name] = state.pop(old)


def kind_of_file(path: Path) -> str:
    """What a file is by its first bytes, where that is known; else nothing."""
    with open(path, "rb") as file:
        head = file.read(64)
    if not head:
        return "an empty file"
    return next((kind for start, kind in KINDS if head.startswith(start)), "")


def is_path(weights: Any) -> bool:
    """Whether `weights` is the path of a file, and no member of torchvision's enums."""
    return isinstance(weights, Path) or (isinstance(weights, str) and weights.endswith(FILES))


def published(enum: str, weights: Any) -> Any:
    """Return the member of torchvision's enum, such as "ResNet50_Weights", that `weights` names.

    Raises:
        ValueError: there is none; the message lists them.
    """
    from torchvision import models

    kind = getattr(models, enum, None) or getattr(models.detection, enum)
    try:
        return kind.verify(kind[weights.split(".")[-1]] if isinstance(weights, str) else weights)
    except (KeyError, TypeError) as error:
        known = ", ".join(kind.__members__)
        raise ValueError(
            f"weights is {weights!r}; give a file ({', '.join(FILES)}) or one of {known}, DEFAULT"
        ) from error


def wants_no_eps(weights: Any, enum: str = COCO) -> bool:
    """Whether these are torchvision's COCO_V1 weights, by name or by the name of their file: they
    were trained with frozen norms whose eps is 0."""
    member = published(enum, "COCO_V1")
    if is_path(weights):
        return Path(weights).name == Path(member.url).name
    return published(enum, weights) is member


def read_published(member: Any, progress: bool = True) -> dict[str, Tensor]:
    """Read torchvision's weights from its cache, or download them into it.

    Raises:
        ValueError: they are not there and cannot be fetched, or the file is damaged; the message
            names the file and its place.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", member.url.rpartition("/")[2])
    if not path.is_file():
        try:
            torch.hub.load_state_dict_from_url(member.url, progress=progress, check_hash=True)
        except (OSError, HTTPException, RuntimeError) as error:  # no network, no space, cut off
            raise ValueError(
                f"{member}: {path} does not exist and cannot be fetched ({error}); download "
                f"{member.url} where there is a network, and put it there"
            ) from error
    return read_state(path)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict, `.safetensors` or of `torch.save`; only tensors and plain values, so that
    no file can run code.

    Raises:
        ValueError: there is no file, or it holds something else.
    """
    if not path.is_file():
        raise ValueError(f"weights: {path} does not exist; check the path")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            with torch.serialization.safe_globals([Namespace]):  # options that scripts keep with it
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        kind = kind_of_file(path) or "damaged or of another program"
        raise ValueError(
            f"weights: {path} is no state dict ({kind}; {type(error).__name__}); give what "
            "torch.save(model.state_dict(), path) wrote, or fetch the file again"
        ) from error
    for name in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(
            f"weights: {path} holds a {type(state).__name__}, no state dict; give what "
            "torch.save(model.state_dict(), path) wrote"
        )
    for name, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"weights: {path}: {name} is not finite; these weights have exploded")
    state = {name.removeprefix("module."): value for name, value in state.items()}  # of DDP
    rename_old_keys(None, state)
    return state
