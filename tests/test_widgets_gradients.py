"""Notebook 05's explorer and pictures, without a browser: what they show is what autograd says."""

import re

import numpy as np
import pytest
import torch
import torchvision
from cases import article_map

from mrcnn_lite.lessons.kit import style
from mrcnn_lite.lessons.n03_roi_align.pictures import samples_of
from mrcnn_lite.lessons.n05_gradients_and_two_small_matrices import pictures as draw
from mrcnn_lite.lessons.n05_gradients_and_two_small_matrices.explorer import (
    FARTHEST,
    RoIGradientsState,
    explore_gradients,
)

PNG = b"\x89PNG\r\n\x1a\n"
ARTICLE = (10.0, 10.0, 124.0, 124.0)


def torchvisions(state: RoIGradientsState) -> torch.Tensor:
    """The gradient of the map by torchvision, Tensor[h, w]."""
    leaf = state.features.clone().requires_grad_()
    args = (leaf, [state.box()[None]], state.size, 1 / 32, state.sampling_ratio, False)
    out = torchvision.ops.roi_align(*args)
    (out[0, 0, 0, 0] if state.first_only else out.sum()).backward()
    return leaf.grad[0, 0]


def test_it_starts_with_the_article():
    png, text = RoIGradientsState().render()
    assert png.startswith(PNG)
    assert text.startswith("9 of 36 elements learn from the sum of the outputs (RoIPool: 4)")
    assert "first output: RoIAlign -0.8546, RoIPool 1.6871" in text
    assert "adding up to 4.0000" in text
    explorer = explore_gradients(sampling_ratio=2)
    assert explorer.text.startswith("25 of 36 elements learn")


def test_the_weights_are_torchvisions_and_the_edges_agree_with_differences():
    generator = torch.Generator().manual_seed(5)
    state = RoIGradientsState()
    for k in range(12):
        draws = torch.rand(3, generator=generator).tolist()
        state.shift_x, state.shift_y = int(draws[0] * 64), int(draws[1] * 64)
        state.side = 32 + int(draws[2] * 118)
        state.sampling_ratio, state.size, state.first_only = k % 4 + 1, k % 3 + 1, k % 2 == 1
        weights, edges, pooled = state.gradients()
        torch.testing.assert_close(weights, torchvisions(state))
        assert pooled.sum() == pytest.approx(1 if state.first_only else state.size**2)
        written = [float(n) for n in re.findall(r"[xy][12] (-?\d+\.\d+)", state.render()[1])]
        assert written == pytest.approx(edges.tolist(), abs=6e-5)
        slide = state.slide()
        middle = min(max(state.shift_x, 1), FARTHEST - 1)
        near = slide.align[middle - 1 : middle + 2]
        steps = np.diff(near)
        slopes = slide.slope[middle - 1 : middle + 2]
        assert slopes.min() - 1e-4 <= steps.mean() <= slopes.max() + 1e-4


@pytest.mark.parametrize(
    ("name", "value"),
    [("shift_x", 20), ("shift_y", 30), ("side", 60), ("size", 3), ("sampling_ratio", 3)]
    + [("first_only", True)],
)
def test_it_follows_every_control(name, value):
    explorer = explore_gradients()
    png, text = explorer.png, explorer.text
    explorer.controls[name].value = value
    assert explorer.png != png and explorer.text != text
    assert getattr(explorer.state, name) == value


def test_the_maxima_are_drawn_or_not():
    explorer = explore_gradients()
    before = explorer.png
    assert explorer.set(pool_cells=False).png != before
    assert explorer.set(pool_cells=True).png == before


def test_a_slide_is_computed_anew_when_it_must_be():
    state = RoIGradientsState()
    first = state.slide()
    state.shift_x = 7
    assert state.slide() is first, "moving along the slide changes where one is, not the slide"
    state.shift_y = 3
    assert not np.allclose(state.slide().align, first.align)


def test_shown_as_one_bundle_with_labels():
    explorer = explore_gradients()
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert metadata["image/png"]["alt"] == explorer.alt
    assert all(control.description for control in explorer.controls.values())


def test_own_maps():
    assert "RoIAlign 4.0000" in explore_gradients(torch.full((1, 1, 7, 9), 4.0)).text
    with pytest.raises(ValueError, match=r"\[1, 1, h, w\]"):
        explore_gradients(torch.zeros(6, 6))


def test_white_is_exactly_nothing():
    colours = draw.tinted([[0.0, 0.5], [-1.0, 1e-3]])
    assert (colours[0, 0] == 1).all()
    assert (colours.reshape(-1, 3)[1:].min(1) < 1).all()
    darkness = 3 - colours.sum(2)
    assert darkness[1, 0] > darkness[0, 1] > darkness[1, 1] > 0, "size counts, not sign"


def test_arrows_point_uphill_from_their_edges():
    starts, steps = draw.edge_arrows((0, 1, 4, 3), (2.0, -1.0, 0.0, 0.5))
    assert starts.tolist() == [[0, 2], [2, 1], [4, 2], [2, 3]]
    assert steps[0, 0] == pytest.approx(draw.ARROW) and steps[0, 1] == 0
    assert steps[1].tolist() == pytest.approx([0, -draw.ARROW / 2])
    assert steps[2].tolist() == [0, 0]
    assert draw.edge_arrows((0, 1, 4, 3), np.zeros(4))[1].tolist() == [[0, 0]] * 4


def test_every_picture_is_drawn():
    features = article_map()
    samples = samples_of(ARTICLE, 2, 1 / 32, 2, aligned=False)
    shifts = np.arange(5.0)
    path = np.linspace([1.0, 1, 3, 3], [2.0, 2, 4, 4], 9)
    figures = [
        draw.learning_picture([features, features], ["a", "b"], [samples, (0, 0, 5, 5)]),
        draw.product_picture({"out": np.eye(2), "a": np.eye(2), "b": np.eye(2)}),
        draw.arrows_picture(features, samples, [("rise", (1, 2, 3, -4))]),
        draw.descent_picture(features, path, (2, 2, 4, 4), np.geomspace(1, 1e-6, 9)),
        draw.slopes_picture(shifts, {"RoIPool": shifts, "RoIAlign": shifts}, {}, [2.5]),
    ]
    assert [len(figure.axes) for figure in figures] == [2, 1, 1, 2, 2]
    for figure in figures:
        assert style.figure_png(figure).startswith(PNG)
