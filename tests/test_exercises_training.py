"""Exercises of notebooks 00 and 12: anything gets an answer in words, none gives it away.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import re

import pytest

from mrcnn_lite.datasets.transforms import flip_x
from mrcnn_lite.lessons.n00_start_here import exercises as blocks
from mrcnn_lite.lessons.n12_training import exercises as flip

RIGHT = {question: answer for question, (answer, _) in blocks.QUESTIONS.items()}


def test_blocks_count_what_is_right_and_what_is_open():
    words = blocks.grade({**RIGHT, "B": "box branch", "E": None}).message
    assert "7 of 9 right, 1 still open." in words
    assert "both give boxes" in words
    assert not blocks.grade({**RIGHT, "E": None}).passed


@pytest.mark.parametrize("question", blocks.QUESTIONS)
def test_blocks_never_give_the_answer_away(question):
    choices = blocks.NAMES if question in blocks.LETTERS else blocks.LETTERS
    for choice in choices:
        verdict = blocks.grade({**RIGHT, question: choice})
        assert verdict.passed == (choice == RIGHT[question])
        if not verdict.passed:
            nudge = verdict.message.split("\n", 1)[1].split(":", 1)[1]
            assert not re.search(rf"\b{RIGHT[question]}\b", nudge), nudge


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (None, "dictionary"),
        ({"A": "RPN"}, "no entry 'B'"),
        ({**RIGHT, "A": "backbone"}, "no choice here"),
        ({**RIGHT, "has no weights": 3}, "no choice here"),
    ],
)
def test_blocks_answer_anything_in_words(answers, words):
    verdict = blocks.grade(answers)
    assert not verdict.passed
    assert words in verdict.message


def test_case_and_spaces_do_not_matter():
    assert blocks.grade({q: f" {a.upper()} " for q, a in RIGHT.items()}).passed


def test_several_mistakes_are_all_named():
    words = flip.grade(lambda image, target: (image.flip(-1), target)).message
    assert "boxes: they are still" in words
    assert "masks: they are not mirrored" in words
    assert "image:" not in words


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (17, "the function itself"),
        (lambda image, target: 1 / 0, "ZeroDivisionError"),
        (lambda image, target: image, "return two things"),
        (lambda image, target: (image.flip(-1), {}), "missing in the target"),
        (lambda image, target: ("a", flip_x(image, target)[1]), "a str, not numbers"),
        (lambda image, target: (image[:, :4], flip_x(image, target)[1]), "the shape is"),
        (
            lambda image, target: (
                image.flip(-1),
                {**flip_x(image, target)[1], "boxes": target["boxes"] + 1},
            ),
            "it should be",
        ),
    ],
)
def test_other_wrong_answers_get_words(function, words):
    verdict = flip.grade(function)
    assert not verdict.passed
    assert words in verdict.message
