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

from benchmarks.gpu import Stage, ceilings, reference, relative, require
from benchmarks.table import Goal, Row
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


def make_masks(stage: Stage) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Probabilities [N, M, M], their boxes [N, 4], the size of the image."""
    count, m, (height, width) = (3, 5, (20, 31)) if stage.dry else (100, 28, (800, 1333))
    g = torch.Generator().manual_seed(0)
    masks = torch.rand(count, m, m, generator=g)
    extent = torch.tensor([width, height])
    corner = torch.rand(count, 2, generator=g) * extent * 0.7
    side = (0.05 + 0.25 * torch.rand(count, 2, generator=g)) * extent
    boxes = torch.cat([corner, corner + side], dim=1)  # [N, 4]
    return masks.to(stage.device), boxes.to(stage.device), (height, width)


def make_objects(stage: Stage) -> tuple[Tensor, Tensor, Tensor, int]:
    """Masks [G, H, W] of bytes, RoIs [K, 4], the mask of each [K], M."""
    count, m, (height, width) = (4, 5, (20, 31)) if stage.dry else (256, 28, (800, 1344))
    g = torch.Generator().manual_seed(1)
    coarse = torch.rand(14, 1, 9, 9, generator=g)
    masks = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[:, 0] > 0.5
    extent = torch.tensor([width, height])
    corner = torch.rand(count, 2, generator=g) * extent * 0.6
    side = (0.05 + 0.3 * torch.rand(count, 2, generator=g)) * extent
    boxes = torch.cat([corner, corner + side], dim=1)  # [K, 4]
    matched = torch.arange(count) % len(masks)  # [K]
    device = stage.device
    return masks.to(torch.uint8).to(device), boxes.to(device), matched.to(device), m


def gate(stage: Stage) -> list[Row]:
    """Compare every pixel and every cell with the tensor form on the CPU."""
    masks, boxes, size = make_masks(stage)
    host = masks.cpu(), boxes.cpu()
    with reference():
        wanted = paste_masks(*host, size)
        marked = paste_masks(*host, size, threshold=THRESHOLD)
    found = paste_masks(masks, boxes, size).cpu()
    clear = (wanted - THRESHOLD).abs() > NEAR
    differ = (paste_masks(masks, boxes, size, threshold=THRESHOLD).cpu() != marked) & clear
    rows = [
        require(
            NAME,
            "gate: pasted probabilities, difference from the CPU's",
            float((found - wanted).abs().max()),
            BOUND,
        ),
        require(NAME, "gate: pasted pixels that differ from the CPU's", float(differ.sum()), 0),
    ]
    objects, rois, matched, m = make_objects(stage)
    found = crop_masks(objects, rois, matched, m)
    with reference():
        wanted = crop_masks(objects.cpu(), rois.cpu().double(), matched.cpu(), m)
    rows.append(
        require(NAME, "gate: mask targets, difference from float64", relative(found, wanted), 1e-5)
    )
    return rows


def run(stage: Stage) -> list[Row]:
    """Time what a user waits, and what the GPU does."""
    from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

    masks, boxes, size = make_masks(stage)
    result = stage.compare(
        lambda: paste_masks_in_image(masks[:, None], boxes, size),
        lambda: paste_masks(masks, boxes, size),
    )
    rows = [Row(NAME, PASTE, result.ratio, "x", GOALS[PASTE], details=result.as_dict())]

    def binary() -> Tensor:
        return paste_masks(masks, boxes, size, threshold=THRESHOLD)

    result = stage.compare(binary, binary, kernels=True)
    moved, top = len(masks) * size[0] * size[1], ceilings(stage)["copy_gbs"] * 1e9
    share = 100 * moved / (result.ours_ms / 1000) / top
    details = {"ours_ms": result.ours_ms, "bytes": moved, "copy_gbs": top / 1e9}
    rows.append(Row(NAME, SHARE, share, "%", GOALS[SHARE], details=details))

    objects, rois, matched, m = make_objects(stage)
    result = stage.compare(
        lambda: project_masks_on_boxes(objects, rois, matched, m),
        lambda: crop_masks(objects, rois, matched, m),
    )
    rows.append(Row(NAME, CROP, result.ratio, "x", GOALS[CROP], details=result.as_dict()))
    return rows
