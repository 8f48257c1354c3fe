"""Notebook 16's own kernels: what nbval cannot see, since it interprets them.

They compile for GPUs, in loads as wide as the notebook says, and where results of a GPU are stored
the notebook finds them.
"""

import importlib.util
import json

import pytest

pytest.importorskip("triton")

from kernel_tools import DEVICE  # noqa: F401  (chooses the interpreter)

from mrcnn_lite.lessons.n16_gpu_roi_align.compiled import HEADER, load_bytes
from tools.exercise_sources import chapter_of

CELLS = [text for kind, text in chapter_of("16-touched").cells if kind == "code"]
KERNELS = {
    "scale_kernel": {"in_ptr": "*fp32", "out_ptr": "*fp32", "n": "i32", "factor": "fp32"},
    "careless_kernel": {"in_ptr": "*fp32", "out_ptr": "*fp32", "factor": "fp32"},
    "naive_kernel": {},
    "bin_kernel": {},
    "row_kernel": {},
    "pyramid_kernel": {
        "map0": "*bf16",
        "map1": "*bf16",
        "table_ptr": "*fp32",
        "level_ptr": "*i32",
    },
}
WHOLE = {"map_ptr": "*fp32", "box_ptr": "*fp32", "out_ptr": "*fp32", "scale": "fp32"}
WHOLE |= {"h": "i32", "w": "i32", "C": "i32"}
WIDEST = {"naive_kernel": 4, "row_kernel": 16, "pyramid_kernel": 16}
BLOCKS = {"P": 7, "S": 2, "BLOCK_P": 8, "BLOCK_C": 128, "BLOCK": 128}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The notebook's kernels as a module."""
    path = tmp_path_factory.mktemp("notebook") / "kernels_of_16.py"
    path.write_text(HEADER + "\n\n\n".join(text for text in CELLS if text.startswith("@triton")))
    spec = importlib.util.spec_from_file_location("kernels_of_16", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=[80, 90])
def widths(written, request):
    """Bytes per lane of each kernel's loads."""
    helpers = [f for f in vars(written).values() if hasattr(f, "fn")]
    kernels = [getattr(written, name) for name in KERNELS]
    helpers = [f for f in helpers if f not in kernels]
    assert {f.fn.__name__ for f in helpers} >= {"roi_on_map", "around", "mixed", "row_of_bins"}
    types: dict = dict(WHOLE)
    for more in KERNELS.values():
        types |= more
    return load_bytes(kernels, helpers, types, BLOCKS, capability=request.param)


def test_every_kernel_compiles(widths):
    source = "".join(CELLS)
    assert {name.split("(")[0] for name in source.split("def ")[1:] if "_kernel(" in name[:30]} == {
        *KERNELS
    }
    assert set(widths) == set(KERNELS) and all(widths.values())


@pytest.mark.parametrize("name", WIDEST)
def test_loads_are_as_wide_as_the_notebook_says(widths, name):
    assert max(widths[name]) == WIDEST[name]


def test_what_does_not_compile_is_said(written):
    types = WHOLE | {"map_ptr": "fp32"}  # not a pointer
    helpers = [written.roi_on_map, written.around]
    with pytest.raises(RuntimeError, match="the compiler refuses"):
        load_bytes([written.naive_kernel], helpers, types, {"P": 7, "S": 2})


def test_stored_results_are_shown(tmp_path):
    (source,) = [text for text in CELLS if text.startswith("def stored(")]
    scope = {"json": json, "Path": type(tmp_path)}
    exec(source.split("\n\n\n")[0], scope)
    row = {"benchmark": "roi_align_gpu", "what": "forward", "value": 12.345, "unit": "x"}
    other = row | {"benchmark": "nms_gpu"}
    files = {
        "cpu.json": {"provenance": {}, "rows": [row]},
        "gpu.json": {"provenance": {"gpu": "a GPU"}, "rows": [row, other]},
        "old.json": {"provenance": {"gpu": "a GPU"}, "results": []},
        "none.json": {"results": []},
    }
    for name, report in files.items():
        (tmp_path / name).write_text(json.dumps(report))
    assert scope["stored"](tmp_path) == ["a GPU, forward: 12.3 x"]
