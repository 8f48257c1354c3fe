"""The exercises of notebook 04: solutions pass, known mistakes are named, others are caught."""

import functools
import math
import re

import pytest
import torch
from test_exercises import FOLDED, broken, cells, defined, not_implemented

from mrcnn_lite.exercises import roi_zoo
from mrcnn_lite.exercises.registry import find

STEM = "04_roi_operator_zoo"
OURS = {"04-border": "my_bin", "04-crop": "my_ends"}
each = pytest.mark.parametrize("exercise", OURS)


def solution(exercise: str):
    prose = "\n".join("".join(c["source"]) for c in cells(STEM) if c["cell_type"] == "markdown")
    name = OURS[exercise]
    (block,) = [block for block in FOLDED.findall(prose) if f"def {name}(" in block]
    scope = {"math": math, "torch": torch}
    exec(compile(block, "<solution>", "exec"), scope)
    return scope[name]


@each
def test_the_solution_passes(exercise):
    verdict = find(exercise).grade(solution(exercise))
    assert verdict.passed, verdict.words


@each
def test_stubs_are_not_yet(exercise):
    (source,) = [
        "".join(c["source"])
        for c in cells(STEM)
        if c["cell_type"] == "code" and f'check("{exercise}"' in "".join(c["source"])
    ]
    for empty in (defined(source, OURS[exercise]), None, not_implemented):
        verdict = find(exercise).grade(empty)
        assert not verdict.passed
        assert verdict.words.startswith("Not yet")


@each
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (broken, "ZeroDivisionError"),
        (lambda *inputs: "a word", "not numbers"),
        (lambda *inputs: torch.zeros(9, 9, 9), "it should have"),
        (lambda *inputs: 0.125, "yours 0.1250|it should have"),
        (17, "the function itself"),
    ],
)
def test_unknown_wrong_answers_are_caught(exercise, answer, words):
    verdict = find(exercise).grade(answer)
    assert not verdict.passed
    assert re.search(words, verdict.words)
    assert "Likely" not in verdict.words


MISTAKES = [
    *[("04-border", roi_zoo._bin_variant, *slip) for slip in roi_zoo.BIN_SLIPS],
    *[("04-crop", roi_zoo._edge_variant, *slip) for slip in roi_zoo.EDGE_SLIPS],
]


@pytest.mark.parametrize(
    ("exercise", "variant", "words", "change"),
    MISTAKES,
    ids=[f"{exercise} {change}" for exercise, _, _, change in MISTAKES],
)
def test_each_known_mistake_is_named(exercise, variant, words, change):
    verdict = find(exercise).grade(functools.partial(variant, **change))
    assert not verdict.passed
    assert f"Likely: {words}\n" in verdict.words


def test_the_right_variants_are_right():
    assert find("04-border").grade(roi_zoo._bin_variant).passed
    assert find("04-crop").grade(roi_zoo._edge_variant).passed


def test_two_mistakes_at_once():
    both = functools.partial(roi_zoo._bin_variant, strict=True, zeros="leave out")
    words = find("04-border").grade(both).words
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
