"""Exercises of notebooks 08 to 13: anything gets an answer in words.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import re

import pytest

from mrcnn_lite.lessons.kit import check, hint
from mrcnn_lite.lessons.kit.exercise import find

each = pytest.mark.parametrize(
    "exercise",
    ["08-mask-head", "09-mask-targets", "09-mask-loss", "10-paste", "11-pooler", "12-flip",
     "13-average-precision"],
)  # fmt: skip


def not_implemented(*inputs):
    raise NotImplementedError


@each
def test_other_stubs_are_not_yet(exercise):
    for empty in (None, not_implemented):
        verdict = find(exercise).grade(empty)
        assert not verdict.passed
        assert verdict.message.startswith("Not yet")


@each
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *inputs: 1 / 0, "ZeroDivisionError"),
        (lambda *inputs: "a word", "str|not numbers|one number"),
        (17, "the function itself"),
    ],
)
def test_anything_gets_an_answer_in_words(exercise, answer, words):
    verdict = find(exercise).grade(answer)
    assert not verdict.passed
    assert re.search(words, verdict.message)


@each
def test_check_and_hints(exercise, capsys):
    check(exercise, None)
    for number in (1, 2, 3, 99):
        hint(exercise, number)
    printed = capsys.readouterr().out
    assert printed.startswith("Not yet")
    assert "Hint 1 of 3" in printed and "Hint 3 of 3" in printed
