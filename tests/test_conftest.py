"""The root `conftest.py` at work in a folder of its own: an order, skips, a summary by kind."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from source_tree import NOTEBOOKS, ROOT

import course

TESTS = """
import os, random, socket
import pytest
import torch

def test_quick(worker_id):
    assert os.environ.get("OMP_NUM_THREADS") == "1" or worker_id == "master"
    assert torch.initial_seed() == 0
    with pytest.raises(OSError, match="without a network"):
        socket.create_connection(("192.0.2.1", 80))

@pytest.mark.slow
def test_long():
    pass
"""


@pytest.fixture
def folder(tmp_path):
    """Two tests, a browser's test and a notebook, under this repository's conftest.py."""
    for name in ("tests", "notebooks"):
        (tmp_path / name).mkdir()
    for name in ("conftest.py", "course.py", "tests/nbval_sanitize.cfg"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tests" / "no_network", tmp_path / "tests" / "no_network")
    (tmp_path / "tests" / "test_some.py").write_text(TESTS)
    (tmp_path / "tests" / "test_browser_of_mine.py").write_text("def test_page():\n    pass\n")
    printed = new_output("stream", name="stdout", text="1\n")
    cells = [new_code_cell("print(1)", outputs=[printed], execution_count=1) for _ in range(3)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "01_one.ipynb")
    return tmp_path


def run(folder, *options: str) -> tuple[list[str], dict[str, str]]:
    """The test files in the order in which they ran, and the summary: kind to outcomes."""
    command = [sys.executable, "-m", "pytest", "-v", *course.NBVAL, *options, "tests", "notebooks"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    files = re.findall(r"^(?:\[.*?\] \w+ )?(\S+?)::.*(?:PASSED|SKIPPED|$)", done.stdout, re.M)
    lines = re.findall(r"^(unit tests|notebooks|browser) +[\d.]+ s  (.+)$", done.stdout, re.M)
    return list(dict.fromkeys(files)), dict(lines)


@pytest.mark.slow
def test_alone_everything_runs_in_order(folder):
    files, summary = run(folder, "--all")
    assert files == [
        "tests/test_some.py",
        "notebooks/01_one",
        "tests/test_browser_of_mine.py",
    ]
    assert summary == {"unit tests": "2 passed", "notebooks": "3 passed", "browser": "1 passed"}


@pytest.mark.slow
def test_several_at_once_have_the_same_summary(folder):
    _, summary = run(folder, *course.AT_ONCE)
    assert summary == {
        "unit tests": "1 passed, 1 skipped",
        "notebooks": "3 passed",
        "browser": "1 passed",
    }


def test_the_longest_files_exist():
    listed = re.search(r"LONGEST_FIRST = \((.*?)\)", (ROOT / "conftest.py").read_text(), re.S)[1]
    names = re.findall(r'"(.+?)"', listed)
    known = {path.name for path in [*(ROOT / "tests").rglob("test_*.py"), *NOTEBOOKS]}
    assert set(names) <= known


ABSENT = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "jupyterlab" else find(name, *more)
"""


def test_an_absent_package_is_skipped_by_name_only_without_jupyterlab(tmp_path):
    (tmp_path / "tests").mkdir()
    for name in ("conftest.py", "course.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tests" / "no_network", tmp_path / "tests" / "no_network")
    for name, package in (("early", "no_such_package"), ("ours", "course.nothing")):
        (tmp_path / "tests" / f"test_{name}.py").write_text(f"import {package}\n")
    late = "def test_late():\n    import no_such_package\n"
    (tmp_path / "tests" / "test_late.py").write_text(late)
    conftest = tmp_path / "conftest.py"
    for added, outcome in (("", "1 failed, 2 errors"), (ABSENT, "2 skipped, 1 error")):
        conftest.write_text(conftest.read_text() + added)
        options = ["-q", "-rs", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *options, "tests"]
        printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
        assert outcome in printed, printed
        assert ("no_such_package: it is not installed" in printed) == bool(added)
    assert "No module named 'course.nothing'" in printed
