"""One image through Mask R-CNN R50-FPN on a GPU, pasting included: ours against torchvision's.

    python -m benchmarks inference_gpu [--dry] [--store]

An image of 800 x 1333 with up to 100 detections, their masks pasted into it. First the answers of
both networks with the same weights are compared in float64, and those of ours with its recorded
form (`models.detector`); then what a user waits is timed, under autocast (bf16) and in float32, and
recorded in bf16.
"""

from __future__ import annotations

import torch

from benchmarks.gpu import Gates, Measures, Runner
from benchmarks.inference_cpu import differences
from benchmarks.step_gpu import make_batch, pair
from benchmarks.table import Goal
from mrcnn_lite.lessons.n11_whole_network.reference_pair import one_class_at_a_time
from mrcnn_lite.models.detector import Detector

NAME = "inference_gpu"
GOALS = {
    "inference, one image 800 x 1333, bf16, pasting included": Goal(3, 8),
    "inference, one image 800 x 1333, fp32, pasting included": None,
    "recorded inference, one image 800 x 1333, bf16, pasting included": Goal(3, 8),
}
BOUND = 1e-6  # of scores and masks, and in pixels of boxes


def gate(runner: Runner) -> Gates:
    """Compare the answers in float64."""
    ours, theirs = (model.eval() for model in pair(runner, torch.float64))
    images, _ = make_batch(runner, 1, torch.float64)
    with torch.inference_mode(), one_class_at_a_time():
        found, expected = ours(images)[0], theirs(images)[0]
    more = abs(len(found["boxes"]) - len(expected["boxes"]))
    yield "detections, how many more or fewer than the peer's", more, 0
    yield "images without a detection", float(len(found["boxes"]) == 0), 0
    for name, value in differences(found, expected).items():
        yield f"{name}, float64, difference from the peer's", value, BOUND
    detector = Detector(ours)
    detector(images[0])  # what it records now it replays below
    with torch.inference_mode():
        again = differences(detector(images[0]), ours(images)[0])
    yield "recorded, largest difference from the plain form", max(again.values()), BOUND


def run(runner: Runner) -> Measures:
    """Time it in both precisions; in a rehearsal both are float32."""
    ours, theirs = (model.eval() for model in pair(runner, torch.float32))
    images, _ = make_batch(runner, 1, torch.float32)
    for what, mixed in zip(GOALS, (False,) if runner.dry else (True, False), strict=False):

        def infer(model: torch.nn.Module, mixed: bool = mixed) -> None:
            with torch.inference_mode(), torch.autocast(runner.device, torch.bfloat16, mixed):
                model(images)

        yield what, runner.compare(lambda f=infer: f(theirs), lambda f=infer: f(ours))
    detector = Detector(ours, None if runner.dry else torch.bfloat16)

    def peer() -> None:
        with torch.inference_mode(), torch.autocast(runner.device, torch.bfloat16, not runner.dry):
            theirs(images)

    yield list(GOALS)[2], runner.compare(peer, lambda: detector(images[0]))
