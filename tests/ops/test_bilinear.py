"""Bilinear sampling and its border rules."""

import math

import pytest
import torch
import torch.nn.functional as F
from cases import article_map, ramp

from mrcnn_lite.ops import bilinear
from mrcnn_lite.ops.bilinear import bilinear_loop


def test_the_articles_number():
    feature = article_map()[0]
    position = 10 / 32 + (124 - 10) / 32 / 4
    assert position - 1 == 0.203125
    corners = feature[0, 1:3, 1:3].flatten().tolist()
    assert corners == pytest.approx([-1.6091, -0.7121, 1.6871, 0.2284], abs=5e-5)
    y = torch.tensor([position])
    assert bilinear(feature, y, y).item() == pytest.approx(-0.8546, abs=5e-5)
    assert bilinear_loop(feature, position, position).item() == pytest.approx(-0.8546, abs=5e-5)


def test_the_enclosing_cell_is_not_the_four_nearest_elements():
    # At (0.01, 0.01) the lattice point (-1, 0) is nearer than (1, 1), which counts all the same.
    value = bilinear(ramp()[0], torch.tensor([0.01]), torch.tensor([0.01])).item()
    assert value == pytest.approx(0.01 * 5 + 0.01 * 1)


@pytest.mark.parametrize(
    ("y", "expected"),
    [(-1.001, 0), (-1.0, 7), (-0.5, 7), (0.0, 7), (4.0, 7), (5.0, 7), (5.001, 0)],
)
def test_borders(y, expected):
    """From -1 to h a sample counts, at the value of the nearest edge; beyond it is 0."""
    feature = torch.full((1, 5, 6), 7.0)
    x = torch.tensor([2.0])
    assert bilinear(feature, torch.tensor([y]), x).item() == expected
    assert bilinear_loop(feature, y, 2.0).item() == expected


def test_equals_the_loop_and_grid_sample():
    feature = torch.randn(3, 7, 9, dtype=torch.float64)
    y = torch.rand(4, 25, dtype=torch.float64) * 10 - 2
    x = torch.rand(4, 25, dtype=torch.float64) * 12 - 2
    found = bilinear(feature, y, x)  # [C, 4, 25]
    for i in range(4):
        for j in range(25):
            expected = bilinear_loop(feature, float(y[i, j]), float(x[i, j]))
            torch.testing.assert_close(found[:, i, j], expected, rtol=0, atol=1e-14)
    y, x = y.clamp(0, 6), x.clamp(0, 8)
    grid = torch.stack([x / 8 * 2 - 1, y / 6 * 2 - 1], dim=-1)[None]
    peer = F.grid_sample(feature[None], grid, align_corners=True)[0]
    torch.testing.assert_close(bilinear(feature, y, x), peer, rtol=0, atol=1e-13)


def test_gradients():
    feature = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.3, 2.7, -0.4, 1.5], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([1.2, 3.9, 0.6, 4.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bilinear, (feature, y, x))


def test_at_an_element_the_derivative_is_the_one_to_the_right():
    y = torch.tensor([2.0], requires_grad=True)
    column = torch.tensor([0.0, 1.0, 3.0, 9.0]).view(1, 4, 1)
    bilinear(column, y, torch.zeros(1)).sum().backward()
    assert y.grad.item() == 9 - 3


def test_positions_that_are_no_numbers_are_refused():
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"y: row 1 is not finite"):
            bilinear(ramp()[0], torch.tensor([0.0, bad]), torch.zeros(2))
