"""The repository as a whole: its lists agree, its files name no machine, ruff is content."""

import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from source_tree import MODULES, NOTEBOOKS, PACKAGE, ROOT, relative, tracked_files

import mrcnn_lite

CONDA_NAMES = {"pytorch": "torch", "jupyter_server": "jupyter-server"}

# Spelled in pieces, so that this file holds none of them itself.
REGISTRY_HOSTS = re.compile("|".join(("py" + "pi[.]org", "python" + "hosted", "npm" + "js[.]")))
CONDA_HOST = re.compile("ana" + "conda[.]org")
MACHINE_PATHS = re.compile("|".join(("/wo" + "rk/", "/ro" + "ot/", "/tm" + "p/", "/ho" + "me/")))
REMINDERS = re.compile("|".join((r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bXX" + r"X\b")))


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def ranges(lines: list[str]) -> dict[str, str]:
    """Package name to version range."""
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): str(r.specifier) for r in requirements}


def wanted() -> dict[str, str]:
    """What pyproject.toml asks for, with what the tests and the site need."""
    extras = project()["optional-dependencies"].values()
    return ranges([line for lines in (project()["dependencies"], *extras) for line in lines])


def test_conda_asks_for_the_same():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    pip = next(item["pip"] for item in listed if isinstance(item, dict))
    conda = ranges([item for item in listed if isinstance(item, str)])
    python = conda.pop("python")
    conda.pop("pip")
    conda = {canonicalize_name(CONDA_NAMES.get(name, name)): v for name, v in conda.items()}
    assert conda | ranges(pip) == wanted()
    assert python == project()["requires-python"]


def test_the_tested_versions_are_in_the_ranges():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = {canonicalize_name(r.name): r for r in exact}
    assert all(str(r.specifier).startswith("==") for r in exact)
    for name, specifier in wanted().items():
        version = str(pinned[name].specifier).removeprefix("==")
        assert Requirement(name + specifier).specifier.contains(version), f"{name} {version}"


def test_one_version():
    assert project()["dynamic"] == ["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == mrcnn_lite.__version__
    assert f"## {mrcnn_lite.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", tracked_files(), ids=relative)
def test_text_names_no_registry_and_no_machine(path):
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return  # a picture, weights
    text = re.sub(r'"image/png": "[^"]*"', "", text)  # base64 says anything by chance
    for pattern in (REGISTRY_HOSTS, CONDA_HOST, MACHINE_PATHS, REMINDERS):
        found = pattern.search(text)
        assert not found, f"{found[0]!r} at character {found.start()}"


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def drawn_tree() -> set[str]:
    """The folders and files in README's tree, as paths; two spaces are one level."""
    block = re.search(r"```text\n(.*?)```", readme(), flags=re.DOTALL)[1]
    above, names = "", set()
    for line in block.splitlines():
        name = line.split()[0]
        above = "" if not line.startswith(" ") else above or "mrcnn_lite/"
        names.add(above + name)
    return names


def test_readmes_tree_is_the_tree():
    inside = {path.name for path in MODULES if path.parent == PACKAGE and "__" not in path.name}
    inside |= {f"{relative(path).split('/')[1]}/" for path in MODULES if path.parent != PACKAGE}
    drawn = {name.removeprefix("mrcnn_lite/") for name in drawn_tree() if "/" in name[:-1]}
    assert drawn == inside
    top = {relative(path).split("/")[0] + "/" for path in tracked_files() if path.parent != ROOT}
    told = {name for name in drawn_tree() if "/" not in name[:-1]}
    assert told == {name for name in top if not name.startswith(".")}


def test_readme_links_to_what_exists():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", readme())
    assert not [link for link in links if not (ROOT / link).exists()]
    assert {relative(path) for path in NOTEBOOKS} <= set(links)


def test_the_readmes_minutes_are_the_notebooks_own():
    told = re.findall(r"^\| \[\d\w+ [^]]*\]\(([^)]+)\) \| [^|]* \| (\d+)", readme(), re.MULTILINE)
    assert len(told) == len(NOTEBOOKS)
    for path, minutes in told:
        cells = json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]
        line = re.search(r"\*Time:\*.*", "".join(cells[0]["source"]))[0]
        parts = [int(n) for n in re.findall(r"(?:^|about |and |\* )(\d+)", line)]
        assert sum(parts) == int(minutes), f"{path}: {line}"
    hours = re.search(r"minutes of all add\s+up to (\d+) hours", readme())[1]
    assert round(sum(int(minutes) for _, minutes in told) / 60) == int(hours)


def test_the_first_notebook_lists_what_the_readme_lists():
    table = re.compile(r"^\| \[(\d\w+) [^]]*\]\(([^)]+)\) \|", re.MULTILINE)
    promised = {path.removeprefix("notebooks/") for _, path in table.findall(readme())}
    first = json.loads((ROOT / "notebooks/00_start_here.ipynb").read_text(encoding="utf-8"))
    prose = "".join("".join(cell["source"]) + "\n" for cell in first["cells"])
    listed = {path for _, path in table.findall(prose)}
    assert set() < promised - {"00_start_here.ipynb"} <= listed


def test_ruff():
    for command in (["check"], ["format", "--check"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
