"""One picture through Mask R-CNN R50-FPN on a GPU, pasting included: ours against torchvision's.

    python -m benchmarks inference_gpu [--dry] [--store]

A picture of 800 x 1333 with up to 100 detections, their masks pasted into it. First the answers of
both networks with the same weights are compared in float64; then what a user waits is timed, under
autocast (bf16) and in float32.
"""

from __future__ import annotations

import torch

from benchmarks.gpu import Stage, require
from benchmarks.inference_cpu import differences
from benchmarks.step_gpu import make_batch, twins
from benchmarks.table import Goal, Row
from mrcnn_lite.lessons.n11_whole_network.reference_pair import one_class_at_a_time

NAME = "inference_gpu"
GOALS = {
    "inference, one image 800 x 1333, bf16, pasting included": Goal(3, 8),
    "inference, one image 800 x 1333, fp32, pasting included": None,
}
BOUND = 1e-6  # of scores and masks, and in pixels of boxes


def gate(stage: Stage) -> list[Row]:
    """Compare the answers in float64."""
    ours, theirs = (model.eval() for model in twins(stage, torch.float64))
    images, _ = make_batch(stage, 1, torch.float64)
    with torch.inference_mode(), one_class_at_a_time():
        found, wanted = ours(images)[0], theirs(images)[0]
    rows = [
        require(
            NAME,
            "gate: detections, how many more or fewer than the peer's",
            abs(len(found["boxes"]) - len(wanted["boxes"])),
            0,
        )
    ]
    if not len(found["boxes"]):
        require(NAME, "gate: pictures without a detection", 1, 0)
    for name, value in differences(found, wanted).items():
        rows.append(
            require(NAME, f"gate: {name}, float64, difference from the peer's", value, BOUND)
        )
    return rows


def run(stage: Stage) -> list[Row]:
    """Time it in both precisions."""
    ours, theirs = (model.eval() for model in twins(stage, torch.float32))
    images, _ = make_batch(stage, 1, torch.float32)
    rows = []
    for (what, goal), mixed in zip(GOALS.items(), (True, False), strict=True):

        def look(model: torch.nn.Module, mixed: bool = mixed) -> None:
            enabled = mixed and not stage.dry
            with torch.inference_mode(), torch.autocast(stage.device, torch.bfloat16, enabled):
                model(images)

        result = stage.compare(lambda look=look: look(theirs), lambda look=look: look(ours))
        rows.append(Row(NAME, what, result.ratio, "x", goal, details=result.as_dict()))
        if stage.dry:  # there both are float32
            break
    return rows
