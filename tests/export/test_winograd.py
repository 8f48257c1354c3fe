"""Winograd's convolution of small maps is the convolution."""

import pytest
import torch
from torch import nn

from mrcnn_lite.export.winograd import WinogradConvolution


@pytest.mark.parametrize("side", [1, 4, 5, 7, 14])
def test_it_is_the_convolution(side):
    torch.manual_seed(0)
    plain = nn.Conv2d(12, 5, 3, padding=1, bias=False)
    maps = torch.randn(3, 12, side, side)
    exact = plain.double()(maps.double())
    found = WinogradConvolution(plain.float(), side)(maps)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5)
    # Not symmetric: an axis taken for the other one would be noticed.
    turned = WinogradConvolution(plain, side)(maps.transpose(2, 3)).transpose(2, 3)
    assert side == 1 or (turned - exact).abs().max() > 0.1


def test_what_it_cannot_do_is_refused():
    for wrong in (nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 3, padding=1)):
        with pytest.raises(ValueError, match="3 x 3 without a bias"):
            WinogradConvolution(wrong, 7)
