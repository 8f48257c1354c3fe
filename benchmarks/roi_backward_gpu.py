"""RoIAlign's backward pass on a GPU: atomic and deterministic, ours against torchvision's.

    python -m benchmarks roi_backward_gpu [--dry] [--store]

What one training step sends back to the pyramid: 1024 RoIs of 7 x 7 and 256 of 14 x 14, two images
of 800 x 1344, 256 channels, float32. First all gradients are compared with float64 on the CPU. In
PyTorch's deterministic mode torchvision's operation is made of compiled Python; its first call, in
which it compiles, is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks import roi_input as inputs
from benchmarks.gpu import Gates, Measures, Runner, reference, relative
from benchmarks.table import Goal

NAME = "roi_backward_gpu"
GOALS = {
    "backward, fp32, kernels alone": Goal(5, 12),
    "deterministic backward, against the peer's deterministic mode": Goal(10, 50),
    "deterministic backward, time relative to our atomic one": Goal(1.5, at_most=True),
}
ATOMIC, DETERMINISTIC, COST = GOALS
BOUND = 1e-5
RoIs = list[tuple[list[Tensor], inputs.Size]]


class Work(NamedTuple):
    """What is sent back."""

    rois: RoIs  # boxes and their size of output, for the box branch and for the mask branch
    grads: list[Tensor]  # of each output, [K, C, P, P]


def make_work(runner: Runner, boxes: int = 1024, masks: int = 256) -> Work:
    """RoIs and gradients, float32."""
    first = inputs.size_of(runner, rois=boxes)
    second = replace(first, rois=2 if runner.dry else masks, pooled=2 * first.pooled)
    rois = [
        (inputs.make_boxes(size, runner.device, seed), size)
        for seed, size in enumerate((first, second))
    ]
    generator = torch.Generator().manual_seed(2)
    shapes = [(s.rois, s.channels, s.pooled, s.pooled) for _, s in rois]
    grads = [torch.randn(shape, generator=generator).to(runner.device) for shape in shapes]
    return Work(rois, grads)


def send_back(maps: list[Tensor], outputs: list[Tensor], grads: list[Tensor]) -> tuple:
    """The gradients of the maps."""
    return torch.autograd.grad(outputs, maps, grads)


def ours(maps: list[Tensor], work: Work) -> Callable[[], tuple]:
    """Our forward pass now, and the backward pass to be called."""
    outputs = [inputs.ours(maps, boxes, size) for boxes, size in work.rois]
    return lambda: send_back(maps, outputs, work.grads)


def peer(maps: list[Tensor], levels: list[list[Tensor]], work: Work) -> Callable[[], tuple]:
    """torchvision's forward pass now, level by level, and the backward pass to be called."""
    outputs, grads = [], []
    for rois, (boxes, size), grad in zip(levels, work.rois, work.grads, strict=True):
        outputs += inputs.torchvisions_kernels(maps, rois, size.pooled)
        level = inputs.level_of_each(boxes, size)
        grads += [grad[level == l] for l in range(len(rois))]
    return lambda: send_back(maps, outputs, grads)


@contextmanager
def deterministic(mode: bool = True) -> Iterator[None]:
    """PyTorch's deterministic mode, or not."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def gate(runner: Runner) -> Gates:
    """Compare the gradients of both modes with float64; the deterministic one with itself too."""
    work = make_work(runner)
    maps = inputs.make_maps(work.rois[0][1], torch.float32, runner.device)
    with reference():
        doubles = [m.cpu().double().requires_grad_() for m in maps]
        rois = [([b.cpu().double() for b in boxes], size) for boxes, size in work.rois]
        expected = ours(doubles, Work(rois, [g.cpu().double() for g in work.grads]))()
    leaves = [m.requires_grad_() for m in maps]
    for name, mode in (("atomic", False), ("deterministic", True)):
        with deterministic(mode):
            found = ours(leaves, work)()
        error = max(relative(a, b) for a, b in zip(found, expected, strict=True))
        yield f"{name} gradients, difference from float64", error, BOUND
    with deterministic():
        again = ours(leaves, work)()
    other = float(sum((a != b).sum() for a, b in zip(found, again, strict=True)))
    yield "deterministic, elements that differ when repeated", other, 0


def run(runner: Runner) -> Measures:
    """Time the backward pass alone; every call gets a fresh forward pass, which does not count."""
    work = make_work(runner)
    maps = inputs.make_maps(work.rois[0][1], torch.float32, runner.device)
    leaves = [m.requires_grad_() for m in maps]
    theirs = [m.detach().contiguous().requires_grad_() for m in maps]
    levels = [inputs.rois_by_level(boxes, size) for boxes, size in work.rois]
    made = {
        "peer": lambda: peer(theirs, levels, work),
        "ours": lambda: ours(leaves, work),
    }

    def with_mode(who: str, mode: bool) -> Callable[[], Callable]:
        def prepare() -> Callable:
            with deterministic(mode):
                call = made[who]()

            def timed() -> None:
                with deterministic(mode):
                    call()

            return timed

        return prepare

    for what, against, mine in (
        (ATOMIC, ("peer", False), ("ours", False)),
        (DETERMINISTIC, ("peer", True), ("ours", True)),
        (COST, ("ours", True), ("ours", False)),
    ):
        calls = with_mode(*against), with_mode(*mine)
        yield what, runner.compare(*calls, kernels=True, prepared=True)
