"""Trained weights in one safetensors file: numbers, config, class names, and a sum over them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from ..config import Config
from ..files import write_whole
from .mask_rcnn import MaskRCNN


def save_weights(
    model: MaskRCNN,
    path: str | Path,
    class_names: list[str],
    state: dict[str, Tensor] | None = None,
) -> None:
    """Write weights, config and class names; the old file stays until the new one is complete.

    Args:
        model: its config is stored; its parameters too, unless `state` has other values for them.
        path: a `.safetensors` file.
        class_names: one name per class, index 0 is "background".
    """
    from safetensors.torch import save

    tensors = {name: value.contiguous() for name, value in (state or model.state_dict()).items()}
    metadata = {
        "config": json.dumps(model.config.to_dict()),
        "class_names": json.dumps(class_names),
    }
    metadata["sha256"] = _digest(tensors, metadata)
    write_whole(Path(path), save(tensors, metadata))


def load_weights(path: str | Path) -> tuple[MaskRCNN, list[str]]:
    """Build the network that a weights file describes.

    Returns:
        The model in evaluation mode, and its class names (index 0 is "background").

    Raises:
        FileNotFoundError, ValueError: the file is missing, damaged (every changed bit is seen) or
            from another program.
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
    if missing := {"config", "class_names", "sha256"} - set(metadata):
        raise ValueError(
            f"{path}: lacks {', '.join(sorted(missing))}, which mrcnn_lite writes: damaged, or "
            "from another program; copy or train it again"
        )
    if metadata["sha256"] != _digest(tensors, metadata):
        raise ValueError(f"{path}: damaged, its SHA-256 sum differs; copy or train it again")
    model = MaskRCNN(Config.from_dict(json.loads(metadata["config"])))
    model.load_state_dict(tensors)
    return model.eval(), json.loads(metadata["class_names"])


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 over names, shapes, types and values: safetensors itself checks no value."""
    total = hashlib.sha256((metadata["config"] + metadata["class_names"]).encode("utf-8"))
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        total.update(value.flatten().view(torch.uint8).numpy())
    return total.hexdigest()
