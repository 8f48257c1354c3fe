"""One training step of Mask R-CNN R50-FPN on a GPU: ours against torchvision's.

    python -m benchmarks step_gpu [--dry] [--store]

Pictures of 800 x 1333, batches of 2 and of 12, mixed precision (bf16), SGD; forward, backward and
the weights' update. The peer runs as its users run it, under autocast, in the memory layout that
suits it better. First both networks take the same sample with the same weights in float64, on the
same GPU, and all five losses must be equal: in float64, because in float32 a rounding can change
which proposals survive.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.gpu import Stage, require
from benchmarks.table import Goal, Row
from mrcnn_lite.config import lite
from mrcnn_lite.lessons.n11_whole_network.reference_pair import (
    make_pictures,
    make_twins,
    share_sample,
)
from mrcnn_lite.models import MaskRCNN

NAME = "step_gpu"
GOALS = {
    "training step R50-FPN 800 x 1333, bf16, batch 2": Goal(3, 5),
    "training step R50-FPN 800 x 1333, bf16, batch 12": Goal(2, 5),
}
BATCHES = (2, 12)
BOUND = 1e-9  # of each loss, relative: float64
SIZE, CLASSES = (800, 1333), 91
TINY_SIZE, FEW = (64, 96), 3  # of a rehearsal: pixels; proposals and detections


def twins(stage: Stage, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """Ours (channels last) and torchvision's, with the same weights, on the device."""
    ours, theirs = _small_twins() if stage.dry else make_twins("v1", 0, dtype, {}, CLASSES)
    ours = ours.to(stage.device, dtype, memory_format=torch.channels_last)
    return ours, theirs.to(stage.device, dtype)


def _small_twins() -> tuple[nn.Module, nn.Module]:
    """For a rehearsal, the network for laptops and its twin, with a few proposals."""
    from benchmarks.step_cpu import CLASSES, torchvision_twin

    torch.manual_seed(0)
    config = lite(CLASSES).with_(
        image={"min_size": TINY_SIZE[0], "max_size": TINY_SIZE[1]},
        rpn={"pre_nms_train": 10, "pre_nms_test": 10, "post_nms_train": FEW, "post_nms_test": FEW},
        box={"samples": FEW, "detections": FEW, "pooled_size": 2, "sampling_ratio": 1},
        mask={"rois": FEW, "pooled_size": 2, "sampling_ratio": 1, "targets_aligned": False}
        | {"paste": "torchvision"},
    )
    ours, theirs = MaskRCNN(config), torchvision_twin(config)
    theirs.load_state_dict(ours.state_dict())
    theirs.rpn._pre_nms_top_n["testing"] = 10
    theirs.rpn._post_nms_top_n["testing"] = theirs.roi_heads.detections_per_img = FEW
    return ours, theirs


def make_batch(stage: Stage, count: int, dtype: torch.dtype) -> tuple[list, list]:
    """Pictures and their objects on the device."""
    size = TINY_SIZE if stage.dry else SIZE
    images, targets = make_pictures([size] * count, 1, dtype)
    images = [image.to(stage.device) for image in images]
    return images, [{k: v.to(stage.device) for k, v in t.items()} for t in targets]


def losses(model: nn.Module, images: list, targets: list) -> dict[str, Tensor]:
    """The losses of a batch; torchvision writes into the dicts that it gets."""
    return model(images, [dict(target) for target in targets])


def gate(stage: Stage) -> list[Row]:
    """Compare all losses of the first step in float64."""
    ours, theirs = twins(stage, torch.float64)
    images, targets = make_batch(stage, 2, torch.float64)
    drawn: list[Tensor] = []
    random = ours.sampler.priorities

    def keys(shape: tuple[int, ...], device: torch.device) -> Tensor:
        drawn.append(random(shape, device))
        return drawn[-1]

    ours.sampler.priorities = keys
    with torch.no_grad():
        mine = losses(ours.train(), images, targets)
        share_sample(theirs, ours.config, drawn, [len(t["boxes"]) for t in targets])
        other = losses(theirs.train(), images, targets)
    worst = max(float(abs(mine[n] - other[n]) / abs(other[n]).clamp(min=1e-9)) for n in other)
    return [require(NAME, "gate: losses, float64, difference from the peer's", worst, BOUND)]


def make_step(model: nn.Module, images: list, targets: list, stage: Stage) -> Callable[[], None]:
    """A whole training step of a network."""
    model.train()
    weights = [p for p in model.parameters() if p.requires_grad]
    # A rate of 0 costs the same, and the thousandth step is as the first.
    optimizer = torch.optim.SGD(weights, 0.0, momentum=0.9, fused=True)

    def step() -> None:
        with torch.autocast(stage.device, torch.bfloat16, enabled=not stage.dry):
            found = losses(model, images, targets)
        optimizer.zero_grad()
        sum(found.values()).backward()
        optimizer.step()

    return step


def run(stage: Stage) -> list[Row]:
    """Time a step, for both batches and both layouts of the peer."""
    ours, theirs = twins(stage, torch.float32)
    rows = []
    for what, count in zip(GOALS, BATCHES, strict=True):
        images, targets = make_batch(stage, 1 if stage.dry else count, torch.float32)
        step, found = make_step(ours, images, targets, stage), []
        for layout in (torch.contiguous_format, torch.channels_last):
            peer = make_step(theirs.to(memory_format=layout), images, targets, stage)
            found.append(stage.compare(peer, step))
            if stage.dry:
                break
        worst = min(found, key=lambda result: result.ratio)
        details = worst.as_dict() | {"images_per_s": 1000 * count / worst.ours_ms}
        rows.append(Row(NAME, what, worst.ratio, "x", GOALS[what], details=details))
        if stage.dry:
            break
    return rows
