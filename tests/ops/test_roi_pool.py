"""RoIPool: two roundings, overlapping bins, empty bins, gradient to the maximum."""

import pytest
import torch
import torchvision
from cases import article_map, article_rois, ramp, random_rois
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_lite.ops import roi_pool, use_backend
from mrcnn_lite.ops.roi_pool import roi_pool_bins, round_half_away


def test_the_articles_numbers():
    out = roi_pool(article_map(), article_rois(), 2, 1 / 32)
    expected = torch.tensor([[1.6871, 0.4676], [2.0242, 2.3571]])
    torch.testing.assert_close(out[0, 0], expected, rtol=0, atol=5e-5)


def test_bins_overlap():
    """Corners 0 and 4 are five elements; two bins of 2.5 become 0..2 and 2..4, sharing one."""
    out = roi_pool(ramp(6, 6), torch.tensor([[0.0, 0, 0, 4, 4]]), 2)
    assert out[0, 0].tolist() == [[14, 16], [26, 28]]
    feature = torch.zeros(1, 1, 6, 6)
    feature[0, 0, 2, 2] = 1  # the element that all four bins share
    assert roi_pool(feature, torch.tensor([[0.0, 0, 0, 4, 4]]), 2).eq(1).all()


def test_halves_are_rounded_away_from_zero():
    halves = torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5])
    assert round_half_away(halves).tolist() == [-2, -1, 1, 2, 3]
    assert torch.round(halves).tolist() != [-2, -1, 1, 2, 3]
    # 80 / 32 = 2.5 must become 3.
    out = roi_pool(article_map(), article_rois(80, 80, 124, 124), 2, 1 / 32)
    expected = [0.0457, 0.1530, -0.0865, 2.3571]
    assert out.flatten().tolist() == pytest.approx(expected, abs=5e-5)


def test_the_elements_of_bins_by_hand():
    """Five elements in two bins overlap in one; beside the map a bin is empty."""
    boxes = torch.tensor([[0.0, 0, 4, 4], [3, 0, 40, 2]])
    top, bottom, left, right = roi_pool_bins(boxes, (2, 2), 1.0, h=5, w=6)
    assert top.tolist() == [[0, 2], [0, 1]] and bottom.tolist() == [[3, 5], [2, 3]]
    assert left.tolist() == [[0, 2], [3, 6]] and right.tolist() == [[3, 5], [6, 6]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bins_are_rounded_in_the_type_of_the_corners(dtype):
    """29 elements in 7 bins: 7 float32 sevenths of 29 are more than 29, so the last bin reaches one
    element further than in float64. Thousands of boxes on a map that shows every border."""
    features = ramp(64, 64)[..., :61].to(dtype)
    by_hand = torch.tensor([[0.0, 10, 10, 124, 124]], dtype=dtype)
    g = torch.Generator().manual_seed(0)
    corners = torch.randint(-20, 260, (1000, 4), generator=g).sort(dim=1).values
    shift = torch.rand(1000, 4, generator=g) * torch.randint(2, (1000, 1), generator=g)
    rois = torch.cat([torch.zeros(1000, 1), corners + shift], dim=1).to(dtype)
    rois = torch.cat([by_hand, rois])
    for size in (2, 5, 7, 11, (14, 13)):
        for scale in (1 / 4, 1 / 5):
            found = roi_pool(features, rois, size, scale)
            assert torch.equal(found, torchvision.ops.roi_pool(features, rois, size, scale))
        with use_backend("reference"):
            assert torch.equal(roi_pool(features, rois[:20], size, scale), found[:20])
    found, wide = (roi_pool(features.to(t), by_hand.to(t), 7, 1 / 4) for t in (dtype, torch.double))
    assert torch.equal(found.double(), wide) == (dtype == torch.double)


def test_a_corner_just_below_a_half_is_rounded_down():
    """0.49999997 + 0.5 is 1 in float32: adding a half would round such a corner up."""
    below = torch.tensor([[0.49999997, 8388609.0, -0.49999997]])
    assert round_half_away(below).tolist() == [[0.0, 8388609.0, 0.0]]


def test_moving_the_box_a_little_changes_nothing():
    out = [roi_pool(article_map(), article_rois(10 + d, 10, 124, 124), 2, 1 / 32) for d in (0, 5)]
    assert torch.equal(*out)


def test_bins_outside_the_map_are_zero():
    out = roi_pool(ramp() + 1, torch.tensor([[0.0, 3, 3, 8, 8], [0.0, 20, 20, 30, 30]]), 2)
    assert out[0, 0].tolist() == [[25, 0], [0, 0]]
    assert out[1].eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1 / 4, 1 / 7, 1 / 32])
def test_equals_torchvision_and_the_loop(dtype, scale):
    features = torch.randn(2, 3, 11, 14, dtype=dtype)
    for seed, size in enumerate([1, 2, 7, (3, 5)]):
        rois = random_rois(40, 2, (int(11 / scale), int(14 / scale)), seed).to(dtype)
        leaf_a, leaf_b = (features.clone().requires_grad_() for _ in range(2))
        expected = torchvision.ops.roi_pool(leaf_a, rois, size, scale)
        found = roi_pool(leaf_b, rois, size, scale)
        assert torch.equal(found, expected)
        grad = torch.randn_like(expected)
        expected.backward(grad)
        found.backward(grad)
        torch.testing.assert_close(leaf_b.grad, leaf_a.grad)
        with use_backend("reference"):
            assert torch.equal(roi_pool(features, rois, size, scale), expected)


def test_the_gradient_goes_to_the_first_maximum():
    features = torch.zeros(1, 1, 4, 4, requires_grad=True)
    roi_pool(features, torch.tensor([[0.0, 0, 0, 3, 3]]), 1).sum().backward()
    assert features.grad.flatten().nonzero().flatten().tolist() == [0]


def test_the_article_sends_gradient_to_four_elements():
    features = article_map().requires_grad_()
    roi_pool(features, article_rois(), 2, 1 / 32).sum().backward()
    assert int((features.grad != 0).sum()) == 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_dtype(dtype):
    features = torch.randn(1, 2, 6, 6).to(dtype)
    out = roi_pool(features, article_rois(), 2, 1 / 32)
    assert out.dtype == dtype
    expected = roi_pool(features.float(), article_rois(), 2, 1 / 32)
    assert torch.equal(out.float(), expected)


def test_lists_layouts_and_no_boxes():
    features = torch.randn(2, 3, 8, 9)
    rois = random_rois(12, 2, (8, 9), 0).float()
    rois = rois[rois[:, 0].sort(stable=True).indices]
    expected = roi_pool(features, rois, 3)
    per_image = [rois[rois[:, 0] == b, 1:] for b in range(2)]
    assert torch.equal(roi_pool(features, per_image, 3), expected)
    last = features.to(memory_format=torch.channels_last)
    assert torch.equal(roi_pool(last, rois, 3), expected)
    assert roi_pool(features, torch.zeros(0, 5), 3).shape == (0, 3, 3, 3)
    assert roi_pool(features, [torch.zeros(0, 4)] * 2, 3).shape == (0, 3, 3, 3)
    with use_backend("reference"):
        assert roi_pool(features, torch.zeros(0, 5), 3).shape == (0, 3, 3, 3)


@settings(deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    corner=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    side=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.integers(1, 4),
)
def test_monotone_and_equivariant(seed, corner, side, size):
    g = torch.Generator().manual_seed(seed)
    features = torch.randn(1, 2, 12, 12, generator=g)
    box = torch.tensor([[0.0, *corner, corner[0] + side[0], corner[1] + side[1]]])
    out = roi_pool(features, box, size)
    larger = features + torch.rand(features.shape, generator=g)
    assert (roi_pool(larger, box, size) >= out).all()
    moved = roi_pool(
        features.roll((1, 2), dims=(2, 3)), box + torch.tensor([0, 2, 1, 2, 1.0]), size
    )
    if max(corner[0] + side[0] + 2, corner[1] + side[1] + 1) < 12:
        assert torch.equal(moved, out)
