"""What the GPU benchmarks share: where they run, how they time, what 100 % is.

    python -m benchmarks.gpu        prints what is here: device, versions, ceilings

With a GPU everything runs on it. Without one there is the rehearsal (`--dry`): the same code, the
same kernels in Triton's interpreter on the CPU, at sizes small enough for that. Its comparisons
with the reference are real, its times mean nothing.

A benchmark is a module with a NAME, GOALS by row, and two generators: `gate(runner)` yields
differences (what, value, bound), `run(runner)` yields what is measured (what, value, unit, details)
or (what, comparison).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from benchmarks.table import Row, gate
from benchmarks.timing import Comparison, compare, provenance, seconds

L2_FLUSH = 256 * 2**20  # bytes: several times any GPU's L2 cache
HEAD_START = 10_000_000  # GPU clock ticks, a few ms, in which the host gets ahead
COPY, MATRIX = 2**30, 8192  # bytes; side

Gates = Iterator[tuple[str, float, float]]
Measures = Iterator[tuple]


@dataclass(frozen=True)
class Runner:
    """Where a benchmark runs."""

    device: str  # "cuda", or "cpu" in a rehearsal
    dry: bool  # whether this is a rehearsal, at tiny sizes
    budget_s: float = 3.0  # for each comparison

    def compare(
        self,
        peer: Callable[[], object],
        ours: Callable[[], object],
        kernels: bool = False,
        prepared: bool = False,
    ) -> Comparison:
        """`timing.compare`, as short as can be in a rehearsal.

        `kernels` counts what the GPU does, not what a user waits; with `prepared` the calls prepare
        something and return what is to be timed.
        """
        timer = kernel_seconds if kernels and not self.dry else seconds
        if prepared:
            inner = timer

            def timer(make: Callable) -> float:
                return inner(make())

        if self.dry:
            return compare(peer, ours, 0.0, timer, at_least=2, warm_up=0)
        return compare(peer, ours, self.budget_s, timer)

    def share(self, moved: int, ours_ms: float) -> tuple[float, str, dict[str, float]]:
        """The part of the measured copy bandwidth at which so many bytes were moved."""
        top = self.ceilings["copy_gbs"]
        details = {"ours_ms": ours_ms, "bytes": moved, "copy_gbs": top}
        return 100 * moved / (ours_ms / 1000) / (top * 1e9), "%", details

    @cached_property
    def ceilings(self) -> dict[str, float]:
        """What 100 % is here, best of ten: a copy's bytes read and written, bf16 multiply-adds."""
        size, side = (2**16, 32) if self.dry else (COPY, MATRIX)
        timer, device = seconds if self.dry else kernel_seconds, self.device
        source = torch.ones(size // 4, device=device)
        target = torch.empty_like(source)
        a = torch.ones(side, side, dtype=torch.bfloat16, device=device)
        out = torch.empty_like(a)
        copy = min(timer(lambda: target.copy_(source)) for _ in range(10))
        product = min(timer(lambda: torch.mm(a, a, out=out)) for _ in range(10))
        return {
            "copy_gbs": round(2 * size / copy / 1e9, 1),
            "matrix_tflops": round(2 * side**3 / product / 1e12, 1),
        }


def measure(module: ModuleType, runner: Runner) -> Iterator[Row]:
    """The rows of one benchmark, as they are measured; its gates come first, and one that fails
    raises `Different`."""
    for entry in module.gate(runner):
        yield gate(module.NAME, *entry)
    for what, found, *rest in module.run(runner):
        unit, details = rest or ("x", {})
        if isinstance(found, Comparison):
            found, details = found.ratio, found.as_dict() | details
        yield Row(module.NAME, what, found, unit, module.GOALS[what], details=details)


@contextmanager
def runner(dry: bool, budget_s: float = 3.0) -> Iterator[Runner]:
    """Inside, every operation of ours runs as a kernel, or says it has none."""
    from mrcnn_lite.ops.backend import forget_kernels, use_backend

    device = "cpu" if dry else "cuda"
    if not dry and not torch.cuda.is_available():
        raise RuntimeError("no CUDA device is here; rehearse with --dry")
    if dry:
        os.environ["TRITON_INTERPRET"] = "1"
    from mrcnn_lite import kernels

    kernels.register(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if dry else threads)  # more would wait for each other
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with use_backend("triton"):
            yield Runner(device, dry, budget_s)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
        torch.set_num_threads(threads)
        if dry:  # or "auto" would go on interpreting
            forget_kernels(device)


@contextmanager
def reference() -> Iterator[None]:
    """Inside, operations run in their tensor form: the reference, in float64 on the CPU."""
    from mrcnn_lite.ops.backend import use_backend

    with use_backend("torch"):
        yield


def kernel_seconds(call: Callable[[], object]) -> float:
    """The time that a call's kernels take on the GPU, from a cold L2 cache, by CUDA events.

    The GPU is kept busy until the host has queued all the work, so that the host's own time does
    not count. A call that waits for the GPU by itself is timed with that wait.
    """
    _flush_buffer().zero_()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(HEAD_START)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def count_waits(call: Callable[[], object], dry: bool) -> int | None:
    """How often PyTorch warns that a call waits for the GPU, once it is warm; None without one."""
    call()
    if dry:
        return None
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)


@cache
def _flush_buffer() -> Tensor:
    return torch.empty(L2_FLUSH // 4, dtype=torch.int32, device="cuda")


def facts(runner: Runner) -> dict[str, Any]:
    """Date, device, driver, versions and ceilings."""
    known: dict[str, Any] = provenance("torchvision", "triton")
    if runner.device == "cuda":
        known |= {
            "driver": _driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "capability_gpu": ".".join(map(str, torch.cuda.get_device_capability())),
            "memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1),
        }
    return known | runner.ceilings


def _driver() -> str:
    """The driver's version, where its tool is here."""
    if not shutil.which("nvidia-smi"):
        return "unknown"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    printed = subprocess.run(command, capture_output=True, text=True).stdout
    return printed.split("\n")[0].strip() or "unknown"


def relative(found: Tensor, expected: Tensor) -> float:
    """The length of the difference, relative to the length of what is right (float64, CPU)."""
    expected = expected.detach().double().cpu()
    error = found.detach().double().cpu() - expected
    return float(error.norm() / expected.norm().clamp(min=1e-300))


def of_largest(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value of what is right."""
    expected = expected.detach().double().cpu()
    error = found.detach().double().cpu() - expected
    return float(error.abs().max() / expected.abs().max().clamp(min=1e-300))


if __name__ == "__main__":
    here = Runner("cuda", dry=False) if torch.cuda.is_available() else Runner("cpu", dry=True)
    print(json.dumps(facts(here), indent=1))
