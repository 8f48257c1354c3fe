"""The command line: `python -m mrcnn_lite train | evaluate | predict | verify`."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.multiprocessing import ProcessRaisedException

from .config import PRESETS, Config
from .evaluation.coco import evaluate
from .models import load_weights
from .training import (
    TrainingRun,
    default_workers,
    fit_config,
    launch,
    open_data,
    train,
    training_batches,
)
from .training.distributed import DeadProcess, rank
from .training.fast import FastRun, compile_parts
from .training.loop import validation_losses
from .training.run import PRECISIONS

VALIDATION_IMAGES = 32  # of drawn shapes
BAR = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
# What a user can put right: these end in one sentence, everything else in a traceback.
MISTAKES = (
    ValueError,
    FloatingPointError,
    OSError,  # no such file, no permission, a full disk
    DeadProcess,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a user's mistake ends in one sentence on stderr and exit status 2."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except ProcessRaisedException as error:
        # The traceback of a training process, as text; its last line is the error.
        kind, _, message = str(error).strip().splitlines()[-1].partition(": ")
        kinds = {mistake.__name__ for mistake in (*MISTAKES, *OSError.__subclasses__())}
        if kind.split(".")[-1] not in kinds:
            raise
        print(f"mrcnn_lite {options.command}: {message}", file=sys.stderr)
        return 2
    except MISTAKES as error:
        print(f"mrcnn_lite {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; go on with --resume", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(prog="python -m mrcnn_lite", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    sub = commands.add_parser("train", help="train a network from scratch")
    sub.add_argument("--preset", choices=sorted(PRESETS), default="lite")
    sub.add_argument("--data", required=True, help="shapes, COCO or VIA JSON, folder of label maps")
    sub.add_argument("--out", type=Path, required=True, help="folder for weights, log, checkpoint")
    length = sub.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, help="length of the run by the clock")
    length.add_argument("--steps", type=int, help="length of the run in steps")
    sub.add_argument("--resume", action="store_true", help="go on from --out")
    sub.add_argument("--hold-out", type=_indices, help="images to leave out, counted from 0: 3,8")
    sub.add_argument("--workers", type=int, default=0, help="processes; 0 chooses")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--batch-size", type=int, help="images per step over all processes")
    sub.add_argument("--accumulate", type=int, help="parts in which a process takes its images")
    sub.add_argument("--precision", choices=sorted(PRECISIONS), help="of convolutions")
    sub.add_argument("--fast", action="store_true", help="of a GPU: bf16, a recorded step")
    sub.add_argument("--compile", action="store_true", help="torch.compile for the convolutions")
    sub.add_argument("--no-channels-last", action="store_true", help="the other memory layout")
    sub.add_argument("--save-every", type=int, help="steps between checkpoints; else a minute")
    sub.add_argument("--validate-every", type=int, help="steps between losses on held-out images")
    sub.set_defaults(run=run_train)

    sub = commands.add_parser("evaluate", help="COCO average precision of trained weights")
    sub.add_argument("--weights", type=Path, required=True)
    sub.add_argument("--data", required=True, help="shapes (held-out ones), or as for train")
    sub.add_argument("--images", type=int, default=200, help="how many held-out shapes")
    sub.add_argument("--only", type=_indices, help="images to evaluate, counted from 0: 3,8")
    sub.add_argument("--json", type=Path, help="also write the figures here")
    sub.set_defaults(run=run_evaluate)

    sub = commands.add_parser("predict", help="draw detections on images")
    sub.add_argument("--weights", type=Path, required=True)
    sub.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    sub.add_argument("--out", type=Path, required=True, help="folder for the drawn images")
    sub.add_argument("--score", type=float, default=0.5, help="draw detections from this score on")
    sub.set_defaults(run=run_predict)
    for sub in commands.choices.values():
        sub.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda")

    sub = commands.add_parser("verify", help="list all faults of a data set, or repair a copy")
    sub.add_argument("data", type=Path, help="COCO or VIA JSON file, or folder of label maps")
    sub.add_argument("--repair", type=Path, metavar="OUT", help="new folder for a repaired copy")
    sub.add_argument("--attribute", help="of VIA: the region attribute that holds the class")
    sub.set_defaults(run=run_verify)
    return parser


def pick_device(name: str) -> torch.device:
    """Return the device that `--device` names.

    Raises:
        ValueError: a GPU is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"--device {name}: torch {torch.__version__} sees no GPU; use --device cpu"
        )
    if name == "cuda" and "LOCAL_RANK" in os.environ:  # torchrun: a GPU for each process
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    return torch.device(name)


def _indices(text: str) -> list[int]:
    """Read "3,8,12" as numbers of images."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers like 3,8,12") from None


def run_train(options: argparse.Namespace) -> None:
    """Train in as many processes as pay."""
    launch(_train_process, options.workers or default_workers(), options)


def _train_process(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    device = pick_device(options.device)
    fast = _can_be_fast(options, device)
    held_out, config = _held_out(options), _config(options)
    dataset = open_data(options.data, exclude=options.hold_out)
    config = fit_config(config, dataset)
    run = (FastRun if fast else TrainingRun)(config, dataset.class_names, options.seed, device)
    if options.compile:
        compile_parts(run.model)
    if options.resume:
        run.load(options.out)
    batches = training_batches(config, dataset, run.seed, device if fast else None)
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


def _can_be_fast(options: argparse.Namespace, device: torch.device) -> bool:
    """Whether --fast can be had; then the precision is bf16 unless another one is asked for."""
    if options.fast and device.type != "cuda":
        print(f"--fast needs a CUDA device, and this is {device}: training as usual", flush=True)
    fast = options.fast and device.type == "cuda"
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
    return open_data(options.data, held_out=True, indices=indices, images=VALIDATION_IMAGES)


def run_evaluate(options: argparse.Namespace) -> None:
    """Print box and mask AP; under torchrun the processes share the images."""
    launch(_evaluate_process, 1, options)


def _evaluate_process(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    model, class_names = load_weights(options.weights)
    model.to(pick_device(options.device))
    dataset = open_data(options.data, held_out=True, indices=options.only, images=options.images)
    if dataset.class_names != class_names:
        raise ValueError(f"the weights know {class_names}, the data {dataset.class_names}")
    figures = evaluate(
        model, dataset, progress=lambda b: tqdm(b, unit="batch", disable=rank() != 0)
    )
    if rank() != 0:
        return
    names = list(figures["mask"])
    print(f"{figures['images']} images  " + "  ".join(f"{name:>5}" for name in names))
    for kind in ("mask", "box"):
        values = "  ".join(f"{figures[kind][name]:5.3f}" for name in names)
        print(f"{kind:<{len(str(figures['images'])) + 7}}  {values}")
    if options.json:
        # JSON has no NaN; a figure without any object to measure it on becomes null.
        for kind in ("mask", "box"):
            figures[kind] = {k: None if math.isnan(v) else v for k, v in figures[kind].items()}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


def run_predict(options: argparse.Namespace) -> None:
    """Write one PNG per image with boxes, classes, scores and masks."""
    from PIL import Image

    from .datasets.images import read_image
    from .draw import paint_instances

    model, class_names = load_weights(options.weights)
    device = pick_device(options.device)
    model.to(device)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.images:
        image = read_image(path) / 255  # [3, H, W] in 0..1
        with torch.inference_mode():
            detections = {key: v.cpu() for key, v in model([image.to(device)])[0].items()}
        target = options.out / f"{path.stem}.png"
        painted = paint_instances(image, detections, class_names, score_threshold=options.score)
        Image.fromarray(painted).save(target)
        count = int((detections["scores"] >= options.score).sum())
        print(f"{path.name}: {count} objects with a score of {options.score} or more; {target}")


def run_verify(options: argparse.Namespace) -> int:
    """Print all faults (exit status 1 when there are any), and write a repaired copy."""
    from tqdm import tqdm

    from .datasets.faults import counted
    from .datasets.formats import read_source
    from .datasets.scan import scan
    from .datasets.verify import describe, repair

    def show(images: list) -> tqdm:
        return tqdm(images, unit="image", leave=False, disable=None)

    report = scan(read_source(options.data, options.attribute), progress=show)
    print(describe(report))
    if options.repair:
        done = repair(options.data, options.repair, attribute=options.attribute, progress=show)
        print(f"{options.repair}: a copy without {counted(done)}; report.txt lists the changes")
    return 1 if report.faults else 0
