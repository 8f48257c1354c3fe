"""The exercises of notebook 05, with answers as learners write them.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import functools
import math

import pytest
import torch
from test_kit_exercise import broken

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n05_gradients_and_two_small_matrices import (
    box_gradient_exercise as box_gradient,
)
from mrcnn_lite.lessons.n05_gradients_and_two_small_matrices import exercises as roi_gradients
from tools.exercise_sources import chapter_of

OURS = {
    "05-matrix": roi_gradients._axis_variant,
    "05-backward": roi_gradients._backward_variant,
    "05-box-gradient": box_gradient._box_variant,
}
each = pytest.mark.parametrize("exercise", OURS)


@each
def test_the_right_variant_is_right(exercise):
    """The mistakes differ from the truth by their switch only."""
    assert find(exercise).grade(OURS[exercise]).message.startswith("Passed: 60")


@each
def test_an_error_is_no_known_mistake(exercise):
    words = find(exercise).grade(broken).message
    assert "ZeroDivisionError" in words and "Likely" not in words


@each
def test_an_answer_that_is_slightly_off_is_caught_and_not_misnamed(exercise):
    verdict = find(exercise).grade(lambda *inputs: OURS[exercise](*inputs) * 1.01)
    assert not verdict.passed and "Likely" not in verdict.message


def test_two_mistakes_at_once():
    both = functools.partial(roi_gradients._backward_variant, mean=False, swap=True)
    words = find("05-backward").grade(both).message
    assert "number of samples is missing" in words and "and: rows and columns" in words


def loop(grad, features, boxes, scale, ratio, write):
    """A backward pass as a learner writes it: `write(out, row, column, value)` per corner."""
    out = torch.zeros_like(features)
    steps = grad.shape[-1] * ratio
    for g, (x1, y1, x2, y2) in zip(grad, (boxes * scale).tolist()):
        for i in range(steps):
            for j in range(steps):
                y, x = y1 + (i + 0.5) * (y2 - y1) / steps, x1 + (j + 0.5) * (x2 - x1) / steps
                top, left = math.floor(y), math.floor(x)
                share = g[:, i // ratio, j // ratio] / ratio**2
                for row, v in ((top, 1 - y + top), (top + 1, y - top)):
                    for column, u in ((left, 1 - x + left), (left + 1, x - left)):
                        write(out, row, column, v * u * share)
    return out


def add(out, row, column, value):
    out[:, row, column] += value


def assign(out, row, column, value):
    out[:, row, column] = value


def test_a_learners_own_loop():
    """Not made from matrices as our variants are: the names must fit code that people write."""
    exercise = find("05-backward")
    assert exercise.grade(functools.partial(loop, write=add)).passed
    assert "is overwritten" in exercise.grade(functools.partial(loop, write=assign)).message


def test_a_learners_own_indexing():
    def indexed(grad, features, boxes, scale, ratio):
        out = torch.zeros_like(features)
        part = (torch.arange(grad.shape[-1] * ratio) + 0.5) / (grad.shape[-1] * ratio)
        for g, corners in zip(grad, boxes * scale):
            y = corners[1] + part * (corners[3] - corners[1])
            x = corners[0] + part * (corners[2] - corners[0])
            top, left = y.long()[:, None], x.long()
            v, u = (y - y.floor())[:, None], x - x.floor()
            share = g.repeat_interleave(ratio, 1).repeat_interleave(ratio, 2) / ratio**2
            for row, a in ((top, 1 - v), (top + 1, v)):
                for column, b in ((left, 1 - u), (left + 1, u)):
                    out[:, row, column] += a * b * share
        return out

    assert "keeps one of several additions" in find("05-backward").grade(indexed).message


def test_the_notebooks_own_matrix_is_named_by_what_it_lacks():
    """`axis_matrix` of section 4 is right on the map and knows no border."""
    code = [text for kind, text in chapter_of("05-matrix").cells if kind == "code"]
    (source,) = [text for text in code if text.startswith("def axis_matrix(")]
    scope = {"torch": torch}
    exec(source.split("\n\n\n")[0], scope)
    words = find("05-matrix").grade(scope["axis_matrix"]).message
    assert "Likely: samples up to one element off the map" in words


def test_three_or_four_hints():
    assert {len(find(exercise).hints) for exercise in OURS} <= {3, 4}
