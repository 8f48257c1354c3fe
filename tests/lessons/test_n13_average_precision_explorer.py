"""Notebook 13: the explorer of one detection that the reader moves, and first tries at AP."""

import re

import numpy as np
import pytest
from explorer_tools import check_controls

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n13_average_precision.explorer import explore_average_precision


def test_every_control_changes_picture_and_numbers():
    changes = {"dx": 12.0, "dy": 9.0, "grow": 4.0, "score": 0.35}
    check_controls(explore_average_precision, changes, only_text=("score",))


def test_a_wrong_answer_with_a_low_score_costs_less():
    def ap(score: float) -> float:
        words = explore_average_precision().set(dx=20.0, dy=20.0, score=score).text
        return float(re.match(r"AP (\d\.\d+)", words).group(1))

    assert ap(0.95) < ap(0.75) < ap(0.35)


def at(recalls):
    """The mean of the best precisions at these recalls, as a loop."""

    def answer(right, total):
        hits, curve = 0, []
        for number, good in enumerate(right, start=1):
            hits += good
            curve.append((hits / total, hits / number))
        values = [max((p for r, p in curve if r >= recall), default=0) for recall in recalls]
        return sum(values) / len(values)

    return answer


@pytest.mark.parametrize("points", [11, 101])
def test_no_answer_is_judged_by_how_its_recalls_are_rounded(points):
    last = points - 1
    forms = [i / last for i in range(points)], [i * (1 / last) for i in range(points)]
    for recalls in (*forms, np.linspace(0, 1, points), np.arange(points) / last):
        verdict = find("13-average-precision").grade(at(recalls))
        assert verdict.passed == (points == 101)
        assert points == 101 or "11 recalls of PASCAL VOC 2007" in verdict.message
