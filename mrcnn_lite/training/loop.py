"""The training loop: batch, losses, gradients, step; around it clock, log and checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import Config
from ..models import MaskRCNN, save_weights
from ..models.matching import random_keys
from .checkpoint import load_checkpoint, save_checkpoint
from .distributed import average_gradients, from_first, mean_over_processes, rank, world_size
from .schedule import learning_rate, make_optimizer

LOG_EVERY = 10  # steps
SAVE_EVERY = 60.0  # seconds
# A prime far above any number of processes: every (step, process) gets a seed of its own.
STEP_SEEDS = 1_000_003

Batch = tuple[list[Tensor], list[dict[str, Any]]]


class TrainingRun:
    """A model on its way: weights, their running average, optimiser and position.

    Every random number of a step comes from (seed, step, process), so a run that is stopped and
    resumed continues as if nothing had happened.

    Args:
        config: the network and its training.
        class_names: one per class, index 0 is "background".
        seed: of the whole run.
        device: where the network lives; batches may come from the CPU.
    """

    def __init__(
        self,
        config: Config,
        class_names: list[str],
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        torch.manual_seed(seed)  # the initial weights, equal in all processes
        self.config, self.class_names, self.seed = config, class_names, seed
        self.device = torch.device(device)
        self.model = MaskRCNN(config).to(self.device, memory_format=torch.channels_last).train()
        self.optimizer = make_optimizer(self.model, config.training)
        self.average = {
            name: value.detach().clone() for name, value in self.model.state_dict().items()
        }
        self.generator = torch.Generator(self.device)
        self.model.keys = random_keys(self.generator)
        self.steps, self.seconds = 0, 0.0

    def step(self, batch: Batch, progress: float) -> dict[str, float]:
        """Take one step of gradient descent.

        Args:
            batch: images and targets of this process.
            progress: share of the run that is done, 0..1.

        Returns:
            The five losses and their sum, averaged over the processes.

        Raises:
            FloatingPointError: a loss or gradient is not finite; the weights stay as they were.
        """
        training = self.config.training
        self.generator.manual_seed((self.seed * STEP_SEEDS + self.steps) * STEP_SEEDS + rank())
        rate = learning_rate(self.steps, progress, training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images = [image.to(self.device) for image in batch[0]]
        targets = [
            {key: v.to(self.device) if isinstance(v, Tensor) else v for key, v in target.items()}
            for target in batch[1]
        ]
        losses = self.model(images, targets)
        total = sum(losses.values())
        values = mean_over_processes(torch.stack([*losses.values(), total]).detach()).tolist()
        report = dict(zip([*losses, "loss"], values, strict=True))
        self._stop_unless_finite([name for name in report if not math.isfinite(report[name])], rate)
        self.optimizer.zero_grad()
        total.backward()
        average_gradients(self.model)
        parameters = self.model.parameters()
        norm = torch.nn.utils.clip_grad_norm_(parameters, training.gradient_clip)
        self._stop_unless_finite([] if norm.isfinite() else ["gradients"], rate)
        self.optimizer.step()
        self.steps += 1
        self._update_average()
        return report | {"learning_rate": rate}

    def _stop_unless_finite(self, bad: list[str], rate: float) -> None:
        """Stop before NaN reaches the weights: from then on every number would be NaN."""
        if bad:
            raise FloatingPointError(
                f"step {self.steps}: {', '.join(bad)} not finite at learning rate {rate:.2g}; "
                "lower the learning rate or lengthen the warm-up"
            )

    @torch.no_grad()
    def _update_average(self) -> None:
        """Follow the weights slowly; the average is less noisy than any single step's."""
        # Early on the first, random weights must be forgotten fast, hence the ramp.
        decay = min(self.config.training.ema_decay, (1 + self.steps) / (10 + self.steps))
        current = self.model.state_dict()
        pairs = [
            (mean, current[name]) for name, mean in self.average.items() if mean.is_floating_point()
        ]
        torch._foreach_lerp_([mean for mean, _ in pairs], [value for _, value in pairs], 1 - decay)

    def save(self, folder: Path) -> None:
        """Write `last.safetensors` (averaged weights, for use) and `last.checkpoint` (to go on)."""
        save_weights(self.model, folder / "last.safetensors", self.class_names, self.average)
        save_checkpoint(
            folder / "last.checkpoint",
            {
                "config": self.config.to_dict(),
                "class_names": self.class_names,
                "seed": self.seed,
                "steps": self.steps,
                "seconds": self.seconds,
                "model": self.model.state_dict(),
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
            },
        )

    def load(self, folder: Path) -> None:
        """Go on where `save` left off.

        Raises:
            FileNotFoundError, ValueError: no checkpoint, a damaged one, or one of another network
            or data set.
        """
        state = load_checkpoint(folder / "last.checkpoint")
        if (
            Config.from_dict(state["config"]) != self.config
            or state["class_names"] != self.class_names
        ):
            raise ValueError(
                f"{folder / 'last.checkpoint'}: other settings or classes; "
                "resume with the same ones"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self.steps, self.seconds, self.seed = state["steps"], state["seconds"], state["seed"]


def train(
    run: TrainingRun,
    batches: Callable[[int], Iterator[Batch]],
    folder: str | Path,
    steps: int | None = None,
    seconds: float | None = None,
    on_step: Callable[[int, float, dict[str, float]], None] | None = None,
) -> None:
    """Train until `steps` or `seconds` are reached, whichever is first; log to `metrics.jsonl`.

    Args:
        run: a new run, or one after `load`.
        batches: given the number of steps done, an endless iterator over this process's batches.
        folder: receives weights, checkpoint and log.
        steps, seconds: length of the whole run, resumed parts counted in.
        on_step: called in the first process after each step with (steps, progress, report).

    Raises:
        ValueError: neither steps nor seconds given.
    """
    if not steps and not seconds:
        raise ValueError("say how long to train: steps or seconds")
    folder, first = Path(folder), rank() == 0
    folder.mkdir(parents=True, exist_ok=True)
    _drop_log_after(folder / "metrics.jsonl", run.steps if first else None)
    source, start, saved = batches(run.steps), time.perf_counter() - run.seconds, run.seconds
    while True:
        run.seconds = from_first(time.perf_counter() - start)
        progress = max(
            run.steps / steps if steps else 0.0, run.seconds / seconds if seconds else 0.0
        )
        if progress >= 1:
            break
        report = run.step(next(source), progress)
        if not first:
            continue
        if on_step:
            on_step(run.steps, progress, report)
        if run.steps % LOG_EVERY == 0 or run.steps == 1:
            line = {
                "step": run.steps,
                "seconds": round(run.seconds, 3),
                **{k: round(v, 6) for k, v in report.items()},
            }
            with open(folder / "metrics.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        if run.seconds - saved > SAVE_EVERY:
            run.save(folder)
            saved = run.seconds
    if first:
        run.save(folder)


def _drop_log_after(path: Path, steps: int | None) -> None:
    """Keep the log's lines up to `steps`; the later ones will be written again."""
    if steps is None or not path.exists():
        return
    lines = [line for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
    kept = [line for line in lines if json.loads(line)["step"] <= steps]
    path.write_text("".join(line + "\n" for line in kept), "utf-8")


def images_per_process(config: Config) -> int:
    """Return how many of a step's images each process takes.

    Raises:
        ValueError: the batch cannot be shared evenly.
    """
    if config.training.batch_size % world_size():
        raise ValueError(
            f"batch_size {config.training.batch_size} does not divide by {world_size()} processes"
        )
    return config.training.batch_size // world_size()
