"""Notebook 13: the explorer of one detection that the reader moves."""

import re

from explorer_tools import check_controls

from mrcnn_lite.lessons.n13_average_precision.explorer import explore_average_precision


def test_every_control_changes_picture_and_numbers():
    changes = {"dx": 12.0, "dy": 9.0, "grow": 4.0, "score": 0.35}
    check_controls(explore_average_precision, changes, only_text=("score",))


def test_a_wrong_answer_with_a_low_score_costs_less():
    def ap(score: float) -> float:
        words = explore_average_precision().set(dx=20.0, dy=20.0, score=score).text
        return float(re.match(r"AP (\d\.\d+)", words).group(1))

    assert ap(0.95) < ap(0.75) < ap(0.35)
