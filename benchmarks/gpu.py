"""What the GPU benchmarks share: where they run, how they time, what 100 % is.

With a GPU everything runs on it. Without one there is the rehearsal (`--dry`): the same code, the
same kernels in Triton's interpreter on the CPU, at sizes small enough for that. Its comparisons
with the reference are real, its times mean nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.table import Goal, Row
from benchmarks.timing import Comparison, compare, provenance, seconds

L2_FLUSH = 256 * 2**20  # bytes: several times any GPU's L2 cache
HEAD_START = 10_000_000  # GPU clock ticks, a few ms, in which the host gets ahead
COPY, MATRIX = 2**30, 8192  # bytes; side


class Different(Exception):
    """Ours does not give the reference's numbers: times would mean nothing."""


@dataclass(frozen=True)
class Stage:
    """Where a benchmark runs.

    Attributes:
        device: "cuda", or "cpu" in a rehearsal.
        dry: whether this is a rehearsal, at tiny sizes.
        budget_s: seconds for each comparison.
    """

    device: str
    dry: bool
    budget_s: float = 3.0

    def compare(
        self,
        peer: Callable[[], object],
        ours: Callable[[], object],
        kernels: bool = False,
        prepared: bool = False,
    ) -> Comparison:
        """`timing.compare`, as short as can be in a rehearsal.

        Args:
            peer, ours: the calls.
            kernels: whether to count what the GPU does, not what a user waits.
            prepared: whether the calls prepare something and return what is to be timed.
        """
        timer = kernel_seconds if kernels and not self.dry else seconds
        if prepared:
            inner = timer

            def timer(make: Callable) -> float:
                return inner(make())

        if self.dry:
            return compare(peer, ours, 0.0, timer, at_least=2, warm_up=0)
        return compare(peer, ours, self.budget_s, timer)


@contextmanager
def stage(dry: bool, budget_s: float = 3.0) -> Iterator[Stage]:
    """Prepare the place; inside, every operation of ours runs as a kernel, or says it has none.

    Args:
        dry: whether to rehearse on the CPU.
        budget_s: seconds for each comparison.

    Raises:
        RuntimeError: no GPU and no rehearsal, or the kernels were loaded without the interpreter.
    """
    from mrcnn_lite.ops.backend import forget_kernels, use_backend

    device = "cpu" if dry else "cuda"
    if not dry and not torch.cuda.is_available():
        raise RuntimeError("no CUDA device is here; rehearse with --dry")
    if dry:
        os.environ["TRITON_INTERPRET"] = "1"
    from mrcnn_lite import kernels
    from mrcnn_lite.kernels.roi_align import _roi_align_kernel

    if dry and type(_roi_align_kernel).__name__ != "InterpretedFunction":
        raise RuntimeError("the kernels were loaded before; set TRITON_INTERPRET=1 from the start")
    kernels.register(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if dry else threads)  # more would wait for each other
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with use_backend("triton"):
            yield Stage(device, dry, budget_s)
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
    """The time that a call's kernels take on the GPU, from a cold L2 cache.

    The GPU is kept busy until the host has queued all the work, so that the host's own time does
    not count. A call that waits for the GPU by itself is timed with that wait.

    Args:
        call: what to time.

    Returns:
        Seconds, by CUDA events.
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
    """How often PyTorch warns that a call waits for the GPU, once it is warm.

    Args:
        call: what to watch.
        dry: whether there is no GPU; then the answer is None.
    """
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


_buffers: dict[str, Tensor] = {}


def _flush_buffer() -> Tensor:
    if "flush" not in _buffers:
        _buffers["flush"] = torch.empty(L2_FLUSH // 4, dtype=torch.int32, device="cuda")
    return _buffers["flush"]


def ceilings(stage: Stage) -> dict[str, float]:
    """What 100 % is here, measured: bytes per second of a copy, bf16 operations of a product.

    Args:
        stage: where.

    Returns:
        `copy_gbs` (read and written together) and `matrix_tflops`, the best of ten.
    """
    size, side = (2**16, 32) if stage.dry else (COPY, MATRIX)
    timer, device = seconds if stage.dry else kernel_seconds, stage.device
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


def facts(stage: Stage) -> dict[str, Any]:
    """Date, device, driver, versions and ceilings."""
    found: dict[str, Any] = provenance("torchvision", "triton")
    if stage.device == "cuda":
        found |= {
            "driver": _driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "capability_gpu": ".".join(map(str, torch.cuda.get_device_capability())),
            "memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1),
        }
    return found | ceilings(stage)


def _driver() -> str:
    """The driver's version, where its tool is here."""
    if not shutil.which("nvidia-smi"):
        return "unknown"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.split("\n")[0].strip() or "unknown"


def relative(found: Tensor, wanted: Tensor) -> float:
    """The length of the difference, relative to the length of what is right (float64, CPU)."""
    wanted = wanted.detach().double().cpu()
    error = found.detach().double().cpu() - wanted
    return float(error.norm() / wanted.norm().clamp(min=1e-300))


def of_largest(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, relative to the largest value of what is right."""
    wanted = wanted.detach().double().cpu()
    error = found.detach().double().cpu() - wanted
    return float(error.abs().max() / wanted.abs().max().clamp(min=1e-300))


def require(benchmark: str, what: str, value: float, bound: float) -> Row:
    """A gate: a difference that may not exceed a bound.

    Args:
        benchmark: whose gate it is.
        what: what differs from what.
        value: the difference.
        bound: the largest that is accepted.

    Returns:
        The row.

    Raises:
        Different: it exceeds the bound, or is NaN.
    """
    if not value <= bound:
        raise Different(f"{benchmark}: {what}: {value:.2e} exceeds {bound:g}")
    return Row(benchmark, what, value, "", Goal(bound, at_most=True))
