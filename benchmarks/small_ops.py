"""Suppression and RoIPool of few boxes on a CPU: what torchvision does in one call of C++.

    python -m benchmarks.small_ops [--threads 1] [--seconds 1] [--json FILE]

First the answers must be equal to torchvision's. Then the ratio, above 1 where ours is faster, and
the reason where it is not. Ours is made of operations of PyTorch, and each has its price however
few numbers it is given: their number times the least that an addition of eight numbers takes here,
and a view, is a floor under our time. Beside it stands the operation that takes the longest. There
is no goal: none is in reach where the floor, or that one operation, is about torchvision's time.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torchvision
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import timing
from benchmarks.cpu import Report, command
from benchmarks.table import Different, Row, ratio
from mrcnn_lite import ops

BOXES, ROIS, GROUPS, SIDE, IOU = (10, 50, 100, 300), (8, 32), 5, 200, 0.5
MAP, BINS, SCALE = (1, 48, 32, 32), 7, 1 / 4
Call = Callable[[], Tensor]


class Counted(TorchDispatchMode):
    """Counts the operations that are asked of PyTorch, and times them by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.views = 0
        self.us: dict[str, float] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one and note it."""
        self.views += func.is_view
        self.operations += not func.is_view
        name, start = func.__name__.split(".")[0], time.perf_counter()
        result = func(*args, **(kwargs or {}))
        self.us[name] = self.us.get(name, 0.0) + (time.perf_counter() - start) * 1e6
        return result


def cases() -> Iterator[tuple[str, Call, Call]]:
    """What is timed: a name, torchvision's call and ours."""
    g = torch.Generator().manual_seed(0)

    def boxes(n: int, side: int) -> Tensor:
        corner = torch.rand(n, 2, generator=g) * side
        return torch.cat([corner, corner + torch.rand(n, 2, generator=g) * side / 3], dim=1)

    for n in BOXES:
        # Distinct scores: torchvision leaves the order of equal ones open.
        given = boxes(n, SIDE), torch.randperm(n, generator=g).float()
        yield f"nms, {n} boxes", *both("nms", *given, IOU)
        grouped = *given, torch.randint(GROUPS, (n,), generator=g), IOU
        yield f"batched_nms, {n} boxes in {GROUPS} groups", *both("batched_nms", *grouped)
    features = torch.randn(MAP, generator=g)
    for k in ROIS:
        rois = torch.cat([torch.zeros(k, 1), boxes(k, int(MAP[-1] / SCALE))], dim=1)
        yield f"roi_pool forward, {k} RoIs", *both("roi_pool", features, rois, BINS, SCALE)


def both(name: str, *given: Any) -> tuple[Call, Call]:
    """The same arguments for torchvision's call and for ours."""
    return partial(getattr(torchvision.ops, name), *given), partial(getattr(ops, name), *given)


def why(ours: Call, runs: int = 20) -> dict[str, Any]:
    """How many operations a call of ours asks for, what they take at least, which the longest."""
    counted = [Counted() for _ in range(runs)]
    for run in counted:
        with run:
            ours()
    us = {name: statistics.median(run.us[name] for run in counted) for name in counted[0].us}
    longest, eight = max(us, key=us.__getitem__), torch.ones(8)
    cheap = partial(torch.add, eight, eight), eight.detach
    add, view = (min(timeit.repeat(f, number=200, repeat=20)) / 200 * 1e6 for f in cheap)
    return {
        "operations": counted[0].operations,
        "views": counted[0].views,
        "operation_us": round(add, 3),
        "view_us": round(view, 3),
        "longest": longest,
        "longest_us": round(us[longest], 1),
    }


def measure(seconds: float) -> Report:
    """Compare the answers, then the times."""
    results = {}
    for what, peer, ours in cases():
        if not torch.equal(peer(), ours()):
            raise Different(f"{what}: the answers differ: times would mean nothing")
        found = timing.compare(peer, ours, seconds)
        results[what] = found.as_dict() | why(ours)
        print(f"{what}: {found.ratio:.2f}x ({found.low:.2f} to {found.high:.2f})")
        print(f"    {reason(results[what])}", flush=True)
    return {"results": results}


def reason(found: dict[str, Any]) -> str:
    """The floor beside both times, in words."""
    floor = found["operations"] * found["operation_us"] + found["views"] * found["view_us"]
    peer, ours = found["peer_ms"] * 1000, found["ours_ms"] * 1000
    return (
        f"floor {floor:.0f} us = {found['operations']} operations x {found['operation_us']:.1f} us "
        f"+ {found['views']} views x {found['view_us']:.1f} us; {found['longest_us']:.0f} us for "
        f"{found['longest']}; ours {ours:.0f} us, torchvision {peer:.0f} us"
    )


def rows(report: Report) -> list[Row]:
    """The ratios, and why they are what they are."""
    found = report["results"].items()
    return [replace(ratio("small_ops", what, it, None), why=reason(it)) for what, it in found]


def main() -> int:
    """Measure all; status 1 when an answer differs."""
    return command(__doc__, measure, threads=1, seconds=(1.0, "for each comparison"))


if __name__ == "__main__":
    raise SystemExit(main())
