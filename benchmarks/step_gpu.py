"""One training step of Mask R-CNN R50-FPN on a GPU: ours against torchvision's.

    python -m benchmarks step_gpu [--dry] [--store]

Images of 800 x 1333, batches of 2 and of 12, mixed precision (bf16), SGD; forward, backward and
the weights' update. The peer runs as its users run it, under autocast, in the memory layout that
suits it better; ours once call by call and once recorded (`training.fast`), as `train --fast` does.
First both networks take the same sample with the same weights in float64, on the same GPU, and all
five losses must be equal: in float64, because in float32 a rounding can change which proposals
survive. So must be those of a recorded run and of a plain one, after a first step too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.gpu import Gates, Measures, Runner
from benchmarks.step_cpu import both_losses, lite_pair, losses
from benchmarks.table import Goal
from mrcnn_lite.config import lite
from mrcnn_lite.lessons.n11_whole_network.reference_pair import make_images, make_pair
from mrcnn_lite.training import TrainingRun
from mrcnn_lite.training.fast import FastRun

NAME = "step_gpu"
GOALS = {
    "training step R50-FPN 800 x 1333, bf16, batch 2": Goal(3, 5),
    "training step R50-FPN 800 x 1333, bf16, batch 12": Goal(2, 5),
    "recorded training step R50-FPN 800 x 1333, bf16, batch 2": Goal(3, 5),
    "recorded training step R50-FPN 800 x 1333, bf16, batch 12": Goal(2, 5),
}
BATCHES = (2, 12)
BOUND, BOUND_RECORDED = 1e-9, 1e-6  # of each loss, relative, in float64; after an update
SIZE, CLASSES = (800, 1333), 91
TINY_SIZE, FEW = (64, 96), 3  # of a rehearsal: pixels; proposals and detections


def pair(runner: Runner, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """Ours (channels last) and torchvision's, with the same weights, on the device."""
    ours, theirs = _small_pair() if runner.dry else make_pair("v1", 0, dtype, {}, CLASSES)
    ours = ours.to(runner.device, dtype, memory_format=torch.channels_last)
    return ours, theirs.to(runner.device, dtype)


def _small_pair() -> tuple[nn.Module, nn.Module]:
    """For a rehearsal, the network for laptops and torchvision's form of it, with few proposals."""
    torch.manual_seed(0)
    config = lite(6).with_(
        image={"min_size": TINY_SIZE[0], "max_size": TINY_SIZE[1]},
        rpn={"pre_nms_train": 10, "pre_nms_test": 10, "post_nms_train": FEW, "post_nms_test": FEW},
        box={"samples": FEW, "detections": FEW, "pooled_size": 2, "sampling_ratio": 1},
        mask={"rois": FEW, "pooled_size": 2, "sampling_ratio": 1, "targets_aligned": False}
        | {"paste": "torchvision"},
    )
    ours, theirs = lite_pair(config)
    theirs.rpn._pre_nms_top_n["testing"] = 10
    theirs.rpn._post_nms_top_n["testing"] = theirs.roi_heads.detections_per_img = FEW
    return ours, theirs


def make_batch(runner: Runner, count: int, dtype: torch.dtype) -> tuple[list, list]:
    """Images and their objects on the device."""
    size = TINY_SIZE if runner.dry else SIZE
    images, targets = make_images([size] * count, 1, dtype)
    images = [image.to(runner.device) for image in images]
    return images, [{k: v.to(runner.device) for k, v in t.items()} for t in targets]


def gate(runner: Runner) -> Gates:
    """Compare all losses of the first step in float64; of a recorded run, of two steps."""
    models, batch = pair(runner, torch.float64), make_batch(runner, 2, torch.float64)
    with torch.no_grad():
        yield (
            "losses, float64, difference from the peer's",
            worst(*both_losses(*models, *batch)),
            BOUND,
        )
    plain, fast = (make_run(kind, models[0], runner, "fp32") for kind in (TrainingRun, FastRun))
    plain.model.padding = fast.model.padding = fast.padding
    for _ in range(2):
        mine, other = fast.step(batch, 0.5), plain.step(batch, 0.5)
    yield (
        "losses of a recorded run, difference from a plain one's",
        worst(mine, other),
        BOUND_RECORDED,
    )


def worst(found: dict, expected: dict) -> float:
    """The largest relative difference of losses."""
    gaps = [abs(found[n] - expected[n]) / max(abs(expected[n]), 1e-9) for n in expected]
    return float(max(gaps))


def make_run(
    kind: type[TrainingRun], model: nn.Module, runner: Runner, precision: str
) -> TrainingRun:
    """A run of a network like this one, with its weights and in its type."""
    config = model.roi_heads.config.with_(training={"precision": precision, "optimizer": "sgd"})
    run = kind(config, [str(label) for label in range(config.num_classes)], 0, runner.device)
    run.model.to(next(model.parameters()).dtype).load_state_dict(model.state_dict())
    run.average = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.fresh = False  # not worth a warning
    return run


def make_step(model: nn.Module, images: list, targets: list, runner: Runner) -> Callable[[], None]:
    """A whole training step of a network."""
    model.train()
    weights = [p for p in model.parameters() if p.requires_grad]
    # A rate of 0 costs the same, and the thousandth step is as the first.
    optimizer = torch.optim.SGD(weights, 0.0, momentum=0.9, fused=True)

    def step() -> None:
        with torch.autocast(runner.device, torch.bfloat16, enabled=not runner.dry):
            total = sum(losses(model, images, targets).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step


def run(runner: Runner) -> Measures:
    """Time a step, for both batches, against the layout that suits the peer better."""
    ours, theirs = pair(runner, torch.float32)
    batches, layouts = BATCHES, (torch.contiguous_format, torch.channels_last)
    if runner.dry:
        batches, layouts = (1,), layouts[:1]
    fast = make_run(FastRun, ours, runner, "fp32" if runner.dry else "bf16")
    names = list(GOALS)
    for first, count in zip((0, 1), batches, strict=False):
        batch = make_batch(runner, count, torch.float32)
        steps = make_step(ours, *batch, runner), lambda batch=batch: fast.step(batch, 1.0)
        for what, step in zip(names[first::2], steps, strict=True):
            results = []
            for layout in layouts:
                peer = make_step(theirs.to(memory_format=layout), *batch, runner)
                results.append(runner.compare(peer, step))
            slowest = min(results, key=lambda result: result.ratio)
            yield what, slowest, "x", {"images_per_s": 1000 * count / slowest.ours_ms}
