"""Every kernel compiles for GPUs that are not here, and the compiler made of it what it should.

What can be known without a GPU: that the code is accepted as it is launched, that registers suffice
and no thread has memory of its own, that neighbouring numbers are read 16 bytes at a time, that
quotients are exact where a bit decides, that atomics are where they should be.
"""

import json
import os
import re
import subprocess
import sys

import pytest
from source_tree import PACKAGE, ROOT

pytest.importorskip("triton")

# Kernels of which a rounding too few changes an answer: a tie, a threshold, a box's last pixel.
EVERY_ROUNDING = ("_best", "_low_quality", "_conflict", "_solve", "_paste")


@pytest.fixture(scope="module")
def facts() -> dict:
    """What the compiler says of each call, kernel and target."""
    without = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, str(ROOT / "tests" / "compile_kernels.py")]
    run = subprocess.run(command, capture_output=True, text=True, env=without)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


def kernel_of(name: str) -> str:
    """`_paste` of "pasting: _paste_kernel, sm_90"."""
    return re.search(r": (\w+)_kernel, sm_\d+$", name)[1]


def test_every_kernel_is_compiled_for_every_target(facts):
    text = "".join(path.read_text("utf-8") for path in (PACKAGE / "kernels").glob("*.py"))
    written = set(re.findall(r"^def (\w+)_kernel\(", text, flags=re.MULTILINE))
    for target in ("sm_80", "sm_90"):
        assert {kernel_of(name) for name in facts if name.endswith(target)} == written


def test_registers_suffice_and_no_thread_has_memory_of_its_own(facts):
    assert not {name: f for name, f in facts.items() if f["spilled"] or f["local"]}


def test_every_quotient_is_exact(facts):
    """So that adaptive samples are counted and masks end where the CPU says."""
    assert not {name: f["inexact"] for name, f in facts.items() if f["inexact"]}


def test_features_are_read_in_wide_loads(facts):
    """16 bytes a thread; 8, four numbers of bf16, where few threads share a row of bins."""
    for name, fact in facts.items():
        if kernel_of(name) in ("_roi_align", "_boxes", "_roi_pool"):
            assert "v4.b32" in fact["loads"], name
        elif kernel_of(name) in ("_atomic", "_tile"):
            assert {"v2.b32", "v4.b32"} & {*fact["loads"]}, name


def test_every_rounding_is_made_where_one_decides(facts):
    """A product fused with a sum is not rounded; elsewhere the compiler does fuse."""
    fused = {name: f["fused"] for name, f in facts.items()}
    assert all(n == 0 for name, n in fused.items() if kernel_of(name) in EVERY_ROUNDING)
    assert fused["targets: _crop_kernel, sm_90"] > 0


def test_atomics_are_where_they_should_be(facts):
    for name, fact in facts.items():
        assert bool(fact["atomics"]) == (kernel_of(name) in ("_atomic", "_best")), name
    (wide,) = facts["atomic: _atomic_kernel, sm_90"]["atomics"]
    # Four additions in one. Nobody reads what an `atom` gives back: the GPU executes a `red`.
    assert re.fullmatch(r"(red|atom)\.global\.gpu\.relaxed\.add\.v4\.f32", wide)
