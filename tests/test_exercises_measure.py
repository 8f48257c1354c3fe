"""Exercises and explorers of notebooks 11 and 13: any answer gets words, any control a picture."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n11_whole_network.explorer import STAGES, explore_journey
from mrcnn_lite.lessons.n13_average_precision.explorer import explore_average_precision

each = pytest.mark.parametrize("name", ["11-pooler", "13-average-precision"])


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
