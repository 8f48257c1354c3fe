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
from benchmarks.gpu import Gates, Measures, Runner, of_largest, reference, relative
from benchmarks.table import Goal
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


def gate(runner: Runner) -> Gates:
    """Compare with float64: float32 by length, bf16 by the largest difference."""
    size = inputs.size_of(runner)
    boxes = inputs.make_boxes(size, runner.device)
    for dtype, measure, bound in (
        (torch.float32, relative, BOUND32),
        (torch.bfloat16, of_largest, BOUND16),
    ):
        maps = inputs.make_maps(size, dtype, runner.device)
        error = measure(inputs.ours(maps, boxes, size), in_float64(maps, boxes, size))
        name = str(dtype).removeprefix("torch.")
        yield f"forward, {name}, difference from float64", error, bound
    pool = inputs.torchvisions_pooler(size)
    maps = inputs.make_maps(size, torch.float32, runner.device)
    error = relative(inputs.ours(maps, boxes, size), pool(maps, boxes))
    yield "forward, float32, difference from the peer", error, BOUND32


def run(runner: Runner) -> Measures:
    """Time it."""
    size = inputs.size_of(runner)
    boxes = inputs.make_boxes(size, runner.device)
    yield WAIT, wall(runner, size, boxes)
    for dtype, share in ((torch.float32, SHARE32), (torch.bfloat16, SHARE16)):
        alone = kernels_alone(runner, size, boxes, dtype)
        if dtype == torch.float32:
            yield KERNELS, alone
        moved = inputs.bytes_forward(size, boxes, dtype.itemsize)
        yield share, *runner.share(moved, alone.ours_ms)


def wall(runner: Runner, size: inputs.Size, boxes: list[Tensor]) -> Comparison:
    """bf16 features, the peer under autocast, in the layout that suits it better."""
    maps = inputs.make_maps(size, torch.bfloat16, runner.device)
    pool, results = inputs.torchvisions_pooler(size), []
    for layout in (torch.contiguous_format, torch.channels_last):
        theirs = [m.contiguous(memory_format=layout) for m in maps]
        # On a CPU torchvision's operation knows no bf16.
        theirs = [m.float() for m in theirs] if runner.dry else theirs

        def peer(theirs: list[Tensor] = theirs) -> None:
            with torch.autocast(runner.device, torch.bfloat16, not runner.dry), torch.no_grad():
                pool(theirs, boxes)

        def ours() -> None:
            with torch.no_grad():
                inputs.ours(maps, boxes, size)

        results.append(runner.compare(peer, ours))
    return min(results, key=lambda result: result.ratio)


def kernels_alone(
    runner: Runner, size: inputs.Size, boxes: list[Tensor], dtype: torch.dtype = torch.float32
) -> Comparison:
    """The peer, always float32, gets its layout, and RoIs that are sorted by level already."""
    rois = inputs.rois_by_level(boxes, size)
    maps = inputs.make_maps(size, dtype, runner.device)
    theirs = [m.float().contiguous() for m in maps]
    with torch.no_grad():
        return runner.compare(
            lambda: inputs.torchvisions_kernels(theirs, rois, size.pooled),
            lambda: inputs.ours(maps, boxes, size),
            kernels=True,
        )
