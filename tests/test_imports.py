"""The arrows of the architecture go one way, and importing the package costs only torch."""

import ast
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import MODULES, ROOT, dotted, tree

RANK = {
    "config": 0,
    "files": 0,
    "ops": 1,
    "kernels": 2,
    "datasets": 2,
    "draw": 2,
    "models": 3,
    "training": 4,
    "evaluation": 4,
    "export": 4,
    "cli": 5,
    "__main__": 6,
    "lessons": 6,  # what is said of lessons among themselves: below
}
HEAVY = {"torchvision", "matplotlib", "ipywidgets", "faster_coco_eval", "PIL", "triton", "pandas"}
NAMES = {dotted(path) for path in MODULES}


def imported(path: Path) -> set[str]:
    """The package's own modules that a module names, in functions too."""
    own = dotted(path)
    package = own if path.name == "__init__.py" else own.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, *filter(None, [node.module])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in NAMES else base for name in names}
    return {name for name in found if name.split(".")[0] == "mrcnn_lite"} - {own}


def part(name: str) -> str:
    """The folder or file of the package to which a module belongs."""
    return name.split(".")[1]


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent.name], ids=dotted)
def test_imports_come_from_a_lower_rank_or_the_own_folder(path):
    own = dotted(path)
    if own == "mrcnn_lite":
        return  # the root may name what it offers; the test of its weight is below
    for name in imported(path):
        if name == "mrcnn_lite":
            assert part(own) in ("cli", "__main__"), f"{own} imports the package's root"
            continue
        allowed = part(name) == part(own) or RANK[part(name)] < RANK[part(own)]
        assert allowed, f"{own} imports {name}: see the ranks in CONTRIBUTING.md"


def lesson(name: str) -> str | None:
    """The lesson's folder, or `kit`, to which a module belongs; None for the library."""
    parts = name.split(".")
    return parts[2] if parts[1:2] == ["lessons"] and len(parts) > 2 else None


def test_nothing_outside_imports_lessons_and_lessons_keep_to_themselves():
    for path in MODULES:
        own = lesson(dotted(path))
        for other in filter(None, map(lesson, imported(path))):
            assert own, f"{dotted(path)} is the library and imports lesson {other}"
            assert other in (own, "kit"), f"{dotted(path)} imports lesson {other}"


def test_no_cycles():
    graph = {dotted(path): imported(path) & NAMES for path in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_only_the_switch_and_the_tests_know_the_kernels():
    users = [dotted(p) for p in MODULES for name in imported(p) if ".kernels" in name]
    assert all(".kernels" in user for user in users), users


def test_importing_is_light():
    names = "mrcnn_lite, mrcnn_lite.ops, mrcnn_lite.models"
    code = f"import {names}, sys, json; print(json.dumps([*sys.modules]))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(json.loads(result.stdout))
