"""The script for the first ten minutes on a GPU, with something that stands for Python."""

import os
import re
import shutil
import subprocess

import pytest
from source_tree import ROOT

from benchmarks.__main__ import ON_GPU

SCRIPT = ROOT / "tools" / "gpu_session.sh"
# Masks crash, RoIAlign hangs, the others say what they were asked.
PYTHON = """#!/usr/bin/env bash
echo "asked for: $*"
case "$*" in
  *masks_gpu*) exit 3 ;;
  *roi_align_gpu*) exec sleep 600 ;;
esac
"""
pytestmark = pytest.mark.skipif(shutil.which("timeout") is None, reason="needs coreutils")


@pytest.mark.parametrize("dry", [True, False], ids=["rehearsal", "GPU"])
def test_every_stage_runs_whatever_happened_before(tmp_path, dry):
    python, folder = tmp_path / "python", tmp_path / "results"
    python.write_text(PYTHON)
    python.chmod(0o755)
    variables = {**os.environ, "PYTHON": str(python), "LIMIT": "2"}
    command = ["bash", SCRIPT, *["--dry"] * dry, folder]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    log = (folder / "session.log").read_text()
    assert log in done.stdout  # told as it comes, and once more the stages
    status = dict(re.findall(r"^== (\w+): status (\d+) after \d+ of 2 s$", log, re.MULTILINE))
    assert list(status) == [
        *("environment", "operations", "recorded", "step_gpu", "nms_gpu", "masks_gpu"),
        *("roi_align_gpu", "inference_gpu", "training", "roi_backward_gpu"),
    ]
    assert status.pop("masks_gpu") == "3"
    assert status.pop("roi_align_gpu") == "124"  # stopped
    assert {*status.values()} == {"0"}
    asked = re.findall(r"^asked for: -m benchmarks (\w+) --quick --store \S+( --dry)?$", log, re.M)
    assert all(bool(flag) == dry for _, flag in asked)
    assert {name for name, _ in asked} == {*ON_GPU} - {"sweeps_gpu"}  # a second call's
    assert ("resnet50_fpn --fast" in log) == (not dry)


def test_the_stages_fit_into_ten_minutes():
    text = SCRIPT.read_text()
    once = re.findall(r"^(?:stage|tests|benchmark) \w+ (\d+)", text, re.MULTILINE)
    each = int(re.search(r"^  benchmark \$name (\d+)", text, re.MULTILINE)[1])
    assert sum(map(int, once)) + 3 * each <= 600
