"""Graders: whatever the answer, there is a message, and nothing raises.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import re

import pytest
import torch

from mrcnn_lite.lessons.kit import check, hint
from mrcnn_lite.lessons.kit.exercise import FunctionGrader, combine, every, find, switches
from tools.exercise_sources import chapter_of


def not_implemented(*inputs):
    raise NotImplementedError


@pytest.mark.parametrize("exercise", ["01-roi-pool", "03-bilinear", "03-roi-align"])
def test_other_stubs_are_not_yet(exercise):
    for empty in (None, not_implemented):
        assert find(exercise).grade(empty).message.startswith("Not yet")


def minus_a_bool(boxes, form):
    """torch answers with a NotImplementedError of its own."""
    return boxes - (form == "voc")


def test_an_error_of_torch_is_no_stub():
    words = find("02-half-open").grade(minus_a_bool).message
    assert "raised NotImplementedError: Subtraction" in words


def broken(*inputs):
    return 1 / 0


unknown_answers = pytest.mark.parametrize(
    ("answer", "words"),
    [
        (broken, "ZeroDivisionError"),
        (lambda *inputs: "a word", "not numbers"),
        (lambda *inputs: torch.zeros(9, 9, 9), "it should have"),
        (lambda *inputs: 0.125, "yours 0.1250|it should have"),
        (17, "the function itself"),
    ],
)


@pytest.mark.parametrize("exercise", ["01-roi-pool", "03-bilinear", "03-roi-align"])
@unknown_answers
def test_unknown_wrong_answers_are_caught(exercise, answer, words):
    verdict = find(exercise).grade(answer)
    assert not verdict.passed
    assert re.search(words, verdict.message)


def test_a_function_that_writes_into_its_inputs_harms_nobody():
    right = chapter_of("03-bilinear").solution("03-bilinear")

    def vandal(features, y, x):
        value = right(features, y, x).clone()
        features.zero_()
        return value

    assert find("03-bilinear").grade(vandal).passed


def test_check_and_hint_print(capsys):
    check("03-bilinear", None)
    assert capsys.readouterr().out.startswith("Not yet")
    for number in (1, 2, 3, 99):
        hint("03-bilinear", number)
    assert capsys.readouterr().out.count("Hint 3 of 3") == 2
    with pytest.raises(ValueError, match="no exercise named 'nothing'"):
        check("nothing", None)


def test_combine_keeps_contradictions_apart():
    slips = (("a", {"x": 1}), ("b", {"x": 2}), ("c", {"y": 3}))
    words = [mistake.message for mistake in combine(dict, slips, most=2)]
    assert words == ["a", "b", "c", "a\n   and: c", "b\n   and: c"]


def test_a_known_mistake_is_an_answer():
    """A switch that the variant does not have raises, and any error would be taken for it."""
    for name, exercise in every().items():
        if isinstance(exercise.grade, FunctionGrader):
            for mistake in exercise.known:
                made = (exercise.grade.outcome(mistake.function, c) for c in exercise.grade.cases())
                assert any(not isinstance(answer, TypeError) for answer in made), (name, mistake)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("01-roi-pool", r"features \d x \d, box \[[\d., ]+\], size \d, scale 0\.\d+;"),
        ("06-level", r"boxes \d+ x 4, the first \[8, 16, 64, 240\], k_min 2, k_max 5;"),
        (
            "06-pyramid",
            r"features \[2 x \d+ x \d+, .*\], boxes 7 x 4, the first .*strides \[16, 32\];",
        ),
        ("09-mask-loss", r"labels \[1\] \(index 0 is the loss, the rest its gradient\);"),
        ("16-channel-block", r"image \d, y \d, x \d, block \d of \d channels"),
    ],
)
def test_a_wrong_case_is_told_by_its_arguments(name, told):
    message = find(name).grade(lambda *case: torch.zeros(3)).message
    assert re.search(f"Smallest wrong case: .*{told}", message), message


def test_switches_are_right_until_one_is_changed():
    @switches(plus=1, times=2)
    def variant(x, how):
        return x * how.times + how.plus

    assert (variant(5), variant(5, plus=0), variant(5, plus=0, times=3)) == (11, 10, 15)
    names = [mistake.message for mistake in combine(variant, {"a": {"plus": 0}}.items())]
    assert names == ["a"]
