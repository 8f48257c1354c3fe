"""Every kernel compiles for GPUs that are not here, and the compiler made of it what it should.

What can be known without a GPU: that the code is accepted, that no registers are spilled to memory,
that neighbouring numbers are read 16 bytes at a time, that atomics are where they should be.
"""

import json
import os
import subprocess
import sys

import pytest
from compile_kernels import KERNELS, OPTIONS, TARGETS
from source_tree import PACKAGE, ROOT

pytest.importorskip("triton")


@pytest.fixture(scope="module")
def facts() -> dict:
    """What the compiler says of each kernel and target."""
    without = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, str(ROOT / "tests" / "compile_kernels.py")]
    run = subprocess.run(command, capture_output=True, text=True, env=without)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


def test_every_kernel_is_compiled(facts):
    assert len(facts) == len(KERNELS) * len(TARGETS)
    listed = {kernel for _, kernel, *_ in KERNELS.values()}
    text = "".join(path.read_text("utf-8") for path in (PACKAGE / "kernels").glob("*.py"))
    written = {word.split("(")[0] for word in text.split("def ")[1:] if "_kernel(" in word[:40]}
    assert written == listed, "a kernel is missing in compile_kernels.KERNELS"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", KERNELS)
def test_no_register_is_spilled(facts, name, target):
    assert facts[f"{name}, sm_{target}"]["spilled"] == 0


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [n for n in KERNELS if n.startswith("roi_align ")])
def test_features_are_read_in_wide_loads(facts, name, target):
    loads = facts[f"{name}, sm_{target}"]["loads"]
    assert "v4.b32" in loads or ("backward" in name and "v2.b32" in loads)  # 8 bytes: 4 of bf16


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [n for n, case in KERNELS.items() if case[0] in OPTIONS])
def test_overlaps_round_every_product(facts, name, target):
    """A product fused with a sum is not rounded, and a tie or a threshold would fall otherwise."""
    assert facts[f"{name}, sm_{target}"]["fused"] == 0


def test_the_compiler_would_fuse(facts):
    """So that the test above means something."""
    assert facts["crop_masks, sm_90"]["fused"] > 0


def test_atomics_are_where_they_should_be(facts):
    for name, fact in facts.items():
        if name.startswith("roi_align"):
            assert bool(fact["atomics"]) == ("atomic" in name), name
    wide = facts["roi_align backward, atomic, sm_90"]["atomics"]
    assert wide == ["red.global.gpu.relaxed.add.v4.f32"]  # four additions in one
