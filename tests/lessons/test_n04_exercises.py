"""The exercises of notebook 04 in odd cases; the matrix tests solutions and known mistakes."""

import functools
import operator
import re

import pytest
from test_kit_exercise import not_implemented, unknown_answers

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n04_roi_operator_zoo import exercises as roi_zoo

OURS = ("04-border", "04-crop")
each = pytest.mark.parametrize("exercise", OURS)


@each
def test_other_stubs_are_not_yet(exercise):
    for empty in (None, not_implemented):
        assert find(exercise).grade(empty).message.startswith("Not yet")


@each
@unknown_answers
def test_unknown_wrong_answers_are_caught(exercise, answer, words):
    verdict = find(exercise).grade(answer)
    assert not verdict.passed
    assert re.search(words, verdict.message)
    assert "Likely" not in verdict.message


def test_the_right_variants_are_right():
    assert find("04-border").grade(roi_zoo._bin_variant).passed
    assert find("04-crop").grade(roi_zoo._ends_variant).passed


def test_two_mistakes_at_once():
    both = functools.partial(
        roi_zoo._bin_variant,
        within=operator.lt,
        mean=lambda values, _: sum(values) / max(len(values), 1),
    )
    words = find("04-border").grade(both).message
    assert "a sample exactly at -1" in words
    assert "and: the zeros are left out" in words


def test_cases_reach_every_limit():
    """Without positions exactly on a limit, < and <= could not be told apart."""
    found = set()
    for features, y, x in roi_zoo._bins():
        for places, side in ((y, features.shape[0]), (x, features.shape[1])):
            found |= {at for at in ("-1", "h") if (-1.0 if at == "-1" else side) in places}
            found |= {"outside" for at in places if not -1 <= at <= side}
    assert found == {"-1", "h", "outside"}


def test_four_hints_and_three():
    assert [len(find(name).hints) for name in OURS] == [4, 3]
