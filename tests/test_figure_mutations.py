"""A picture whose data change makes its notebook's test fail, although pictures are not compared.

Ten pictures are drawn from other data than they should be: one expression of their cell is changed.
The cell's words and numbers come from the same data, so nbval must notice, in that very cell and in
no cell before it.
"""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import nbformat
import pytest
from source_tree import ROOT

import course

# Notebook, cell, what stands there, what is put in its place ("" prepends a line).
MUTATIONS = [
    ("01_roi_pool", "roi-pool-16", "(4, 8, 16, 32)", "(4, 8, 16, 24)"),
    ("01_roi_pool", "roi-pool-24", "windows_of(proposal[0],", "windows_of(proposal[0] + 40,"),
    ("02_where_are_the_pixels", "nb02-053", "positions(4, 8, c)", "positions(4, 9, c)"),
    ("03_roi_align", "roi-align-36", "1 / 32, ratio", "1 / 30, ratio"),
    ("03_roi_align", "roi-align-52", "proposal + s for", "proposal + 1.1 * s for"),
    ("04_roi_operator_zoo", "f35b67a3", "", "scale *= 1.05"),
    ("05_gradients_and_two_small_matrices", "gradients-13", "", "two = one"),
    ("05_gradients_and_two_small_matrices", "gradients-55", "", "grid = grid * 1.01"),
    ("06_feature_pyramids", "pyr-32", "", "levels = levels.flip(0)"),
    ("07_anchors_to_proposals", "anchors-40", "36.0, 30.0", "35.0, 30.0"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cell", "old", "new"), MUTATIONS, ids=lambda value: value[:24])
def test_another_picture_is_noticed(name, cell, old, new, tmp_path):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    place = next(k for k, it in enumerate(notebook.cells) if it.get("id") == cell)
    source = notebook.cells[place].source
    assert old in source
    changed = source.replace(old, new, 1) if old else f"{new}\n{source}"
    notebook.cells[place].source = changed
    notebook.cells = notebook.cells[: place + 1]

    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "data").symlink_to(ROOT / "data")
    shutil.copytree(ROOT / "tests" / "no_network", tmp_path / "tests" / "no_network")
    shutil.copy(ROOT / "tests" / "nbval_sanitize.cfg", tmp_path / "tests")
    shutil.copy(ROOT / "conftest.py", tmp_path)
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", *course.NBVAL, f"--junitxml={report}", path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)

    cases = ET.parse(report).getroot().findall(".//testcase")
    failed = [k for k, case in enumerate(cases) if case.find("failure") is not None]
    assert failed == [len(cases) - 1], "the changed cell, and no other, must fail"
