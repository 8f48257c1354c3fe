"""Checkpoints: all that a run needs to go on, and a crash never costs more than one of them.

A file is a line of magic, the SHA-256 of the rest, and what `torch.save` wrote. It is written whole
(see `files`), and the file that was there becomes `previous.checkpoint`: at any moment, a power cut
included, one whole checkpoint has its name. The sum is compared before anything is read:
`torch.load` and safetensors accept most files in which one bit has changed.
"""

import hashlib
import io
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..config import Config
from ..files import write_whole
from ..models import WEIGHTS

LAST, PREVIOUS = "last.checkpoint", "previous.checkpoint"
LOG, CONFIG, CURVE = "metrics.jsonl", "config.json", "loss.png"
RUN_FILES = (LAST, PREVIOUS, WEIGHTS, LOG, CONFIG, CURVE)
MAGIC = b"mrcnn_lite checkpoint 1\n"
DIGEST_LENGTH = hashlib.sha256().digest_size


def refuse_other_run(folder: Path) -> str:
    """Return why a run may not be written into a folder: a file of a run is there, of whatever
    origin; else nothing."""
    if folder.exists() and not folder.is_dir():
        return f"{folder} is a file; name a folder"
    found = next(filter(os.path.lexists, map(folder.joinpath, RUN_FILES)), None)
    if found is None:
        return ""
    return (
        f"{found} exists, and this run would replace it; go on with --resume (TrainingRun.load), "
        "choose another folder, or say --overwrite (TrainingRun.claim)"
    )


def save_checkpoint(folder: str | Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values into a run's folder as `last.checkpoint`; the one before it is
    kept as `previous.checkpoint`. Errors as of `files.write_whole`."""
    folder = Path(folder)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).digest()
    write_whole(folder / LAST, MAGIC, digest, payload, previous=folder / PREVIOUS)


def load_checkpoint(
    folder: str | Path, tell: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Read the last whole checkpoint; only tensors and plain values, so that no file can run code.

    Args:
        folder: of the run.
        tell: called with a sentence when the last one is damaged; default: print it on stderr.

    Raises:
        FileNotFoundError: there is none; the message says what to do.
        ValueError: all are damaged.
    """
    folder = Path(folder)
    paths = [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]
    if not paths:
        raise FileNotFoundError(
            f"{folder / LAST}: no checkpoint to resume from; run the same command without --resume"
            ", or with --overwrite instead where files of a run are left"
        )
    faults: list[str] = []
    for path in paths:
        try:
            state = _read(path)
        except ValueError as error:
            faults.append(str(error))
            continue
        if faults:
            step = state.get("steps", "unknown")
            tell = tell or partial(print, file=sys.stderr, flush=True)
            tell(f"{faults[0]}; going on from {path.name}, step {step}")
        return state
    raise ValueError("; ".join(faults) + "; no whole checkpoint is left: train again or use a copy")


def check_settings(
    folder: str | Path,
    state: dict[str, Any],
    config: Config,
    class_names: list[str],
    images: str = "",
) -> None:
    """Refuse, as a ValueError, a checkpoint of another network, training or data set than these;
    `images` is `TrainingRun.images`."""
    there, here = _flat(Config.from_dict(state["config"])), _flat(config)
    there["classes"], here["classes"] = state["class_names"], class_names
    there["images"] = state.get("images") or images
    here["images"] = images or there["images"]
    names = [n for n in here | there if there.get(n) != here.get(n)]
    if other := [f"{n} {there.get(n)} instead of {here.get(n)}" for n in names]:
        raise ValueError(
            f"{folder}: the checkpoint has other settings: {', '.join(other)}; resume with the "
            "same ones"
        )


def _flat(config: Config) -> dict[str, Any]:
    """All settings by name, such as "mask.rois"."""
    return {
        f"{section}.{name}" if name else section: value
        for section, values in config.to_dict().items()
        for name, value in (values if isinstance(values, dict) else {"": values}).items()
    }


def _read(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    start = len(MAGIC) + DIGEST_LENGTH
    if not data.startswith(MAGIC) or len(data) < start:
        raise ValueError(f"{path}: damaged, or not a checkpoint of this version")
    payload = memoryview(data)[start:]
    if hashlib.sha256(payload).digest() != data[len(MAGIC) : start]:
        raise ValueError(f"{path}: damaged, its SHA-256 sum differs")
    return torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
