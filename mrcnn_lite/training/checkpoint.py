"""Checkpoints: all that a run needs to go on; a crash never costs the previous one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write `state` beside `path`, make sure it is on the disk, then take its place in one step."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are accepted, so that a file cannot run
    code.

    Raises:
        FileNotFoundError: there is none; the message says what to do.
        ValueError: the file is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no checkpoint to resume from; run the same command without --resume"
        )
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        raise ValueError(
            f"{path}: damaged checkpoint ({type(error).__name__}); train again or use a copy"
        ) from error
