"""Trained weights in one safetensors file: numbers, config, class names, and a sum over them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..config import Config, plain
from ..files import write_whole
from .pretrained import kind_of_file

RATIOS = "aspect_ratios"
WEIGHTS = "last.safetensors"  # in the folder of a run


def save_weights(
    model: nn.Module,
    path: str | Path,
    class_names: list[str],
    state: dict[str, Tensor] | None = None,
) -> None:
    """Write weights, config and class names; the old file stays until the new one is complete.

    Args:
        model: a `MaskRCNN`; its config is stored, as `describe` finds it; its parameters too,
            unless `state` has other values for them.
        path: a `.safetensors` file.
        class_names: one name per class, index 0 is "background".

    Raises:
        ValueError: names or tensors are not those of the classes or of the config that would be
            stored with them.
        OSError: as of `files.write_whole`.
    """
    from safetensors.torch import save

    config = describe(model)
    check_names(class_names, config.num_classes)
    tensors = {name: value.contiguous() for name, value in (state or model.state_dict()).items()}
    if difference := misfit(model.state_dict(), tensors):
        raise ValueError(f"state is not the network's: {difference}; give the tensors of this one")
    metadata = {"config": json.dumps(config.to_dict()), "class_names": json.dumps(class_names)}
    metadata["sha256"] = _digest(tensors, metadata)
    write_whole(Path(path), save(tensors, metadata))


def describe(model: nn.Module) -> Config:
    """Return the config of a `MaskRCNN` as it is now: its predictors may have been replaced.

    Raises:
        ValueError: a part was replaced by something that a config cannot say; it is named.
    """
    heads, config = model.roi_heads, model.config
    cure = "save model.state_dict() with torch.save, and build the same network to load it"
    try:
        config = config.with_(num_classes=heads.box_predictor.cls_score.out_features)
        if config.mask:
            last, hidden = heads.mask_predictor.mask_fcn_logits, heads.mask_predictor.conv5_mask
            mask = {"hidden": hidden.out_channels, "class_agnostic": last.out_channels == 1}
            config = config.with_(mask=mask)
    except AttributeError as error:
        raise ValueError(
            f"a predictor is not one that a config describes ({error}); {cure}"
        ) from error
    sizes, ratios = (plain(getattr(model.rpn.anchor_generator, k)) for k in ("sizes", RATIOS))
    if len(set(ratios)) == 1:  # the same on all levels
        config = config.with_(rpn={"anchor_sizes": sizes, RATIOS: ratios[0]})
    with torch.device("meta"), _WithoutNumbers():
        built = type(model)(config)
    if difference := misfit(built.state_dict(), model.state_dict()):
        raise ValueError(f"the config does not describe this network: {difference}; {cure}")
    parts = dict(model.named_modules())
    for name, part in built.named_modules():
        asked, found = _settings(part), _settings(parts[name]) if name in parts else {}
        for key in asked.keys() & found.keys():
            if asked[key] != found[key]:
                raise ValueError(
                    f"the config does not describe this network: {name}.{key} is {found[key]} "
                    f"instead of {asked[key]}; {cure}"
                )
    return config


class _WithoutNumbers(TorchFunctionMode):
    """Leaves out initial weights: drawing them for tensors without memory loads 900 modules."""

    def __torch_function__(self, call: Any, _: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if call.__name__ in ("normal_", "uniform_"):
            return args[0] if args else kwargs["tensor"]
        return call(*args, **kwargs)


def _settings(part: nn.Module) -> dict[str, Any]:
    """The plain values that a module computes with."""
    kinds = int | float | str | list | tuple
    values = {k: plain(v) for k, v in vars(part).items() if isinstance(v, kinds)}
    return {k: v for k, v in values.items() if k != "training" and not k.startswith("_")}


def misfit(expected: dict[str, Tensor], found: dict[str, Tensor]) -> str:
    """Say in which tensor, by name or shape, a state dict first differs from what is expected; that
    a trainable norm counts its batches, and a frozen one does not, is no difference."""
    for name in (*expected, *found):
        if name.endswith("num_batches_tracked"):
            continue
        if name not in found:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} is of no part of it"
        if found[name].shape != expected[name].shape:
            return f"{name} is {list(found[name].shape)} instead of {list(expected[name].shape)}"
    return ""


def check_fits(source: str, module: nn.Module, state: dict[str, Tensor]) -> None:
    """Refuse a state dict of another network.

    Raises:
        ValueError: the first tensor that does not fit is named.
    """
    if difference := misfit(module.state_dict(), state):
        raise ValueError(f"{source}: not of this network: {difference}; choose its own config")


def check_names(class_names: list[str], classes: int) -> None:
    """Refuse names that are not one for each class.

    Raises:
        ValueError: there are more or fewer, or one is no text.
    """
    if len(class_names) != classes or not all(isinstance(name, str) for name in class_names):
        raise ValueError(
            f"class_names is {class_names!r} for {classes} classes; give one name for each, "
            "'background' first"
        )


def read_weights(path: str | Path) -> tuple[Config, list[str], dict[str, Tensor]]:
    """Read the config, the class names and the tensors of a weights file.

    Args:
        path: of the file, or of the folder of a run.

    Raises:
        FileNotFoundError, ValueError: see `load_weights`.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file; train first or check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        if kind := kind_of_file(path):
            raise ValueError(
                f"{path}: {kind}; weights are the .safetensors file of a run (a state dict of "
                "torch.save can only start a training: train --init)"
            ) from error
        raise ValueError(
            f"{path}: damaged or not a safetensors file ({error}); copy or train it again"
        ) from error
    if missing := {"config", "class_names", "sha256"} - set(metadata):
        raise ValueError(
            f"{path}: lacks {', '.join(sorted(missing))}, which mrcnn_lite writes: damaged, or "
            "from another program; copy or train it again"
        )
    if metadata["sha256"] != _digest(tensors, metadata):
        raise ValueError(f"{path}: damaged, its SHA-256 sum differs; copy or train it again")
    class_names = json.loads(metadata["class_names"])
    try:
        config = Config.from_dict(json.loads(metadata["config"]))
        check_names(class_names, config.num_classes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return config, class_names, tensors


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 over names, shapes, types and values: safetensors itself checks no value."""
    total = hashlib.sha256((metadata["config"] + metadata["class_names"]).encode("utf-8"))
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        total.update(value.flatten().view(torch.uint8).numpy())
    return total.hexdigest()
