"""Suppression and matching on a GPU: ours against torchvision's.

    python -m benchmarks nms_gpu [--dry] [--store]

Suppression: two images, five levels of 2000 boxes each, as in a region proposal network; the peer
calls `batched_nms` for each image, ours solves all ten problems without waiting for the GPU.
Matching: two images, 20 objects each, all anchors of an image of 800 x 1344. Both must give
exactly what the tensor form gives on the CPU; then what a user waits is timed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.gpu import Gates, Measures, Runner, count_waits, reference
from benchmarks.roi_input import scattered_boxes
from benchmarks.table import Goal
from mrcnn_lite.models.matching import match
from mrcnn_lite.ops import nms_mask

NAME = "nms_gpu"
GOALS = {
    "NMS, 2 images x 5 levels x 2000 boxes": Goal(5, 15),
    "NMS, times the host waits for the GPU": Goal(0, at_most=True),
    "matching, 2 images, all anchors": None,
}
SUPPRESS, WAITS, MATCH = GOALS
IOU, FOREGROUND, BACKGROUND = 0.7, 0.7, 0.3
STRIDES = (4, 8, 16, 32, 64)


def make_boxes(runner: Runner) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes in clusters, as proposals are: [B, L, N, 4], scores and validity [B, L, N]."""
    count, g = (40 if runner.dry else 2000), torch.Generator().manual_seed(0)
    shape = (2, len(STRIDES), count)
    centres = torch.rand(2, len(STRIDES), 1 + count // 10, 2, generator=g) * 800
    which = torch.randint(centres.shape[2], shape, generator=g)
    centre = centres.gather(2, which[..., None].expand(*shape, 2))  # [B, L, N, 2]
    centre = centre + 4 * torch.randn(*shape, 2, generator=g)
    side = 30 * torch.exp(0.3 * torch.randn(*shape, 2, generator=g))
    boxes = torch.cat([centre - side / 2, centre + side / 2], dim=-1)  # [B, L, N, 4]
    scores = torch.rand(shape, generator=g)
    valid = torch.rand(shape, generator=g) < 0.98
    return boxes.to(runner.device), scores.to(runner.device), valid.to(runner.device)


def make_anchors(runner: Runner) -> tuple[Tensor, Tensor, Tensor]:
    """Objects [B, G, 4], which are real [B, G], and the anchors of all levels [A, 4]."""
    height, width, count = (48, 64, 5) if runner.dry else (800, 1344, 20)
    g, levels = torch.Generator().manual_seed(1), []
    for stride in STRIDES:
        y = torch.arange(0, height, stride).float()
        x = torch.arange(0, width, stride).float()
        centre = torch.cartesian_prod(y, x).flip(1)  # [N, 2]
        area = (8.0 * stride) ** 2
        for ratio in (0.5, 1.0, 2.0):
            half = torch.tensor([(area / ratio) ** 0.5, (area * ratio) ** 0.5]) / 2
            levels.append(torch.cat([centre - half, centre + half], dim=1))  # [N, 4]
    objects = scattered_boxes(g, (2, count), (height, width), 0.7, 0.25)  # [B, G, 4]
    valid = torch.arange(count) < torch.tensor([[count], [count // 2]])  # [B, G]
    device = runner.device
    return objects.to(device), valid.to(device), torch.cat(levels).to(device)


def ours_match(objects: Tensor, valid: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
    """Which object each anchor belongs to, and its label: [B, A] each."""
    return match(objects, valid, anchors, FOREGROUND, BACKGROUND, allow_low_quality=True)


def gate(runner: Runner) -> Gates:
    """Nothing may differ from the tensor form on the CPU, nor from torchvision's operation."""
    from torchvision.ops import nms

    boxes, scores, valid = (part.cpu() for part in make_boxes(runner))
    found = nms_mask(*make_boxes(runner), IOU).cpu()
    with reference():
        expected = nms_mask(boxes, scores, valid, IOU)
    theirs = torch.zeros_like(expected)
    for image, level in torch.cartesian_prod(*map(torch.arange, expected.shape[:2])).tolist():
        rows = valid[image, level].nonzero().flatten()
        kept = nms(boxes[image, level, rows], scores[image, level, rows], IOU)
        theirs[image, level, rows[kept]] = True
    yield "NMS, answers that differ from the CPU's", _differ(found, expected), 0
    yield "NMS, answers that differ from the peer's", _differ(found, theirs), 0
    arguments = make_anchors(runner)
    answers = ours_match(*arguments)
    with reference():
        expected = ours_match(*(part.cpu() for part in arguments))
    count = sum(_differ(a.cpu(), b) for a, b in zip(answers, expected, strict=True))
    yield "matching, answers that differ from the CPU's", count, 0


def _differ(found: Tensor, expected: Tensor) -> float:
    return float((found != expected).sum())


def run(runner: Runner) -> Measures:
    """Time both, and count how often suppression waits."""
    from torchvision.models.detection._utils import Matcher
    from torchvision.ops import batched_nms, box_iou

    boxes, scores, valid = make_boxes(runner)
    levels = torch.arange(boxes.shape[1], device=boxes.device)[:, None].expand(boxes.shape[1:3])

    def peer() -> None:
        for one, score in zip(boxes, scores, strict=True):
            batched_nms(one.flatten(0, 1), score.flatten(), levels.flatten(), IOU)

    def ours() -> Tensor:
        return nms_mask(boxes, scores, valid, IOU)

    yield SUPPRESS, runner.compare(peer, ours)
    yield WAITS, count_waits(ours, runner.dry), "waits", {}

    objects, real, anchors = make_anchors(runner)
    matcher = Matcher(FOREGROUND, BACKGROUND, allow_low_quality_matches=True)
    each = [one[good] for one, good in zip(objects, real, strict=True)]
    matching = runner.compare(
        lambda: [matcher(box_iou(one, anchors)) for one in each],
        lambda: ours_match(objects, real, anchors),
    )
    yield MATCH, matching
