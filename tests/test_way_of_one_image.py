"""The way of one image: how many files one opens, and how often, to follow it through the package.

One run is traced. Each function of the package is taken at its first call, and the file of each is
listed in that order; neighbours in the same file count once. Every entry of that list is a *visit*;
visits to a file that was open before are *returns* (visits less distinct files); the lines are
those of the distinct files. Modules and class bodies that run at import do not count.

The way of a training forward is that of `maskrcnn_resnet50_fpn` on two images of 128 x 160 with the
default settings; the way of a training step is that of `python -m mrcnn_lite train --data shapes
--steps 1 --workers 1`, from reading the options to writing the weights.

The import depth is the number of modules in the library's longest chain of imports; an import from
a folder (`from ..ops import nms`) ends a chain, because its `__init__` only lists names.

    python tests/test_way_of_one_image.py      prints both routes, file by file, and the chain
"""

import inspect
import itertools
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import pytest
import torch
from source_tree import MODULES, dotted
from test_imports import NAMES, imported

import mrcnn_lite
from mrcnn_lite.cli import main
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import maskrcnn_resnet50_fpn

PACKAGE = Path(mrcnn_lite.__file__).parent
SMALL = {"min_size": 128, "max_size": 160}


class Visit(NamedTuple):
    """One stay in a file, and the functions that are met there for the first time."""

    file: str
    functions: list[str]


def trace(run: Callable[[], object]) -> list[CodeType]:
    """The package's functions in the order of their first calls."""
    seen: dict[CodeType, None] = {}

    def profile(frame, event: str, _argument: object) -> None:
        code = frame.f_code
        ours = event == "call" and code.co_filename.startswith(str(PACKAGE))
        if ours and code.co_flags & inspect.CO_NEWLOCALS:  # modules and class bodies have none
            seen.setdefault(code)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
    return list(seen)


def route(codes: list[CodeType]) -> list[Visit]:
    """The visits, in order."""
    stays = itertools.groupby(codes, key=lambda code: code.co_filename)
    return [
        Visit(Path(file).relative_to(PACKAGE).as_posix(), [code.co_qualname for code in stay])
        for file, stay in stays
    ]


def figures(visits: list[Visit]) -> dict[str, int]:
    """What the goals speak of."""
    files = {visit.file for visit in visits}
    lines = sum(len((PACKAGE / f).read_text("utf-8").splitlines()) for f in files)
    returns = len(visits) - len(files)
    return {"visits": len(visits), "returns": returns, "files": len(files), "lines": lines}


@cache
def training_forward() -> list[Visit]:
    """The way of two images through R50-FPN to the five losses."""
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(num_classes=91, **SMALL).train()
    samples = [Shapes(None, seed=1)[index] for index in range(2)]
    images, targets = [image for image, _ in samples], [target for _, target in samples]
    return route(trace(lambda: model(images, targets)))


@cache
def training_step() -> list[Visit]:
    """The way of the command line through one step of the lite network."""
    command = ["train", "--data", "shapes", "--steps", "1", "--workers", "1", "--out"]
    with tempfile.TemporaryDirectory() as folder:
        return route(trace(lambda: main([*command, folder])))


def longest_import_chain() -> list[str]:
    """The library's longest chain of imports."""
    modules = [p for p in MODULES if p.name != "__init__.py" and ".lessons" not in dotted(p)]
    graph = {dotted(p): imported(p) & NAMES for p in modules}

    @cache
    def chain(name: str) -> list[str]:
        below = (chain(other) for other in sorted(graph[name]) if other in graph)
        return [name, *max(below, key=len, default=[])]

    return max(map(chain, sorted(graph)), key=len)


def test_the_way_is_counted_as_it_says():
    """Two files, a b a, by hand; the functions of this test's own file do not count."""
    from mrcnn_lite.ops import boxes, checks

    def run() -> None:
        boxes.box_area(torch.zeros(1, 4))
        checks.check_positive(1, "x")
        boxes.box_iou(torch.zeros(1, 4), torch.zeros(1, 4))  # `boxes` again, for other functions
        boxes.box_iou(torch.zeros(1, 4), torch.zeros(1, 4))  # nothing new

    visits = route(trace(run))
    assert [visit.file for visit in visits] == ["ops/boxes.py", "ops/checks.py", "ops/boxes.py"]
    assert visits[0].functions == ["box_area", "_wide", "at_least_float32"]
    assert visits[1].functions == ["check_positive"]
    counted = figures(visits)
    assert counted["files"] == 2 and counted["returns"] == counted["visits"] - 2
    assert len({f for visit in visits for f in visit.functions}) == sum(
        len(visit.functions) for visit in visits
    )


GOALS = {
    "training forward": (training_forward, {"visits": 45, "returns": 20, "lines": 3000}),
    "training step": (training_step, {"visits": 90}),
}


@pytest.mark.parametrize("way", GOALS)
def test_the_way_is_short(way):
    walk, most = GOALS[way]
    found = figures(walk())
    assert {name: found[name] for name in most if found[name] > most[name]} == {}, found


def test_imports_are_not_deep():
    chain = longest_import_chain()
    assert len(chain) <= 8, " -> ".join(chain)


if __name__ == "__main__":
    for title, (walk, _) in GOALS.items():
        visits = walk()
        print(f"\n{title}: {figures(visits)}")
        for visit in visits:
            print(f"  {visit.file:<28} {', '.join(visit.functions)}")
    print("\nlongest chain of imports:", " -> ".join(longest_import_chain()))
