"""Notebook 12: what its exercise says, the live losses, the film, and the figures of a training.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import numpy as np
import pytest
import torch
from explorer_tools import check_controls, check_quick, pixels

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.datasets.transforms import flip_x
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.kit.style import LOSSES, figure_png
from mrcnn_lite.lessons.n12_training.explorer import LiveLosses, explore_film
from mrcnn_lite.lessons.n12_training.pictures import draw_film, draw_losses, smooth
from mrcnn_lite.models import maskrcnn_lite
from mrcnn_lite.models.intermediate import intermediate_outputs

NAMES = Shapes.class_names


def report(value: float) -> dict[str, float]:
    return {**dict.fromkeys(LOSSES, value), "loss": 5 * value, "learning_rate": 1e-3 * value}


def test_several_mistakes_are_all_named():
    words = find("12-flip").grade(lambda image, target: (image.flip(-1), target)).message
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
    verdict = find("12-flip").grade(function)
    assert not verdict.passed
    assert words in verdict.message


def test_every_control_changes_picture_and_numbers():
    check_controls(explore_film, {"moment": 1, "image": 2, "masks": False, "proposals": True})
    states = [{"image": 1 + k % 3, "proposals": k % 2 == 0} for k in range(15)]
    check_quick(explore_film, states)


def test_machine_dependent_lines_of_the_film_are_marked():
    first, *others = explore_film().set(proposals=True).text.splitlines()
    assert first == "after step 100 of 100, image 1"
    assert all(line.startswith("measured: ") for line in others)


def test_live_curves_are_drawn_at_the_end_and_not_at_every_step():
    live, drawn = LiveLosses(steps=30, learning_rate=1e-3), []
    live.image.observe(lambda change: drawn.append(change["new"]), names="value")
    for step in range(1, 31):
        live(step, step / 30, report(1 / step))
    assert 1 <= len(drawn) < 10
    assert len(live.history) == 30
    assert "step 30 of 30" in live.line.value
    assert "image/png" not in live._repr_mimebundle_()
    assert live._repr_mimebundle_()["text/plain"]


def test_smooth_by_hand():
    # (0.5 * 1) / 0.5, then (0.5 * 0.5 * 1 + 0.5 * 4) / 0.75
    np.testing.assert_allclose(smooth([1.0, 4.0], keep=0.5), [1.0, 3.0])
    np.testing.assert_allclose(smooth([2.0] * 5), 2.0)


def test_every_figure_is_drawn():
    torch.manual_seed(0)
    model, data = maskrcnn_lite(), Shapes(3, seed=2)
    scenes = [intermediate_outputs(model, data[index][0]) for index in range(3)]
    figures = [
        draw_losses([report(1.0), report(0.5)]),
        draw_film([scenes] * 6, list("abcdef"), NAMES),
        draw_film([scenes[:1]] * 4, list("abcd"), NAMES, proposals=True),
    ]
    for figure in figures:
        png = figure_png(figure)
        assert len(png) < 400_000
        assert min(pixels(png).shape[:2]) > 200
    assert (pixels(figure_png(figures[1])) != 255).any()
