"""The training loop: batches and steps; around them clock, log and checkpoints."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from threading import RLock

import torch

from ..datasets.batches import collate, without_crowds
from ..files import write_whole
from ..models import MaskRCNN
from ..models.matching import random_priorities
from .checkpoint import CONFIG, LOG
from .curve import draw_curve
from .distributed import from_first, gather, rank, world_size
from .run import Batch, TrainingRun, to_device

LOG_EVERY = 10  # steps
SAVE_EVERY = 60.0  # seconds
BAR = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"


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

    In `folder` are then config.json, the log (metrics.jsonl) and its picture (loss.png), the state
    and the one before it (last.checkpoint, previous.checkpoint), and the averaged weights
    (last.safetensors). When a loss is not finite, the last good state is saved.

    Args:
        run: from `TrainingRun`; may have been resumed.
        batches: gives the batches from a step on, so that a resumed run sees what it would have.
        folder: created if missing; another run's is refused, see `TrainingRun.claim`.
        steps, seconds: length of the whole run, resumed parts counted in.
        on_step: called in the first process after each step with (steps, progress, report).
        save_every: steps between two checkpoints; by default one is written every minute.
        validate: called in every process with the number of steps; what it returns in the first
            is logged with "validation_" before each name.

    Raises:
        ValueError: neither steps nor seconds given, or nothing is left to do.
        FileExistsError: the folder has files of another run.
        FloatingPointError: a loss or gradient is not finite.
    """
    _check_length(steps, seconds, save_every)
    folder, first = run.claim(folder), rank() == 0
    start, saved = time.perf_counter() - run.seconds, run.seconds
    progress = _progress(run, start, steps, seconds)
    if progress >= 1:
        _refuse_nothing(run, folder)
    if first:
        _drop_log_after(folder / LOG, run.steps)
        write_whole(folder / CONFIG, json.dumps(run.config.to_dict(), indent=1).encode())
    source = batches(run.steps)
    try:
        while progress < 1:
            report = _step(run, next(source), progress, folder)
            validation = validate and validate(run.steps)
            if first:
                if on_step:
                    on_step(run.steps, progress, report)
                _log(folder / LOG, run, report, validation)
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
        draw_curve(folder)


def _check_length(steps: int | None, seconds: float | None, save_every: int | None) -> None:
    if steps is None and seconds is None:
        raise ValueError("say how long to train: steps or seconds")
    for name, value, kind in (
        ("steps", steps, Integral),
        ("seconds", seconds, Real),
        ("save_every", save_every, Integral),
    ):
        good = isinstance(value, kind) and not isinstance(value, bool) and 0 < value < math.inf
        if value is not None and not good:
            asked = "a whole number from 1" if kind is Integral else "a number above 0"
            raise ValueError(f"{name} is {value!r}; give {asked}")


def _refuse_nothing(run: TrainingRun, folder: Path) -> None:
    """Say that a resumed run is long enough; its last save may have been cut off half-way."""
    if rank() == 0 and run.steps:
        run.save(folder)
    from_first(0.0)  # none leaves before it is saved
    done = f"{run.steps} steps in {run.seconds:.0f} s are done, and the length counts them"
    raise ValueError(f"nothing is left to train: {done}; give more steps or seconds")


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
        told = f"{folder} holds the state before it: start there with --init {folder} --out ANOTHER"
        raise FloatingPointError(f"{error}; {told}") from error


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


@contextmanager
def progress_bar() -> Iterator[Callable[[int, float, dict[str, float]], None]]:
    """Show a bar on stderr in the first process; gives the `on_step` of `train` that moves it."""
    from tqdm import tqdm

    tqdm.set_lock(RLock())  # the default, of processes, would outlive the one that `leave` ends
    with tqdm(total=100, disable=rank() != 0, unit="%", bar_format=BAR) as bar:

        def on_step(step: int, progress: float, report: dict[str, float]) -> None:
            bar.update(min(100.0, 100 * progress) - bar.n)
            bar.set_postfix_str(f"step {step}, loss {report['loss']:.3f}", refresh=False)

        yield on_step


@torch.no_grad()
def validation_losses(
    model: MaskRCNN, dataset: Sequence, batch_size: int = 4, limit: int | None = None
) -> dict[str, float]:
    """Average the five losses over held-out images, in evaluation mode: when they rise, the
    network is learning by heart. Their sum is "loss". Processes share the batches.

    The samplers draw the same numbers in every call, so that two calls differ by the weights alone.

    Args:
        model: its mode and its sampling priorities are restored afterwards.
        dataset: sequence of (image, target).
        batch_size: images at a time.
        limit: use only the first ones; None for all.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count < 1 or batch_size < 1:
        raise ValueError(
            f"nothing to validate: {len(dataset)} images, limit {limit}, batch_size {batch_size}; "
            "give at least one image, and at least one at a time"
        )
    training, priorities = model.training, model.sampler.priorities
    sums: dict[str, float] = {}
    model.eval()
    try:
        # In a round each process takes a batch, and none waits for longer than that.
        for first in range(0, count, batch_size * world_size()):
            start = first + rank() * batch_size
            rows = range(start, min(start + batch_size, count))
            for losses in gather(_summed_losses(model, dataset, rows)):
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + value
    finally:
        model.train(training)
        model.sampler.priorities = priorities
    means = {name: value / count for name, value in sums.items()}
    return means | {"loss": sum(means.values())}


def _summed_losses(model: MaskRCNN, dataset: Sequence, rows: range) -> dict[str, float]:
    """The losses of some images, times their number; nothing where there is none."""
    if not rows:
        return {}
    device = next(model.parameters()).device
    batch = collate([without_crowds(*dataset[row]) for row in rows])
    model.sampler.priorities = random_priorities(torch.Generator(device).manual_seed(rows.start))
    losses = model.losses(*to_device(batch, device))
    return {name: len(rows) * float(value) for name, value in losses.items()}
