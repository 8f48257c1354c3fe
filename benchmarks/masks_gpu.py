"""Masks on a GPU: pasting 100 of them into the image, and cutting targets for the loss.

    python -m benchmarks masks_gpu [--dry] [--store]

Pasting goes to 800 x 1333 pixels, as in evaluation; the peer is `paste_masks_in_image`, a loop over
the masks that waits for the GPU at each. First all pixels are compared with the tensor form on the
CPU. A mask with a threshold may differ only where the CPU's probability is so near to the threshold
that its rounding decides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.gpu import Gates, Measures, Runner, reference, relative
from benchmarks.roi_input import scattered_boxes
from benchmarks.table import Goal
from mrcnn_lite.ops import crop_masks, paste_masks

NAME = "masks_gpu"
GOALS = {
    "pasting 100 masks to 800 x 1333": Goal(50, 300),
    "pasting with a threshold, share of the copy bandwidth": None,
    "mask targets, 256 RoIs, 14 objects": None,
}
PASTE, SHARE, CROP = GOALS
NEAR = 1e-6  # of the threshold: a few roundings of float32
BOUND = 1e-6
THRESHOLD = 0.5


def make_masks(runner: Runner) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Probabilities [N, M, M], their boxes [N, 4], the size of the image."""
    count, m, size = (3, 5, (20, 31)) if runner.dry else (100, 28, (800, 1333))
    g = torch.Generator().manual_seed(0)
    masks = torch.rand(count, m, m, generator=g)
    boxes = scattered_boxes(g, (count,), size, 0.7, 0.25)  # [N, 4]
    return masks.to(runner.device), boxes.to(runner.device), size


def make_objects(runner: Runner) -> tuple[Tensor, Tensor, Tensor, int]:
    """Masks [G, H, W] of bytes, RoIs [K, 4], the mask of each [K], M."""
    count, m, size = (4, 5, (20, 31)) if runner.dry else (256, 28, (800, 1344))
    g = torch.Generator().manual_seed(1)
    coarse = torch.rand(14, 1, 9, 9, generator=g)
    masks = torch.nn.functional.interpolate(coarse, size, mode="bilinear")[:, 0] > 0.5
    boxes = scattered_boxes(g, (count,), size, 0.6, 0.3)  # [K, 4]
    matched = torch.arange(count) % len(masks)  # [K]
    device = runner.device
    return masks.to(torch.uint8).to(device), boxes.to(device), matched.to(device), m


def gate(runner: Runner) -> Gates:
    """Compare every pixel and every cell with the tensor form on the CPU."""
    masks, boxes, size = make_masks(runner)
    host = masks.cpu(), boxes.cpu()
    with reference():
        expected = paste_masks(*host, size)
        marked = paste_masks(*host, size, threshold=THRESHOLD)
    found = paste_masks(masks, boxes, size).cpu()
    worst = float((found - expected).abs().max())
    yield "pasted probabilities, difference from the CPU's", worst, BOUND
    clear = (expected - THRESHOLD).abs() > NEAR
    differ = (paste_masks(masks, boxes, size, threshold=THRESHOLD).cpu() != marked) & clear
    yield "pasted pixels that differ from the CPU's", float(differ.sum()), 0
    objects, rois, matched, m = make_objects(runner)
    with reference():
        expected = crop_masks(objects.cpu(), rois.cpu().double(), matched.cpu(), m)
    error = relative(crop_masks(objects, rois, matched, m), expected)
    yield "mask targets, difference from float64", error, 1e-5


def run(runner: Runner) -> Measures:
    """Time what a user waits, and what the GPU does."""
    from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

    masks, boxes, size = make_masks(runner)
    pasting = runner.compare(
        lambda: paste_masks_in_image(masks[:, None], boxes, size),
        lambda: paste_masks(masks, boxes, size),
    )
    yield PASTE, pasting

    def binary() -> Tensor:
        return paste_masks(masks, boxes, size, threshold=THRESHOLD)

    alone = runner.compare(binary, binary, kernels=True)
    yield SHARE, *runner.share(len(masks) * size[0] * size[1], alone.ours_ms)

    objects, rois, matched, m = make_objects(runner)
    cropping = runner.compare(
        lambda: project_masks_on_boxes(objects, rois, matched, m),
        lambda: crop_masks(objects, rois, matched, m),
    )
    yield CROP, cropping
