"""Trained weights in one safetensors file: numbers, config and class names."""

from __future__ import annotations

import json
import os
from pathlib import Path

from torch import Tensor

from ..config import Config
from .mask_rcnn import MaskRCNN


def save_weights(
    model: MaskRCNN,
    path: str | Path,
    class_names: list[str],
    state: dict[str, Tensor] | None = None,
) -> None:
    """Write weights, config and class names; the old file stays until the new one is complete.

    Args:
        model: its config is stored; its parameters too, unless `state` is given.
        path: a `.safetensors` file.
        class_names: one name per class, index 0 is "background".
        state: other values for the parameters, for example their running average.
    """
    from safetensors.torch import save_file

    path = Path(path)
    tensors = {name: value.contiguous() for name, value in (state or model.state_dict()).items()}
    metadata = {
        "config": json.dumps(model.config.to_dict()),
        "class_names": json.dumps(class_names),
    }
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata)
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def load_weights(path: str | Path) -> tuple[MaskRCNN, list[str]]:
    """Build the network that a weights file describes.

    Returns:
        The model in evaluation mode, and its class names (index 0 is "background").

    Raises:
        FileNotFoundError, ValueError: the file is missing, damaged or from another program.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights file; train first or check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(
            f"{path}: damaged or not a safetensors file ({error}); copy or train it again"
        ) from error
    if "config" not in metadata or "class_names" not in metadata:
        raise ValueError(
            f"{path}: lacks the config or class names that mrcnn_lite writes; "
            "load its tensors yourself"
        )
    model = MaskRCNN(Config.from_dict(json.loads(metadata["config"])))
    model.load_state_dict(tensors)
    return model.eval(), json.loads(metadata["class_names"])
