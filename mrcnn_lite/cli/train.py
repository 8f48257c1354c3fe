"""`train`: from options to a trained network in a folder."""

import argparse
import json
import tomllib
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from ..config import PRESETS, Config, TrainingConfig, from_scratch
from ..datasets import CocoDataset
from ..training import TrainingRun, fit_config, open_data, train, training_batches
from ..training.checkpoint import refuse_other_run
from ..training.curve import reached
from ..training.distributed import from_first, gather, rank
from ..training.fast import FastRun, compile_parts
from ..training.initial import Start
from ..training.loop import progress_bar, validation_losses
from ..training.recipe import DRAWN, digest, images_per_process, tall_images

VALIDATION_IMAGES = 32  # of drawn shapes


def train_network(options: argparse.Namespace) -> None:
    """Train, as one of the processes."""
    fast, held_out = _can_be_fast(options), _held_out(options)
    given = _read_config(options.config) if options.config else {}
    start = Start(options.init, options.preset) if options.init else None
    keep, config = _kept(options, given), _config(options, start, given)
    told = "" if options.resume or options.overwrite else refuse_other_run(options.out)
    if options.data not in DRAWN and options.out.resolve() == Path(options.data).resolve():
        told = f"--out {options.out} is the folder of the data; name another one"
    told, first = from_first(told), rank() == 0
    if told:
        raise FileExistsError(told)
    dataset = open_data(options.data, exclude=options.hold_out, image_folder=options.images)
    images = len(dataset)
    if isinstance(dataset, CocoDataset):
        tell_images(dataset)
    said: list[str] = []
    config = fit_config(config, dataset, keep, said.append)
    images_per_process(config)  # refuses a batch that does not divide, while no file is removed
    images_digest = digest(dataset)
    if given.get("keypoint", 0) is None:  # asked for: none, whatever the data has
        config = config.with_(keypoint=None)
    if given.get("num_classes", config.num_classes) != config.num_classes:
        raise ValueError(
            f"--config {options.config}: num_classes is {given['num_classes']}, but the data has "
            f"{config.num_classes} with the background; leave it out"
        )
    kind = FastRun if fast else TrainingRun
    run = kind(config, dataset.class_names, options.seed, options.device)
    run.images = images_digest
    said.append(run.describe())
    if options.compile:
        compile_parts(run.model)
    if options.resume:
        run.load(options.out)
        said.append(f"goes on after {run.steps} steps, {run.seconds:.0f} s, with seed {run.seed}")
    elif start:
        said.append(_start_in_turn(run, start))
    if images < config.training.batch_size:
        said.append(f"a batch is more than the data set: its {images} images come several times")
    if isinstance(dataset, CocoDataset) and (tall := tall_images(config, dataset)):
        kinds = f"{sum(tall)} of {images} images are taller than wide"
        said.append(f"{kinds}: each batch is of such images or of others, to pad less")
    run.claim(options.out, options.overwrite)  # after all checks: it removes what it overwrites
    batches = training_batches(config, dataset, run.seed, options.device if fast else None)
    if first:
        print("\n".join(said), flush=True)

    def validate(step: int) -> dict[str, float] | None:
        return None if step % options.validate_every else validation_losses(run.model, held_out)

    length = options.steps, options.seconds
    checks = validate if options.validate_every else None
    with progress_bar() as show:
        train(run, batches, options.out, *length, show, options.save_every, checks)
    if first:
        pace = run.steps * config.training.batch_size / max(run.seconds, 1e-9)
        done = f"{run.steps} steps in {run.seconds:.0f} s, {pace:.1f} images/s"
        print(f"{done}; {reached(options.out)}")


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


def _read_config(path: Path) -> dict[str, Any]:
    """Sections and fields of a JSON or TOML file; what they may hold is the config's to say."""
    try:
        text = path.read_text("utf-8-sig")
        values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise ValueError(f"--config {path}: neither JSON nor, as .toml, TOML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f'--config {path}: give sections, such as {{"training": {{...}}}}')
    return values


def _config(options: argparse.Namespace, start: Start | None, given: dict[str, Any]) -> Config:
    """The preset, or the network of --init; over it --config; over that the options."""
    names = "batch_size", "learning_rate", "accumulate", "precision"
    training = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.turns != "auto":
        training["turns"] = options.turns
    config = start.config if start else from_scratch(PRESETS[options.preset or "lite"]())
    try:
        config = config.with_(**given)
    except ValueError as error:
        raise ValueError(f"--config {options.config}: {error}") from error
    if not start and config != from_scratch(config):
        raise ValueError(
            f"--config {options.config}: backbone.norm {config.backbone.norm!r} and "
            f"trainable_layers {config.backbone.trainable_layers} would keep random weights as "
            "they are, and such a network cannot learn; leave them out, or give --init"
        )
    if options.turns != "auto" and (options.data in DRAWN or not config.training.crop_size):
        raise ValueError(
            "--turns is of crops of stored images: shapes are drawn, and with "
            "config.training.crop_size 0 whole images are only flipped; leave it out"
        )
    if options.batch_size and not options.learning_rate:
        _tell_rate(config.training, options.batch_size)
    image = {"channels_last": False} if options.no_channels_last else {}
    return config.with_(training=training, image=image)


def _kept(options: argparse.Namespace, given: dict[str, Any]) -> set[str]:
    """The fields that --config or --turns gives, and that the data therefore do not."""
    turns = {"training.turns"} if options.turns != "auto" else set()
    return turns | {
        f"{name}.{field}"
        for name, part in given.items()
        if isinstance(part, dict)
        for field in part
    }


def _tell_rate(training: TrainingConfig, batch_size: int) -> None:
    """Say which learning rate the usual rule gives for another batch size; it is not applied."""
    ratio, rate = batch_size / training.batch_size, training.learning_rate
    linear = training.optimizer == "sgd"
    name, factor = ("linear", ratio) if linear else ("square-root", sqrt(ratio))
    if ratio != 1 and rank() == 0:
        print(
            f"the learning rate stays {rate:g}, which is for {training.batch_size} images; for "
            f"{batch_size} the {name} rule gives --learning-rate {rate * factor:.2g}",
            flush=True,
        )


def _start_in_turn(run: TrainingRun, start: Start) -> str:
    """Start from weights; where they must be fetched, the first process does it for all."""
    told = run.start_from(start) if rank() == 0 else ""
    gather(None)
    return told or run.start_from(start)


def _held_out(options: argparse.Namespace) -> Sequence | None:
    """What --validate-every measures: drawn shapes, or the images of --hold-out.

    Raises:
        ValueError: a data set in files of which no image is held out, or no step is validated.
    """
    if not options.validate_every:
        return None
    if options.steps and options.steps < options.validate_every:
        raise ValueError(
            f"--validate-every {options.validate_every} is more than --steps {options.steps}: "
            "nothing would be validated"
        )
    shapes = options.data in DRAWN
    if not shapes and not options.hold_out:
        raise ValueError("--validate-every needs --hold-out: which images to keep for it")
    indices = None if shapes else options.hold_out
    return open_data(
        options.data, True, indices, images=VALIDATION_IMAGES, image_folder=options.images
    )
