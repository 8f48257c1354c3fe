"""Winograd's convolution of small maps is the convolution."""

import pytest
import torch
from torch import nn

from mrcnn_lite.export.winograd import WinogradConvolution


@pytest.mark.parametrize(
    ("side", "bias"), [(1, True), (4, False), (5, True), (7, False), (14, True)]
)
def test_it_is_the_convolution(side, bias):
    torch.manual_seed(0)
    plain = nn.Conv2d(12, 5, 3, padding=1, bias=bias)
    maps = torch.randn(3, 12, side, side)
    exact = plain.double()(maps.double())
    found = WinogradConvolution(plain.float(), side)(maps)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5)
    # Not symmetric: an axis taken for the other one would be noticed.
    turned = WinogradConvolution(plain, side)(maps.transpose(2, 3)).transpose(2, 3)
    assert side == 1 or (turned - exact).abs().max() > 0.1


def test_what_it_cannot_do_is_refused():
    for wrong in (nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, 2, padding=1)):
        with pytest.raises(ValueError, match="3 x 3 with stride 1"):
            WinogradConvolution(wrong, 7)
