"""Compiles every kernel for GPUs that need not be here, and says what the compiler made of it.

    python tests/compile_kernels.py > facts.json

Runs in a process of its own, without Triton's interpreter. The operations are called on fake
tensors, so that each kernel is compiled through Triton's own launch, with the types, alignments
and constants that its wrapper really passes; only the launch itself is left out.
"""

import json
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction, MockTensor

from mrcnn_lite import ops
from mrcnn_lite.lessons.n17_gpu_training.fake_gpu import backward, watched

TARGETS = (80, 90)  # A100; H100 and H200
IMAGE, COUNT = (800, 1344), 1000


class Address(MockTensor):
    """Stands for a tensor whose memory begins at a multiple of 16, as PyTorch's does."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tensor.dtype, list(tensor.shape))
        self.offset = tensor.storage_offset() * tensor.element_size()

    def data_ptr(self) -> int:
        return self.offset


class Driver:
    """Stands for the driver of a GPU of some compute capability."""

    def __init__(self, capability: int) -> None:
        self.get_current_device = self.get_current_stream = lambda *_: 0
        self.get_current_target = lambda: GPUTarget("cuda", capability, 32)


@contextmanager
def compiling(capability: int) -> Iterator[dict[str, str]]:
    """Inside, each launch of a kernel compiles it and notes its PTX under its name."""
    found: dict[str, str] = {}
    run = JITFunction.run

    def compile_only(kernel: JITFunction, *values: Any, grid: Any, warmup: bool, **options: Any):
        values = [Address(v) if isinstance(v, Tensor) else v for v in values]
        kernel.device_caches.clear()  # of another capability
        made = run(kernel, *values, grid=grid, warmup=True, **options)
        found[kernel.fn.__name__] = made.asm["ptx"]

    driver.set_active(Driver(capability))
    with watched(), mock.patch.object(JITFunction, "run", compile_only):
        yield found


def boxes(dtype: torch.dtype = torch.float32, *shape: int) -> Tensor:
    """Boxes of a GPU, without values."""
    return torch.empty(*(shape or (COUNT,)), 4, dtype=dtype, device="cuda")


def pool(
    dtype: torch.dtype, samples: int = 2, deterministic: bool | None = None, size: int = 7
) -> None:
    """RoIAlign of a pyramid; with `deterministic` given, backward too, in either mode."""
    maps = [torch.empty(2, 256, IMAGE[0] // s, IMAGE[1] // s, dtype=dtype, device="cuda") for s in
            (4, 8, 16, 32)]  # fmt: skip
    maps = [m.contiguous(memory_format=torch.channels_last) for m in maps]
    rois = [boxes(), boxes()]
    if deterministic is not None:
        for leaf in (*maps, *rois):
            leaf.requires_grad_()
    torch.use_deterministic_algorithms(bool(deterministic))
    out = ops.multiscale_roi_align(maps, rois, IMAGE, size, samples, aligned=samples <= 0)
    if deterministic is not None:
        backward(out.sum())
    torch.use_deterministic_algorithms(False)


def match(dtype: torch.dtype) -> None:
    """Anchors and objects."""
    valid = torch.ones(2, 20, dtype=torch.bool, device="cuda")
    ops.best_objects(boxes(dtype, 2, 20), valid, boxes(dtype, 268569), low_quality=True)


def suppress(grouped: bool) -> None:
    """Two images of five levels, or one image of several classes."""
    scores = torch.empty(2, 5, 2000, device="cuda")
    if grouped:
        ops.batched_nms(boxes(), scores[0, 0, :COUNT], scores[0, 0, :COUNT].long(), 0.5)
    else:
        ops.nms_mask(boxes(torch.float32, *scores.shape), scores, scores > 0, 0.7)


def paste(rule: str, threshold: float | None) -> None:
    """A hundred masks."""
    ops.paste_masks(torch.empty(100, 28, 28, device="cuda"), boxes()[:100], (800, 1333), rule,
                    threshold)  # fmt: skip


def crop() -> None:
    """Targets of the mask branch."""
    masks = torch.empty(14, *IMAGE, dtype=torch.uint8, device="cuda")
    ops.crop_masks(masks, boxes()[:256], torch.zeros(256, dtype=torch.int64, device="cuda"), 28)


def pool_maxima() -> None:
    """RoIPool."""
    feature = torch.empty(2, 256, 50, 84, dtype=torch.bfloat16, device="cuda")
    ops.roi_pool(feature, [boxes(), boxes()], 7, 1 / 16)


HALF, WHOLE = torch.bfloat16, torch.float32
CALLS: dict[str, Callable[[], None]] = {
    "fp32": lambda: pool(WHOLE),
    "bf16": lambda: pool(HALF),
    "fp16": lambda: pool(torch.float16),
    "adaptive": lambda: pool(WHOLE, 0),
    "atomic": lambda: pool(HALF, 2, False),
    "deterministic": lambda: pool(HALF, 2, True),
    "mask branch": lambda: pool(HALF, 2, False, 14),
    "matching": lambda: match(WHOLE),
    "matching fp64": lambda: match(torch.float64),
    "suppression": lambda: suppress(False),
    "suppression in groups": lambda: suppress(True),
    "pasting": lambda: paste("torchvision", 0.5),
    "pasting, centres": lambda: paste("pixel_centres", None),
    "targets": crop,
    "maxima": pool_maxima,
}


def facts(ptx: str, target: int) -> dict[str, Any]:
    """What can be read off the compiled code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        name = re.search(r"\.target (\w+)", ptx)[1]
        out = ["-o", path.with_suffix(".cubin")]
        command = [get_ptxas(target).path, "-v", f"--gpu-name={name}", *out, path]
        words = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return {
        "loads": sorted(set(re.findall(r"ld\.global[.\w:]*?((?:v\d\.)?b\d+)", ptx))),
        "atomics": sorted(set(re.findall(r"(?:red|atom)\.global[.\w]*", ptx))),
        "fused": len(re.findall(r"\bfma\.", ptx)),
        "inexact": len(re.findall(r"\b(?:div\.full|div\.approx|rcp\.approx)", ptx)),
        "local": len(re.findall(r"\b(?:ld|st)\.local|\.local ", ptx)),
        "registers": int(re.search(r"Used (\d+) registers", words)[1]),
        "spilled": sum(int(n) for n in re.findall(r"(\d+) bytes (?:spill|stack)", words)),
    }


def main() -> None:
    """Compile all and print the facts as JSON, by call, kernel and target."""
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {}
    for target in TARGETS:
        for name, call in CALLS.items():
            with compiling(target) as made:
                call()
            for kernel, ptx in made.items():
                found[f"{name}: {kernel}, sm_{target}"] = facts(ptx, target)
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
