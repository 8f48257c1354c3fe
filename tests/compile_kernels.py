"""Compiles every kernel for GPUs that need not be here, and says what the compiler made of it.

    python tests/compile_kernels.py > facts.json

Runs in a process of its own, without Triton's interpreter. Each entry of KERNELS is a kernel with
the types of its arguments; one that ends in `_ptr` or begins with `map` is a pointer.
"""

import importlib
import json
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from triton.backends.nvidia.compiler import get_ptxas

from mrcnn_lite.lessons.n16_gpu_roi_align.compiled import to_ptx

TARGETS = (80, 90)  # A100; H100 and H200
WHOLE = {"table_ptr": "fp32", "map_index_ptr": "i32", "corner_ptr": "fp32", "channels": "i32"}
POOL = {"ROWS": 7, "COLUMNS": 7, "SAMPLES": 2, "ALIGNED": False}

# name of the case: module, kernel, types of arguments (maps: `map`), compile-time constants
KERNELS: dict[str, tuple[str, str, dict[str, str], dict[str, Any]]] = {
    f"roi_align {dtype}": (
        "roi_align",
        "_roi_align_kernel",
        {**WHOLE, "map": dtype, "out_ptr": dtype},
        {**POOL, "BLOCK_P": 8, "BLOCK_C": 128},
    )
    for dtype in ("fp32", "bf16", "fp16")
}
KERNELS["roi_align adaptive"] = (
    "roi_align",
    "_roi_align_kernel",
    {**WHOLE, "map": "fp32", "out_ptr": "fp32"},
    {**POOL, "SAMPLES": 0, "ALIGNED": True, "BLOCK_P": 8, "BLOCK_C": 128},
)
KERNELS["roi_align backward, atomic"] = (
    "roi_align_backward",
    "_atomic_kernel",
    {**WHOLE, "map": "fp32", "grad_ptr": "bf16"},
    {**POOL, "BLOCK_P": 8, "BLOCK_C": 64},
)
KERNELS["roi_align backward, deterministic"] = (
    "roi_align_backward",
    "_tile_kernel",
    {
        "map_ptr": "fp32",
        "table_ptr": "fp32",
        "order_ptr": "i64",
        "begin_ptr": "i64",
        "corner_ptr": "fp32",
        "grad_ptr": "bf16",
        "tiles_x": "i32",
        "tiles_y": "i32",
        "channels": "i32",
    },
    {**POOL, "BLOCK_P": 8, "BLOCK_C": 64},
)
KERNELS["roi_align boxes"] = (
    "roi_align_boxes",
    "_boxes_kernel",
    {**WHOLE, "map": "bf16", "grad_ptr": "bf16", "out_ptr": "fp32"},
    {**POOL, "BLOCK": (8, 128)},
)
KERNELS["roi_pool"] = (
    "roi_pool",
    "_roi_pool_kernel",
    {
        "map_ptr": "bf16",
        "image_ptr": "i64",
        "corner_ptr": "fp32",
        "scale_ptr": "fp32",
        "out_ptr": "bf16",
        "argmax_ptr": "i32",
        "h": "i32",
        "w": "i32",
        "channels": "i32",
    },
    {"ROWS": 7, "COLUMNS": 7, "BLOCK_P": 8, "BLOCK_C": 128},
)
KERNELS["crop_masks"] = (
    "masks",
    "_crop_kernel",
    {
        "mask_ptr": "u8",
        "box_ptr": "fp32",
        "matched_ptr": "i64",
        "out_ptr": "fp32",
        "h": "i32",
        "w": "i32",
        "full": "fp32",
    },
    {"M": 28, "ALIGNED": False, "BLOCK_M": 32},
)
for _rule, _binary in (("torchvision", True), ("pixel_centres", False)):
    KERNELS[f"paste_masks {_rule}"] = (
        "masks",
        "_paste_kernel",
        {
            "mask_ptr": "fp32",
            "box_ptr": "fp32",
            "out_ptr": "u8" if _binary else "fp32",
            "threshold_ptr": "fp32",
            "h": "i32",
            "w": "i32",
        },
        {
            "M": 28,
            "ROUNDED": _rule == "torchvision",
            "BINARY": _binary,
            "BLOCK_Y": 8,
            "BLOCK_X": 128,
        },
    )
for _dtype in ("fp32", "fp64"):
    _boxes = {"box_ptr": _dtype, "object_ptr": _dtype, "boxes": "i32"}
    _images = {**_boxes, "top_ptr": _dtype, "objects": "i32", "box_stride": "i32"}
    KERNELS[f"best objects {_dtype}"] = (
        "matching",
        "_best_kernel",
        {**_images, "valid_ptr": "u8", "iou_ptr": _dtype, "index_ptr": "i64"},
        {"BLOCK_A": 256},
    )
    KERNELS[f"low quality {_dtype}"] = (
        "matching",
        "_low_quality_kernel",
        {**_images, "low_quality_ptr": "u8"},
        {"BLOCK_A": 256},
    )
for _grouped in (False, True):
    KERNELS[f"conflicts{' in groups' if _grouped else ''}"] = (
        "nms",
        "_conflict_kernel",
        {
            "box_ptr": "fp32",
            "group_ptr": "i64",
            "limit_ptr": "fp32",
            "word_ptr": "i64",
            "boxes": "i32",
            "blocks": "i32",
        },
        {"GROUPED": _grouped},
    )
KERNELS["suppression"] = (
    "nms",
    "_solve_kernel",
    {"word_ptr": "i64", "valid_ptr": "u8", "keep_ptr": "u8", "boxes": "i32", "blocks": "i32"},
    {"CHUNK": 256},
)
# Launch options of some modules; the others are launched with Triton's defaults.
OPTIONS = {
    "matching": {"enable_fp_fusion": False},
    "nms": {"num_warps": 8, "enable_fp_fusion": False},
}


def compiled(target: int, module: str, kernel: str, types: dict, constants: dict) -> str:
    """A kernel's PTX; a type is a pointer's where the argument is a map or ends in `_ptr`."""
    function = getattr(importlib.import_module(f"mrcnn_lite.kernels.{module}"), kernel)
    full = {name: f"*{kind}" if name.endswith("_ptr") else kind for name, kind in types.items()}
    full |= {n: f"*{types['map']}" for n in function.arg_names if re.fullmatch(r"map\d", n)}
    return to_ptx(function, full, constants, target, **{"num_warps": 4, **OPTIONS.get(module, {})})


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
        "registers": int(re.search(r"Used (\d+) registers", words)[1]),
        "spilled": sum(int(n) for n in re.findall(r"(\d+) bytes spill", words)),
    }


def main() -> None:
    """Compile all and print the facts as JSON."""
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {}
    for target in TARGETS:
        for name, case in KERNELS.items():
            found[f"{name}, sm_{target}"] = facts(compiled(target, *case), target)
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
