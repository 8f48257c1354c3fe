"""Exercise and explorer of notebook 13: the solution passes, mistakes are named, controls count."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from source_tree import ROOT

from mrcnn_lite.exercises import average_precision as exercise
from mrcnn_lite.exercises import check
from mrcnn_lite.exercises.registry import find
from mrcnn_lite.widgets.average_precision import explore_average_precision

NAME = "13-average-precision"
FOLDED = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)
CELLS = json.loads((ROOT / "notebooks" / "13_average_precision.ipynb").read_text(encoding="utf-8"))[
    "cells"
]


def run(source: str):
    scope = {"np": np, "check": lambda *answer: None}
    exec(source, scope)
    return scope["my_average_precision"]


def sources(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == kind]


def test_the_solution_passes():
    (block,) = FOLDED.findall("\n".join(sources("markdown")))
    verdict = find(NAME).grade(run(block))
    assert verdict.passed, verdict.words


def test_the_stub_is_not_yet(capsys):
    (cell,) = [s for s in sources("code") if f'check("{NAME}"' in s]
    check(NAME, run(cell))
    assert capsys.readouterr().out.startswith("Not yet")


@pytest.mark.parametrize("mistake", exercise.MISTAKES, ids=lambda m: m.words[:30])
def test_a_mistake_is_named(mistake):
    verdict = find(NAME).grade(mistake.function)
    assert not verdict.passed
    assert mistake.words in verdict.words


@pytest.mark.parametrize("answer", [lambda right, total: 1 / 0, lambda right, total: "much", 3])
def test_anything_else_gets_an_answer(answer):
    assert not find(NAME).grade(answer).passed


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
