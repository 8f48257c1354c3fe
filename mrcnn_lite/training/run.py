"""A run: a network in training with its average, its optimiser and its position; one step of it."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn, optim
from torch.nn.parallel import DistributedDataParallel

from ..config import Config, TrainingConfig
from ..models import WEIGHTS, MaskRCNN, save_weights
from ..models.transform import check_targets
from .checkpoint import (
    RUN_FILES,
    check_settings,
    load_checkpoint,
    refuse_other_run,
    save_checkpoint,
)
from .distributed import LossesModule, gather, image_priorities, rank, world_size
from .initial import Start
from .optimizer import Muon, follow
from .sanity import check_first_losses

LARGEST_SEED = 2**32 - 1  # of numpy's generators
LAST_LAYERS = ("cls_logits", "cls_score", "bbox_pred", "mask_fcn_logits", "kps_score_lowres")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
Batch = tuple[list[Tensor], list[dict[str, Any]]]  # images and their targets


class TrainingRun:
    """A model in training: weights, their running average, optimiser and position.

    Every random number of a step comes from (seed, step, index of the image in the batch), so a run
    that is stopped and resumed continues as if nothing had happened, and several processes draw
    what one would.

    Args:
        config: the network and its training.
        class_names: one per class, index 0 is "background".
        seed: of the whole run, 0 to `LARGEST_SEED`.
        device: where the network lives; batches may come from the CPU.
    """

    def __init__(
        self,
        config: Config,
        class_names: list[str],
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        if len(class_names) != config.num_classes:
            asked = f"give {config.num_classes} of them, as config.num_classes says"
            raise ValueError(f"class_names is {class_names}; {asked}")
        if not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
            raise ValueError(f"seed is {seed!r}; give a whole number from 0 to {LARGEST_SEED}")
        torch.manual_seed(seed)  # the initial weights, equal in all processes
        self.config, self.class_names, self.seed = config, class_names, seed
        self.device = torch.device(device)
        layout = torch.channels_last if config.image.channels_last else torch.contiguous_format
        self.model = MaskRCNN(config).to(self.device, memory_format=layout).train()
        self.optimizer = make_optimizer(self.model, config.training)
        self.average = {n: value.clone() for n, value in self.model.state_dict().items()}
        self.steps, self.seconds = 0, 0.0
        self.fresh = True  # as long as no weights but random ones are in the heads
        self.images = ""  # digest of those that are trained on, for a run that goes on; "": any
        self.folder: Path | None = None  # whose files are this run's

    def start_from(self, start: Start) -> str:
        """Take weights that were trained before; returns and raises as `Start.load_into`."""
        told = start.load_into(self.model, self.class_names)
        self.average = {n: value.clone() for n, value in self.model.state_dict().items()}
        self.fresh = told.startswith("the backbone")
        return told

    def describe(self) -> str:
        """Return in a few lines what will be trained, and how."""
        config, training = self.config, self.config.training
        weights = [p for p in self.model.parameters() if p.requires_grad], self.model.parameters()
        trained, count = (sum(p.numel() for p in part) / 1e6 for part in weights)
        return (
            f"{config.num_classes} classes, images at {config.image.min_size} pixels; "
            f"{trained:.2f} of {count:.2f} million weights train\n"
            f"batches of {training.batch_size} images, {training.optimizer} at learning rate "
            f"{training.learning_rate:g}: rising for {training.warmup_steps} steps, falling to 0 "
            f"over the last {training.decay_fraction:.0%} of the run; {training.precision}"
        )

    def step(self, batch: Batch, progress: float) -> dict[str, float]:
        """Take one step of gradient descent.

        Args:
            batch: images and targets of this process.
            progress: share of the run that is done, 0..1.

        Returns:
            The losses, their sum and the learning rate, averaged over the processes.

        Raises:
            ValueError: targets that would train nonsense.
            FloatingPointError: a loss or gradient is not finite; the weights stay as they were.
        """
        rate = learning_rate(self.steps, progress, self.config.training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Here, where a batch from the host can be checked without waiting for a GPU.
        check_targets(*batch, self.config.num_classes, self.config)
        norms = (m for m in self.model.modules() if isinstance(m, nn.BatchNorm2d))
        self._before = [(b, b.clone()) for norm in norms for b in norm.buffers()]
        losses = self.gradients(batch, rate)
        values = torch.stack(list(losses.values())).tolist()  # all that is asked of a GPU, at once
        report = dict(zip(losses, values, strict=True))
        norm = report.pop("gradients")
        bad = [name for name in report if not math.isfinite(report[name])]
        self._stop_if(bad or ([] if math.isfinite(norm) else ["gradients"]), rate, batch[1])
        self.optimizer.step()
        self.steps += 1
        # Early on the first, random weights must be forgotten fast, hence the ramp.
        decay = min(self.config.training.ema_decay, (1 + self.steps) / (10 + self.steps))
        follow(self.average, self.model, 1 - decay)
        if self.steps == 1 and self.fresh and rank() == 0:
            for message in check_first_losses(report, self.config):
                print(f"warning: {message}", file=sys.stderr, flush=True)
        return report | {"learning_rate": rate}

    def gradients(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Leave the clipped gradients of a checked batch in the parameters.

        Returns:
            The losses, their sum "loss", and "gradients", their length before clipping:
            Tensor[] each, averaged over the processes. None of them is read.
        """
        self.optimizer.zero_grad()
        images, targets = batch
        count, parts = len(images), min(self.config.training.accumulate, len(images))
        sums: dict[str, Tensor] = {}
        for part in range(parts):  # of nearly equal size
            here = slice(count * part // parts, count * (part + 1) // parts)
            first, last = rank() * count + here.start, part == parts - 1
            with nullcontext() if last or world_size() == 1 else self._network.no_sync():
                losses = self._losses(first, images[here], targets[here], rate)
                losses["loss"] = sum(losses.values())
                losses["loss"].backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach()
        values = torch.stack(list(sums.values())) / parts
        if world_size() > 1:
            dist.all_reduce(values)
            values /= world_size()
        for parameter in self.model.parameters():
            if parameter.grad is not None and parts > 1:
                parameter.grad /= parts
        return dict(zip(sums, values, strict=True)) | {"gradients": self.clip()}

    @cached_property
    def _network(self) -> nn.Module:
        """Images and checked targets in, losses out; several processes average their gradients."""
        losses = LossesModule(self.model)
        if world_size() == 1:
            return losses
        # A 1 x 1 convolution's gradient has other strides than its channels-last weight.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(losses)

    def clip(self) -> Tensor:
        """Shorten the gradients to the largest length allowed; return their length before."""
        largest = self.config.training.gradient_clip
        return nn.utils.clip_grad_norm_(self.model.parameters(), largest)

    def autocast(self) -> torch.autocast:
        """Return the context in which losses are computed, for the configured precision."""
        dtype = PRECISIONS[self.config.training.precision]
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def _losses(
        self, first: int, images: list[Tensor], targets: list[dict[str, Any]], rate: float
    ) -> dict[str, Tensor]:
        """The losses of some images, the first of which has this index in the whole batch."""
        batch = to_device((images, targets), self.device)
        try:
            with self.autocast():
                network = self._network
                self.model.sampler.priorities = image_priorities(self.seed, self.steps, first)
                return network(*batch)
        except ValueError as error:
            # Good data and bad numbers further in: not the data, but the weights have exploded.
            message = str(error)
            if "is not finite" in message and not message.startswith(("images[", "targets[")):
                self._stop_if([message.split(":")[0]], rate, targets)
            raise

    def _stop_if(self, bad: list[str], rate: float, targets: list[dict[str, Any]]) -> None:
        """Stop before NaN reaches the weights: from then on every number would be NaN. The forward
        pass has written statistics of batch norm already: they are put back."""
        if not bad:
            return
        for value, before in self._before:
            value.copy_(before)
        names = [str(t.get("file_name", t.get("image_id", "?"))) for t in targets]
        images = ", ".join(name for names in gather(names) for name in names)
        raise FloatingPointError(
            f"step {self.steps}: {', '.join(bad)} not finite at learning rate {rate:.2g}, images "
            f"{images}; lower the learning rate, lengthen the warm-up, or check these images"
        )

    def claim(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Make a folder, and its files this run's; return it.

        Raises:
            FileExistsError: another run's are there, and `overwrite` does not say to remove them.
        """
        folder = Path(folder)
        if folder.resolve() != self.folder and rank() == 0:
            if (told := refuse_other_run(folder)) and not overwrite:
                raise FileExistsError(told)
            folder.mkdir(parents=True, exist_ok=True)
            for name in RUN_FILES:
                (folder / name).unlink(missing_ok=True)
        self.folder = folder.resolve()
        return folder

    def save(self, folder: str | Path) -> None:
        """Write `last.checkpoint` (to go on) and `last.safetensors` (averaged weights, for use);
        errors as of `claim`, `files.write_whole` and `models.save_weights`."""
        folder = self.claim(folder)
        names = ("class_names", "images", "seed", "steps", "seconds", "average")
        state = {name: getattr(self, name) for name in names} | {
            "config": self.config.to_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        save_checkpoint(folder, state)
        save_weights(self.model, folder / WEIGHTS, self.class_names, self.average)

    def load(self, folder: str | Path, tell: Callable[[str], None] | None = None) -> None:
        """Go on where `save` left off; the number of processes may be another one. Arguments and
        errors: see `load_checkpoint`; a ValueError too where network or images are others."""
        state = load_checkpoint(folder, tell)
        check_settings(folder, state, self.config, self.class_names, self.images)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self.steps, self.seconds, self.seed = state["steps"], state["seconds"], state["seed"]
        self.folder = Path(folder).resolve()
        torch.set_rng_state(state["random"])


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Copy the tensors of a batch to a device, those that are not there; the host does not wait
    until a copy to a GPU has arrived."""

    def move(value: Any) -> Any:
        return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

    images, targets = batch
    return [move(image) for image in images], [
        {name: move(value) for name, value in target.items()} for target in targets
    ]


def learning_rate(step: int, progress: float, config: TrainingConfig) -> float:
    """Return the learning rate of a step: a warm-up, a plateau, and a cosine down to zero.

    The warm-up counts the steps done, because it protects the first few updates; the decay follows
    the progress of the run, 0..1, so that a run of 300 seconds ends at zero on a slow machine as on
    a fast one.
    """
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    # 1 on the plateau, 0 at the end.
    left = min(1.0, max(0.0, 1.0 - progress) / max(config.decay_fraction, 1e-9))
    return config.learning_rate * warmup * 0.5 * (1 - math.cos(math.pi * left))


def make_optimizer(model: nn.Module, config: TrainingConfig) -> optim.Optimizer:
    """Return Muon, AdamW or SGD; norms and biases (vectors) carry no weight decay. Muon leaves
    them, the first layer and the last ones to AdamW (Jordan et al.)."""
    muon, matrices, vectors = [], [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            last = name.split(".")[-2] in LAST_LAYERS or p.shape[1:2] == (3,)  # or first, of RGB
            (vectors if p.ndim <= 1 else matrices if last else muon).append(p)
    decay = config.weight_decay
    groups = [
        {"params": muon, "weight_decay": decay, "muon": config.optimizer == "muon"},
        {"params": matrices, "weight_decay": decay, "muon": False},
        {"params": vectors, "weight_decay": 0.0, "muon": False},
    ]
    kinds = {"muon": Muon, "adamw": optim.AdamW, "sgd": partial(optim.SGD, momentum=0.9)}
    return kinds[config.optimizer](groups, lr=config.learning_rate, fused=True)
