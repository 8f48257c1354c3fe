"""`train`: from options to a trained network in a folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..config import PRESETS, Config
from ..datasets import CocoDataset
from ..training import (
    TrainingRun,
    fit_config,
    open_data,
    train,
    training_batches,
)
from ..training.distributed import rank
from ..training.fast import FastRun, compile_parts
from ..training.loop import validation_losses

VALIDATION_IMAGES = 32  # of drawn shapes
BAR = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"


def train_network(options: argparse.Namespace) -> None:
    """Train, as one of the processes."""
    from tqdm import tqdm

    fast = _can_be_fast(options)
    held_out, config = _held_out(options), _config(options)
    dataset = open_data(options.data, exclude=options.hold_out, image_folder=options.images)
    if isinstance(dataset, CocoDataset):
        tell_images(dataset)
    config = fit_config(config, dataset)
    run = (FastRun if fast else TrainingRun)(
        config, dataset.class_names, options.seed, options.device
    )
    if options.compile:
        compile_parts(run.model)
    if options.resume:
        run.load(options.out)
    batches = training_batches(config, dataset, run.seed, options.device if fast else None)
    with tqdm(total=100, disable=rank() != 0, unit="%", bar_format=BAR) as bar:

        def show(step: int, progress: float, report: dict[str, float]) -> None:
            bar.update(min(100.0, 100 * progress) - bar.n)
            bar.set_postfix_str(f"step {step}, loss {report['loss']:.3f}", refresh=False)

        def validate(step: int) -> dict[str, float] | None:
            if held_out is None or step % options.validate_every:
                return None
            return validation_losses(run.model, held_out)

        length = options.steps, options.seconds
        train(run, batches, options.out, *length, show, options.save_every, validate)
    if rank() == 0:
        pace = run.steps * config.training.batch_size / max(run.seconds, 1e-9)
        print(f"{run.steps} steps in {run.seconds:.0f} s, {pace:.1f} images/s; {options.out}")


def tell_images(dataset: CocoDataset) -> None:
    """Say where the images lie, unless it is the usual place."""
    if rank() == 0 and (told := dataset.files.told()):
        print(f"note: {told}")


def _can_be_fast(options: argparse.Namespace) -> bool:
    """Whether --fast can be had; then the precision is bf16 unless another one is asked for."""
    if options.fast and options.device.type != "cuda":
        print(
            f"--fast needs a CUDA device, and this is {options.device}: training as usual",
            flush=True,
        )
    fast = options.fast and options.device.type == "cuda"
    if fast and options.precision is None:
        options.precision = "bf16"
    return fast


def _config(options: argparse.Namespace) -> Config:
    """The preset with the command line's settings of the training."""
    given = {
        "batch_size": options.batch_size,
        "accumulate": options.accumulate,
        "precision": options.precision,
    }
    given = {name: value for name, value in given.items() if value is not None}
    config = PRESETS[options.preset]().with_(training=given)
    return config.with_(image={"channels_last": False}) if options.no_channels_last else config


def _held_out(options: argparse.Namespace) -> Sequence | None:
    """What --validate-every measures: drawn shapes, or the images of --hold-out.

    Raises:
        ValueError: a data set in files of which no image is held out.
    """
    if not options.validate_every:
        return None
    shapes = options.data == "shapes"
    if not shapes and not options.hold_out:
        raise ValueError("--validate-every needs --hold-out: which images to keep for it")
    indices = None if shapes else options.hold_out
    return open_data(
        options.data, True, indices, images=VALIDATION_IMAGES, image_folder=options.images
    )
