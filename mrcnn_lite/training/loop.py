"""The training loop: batches and steps; around them clock, log and checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from ..datasets.batches import collate, without_crowds
from ..files import write_whole
from ..models import MaskRCNN
from ..models.matching import random_priorities
from .distributed import from_first, rank
from .run import Batch, TrainingRun, to_device

LOG_EVERY = 10  # steps
SAVE_EVERY = 60.0  # seconds
LOG = "metrics.jsonl"


def train(
    run: TrainingRun,
    batches: Callable[[int], Iterator[Batch]],
    folder: str | Path,
    steps: int | None = None,
    seconds: float | None = None,
    on_step: Callable[[int, float, dict[str, float]], None] | None = None,
    save_every: int | None = None,
    validate: Callable[[int], dict[str, float] | None] | None = None,
) -> None:
    """Train until `steps` or `seconds` are reached, whichever comes first.

    Progress is written to `metrics.jsonl`, the state to `last.checkpoint` and the one before it to
    `previous.checkpoint`, the averaged weights to `last.safetensors`, all in `folder`. When a loss
    is not finite the last good state is saved before the run ends.

    Args:
        run: from `TrainingRun`; may have been resumed.
        batches: gives the batches from a step on, so that a resumed run sees what it would have.
        folder: for the files above; created if missing.
        steps, seconds: length of the whole run, resumed parts counted in.
        on_step: called in the first process after each step with (steps, progress, report).
        save_every: steps between two checkpoints; by default one is written every minute.
        validate: called in the first process with the number of steps; what it returns is logged
            with "validation_" before each name.

    Raises:
        ValueError: neither steps nor seconds given.
        FloatingPointError: a loss or gradient is not finite.
    """
    if not steps and not seconds:
        raise ValueError("say how long to train: steps or seconds")
    folder, first = Path(folder), rank() == 0
    if first:
        folder.mkdir(parents=True, exist_ok=True)
        _drop_log_after(folder / LOG, run.steps)
    start, saved = time.perf_counter() - run.seconds, run.seconds
    progress = _progress(run, start, steps, seconds)
    source = batches(run.steps)
    try:
        while progress < 1:
            report = _step(run, next(source), progress, folder)
            if first and on_step:
                on_step(run.steps, progress, report)
            if first:
                _log(folder / LOG, run, report, validate(run.steps) if validate else None)
            due = run.steps % save_every == 0 if save_every else run.seconds - saved > SAVE_EVERY
            if first and due:
                run.save(folder)
                saved = run.seconds
            progress = _progress(run, start, steps, seconds)
    finally:
        if hasattr(source, "close"):  # a source with a thread ends it
            source.close()
    if first:
        run.save(folder)


def _progress(run: TrainingRun, start: float, steps: int | None, seconds: float | None) -> float:
    """Read the clock, and say which share of the run is done."""
    run.seconds = from_first(time.perf_counter() - start)
    return max(run.steps / (steps or math.inf), run.seconds / (seconds or math.inf))


def _step(run: TrainingRun, batch: Batch, progress: float, folder: Path) -> dict[str, float]:
    """Take a step; where a loss is not finite, keep the state before it and say where."""
    try:
        return run.step(batch, progress)
    except FloatingPointError as error:
        if rank() == 0:
            run.save(folder)
        raise FloatingPointError(f"{error}; {folder} holds the state before it") from error


def _log(
    path: Path, run: TrainingRun, report: dict[str, float], validation: dict[str, float] | None
) -> None:
    """Append a line for the step, now and then, and one for its validation."""
    lines = [report] if run.steps % LOG_EVERY == 0 or run.steps == 1 else []
    if validation:
        lines.append({f"validation_{name}": value for name, value in validation.items()})
    if not lines:
        return
    with open(path, "a", encoding="utf-8") as log:
        for values in lines:
            line = {"step": run.steps, "seconds": round(run.seconds, 3)}
            line |= {name: round(value, 6) for name, value in values.items()}
            log.write(json.dumps(line) + "\n")


def _drop_log_after(path: Path, steps: int) -> None:
    """Keep the log's lines up to `steps`; later ones, and half a line, will be written again."""
    if not path.exists():
        return
    lines = [line for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
    kept = [line for line in lines if json.loads(line)["step"] <= steps]
    write_whole(path, "".join(line + "\n" for line in kept).encode())


@torch.no_grad()
def validation_losses(
    model: MaskRCNN, dataset: Sequence, batch_size: int = 4, limit: int | None = None
) -> dict[str, float]:
    """Average the five losses over held-out images, in evaluation mode: when they rise, the
    network is learning by heart. Their sum is "loss".

    The samplers draw the same numbers in every call, so that two calls differ by the weights alone.

    Args:
        model: its mode and its sampling priorities are restored afterwards.
        dataset: sequence of (image, target).
        batch_size: images at a time.
        limit: use only the first ones; None for all.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count == 0:
        raise ValueError("dataset has no image; validation needs at least one")
    training, priorities = model.training, model.sampler.priorities
    device = next(model.parameters()).device
    sums: dict[str, float] = {}
    model.eval()
    try:
        for start in range(0, count, batch_size):
            rows = range(start, min(start + batch_size, count))
            batch = collate([without_crowds(*dataset[row]) for row in rows])
            generator = torch.Generator(device).manual_seed(start)
            model.sampler.priorities = random_priorities(generator)
            for name, value in model.losses(*to_device(batch, device)).items():
                sums[name] = sums.get(name, 0.0) + len(rows) * float(value)
    finally:
        model.train(training)
        model.sampler.priorities = priorities
    means = {name: value / count for name, value in sums.items()}
    return means | {"loss": sum(means.values())}
