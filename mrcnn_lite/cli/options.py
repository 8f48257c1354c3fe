"""What can be said on the command line, and the range of every number."""

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import torch

from ..config import PRESETS
from ..training.run import LARGEST_SEED, PRECISIONS

WEIGHTS = "last.safetensors of a run, its folder, or DEFAULT: torchvision's weights of COCO"
WEEK = 7 * 24 * 3600.0


class _Parser(argparse.ArgumentParser):
    """A parser whose error is one sentence, as every other mistake of a user ends in one."""

    def error(self, message: str) -> NoReturn:
        """End the program with status 2 and the sentence on stderr."""
        self.exit(2, f"{self.prog.removeprefix('python -m ')}: {message}; --help lists all\n")


def read_options(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, `sys.argv` by default; a mistake in it ends the program with 2."""
    parser = _Parser(prog="python -m mrcnn_lite", description=sys.modules[__package__].__doc__)
    parser.set_defaults(workers=1)  # train alone has an option for it
    commands = parser.add_subparsers(dest="command", required=True)
    _describe_train(commands.add_parser("train", help="train a network, from scratch or further"))
    _describe_evaluate(commands.add_parser("evaluate", help="COCO average precision of weights"))
    _describe_predict(commands.add_parser("predict", help="draw detections on images"))
    _describe_verify(commands.add_parser("verify", help="list all faults of a data set"))
    _describe_export(commands.add_parser("export", help="write a network as ONNX or .pt2"))
    return parser.parse_args(words)


def _describe_train(sub: argparse.ArgumentParser) -> None:
    preset = "the network; default: lite, or that of --init"
    sub.add_argument("--preset", choices=sorted(PRESETS), help=preset)
    init = "start from torchvision's weights of COCO (DEFAULT) or of the backbone (imagenet), ours "
    init += "of drawn shapes (shapes), a state dict, or a run's folder; --resume reads none again"
    sub.add_argument("--init", metavar="WEIGHTS", help=init)
    data = "shapes, keypoint-shapes, COCO or VIA JSON, folder of label maps"
    sub.add_argument("--data", required=True, help=data)
    _add_images(sub)
    sub.add_argument("--out", type=Path, required=True, help="folder for weights, log, checkpoint")
    length = sub.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=_number(1e-3, 52 * WEEK), help="length by the clock")
    length.add_argument("--steps", type=_integer(1), help="length of the run in steps")
    old = sub.add_mutually_exclusive_group()
    old.add_argument("--resume", action="store_true", help="go on with the run in --out")
    old.add_argument("--overwrite", action="store_true", help="remove the run in --out first")
    config = 'JSON or TOML with any fields of the config: {"training": {"weight_decay": 0.1}}'
    sub.add_argument("--config", type=Path, metavar="FILE", help=config)
    rate = "after the rise; default: the preset's, whatever the batch size"
    sub.add_argument("--learning-rate", type=_number(1e-9, 1e3), help=rate)
    sub.add_argument("--hold-out", type=_indices, help="images to leave out, counted from 0: 3,8")
    turns = "of crops: all eight of a square, left and right alone (flip), or as the objects lie"
    sub.add_argument("--turns", choices=("auto", "all", "flip"), default="auto", help=turns)
    sub.add_argument("--workers", type=_integer(0, 64), default=0, help="processes; 0 chooses")
    seed = "of the first weights, the order of images and their changes; default 0"
    sub.add_argument("--seed", type=_integer(0, LARGEST_SEED), default=0, help=seed)
    batch = "images per step over all processes"
    sub.add_argument("--batch-size", type=_integer(1, 10**5), help=batch)
    sub.add_argument("--accumulate", type=_integer(1, 10**5), help="parts of a process's images")
    sub.add_argument("--precision", choices=sorted(PRECISIONS), help="of convolutions")
    sub.add_argument("--fast", action="store_true", help="of a GPU: bf16, a recorded step")
    sub.add_argument("--compile", action="store_true", help="torch.compile for the convolutions")
    sub.add_argument("--no-channels-last", action="store_true", help="the other memory layout")
    sub.add_argument("--save-every", type=_integer(1), help="steps between checkpoints")
    sub.add_argument("--validate-every", type=_integer(1), help="steps between held-out losses")
    _add_device(sub)


def _describe_evaluate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--weights", type=Path, required=True, help=WEIGHTS)
    sub.add_argument("--data", required=True, help="as for train; of shapes the held-out ones")
    text = "a number: how many held-out shapes (200); a folder: where the images of --data lie"
    sub.add_argument("--images", type=_count_or_folder, metavar="N|FOLDER", help=text)
    sub.add_argument("--only", type=_indices, help="images to evaluate, counted from 0: 3,8")
    sub.add_argument("--json", type=Path, help="also write the figures here")
    _add_device(sub)


def _describe_predict(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--weights", type=Path, required=True, help=WEIGHTS)
    images = "PNG or JPEG files, folders of them, or patterns such as '*.jpg'"
    sub.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help=images)
    sub.add_argument("--out", type=Path, help="folder for the drawn images")
    sub.add_argument("--json", type=Path, metavar="FILE", help="results as COCO has them, RLE")
    maps = "PNG label maps: a pixel is the number of its object; default folder: masks in --out"
    sub.add_argument("--masks", type=Path, nargs="?", const=True, metavar="FOLDER", help=maps)
    score = "objects from this score on; default: 0.5"
    sub.add_argument("--score", type=_number(0, 1), default=0.5, help=score)
    _add_device(sub)


def _describe_verify(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("data", type=Path, help="COCO or VIA JSON file, or folder of label maps")
    _add_images(sub)
    sub.add_argument("--repair", type=Path, metavar="OUT", help="new folder for a repaired copy")
    sub.add_argument("--attribute", help="of VIA: the region attribute that holds the class")


def _describe_export(sub: argparse.ArgumentParser) -> None:
    weights = f"{WEIGHTS}; or a preset, {', '.join(sorted(PRESETS))}, with new weights"
    sub.add_argument("--weights", required=True, help=weights)
    out = "NAME.onnx, or NAME.pt2 for torch.export.load"
    sub.add_argument("--out", type=Path, required=True, metavar="FILE", help=out)
    size = "of the images that it will be given; .onnx without it: any; a .pt2 is for one size"
    side = {"type": _integer(1, 10_000), "nargs": 2, "metavar": ("H", "W")}
    sub.add_argument("--image-size", **side, help=size)
    batch = "how many images at once; default: 1"
    sub.add_argument("--batch", type=_integer(1, 10_000), default=1, help=batch)
    most = "at most, for each image; default: the network's"
    sub.add_argument("--detections", type=_integer(1, 10_000), help=most)


def _add_images(sub: argparse.ArgumentParser) -> None:
    text = "where the images lie, if not around the annotation file"
    sub.add_argument("--images", type=_folder, metavar="FOLDER", help=text)


def _add_device(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--device", type=_device, default="auto", help="auto (a GPU if any), cpu, cuda"
    )


def _integer(low: int, high: int = 10**9) -> Callable[[str], int]:
    """The type of a whole number in a range."""
    return _number(low, high, int, "whole number")


def _number(
    low: float, high: float, kind: type = float, name: str = "number"
) -> Callable[[str], float]:
    """The type of a number in a range; NaN is in none."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is no {name} from {low:.10g} to {high:.10g}")
        return value

    return read


def _folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder; give the one of the images")
    return Path(text)


def _count_or_folder(text: str) -> int | Path:
    """A number, or a folder (one that is called 200 is written ./200)."""
    return _integer(1)(text) if text.lstrip("+-").isdecimal() else _folder(text)


def _indices(text: str) -> list[int]:
    """Read "3,8,12" as numbers of images."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers like 3,8,12")
    return [int(part) for part in parts]


def _device(name: str) -> torch.device:
    """The device of a name; torchrun gives each process a GPU of its own."""
    gpus = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (kind == "cpu" and index) or not (index or "0").isdecimal():
        raise argparse.ArgumentTypeError(f"{name} is unknown; choose auto, cpu, cuda or cuda:1")
    if kind == "cuda" and int(index or 0) >= gpus:
        seen = f"{gpus} GPUs" if gpus else "no GPU"
        raise argparse.ArgumentTypeError(f"{name}: torch {torch.__version__} sees {seen}; use cpu")
    return torch.device(name)
