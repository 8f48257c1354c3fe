"""Where the host waits for the GPU, found without one.

    python -m benchmarks.syncs

While the host waits it prepares no further work, and the GPU soon runs dry. Each wait has a place
in the code: a number that is read (`.item()`, `if tensor`), a result whose size depends on values
(`nonzero`, a boolean index), a copy between host and GPU that is not told not to wait. They are
found with fake tensors (`fake_gpu.py`), so that no GPU is needed.

The second step is counted, when nothing is new any more; backward pass and weights' update belong
to it. Where there is a GPU, PyTorch itself counts too.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

from benchmarks.fake_gpu import Watch, backward, fake_models, watched
from benchmarks.gpu import count_waits
from benchmarks.table import NO_GPU, Goal, Row
from mrcnn_lite.config import Config, lite, resnet50_fpn
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.matching import random_keys
from mrcnn_lite.training import run as training

NAME = "syncs"
GOALS = {
    "training step, batch on the GPU": Goal(3, at_most=True),
    "training step, batch from the host": Goal(3, at_most=True),
    "inference, one image": Goal(2, at_most=True),
    "training step, on a GPU, counted by PyTorch": Goal(3, at_most=True),
    "inference, one image, on a GPU, counted by PyTorch": Goal(2, at_most=True),
}
SIZE = (800, 1333)
OBJECTS = 7  # COCO's mean


def make_batch(images: int, device: str, size: tuple[int, int] = SIZE) -> training.Batch:
    """Pictures and their objects, on a device.

    Args:
        images: how many.
        device: "cuda" or "cpu".
        size: (H, W) of each.
    """
    pictures = [torch.rand(3, *size, device=device) for _ in range(images)]
    boxes = torch.tensor([[8.0, 8.0, 40.0, 48.0]]).repeat(OBJECTS, 1)  # [G, 4]
    targets = [
        {
            "boxes": boxes.to(device),
            "labels": torch.ones(OBJECTS, dtype=torch.int64).to(device),
            "masks": torch.ones(OBJECTS, *size, dtype=torch.uint8).to(device),
        }
        for _ in pictures
    ]
    return pictures, targets


def waits_of_a_step(config: Config, batch_on: str = "cuda", size: tuple[int, int] = SIZE) -> Watch:
    """Take two training steps on the GPU that is not there and watch the second.

    Args:
        config: of the network.
        batch_on: device from which the batch comes.
        size: (H, W) of the pictures.
    """
    # An empty answer to "is it finite?" would stop the step.
    with watched(answers={"isfinite() else": True}) as watch, _on_fakes():
        with fake_models():
            names = [str(i) for i in range(config.num_classes)]
            run = training.TrainingRun(config, names, 0, "cuda")
        batch = make_batch(2, batch_on, size)
        run.step(batch, 0.0)
        watch.found.clear()
        run.step(batch, 0.0)
    return watch


def waits_of_a_look(config: Config, size: tuple[int, int] = SIZE) -> Watch:
    """Look at one picture twice on the GPU that is not there and watch the second time."""
    with watched() as watch, torch.inference_mode():
        with fake_models():
            model = MaskRCNN(config).eval()
        images, _ = make_batch(1, "cuda", size)
        model(images)
        watch.found.clear()
        model(images)
    return watch


@contextmanager
def _on_fakes() -> Iterator[None]:
    """What a step needs of a real device, done otherwise: random keys and the backward pass."""
    keys = mock.patch.object(training, "image_keys", return_value=random_keys())
    # Fake numbers make odd first losses, and without a GPU there is no autocast: nothing to tell.
    quiet = mock.patch.object(training, "check_first_losses", return_value=[])
    with warnings.catch_warnings(), keys, quiet, mock.patch.object(Tensor, "backward", backward):
        warnings.simplefilter("ignore")
        yield


def places(watch: Watch) -> list[str]:
    """Each place once, with how often it waits and why."""
    counts = Counter(watch.found)
    return [f"{count} x {place}  ({why})" for (place, why), count in counts.items()]


def run(small: bool = False) -> list[Row]:
    """Count all of it on fake tensors, and on the GPU where there is one.

    Args:
        small: the network for laptops and small pictures, for a rehearsal.

    Returns:
        One row per subject; `details["places"]` says where.
    """
    config, size = (lite(), (64, 96)) if small else (resnet50_fpn(), SIZE)
    watches = (
        waits_of_a_step(config, "cuda", size),
        waits_of_a_step(config, "cpu", size),
        waits_of_a_look(config, size),
    )
    rows = [
        Row(NAME, what, len(watch.found), "waits", goal, details={"places": places(watch)})
        for (what, goal), watch in zip(GOALS.items(), watches, strict=False)
    ]
    if torch.cuda.is_available() and not small:
        counts: tuple[int | None, ...] = counted_by_pytorch(config)
    else:
        counts = None, None
    for (what, goal), count in zip(list(GOALS.items())[len(rows) :], counts, strict=True):
        why = NO_GPU if count is None else ""
        rows.append(Row(NAME, what, count, "waits", goal, why))
    return rows


def counted_by_pytorch(config: Config) -> tuple[int | None, int | None]:
    """Waits of a real training step and of a real look at one picture, on the GPU."""
    mixed = config.with_(training={"precision": "bf16"})
    run = training.TrainingRun(mixed, [str(i) for i in range(config.num_classes)], 0, "cuda")
    batch = make_batch(2, "cpu")
    step = count_waits(lambda: run.step(batch, 0.0), dry=False)
    model, image = run.model.eval(), batch[0][0].to("cuda")

    def look() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            model([image])

    return step, count_waits(look, dry=False)


def main() -> None:
    """Print how often, and where."""
    for row in run():
        print(f"{row.what}: {row.why or f'{row.value} waits'}")
        print("".join(f"    {place}\n" for place in row.details.get("places", [])))


if __name__ == "__main__":
    main()
