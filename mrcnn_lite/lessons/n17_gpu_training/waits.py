"""Where the host waits for the GPU in a training step, ours and torchvision's, found without one.

While the host waits it prepares no further work, and the GPU soon runs dry. Each wait has its line
of code: a number that is read (`.item()`, `if tensor`), a result whose size depends on values
(`nonzero`, a boolean index), a copy between host and GPU that is not told not to wait. The second
step is counted, when nothing is new any more; backward pass and weights' update belong to it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from ...config import Config
from ...models import MaskRCNN
from ...models.matching import random_priorities
from ...training import run as training
from .fake_gpu import Watch, backward, fake_models, watched

SIZE = (800, 1333)
OBJECTS = 7  # COCO's mean


def make_batch(images: int, device: str, size: tuple[int, int] = SIZE) -> training.Batch:
    """Random images of (H, W) and their objects, on a device."""
    boxes = torch.tensor([[8.0, 8.0, 40.0, 48.0]]).repeat(OBJECTS, 1)  # [G, 4]
    targets = [
        {
            "boxes": boxes.to(device),
            "labels": torch.ones(OBJECTS, dtype=torch.int64).to(device),
            "masks": torch.ones(OBJECTS, *size, dtype=torch.uint8).to(device),
        }
        for _ in range(images)
    ]
    return [torch.rand(3, *size, device=device) for _ in range(images)], targets


@contextmanager
def on_fakes() -> Iterator[None]:
    """What a step needs of a real device, done otherwise: priorities and backward pass."""
    drawn = mock.patch.object(training, "image_priorities", return_value=random_priorities())
    # Fake numbers make odd first losses, and without a GPU there is no autocast: nothing to tell.
    quiet = mock.patch.object(training, "check_first_losses", return_value=[])
    with warnings.catch_warnings(), drawn, quiet, mock.patch.object(Tensor, "backward", backward):
        warnings.simplefilter("ignore")
        yield


def waits_of_a_step(config: Config, batch_on: str = "cuda", size: tuple[int, int] = SIZE) -> Watch:
    """Take two training steps on the GPU that is not there and watch the second."""
    # An empty answer to "is it finite?" would stop the step.
    with watched(answers={"isfinite() else": True}) as watch, on_fakes():
        with fake_models():
            names = [str(i) for i in range(config.num_classes)]
            run = training.TrainingRun(config, names, 0, "cuda")
        batch = make_batch(2, batch_on, size)
        run.step(batch, 0.0)
        watch.found.clear()
        run.step(batch, 0.0)
    return watch


def waits_of_inference(config: Config, size: tuple[int, int] = SIZE) -> Watch:
    """Detect in one image twice on the GPU that is not there and watch the second time."""
    with watched() as watch, torch.inference_mode():
        with fake_models():
            model = MaskRCNN(config).eval()
        images, _ = make_batch(1, "cuda", size)
        model(images)
        watch.found.clear()
        model(images)
    return watch


def waits_of_torchvision(size: tuple[int, int] = SIZE) -> Watch:
    """The same for a training step of torchvision's R50-FPN, its own loop around it."""
    import torchvision
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    with watched(Path(torchvision.__file__).parent) as watch, warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
            watch.note("the size of nms depends on values")
            return boxes.new_empty(len(boxes), dtype=torch.int64)

        with torch.device("cuda"):
            model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).train()
        # It draws a size with a number of the host; there is one size to draw from.
        model.transform.torch_choice = lambda sizes: sizes[0]
        images, targets = make_batch(2, "cuda", size)
        optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
        with (
            mock.patch.object(Tensor, "backward", backward),
            mock.patch("torchvision.ops.boxes.nms", nms),
        ):
            for _ in range(2):
                watch.found.clear()
                losses = model(images, [dict(target) for target in targets])
                sum(losses.values()).backward()
                optimizer.step()
    return watch


def locations(watch: Watch) -> list[str]:
    """Each line of code that waits once, with how often and why."""
    counts = Counter(watch.found)
    return [f"{count} x {line}  ({why})" for (line, why), count in counts.items()]
