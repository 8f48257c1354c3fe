"""One training step of Mask R-CNN R50-FPN on a GPU: ours against torchvision's.

    python -m benchmarks step_gpu [--dry] [--store]

Images of 800 x 1333, batches of 2 and of 12, mixed precision (bf16), SGD; forward, backward and
the weights' update. The peer runs as its users run it, under autocast, in the memory layout that
suits it better. First both networks take the same sample with the same weights in float64, on the
same GPU, and all five losses must be equal: in float64, because in float32 a rounding can change
which proposals survive.
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

NAME = "step_gpu"
GOALS = {
    "training step R50-FPN 800 x 1333, bf16, batch 2": Goal(3, 5),
    "training step R50-FPN 800 x 1333, bf16, batch 12": Goal(2, 5),
}
BATCHES = (2, 12)
BOUND = 1e-9  # of each loss, relative: float64
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
    """Compare all losses of the first step in float64."""
    with torch.no_grad():
        models, batch = pair(runner, torch.float64), make_batch(runner, 2, torch.float64)
        mine, other = both_losses(*models, *batch)
    worst = max(float(abs(mine[n] - other[n]) / abs(other[n]).clamp(min=1e-9)) for n in other)
    yield "losses, float64, difference from the peer's", worst, BOUND


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
    for what, count in zip(GOALS, batches, strict=False):
        images, targets = make_batch(runner, count, torch.float32)
        step, results = make_step(ours, images, targets, runner), []
        for layout in layouts:
            peer = make_step(theirs.to(memory_format=layout), images, targets, runner)
            results.append(runner.compare(peer, step))
        worst = min(results, key=lambda result: result.ratio)
        yield what, worst, "x", {"images_per_s": 1000 * count / worst.ours_ms}
