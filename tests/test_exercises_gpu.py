"""The exercises of notebook 16, with answers as learners write them.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py too.
"""

import functools
import re

import pytest
import torch

from mrcnn_lite.exercises import gpu_roi_align, hint
from mrcnn_lite.exercises.registry import find
from mrcnn_lite.exercises.sources import chapter_of

OURS = {
    "16-channel-block": (gpu_roi_align._block_variant, gpu_roi_align.BLOCK_SLIPS),
    "16-touched": (gpu_roi_align._touched_variant, gpu_roi_align.TOUCH_SLIPS),
}
MISTAKES = [
    (exercise, variant, words, change)
    for exercise, (variant, slips) in OURS.items()
    for words, change in slips
]

each = pytest.mark.parametrize("exercise", OURS)


def not_implemented(*inputs):
    raise NotImplementedError


def broken(*inputs):
    return 1 / 0


@each
def test_the_solution_passes(exercise):
    verdict = find(exercise).grade(chapter_of(exercise).solution(exercise))
    assert verdict.passed, verdict.words
    assert re.match(r"Passed: (80 loads|60 boxes)", verdict.words)


@each
def test_the_right_variant_is_right(exercise):
    """The mistakes differ from the truth by their switch only."""
    assert find(exercise).grade(OURS[exercise][0]).passed


@each
def test_stubs_are_not_yet(exercise):
    for empty in (chapter_of(exercise).stub(exercise), None, not_implemented):
        assert find(exercise).grade(empty).words.startswith("Not yet")


@pytest.mark.parametrize(
    ("exercise", "variant", "words", "change"),
    MISTAKES,
    ids=[f"{exercise} {change}" for exercise, _, _, change in MISTAKES],
)
def test_each_known_mistake_is_named(exercise, variant, words, change):
    verdict = find(exercise).grade(functools.partial(variant, **change))
    assert not verdict.passed
    assert f"Likely: {words}\n" in verdict.words
    assert "your function raised" not in verdict.words


@each
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (broken, "ZeroDivisionError"),
        (lambda *inputs: "a word", "return two things|not numbers"),
        (17, "the function itself"),
    ],
)
def test_unknown_wrong_answers_are_caught(exercise, answer, words):
    verdict = find(exercise).grade(answer)
    assert not verdict.passed and "Likely" not in verdict.words
    assert re.search(words, verdict.words)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *case: (torch.arange(case[4]), torch.ones(case[4])), "made of True and False"),
        (lambda *case: (torch.arange(case[4]) + 0.5, torch.arange(case[4]) > 0), "whole numbers"),
        (lambda *case: torch.arange(case[4]), "return two things: offset, mask"),
        (lambda *case: (torch.arange(64), torch.arange(64) < 3), "it should have"),
        (lambda *case: (5, True), "it should have"),
    ],
)
def test_offsets_and_masks_of_a_wrong_kind(answer, words):
    verdict = find("16-channel-block").grade(answer)
    assert not verdict.passed and words in verdict.words


def test_offsets_of_masked_lanes_do_not_matter():
    right = OURS["16-channel-block"][0]

    def careful(*case):
        offset, mask = right(*case)
        return torch.where(mask, offset, 0), mask

    def wild(*case):
        offset, mask = right(*case)
        return torch.where(mask, offset, -(10**9)), mask

    assert find("16-channel-block").grade(careful).passed
    assert find("16-channel-block").grade(wild).passed


def test_two_mistakes_at_once():
    both = functools.partial(OURS["16-channel-block"][0], mask="none", row="h")
    words = find("16-channel-block").grade(both).words
    assert "the mask is forgotten" in words and "and: a row of the map is w elements long" in words


def test_a_learners_own_loop():
    """Sets of pairs, sample by sample, without using that the axes are independent."""

    def pairs(box, size, ratio, h, w):
        x1, y1, x2, y2 = box.tolist()
        seen = set()
        for i in range(size * ratio):
            for j in range(size * ratio):
                y = y1 + (i + 0.5) * (y2 - y1) / (size * ratio)
                x = x1 + (j + 0.5) * (x2 - x1) / (size * ratio)
                for row in (int(y), int(y) + 1):
                    for column in (int(x), int(x) + 1):
                        seen.add((min(row, h - 1), min(column, w - 1)))
        return len(seen)

    assert find("16-touched").grade(pairs).passed


@each
def test_hints_come_in_order(exercise, capsys):
    count = len(find(exercise).hints)
    assert count in (3, 4)
    for number in range(1, count + 1):
        hint(exercise, number)
    assert capsys.readouterr().out.startswith(f"Hint 1 of {count}")
