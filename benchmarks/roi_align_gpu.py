"""RoIAlign of a feature pyramid on a GPU, forward: ours against torchvision's.

    python -m benchmarks roi_align_gpu [--dry] [--store]

1000 RoIs, 7 x 7, two images of 800 x 1344, 256 channels. First both precisions are compared with
float64 on the CPU. Then: what a user waits under autocast, where `MultiScaleRoIAlign` casts, loops
over levels and waits for the GPU; what the kernels alone take in float32; and which part of the
measured copy bandwidth our kernel reaches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks import roi_input as inputs
from benchmarks.gpu import Stage, ceilings, of_largest, reference, relative, require
from benchmarks.table import Goal, Row
from benchmarks.timing import Comparison

NAME = "roi_align_gpu"
GOALS = {
    "forward, bf16, what a user waits": Goal(10, 25),
    "forward, fp32, kernels alone": Goal(2, 4),
    "forward, fp32, share of the copy bandwidth": Goal(45, 75),
    "forward, bf16, share of the copy bandwidth": Goal(45, 75),
}
WAIT, KERNELS, SHARE32, SHARE16 = GOALS
BOUND32, BOUND16 = 1e-5, 2e-2


def in_float64(maps: list[Tensor], boxes: list[Tensor], size: inputs.Size) -> Tensor:
    """The reference."""
    with reference():
        doubles = [m.cpu().double() for m in maps]
        return inputs.ours(doubles, [b.cpu().double() for b in boxes], size)


def gate(stage: Stage) -> list[Row]:
    """Compare with float64: float32 by length, bf16 by the largest difference."""
    size, rows = inputs.size_of(stage), []
    boxes = inputs.make_boxes(size, stage.device)
    for dtype, measure, bound in (
        (torch.float32, relative, BOUND32),
        (torch.bfloat16, of_largest, BOUND16),
    ):
        maps = inputs.make_maps(size, dtype, stage.device)
        error = measure(inputs.ours(maps, boxes, size), in_float64(maps, boxes, size))
        name = str(dtype).removeprefix("torch.")
        rows.append(require(NAME, f"gate: forward, {name}, difference from float64", error, bound))
    pool = inputs.torchvisions_pooler(size)
    maps = inputs.make_maps(size, torch.float32, stage.device)
    error = relative(inputs.ours(maps, boxes, size), pool(maps, boxes))
    rows.append(require(NAME, "gate: forward, float32, difference from the peer", error, BOUND32))
    return rows


def run(stage: Stage) -> list[Row]:
    """Time it."""
    size = inputs.size_of(stage)
    boxes = inputs.make_boxes(size, stage.device)
    waits, top = wall(stage, size, boxes), ceilings(stage)["copy_gbs"]
    rows = [Row(NAME, WAIT, waits.ratio, "x", GOALS[WAIT], details=waits.as_dict())]
    for dtype, share in ((torch.float32, SHARE32), (torch.bfloat16, SHARE16)):
        alone = kernels_alone(stage, size, boxes, dtype)
        if dtype == torch.float32:
            ratio, details = alone.ratio, alone.as_dict()
            rows.append(Row(NAME, KERNELS, ratio, "x", GOALS[KERNELS], details=details))
        moved = inputs.bytes_forward(size, boxes, dtype.itemsize)
        value = 100 * moved / (alone.ours_ms / 1000) / (top * 1e9)
        details = {"ours_ms": alone.ours_ms, "bytes": moved, "copy_gbs": top}
        rows.append(Row(NAME, share, value, "%", GOALS[share], details=details))
    return rows


def wall(stage: Stage, size: inputs.Size, boxes: list[Tensor]) -> Comparison:
    """bf16 features, the peer under autocast, in the layout that suits it better."""
    maps = inputs.make_maps(size, torch.bfloat16, stage.device)
    pool, found = inputs.torchvisions_pooler(size), []
    for layout in (torch.contiguous_format, torch.channels_last):
        theirs = [m.contiguous(memory_format=layout) for m in maps]
        # On a CPU torchvision's operation knows no bf16.
        theirs = [m.float() for m in theirs] if stage.dry else theirs

        def peer(theirs: list[Tensor] = theirs) -> None:
            with torch.autocast(stage.device, torch.bfloat16, not stage.dry), torch.no_grad():
                pool(theirs, boxes)

        def ours() -> None:
            with torch.no_grad():
                inputs.ours(maps, boxes, size)

        found.append(stage.compare(peer, ours))
    return min(found, key=lambda result: result.ratio)


def kernels_alone(
    stage: Stage, size: inputs.Size, boxes: list[Tensor], dtype: torch.dtype = torch.float32
) -> Comparison:
    """The peer, always float32, gets its layout, and RoIs that are sorted by level already."""
    rois = inputs.rois_by_level(boxes, size)
    maps = inputs.make_maps(size, dtype, stage.device)
    theirs = [m.float().contiguous() for m in maps]
    with torch.no_grad():
        return stage.compare(
            lambda: inputs.torchvisions_kernels(theirs, rois, size.pooled),
            lambda: inputs.ours(maps, boxes, size),
            kernels=True,
        )
