"""The code host's workflows, which nobody has seen run: a linter reads them, and so do we."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from source_tree import ROOT

import course

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
EVENTS = {"push", "pull_request", "workflow_dispatch"}
# Offline; a file that does not fit the code host's schema is an error.
LINTER = shutil.which("zizmor", path=Path(sys.executable).parent)
OPTIONS = ["--quiet", "--offline", "--strict-collection", "--persona", "pedantic"]

# One line of a workflow, what it is changed to, and what the linter then says.
FAULTS = [
    ("runs-on:", "run-on:", "failed to load"),
    ("timeout-minutes: 90", "timeout-minutes: soon", "failed to load"),
    ("de0fac2e4500dabe0009e67214ff5f5447ce83dd", "v6", "unpinned-uses"),
    ("contents: read", "contents: write", "excessive-permissions"),
    ("python course.py test", "echo ${{ github.head_ref }}", "template-injection"),
]


def lint(path: Path) -> tuple[int, str]:
    done = subprocess.run([LINTER, *OPTIONS, path], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def read(path: Path) -> dict:
    """A workflow; YAML reads its key `on` as true."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_linter_is_content():
    code, said = lint(FOLDER)
    assert code == 0, said


@pytest.mark.parametrize(("old", "new", "said"), FAULTS, ids=lambda value: value.split()[0])
def test_the_linter_finds_faults(old, new, said, tmp_path):
    text = (FOLDER / "test.yml").read_text(encoding="utf-8")
    assert old in text
    copy = tmp_path / ".github" / "workflows" / "test.yml"
    copy.parent.mkdir(parents=True)
    copy.write_text(text.replace(old, new), encoding="utf-8")
    code, found = lint(copy)
    assert code != 0
    assert said in found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_says_that_it_is_untried_and_starts_what_exists(path):
    assert path.read_text(encoding="utf-8").startswith("# Untried: ")
    workflow = read(path)
    assert set(workflow[True]) <= EVENTS
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    for words in (step["run"].split() for step in steps if "run" in step):
        assert (ROOT / words[-1]).is_file() or words[:2] == ["python", "course.py"]
        assert words[:2] != ["python", "course.py"] or words[2] in course.COMMANDS


def test_the_tests_run_on_every_system_with_every_python():
    matrix = read(FOLDER / "test.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["system"]} == {"ubuntu", "windows", "macos"}
    assert matrix["python"] == ["3.11", "3.12", "3.13"]


def test_the_site_is_published_from_where_it_is_built():
    steps = read(FOLDER / "site.yml")["jobs"]["build"]["steps"]
    assert steps[-1]["with"]["path"] == "build/site"
