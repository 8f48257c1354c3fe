"""Lesson 05's figures: white is nothing, arrows point uphill, everything is drawn."""

import numpy as np
import pytest
from cases import article_map

from mrcnn_lite.lessons.kit import style
from mrcnn_lite.lessons.kit.grid import tinted
from mrcnn_lite.lessons.kit.roi import ARROW, edge_arrows, samples_of
from mrcnn_lite.lessons.n05_gradients_and_two_small_matrices import pictures as draw

PNG = b"\x89PNG\r\n\x1a\n"
ARTICLE = (10.0, 10.0, 124.0, 124.0)


def test_white_is_exactly_nothing():
    colours = tinted([[0.0, 0.5], [-1.0, 1e-3]])
    assert (colours[0, 0] == 1).all()
    assert (colours.reshape(-1, 3)[1:].min(1) < 1).all()
    light = colours.sum(2)
    assert 3 > light[1, 0] > light[0, 1] > light[1, 1], "from purple to yellow, as every map"
    assert (tinted([[1.0, -1.0, 0.2]])[0, 0] == tinted([[1.0, -1.0, 0.2]])[0, 1]).all(), "no sign"


def test_arrows_point_uphill_from_their_edges():
    starts, steps = edge_arrows((0, 1, 4, 3), (2.0, -1.0, 0.0, 0.5))
    assert starts.tolist() == [[0, 2], [2, 1], [4, 2], [2, 3]]
    assert steps[0, 0] == pytest.approx(ARROW) and steps[0, 1] == 0
    assert steps[1].tolist() == pytest.approx([0, -ARROW / 2])
    assert steps[2].tolist() == [0, 0]
    assert edge_arrows((0, 1, 4, 3), np.zeros(4))[1].tolist() == [[0, 0]] * 4


def test_every_picture_is_drawn():
    features = article_map()
    samples = samples_of(ARTICLE, 2, 1 / 32, 2, aligned=False)
    shifts = np.arange(5.0)
    path = np.linspace([1.0, 1, 3, 3], [2.0, 2, 4, 4], 9)
    figures = [
        draw.learning_figure([features, features], ["a", "b"], [samples, (0, 0, 5, 5)]),
        draw.product_figure({"out": np.eye(2), "a": np.eye(2), "b": np.eye(2)}),
        draw.arrows_figure(features, samples, [("rise", (1, 2, 3, -4))]),
        draw.descent_figure(features, path, (2, 2, 4, 4), np.geomspace(1, 1e-6, 9)),
        draw.slopes_figure(shifts, {"RoIPool": shifts, "RoIAlign": shifts}, {}, [2.5]),
    ]
    assert [len(figure.axes) for figure in figures] == [2, 1, 1, 2, 2]
    for figure in figures:
        assert style.figure_png(figure).startswith(PNG)
