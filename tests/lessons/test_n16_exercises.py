"""The exercises of notebook 16, with answers as learners write them.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import functools

import pytest
import torch
from test_kit_exercise import broken, not_implemented

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n16_gpu_roi_align import exercises as gpu_roi_align

each = pytest.mark.parametrize("exercise", ["16-channel-block", "16-touched"])


@each
def test_no_known_mistake_raises(exercise):
    """An error is like any other error, so it would be named for what it is not."""
    for mistake in find(exercise).known:
        assert "your function raised" not in find(exercise).grade(mistake.function).message


@each
def test_an_error_is_no_known_mistake(exercise):
    words = find(exercise).grade(broken).message
    assert "ZeroDivisionError" in words and "Likely" not in words


def test_other_stubs_are_not_yet():
    for empty in (None, not_implemented):
        assert find("16-channel-block").grade(empty).message.startswith("Not yet")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *case: (torch.arange(case[4]), torch.ones(case[4])), "made of True and False"),
        (lambda *case: (torch.arange(case[4]) + 0.5, torch.arange(case[4]) > 0), "whole numbers"),
        (lambda *case: torch.arange(case[4]), "return two things: offset, mask"),
        (lambda *case: (torch.arange(64), torch.arange(64) < 3), "it should have"),
        (lambda *case: (5, True), "it should have"),
        (lambda *case: "a word", "return two things"),
        (17, "the function itself"),
    ],
)
def test_offsets_and_masks_of_a_wrong_kind(answer, words):
    verdict = find("16-channel-block").grade(answer)
    assert not verdict.passed and "Likely" not in verdict.message
    assert words in verdict.message


def test_offsets_of_masked_lanes_do_not_matter():
    right = gpu_roi_align._block_variant

    def careful(*case):
        offset, mask = right(*case)
        return torch.where(mask, offset, 0), mask

    def wild(*case):
        offset, mask = right(*case)
        return torch.where(mask, offset, -(10**9)), mask

    assert find("16-channel-block").grade(careful).message.startswith("Passed: 80 loads")
    assert find("16-channel-block").grade(wild).passed


def test_two_mistakes_at_once():
    steps = gpu_roi_align.BLOCK_MISTAKES
    (mask,) = [steps[m] for m in steps if m.startswith("the mask is forgotten")]
    (row,) = [steps[m] for m in steps if m.startswith("a row of the map")]
    both = functools.partial(gpu_roi_align._block_variant, **mask, **row)
    words = find("16-channel-block").grade(both).message
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

    assert find("16-touched").grade(pairs).message.startswith("Passed: 60 boxes")


def test_three_or_four_hints():
    assert len(find("16-channel-block").hints) in (3, 4)
    assert len(find("16-touched").hints) in (3, 4)
