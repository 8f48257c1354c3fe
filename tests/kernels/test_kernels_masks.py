"""The kernels of mask targets and pasting against `ops`."""

import pytest
import torch
from cases import random_rois
from kernel_tools import DEVICE, assert_close, kernels_run

from mrcnn_lite.ops import crop_masks, paste_masks, use_backend

IMAGE = (30, 44)
TYPES = [torch.float32, torch.float64]
OTHERS = [pytest.param(kind, marks=pytest.mark.slow) for kind in (torch.bool, torch.float32)]


def boxes(dtype: torch.dtype, count: int = 8, seed: int = 2) -> torch.Tensor:
    """Boxes of every kind."""
    return random_rois(count, 1, IMAGE, seed=seed)[:, 1:].to(DEVICE, dtype)


def both(function):
    """What the kernel and the tensor form make of the same call."""
    with kernels_run():
        found = function()
    with use_backend("torch"):
        return found, function()


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("kind", [torch.uint8, *OTHERS], ids=str)
def test_mask_targets(kind, aligned, dtype):
    masks = (torch.rand(3, *IMAGE, device=DEVICE) > 0.5).to(kind)
    matched = torch.arange(8, device=DEVICE) % 3
    found, expected = both(lambda: crop_masks(masks, boxes(dtype), matched, 7, aligned=aligned))
    assert_close(found, expected)


def test_a_full_cell_is_one():
    masks = torch.ones(1, *IMAGE, dtype=torch.uint8, device=DEVICE)
    box = torch.tensor([[3.3, 4.4, 20.7, 25.1]], device=DEVICE)
    with kernels_run():
        found = crop_masks(masks, box, torch.zeros(1, dtype=torch.int64, device=DEVICE), 7)
    assert (found == 1).all()


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("rule", ["torchvision", "pixel_centres"])
@pytest.mark.parametrize("image", [IMAGE, (9, 131)])
def test_pasting(image, rule, dtype):
    masks = torch.rand(8, 7, 7, dtype=dtype, device=DEVICE)
    found, expected = both(lambda: paste_masks(masks, boxes(dtype), image, rule=rule))
    assert_close(found, expected)


@pytest.mark.parametrize("rule", ["torchvision", "pixel_centres"])
def test_pasting_with_a_threshold(rule):
    """Where no probability is within rounding of the threshold, every pixel is the same."""
    masks = torch.rand(8, 7, 7, dtype=torch.float64, device=DEVICE)
    options = {"rule": rule, "threshold": 0.5}
    found, expected = both(lambda: paste_masks(masks, boxes(torch.float64), IMAGE, **options))
    assert found.dtype == torch.bool
    assert torch.equal(found, expected)
    assert found.any()


def test_nothing_to_do():
    none = torch.zeros(0, 4, device=DEVICE)
    with kernels_run():
        assert paste_masks(torch.zeros(0, 7, 7, device=DEVICE), none, IMAGE).shape == (0, *IMAGE)
        masks = torch.zeros(1, *IMAGE, dtype=torch.uint8, device=DEVICE)
        rows = torch.zeros(0, dtype=torch.int64, device=DEVICE)
        assert crop_masks(masks, none, rows, 7).shape == (0, 7, 7)


def test_the_operators_are_registered_rightly():
    masks, box = torch.ones(1, 9, 9, dtype=torch.uint8, device=DEVICE), boxes(torch.float32, 1)
    row = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    torch.library.opcheck(torch.ops.mrcnn_lite.crop_masks, (masks, box, row, 3, True))
    probabilities = torch.rand(1, 3, 3, device=DEVICE)
    torch.library.opcheck(torch.ops.mrcnn_lite.paste_masks, (probabilities, box, 5, 6, True, 0.5))


@pytest.mark.gpu
@pytest.mark.parametrize("rule", ["torchvision", "pixel_centres"])
def test_pasting_at_full_size(rule):
    masks = torch.rand(100, 28, 28, device=DEVICE)
    rois = random_rois(100, 1, (800, 1333), seed=7)[:, 1:].to(DEVICE, torch.float32)
    found, expected = both(lambda: paste_masks(masks, rois, (800, 1333), rule=rule))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
