"""Exercises and explorers of notebooks 11 and 13: solutions, mistakes, stubs, controls."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from source_tree import ROOT

from mrcnn_lite import ops
from mrcnn_lite.exercises import average_precision, check, pooler
from mrcnn_lite.exercises.registry import find
from mrcnn_lite.widgets.average_precision import explore_average_precision
from mrcnn_lite.widgets.journey import STAGES, explore_journey

FOLDED = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)
OURS = {
    "11-pooler": ("11_whole_network", "my_pooler", pooler.MISTAKES),
    "13-average-precision": (
        "13_average_precision",
        "my_average_precision",
        average_precision.MISTAKES,
    ),
}
each = pytest.mark.parametrize("name", OURS)


def run(source: str, function: str):
    scope = {"np": np, "ops": ops, "check": lambda *answer: None}
    exec(source, scope)
    return scope[function]


def sources(name: str, kind: str) -> list[str]:
    path = ROOT / "notebooks" / f"{OURS[name][0]}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


@each
def test_the_solution_passes(name):
    (block,) = FOLDED.findall("\n".join(sources(name, "markdown")))
    verdict = find(name).grade(run(block, OURS[name][1]))
    assert verdict.passed, verdict.words


@each
def test_the_stub_is_not_yet(name, capsys):
    (cell,) = [s for s in sources(name, "code") if f'check("{name}"' in s]
    check(name, run(cell, OURS[name][1]))
    assert capsys.readouterr().out.startswith("Not yet")


@each
def test_mistakes_are_named(name):
    for mistake in OURS[name][2]:
        verdict = find(name).grade(mistake.function)
        assert not verdict.passed
        assert mistake.words in verdict.words


@each
@pytest.mark.parametrize("answer", [lambda *inputs: 1 / 0, lambda *inputs: "much", 3])
def test_anything_else_gets_an_answer(name, answer):
    assert not find(name).grade(answer).passed


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_every_control_changes_picture_and_numbers():
    first = explore_average_precision()
    changes = {"dx": 12.0, "dy": 9.0, "grow": 4.0, "score": 0.35}
    assert set(changes) == set(first.controls)
    for name, value in changes.items():
        fresh = explore_average_precision().set(**{name: value})
        assert fresh.text != first.text, name
        if name != "score":
            assert (pixels(fresh.png) != pixels(first.png)).any(), name
    moving = explore_average_precision()
    for name, value in changes.items():
        moving.set(**{name: value})
    assert moving.text == explore_average_precision().set(**changes).text


def test_a_wrong_answer_with_a_low_score_costs_less():
    def ap(score: float) -> float:
        words = explore_average_precision().set(dx=20.0, dy=20.0, score=score).text
        return float(re.match(r"AP (\d\.\d+)", words).group(1))

    assert ap(0.95) < ap(0.75) < ap(0.35)


def test_the_journey_shows_every_stage_and_object():
    first = explore_journey()
    seen = [explore_journey().set(stage=stage) for stage in range(1, len(STAGES) + 1)]
    assert len({view.png for view in seen}) == len(STAGES)
    assert [view.text.splitlines()[0].split(": ")[1] for view in seen] == [
        f"{name}, object 1" for name in STAGES
    ]
    for stage in (1, 4, 5, 6):
        one, two = (explore_journey().set(stage=stage, object=k) for k in (1, 2))
        assert one.png != two.png and one.text != two.text
    assert first.png == seen[0].png
