"""RoIPool's kernel against its reference in `ops`, in Triton's interpreter or on a GPU."""

import pytest
import torch
from cases import article_map, article_rois, random_rois
from kernel_tools import DEVICE, assert_close, kernels_run

from mrcnn_lite.ops import roi_pool, use_backend

IMAGE = (48, 36)


def both(features, rois, size):
    """Outputs and gradients: of the kernel, of the tensor form."""
    found = []
    for context in (kernels_run(), use_backend("torch")):
        leaf = features.detach().requires_grad_()
        with context:
            out = roi_pool(leaf, rois, size, 1 / 4)
            found += [out, *torch.autograd.grad(out.sin().sum(), leaf)]
    return found


def test_the_articles_numbers():
    with kernels_run():
        out = roi_pool(article_map().to(DEVICE), article_rois().to(DEVICE), 2, 1 / 32)
    expected = torch.tensor([[1.6871, 0.4676], [2.0242, 2.3571]], device=DEVICE)
    torch.testing.assert_close(out[0, 0], expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [1, (3, 2), 7])
def test_like_its_reference(size, dtype):
    features = torch.randn(2, 5, 12, 9, dtype=dtype, device=DEVICE)
    rois = random_rois(10, 2, IMAGE, seed=1).to(DEVICE, dtype)
    out, gradient, expected, expected_gradient = both(features, rois, size)
    assert torch.equal(out, expected)
    assert_close(gradient, expected_gradient)


def test_bins_are_rounded_in_the_type_of_the_corners():
    """29 elements in 7 bins, where float32 and float64 differ: see tests/ops/test_roi_pool.py."""
    features = torch.arange(40.0 * 36, device=DEVICE).view(1, 1, 40, 36)
    rois = torch.tensor([[0.0, 10, 10, 124, 124], [0, 0, 0, 24, 52]], device=DEVICE)
    out, _, expected, _ = both(features, rois, 7)
    assert torch.equal(out, expected)
    wide = both(features.double(), rois.double(), 7)
    assert torch.equal(wide[0], wide[2]) and not torch.equal(out.double(), wide[0])


def test_the_first_of_equal_maxima_gets_the_gradient():
    features = torch.ones(1, 1, 4, 4, dtype=torch.float64, device=DEVICE)
    rois = torch.tensor([[0.0, 0, 0, 15, 15]], dtype=torch.float64, device=DEVICE)
    _, gradient, _, expected = both(features, rois, 1)
    assert torch.equal(gradient, expected)
    assert gradient.count_nonzero() == 1


def test_no_boxes():
    features = torch.randn(1, 2, 4, 4, device=DEVICE, requires_grad=True)
    with kernels_run():
        out = roi_pool(features, torch.zeros(0, 5, device=DEVICE), 2, 1.0)
    assert out.shape == (0, 2, 2, 2)
    out.sum().backward()
    assert not features.grad.any()


def test_the_operator_is_registered_rightly():
    features = torch.randn(1, 2, 5, 5, device=DEVICE, requires_grad=True)
    image = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    corners = torch.tensor([[1.0, 2, 15, 16]], device=DEVICE)
    torch.library.opcheck(torch.ops.mrcnn_lite.roi_pool, (features, image, corners, 2, 2, 0.25))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bits(dtype):
    features = torch.randn(2, 130, 50, 60, device=DEVICE).to(dtype)
    rois = random_rois(300, 2, (200, 240), seed=2).to(DEVICE, torch.float32)
    with kernels_run():
        out = roi_pool(features, rois, 7, 1 / 4)
        assert torch.equal(out.float(), roi_pool(features.float(), rois, 7, 1 / 4))
