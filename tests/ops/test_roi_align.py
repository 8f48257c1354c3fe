"""RoIAlign: hand tables, the loop, torchvision, gradients."""

import warnings

import pytest
import torch
import torchvision
from cases import article_map, article_rois, ramp, random_rois

from mrcnn_lite.ops import roi_align, use_backend
from mrcnn_lite.ops.bilinear import interpolation

SAMPLING = [2, 1, 3, 4, 0]


def peer(features, rois, size, scale, ratio, aligned):
    """torchvision's operation, which does not accept reversed boxes in one setting."""
    return torchvision.ops.roi_align(features, rois, size, scale, ratio, aligned)


def test_the_articles_numbers():
    out = roi_align(article_map(), article_rois(), 2, 1 / 32, 1, aligned=False)
    expected = [-0.8546, 0.3236, 0.2177, 0.0546]
    assert out.flatten().tolist() == pytest.approx(expected, abs=5e-5)
    out = roi_align(article_map(), article_rois(), 2, 1 / 32, 1, aligned=True)
    expected = [-1.2911, -0.4863, 0.7460, 0.2380]
    assert out.flatten().tolist() == pytest.approx(expected, abs=5e-5)
    out = roi_align(article_map(), article_rois(), 2, 1 / 32, 2, aligned=False)
    expected = [-0.4687, -0.1666, 0.3701, 0.2939]
    assert out.flatten().tolist() == pytest.approx(expected, abs=5e-5)


def test_detectron2s_hand_table():
    """A 5 x 5 ramp, box (1, 1, 3, 3), 4 x 4 bins of half an element: aligned by half or not."""
    box = torch.tensor([[0.0, 1, 1, 3, 3]])
    rows = torch.tensor([[0.0, 0.5, 1.0, 1.5]])
    steps = 5 * rows.T + rows
    for aligned, first in ((False, 7.5), (True, 4.5)):
        out = roi_align(ramp(), box, 4, 1.0, 2, aligned=aligned)[0, 0]
        torch.testing.assert_close(out, first + steps, rtol=0, atol=1e-5)


def test_one_bin_by_hand():
    """Samples of box (0, 0, 2, 2) stand at 0.5 and 1.5: means of four neighbours, then of four."""
    out = roi_align(ramp(), torch.tensor([[0.0, 0, 0, 2, 2]]), 1, 1.0, 2, aligned=False)
    assert out.item() == (3 + 4 + 8 + 9) / 4


def test_samples_outside_count_as_zero():
    """All-ones map, box over the corner: of the samples only one in four is inside."""
    ones, rois = torch.ones(1, 1, 6, 6), article_rois(180, 180, 230, 230)
    out = roi_align(ones, rois, 2, 1 / 32, 2, aligned=False)
    assert out.flatten().tolist() == [0.25, 0, 0, 0]
    out = roi_align(ones, rois, 2, 1 / 32, 2, aligned=True)
    assert out.flatten().tolist() == [1, 0, 0, 0]


def test_exactly_at_the_ends_a_sample_counts():
    """Samples at -1 and at w are inside, the next float beyond is not."""
    ones = torch.ones(1, 1, 4, 4)
    inside = torch.tensor([[0.0, -1.5, -1.5, -0.5, -0.5], [0.0, 3.5, 3.5, 4.5, 4.5]])
    assert roi_align(ones, inside, 1, 1.0, 1, aligned=False).flatten().tolist() == [1, 1]
    beyond = inside + torch.tensor([[0.0], [0.0]]) + torch.tensor([[-1e-6], [1e-6]])
    beyond[:, 0] = 0
    assert roi_align(ones, beyond, 1, 1.0, 1, aligned=False).flatten().tolist() == [0, 0]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", SAMPLING)
@pytest.mark.parametrize("scale", [1.0, 1 / 4, 1 / 32])
def test_equals_torchvision(ratio, aligned, scale):
    """Every kind of box, float64, both passes; reversed ones where torchvision accepts them."""
    kinds = "proper" if ratio == 0 and aligned else "all"
    features = torch.randn(3, 4, 13, 17, dtype=torch.float64)
    for seed, size in enumerate([7, 14, (3, 5), 1]):
        rois = random_rois(60, 3, (int(13 / scale), int(17 / scale)), seed, kinds)
        leaf_a, leaf_b = (features.clone().requires_grad_() for _ in range(2))
        expected = peer(leaf_a, rois, size, scale, ratio, aligned)
        found = roi_align(leaf_b, rois, size, scale, ratio, aligned=aligned)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        grad = torch.randn_like(expected)
        expected.backward(grad)
        found.backward(grad)
        torch.testing.assert_close(leaf_b.grad, leaf_a.grad, rtol=0, atol=1e-11)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", SAMPLING)
def test_equals_the_loop(ratio, aligned):
    """The loop knows no index lists, no merging, no tables; reversed boxes with every ratio."""
    features = torch.randn(2, 2, 6, 7, dtype=torch.float64)
    rois = random_rois(9, 2, (12, 14), ratio)
    found = roi_align(features, rois, (2, 3), 0.5, ratio, aligned=aligned)
    with use_backend("reference"):
        expected = roi_align(features, rois, (2, 3), 0.5, ratio, aligned=aligned)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


def test_the_loop_has_the_same_gradients():
    features = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    rois = random_rois(3, 1, (5, 6), 4)
    grads = []
    for name in ("torch", "reference"):
        leaf = features.clone().requires_grad_()
        with use_backend(name):
            roi_align(leaf, rois, 2, 1.0, 2, aligned=True).pow(2).sum().backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(*grads, rtol=0, atol=1e-13)


def test_float32_differs_by_rounding_only():
    features = torch.randn(1, 8, 32, 32)
    rois = random_rois(200, 1, (128, 128), 0, "proper").float()
    exact = roi_align(features.double(), rois.double(), 14, 0.25, 2, aligned=False)
    ours = roi_align(features, rois, 14, 0.25, 2, aligned=False)
    theirs = peer(features, rois, 14, 0.25, 2, False)
    assert (ours - exact).abs().max() < 1e-4
    # Coordinates are rounded in the same order, so that the two stay closer than that.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-6)


def test_layouts_lists_and_order():
    features = torch.randn(3, 5, 9, 8)
    rois = random_rois(30, 3, (9, 8), 1).float()
    expected = roi_align(features, rois, 3, 1.0, 2, aligned=True)
    permuted = features.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    strided = torch.stack([features, features], dim=4)[..., 0]
    for other in (features.to(memory_format=torch.channels_last), permuted, strided):
        assert torch.equal(roi_align(other, rois, 3, 1.0, 2, aligned=True), expected)
    order = rois[:, 0].sort(stable=True).indices
    per_image = [rois[rois[:, 0] == b, 1:] for b in range(3)]
    listed = roi_align(features, per_image, 3, 1.0, 2, aligned=True)
    assert torch.equal(listed, expected[order])


@pytest.mark.parametrize("ratio", [2, 0])
def test_no_boxes(ratio):
    features = torch.randn(2, 3, 8, 8, requires_grad=True)
    for none in (torch.zeros(0, 5), [torch.zeros(0, 4), torch.zeros(0, 4)]):
        out = roi_align(features, none, 7, 1.0, ratio, aligned=False)
        assert out.shape == (0, 3, 7, 7)
    (out.sum() + features.sum() * 0).backward()
    assert features.grad.eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_with_float32_boxes(dtype):
    features = torch.randn(1, 3, 12, 12).to(dtype).requires_grad_()
    rois = random_rois(20, 1, (48, 48), 2).float()
    out = roi_align(features, rois, 7, 0.25, 2, aligned=False)
    exact = roi_align(features.float(), rois, 7, 0.25, 2, aligned=False)
    assert out.dtype == dtype
    assert torch.equal(out, exact.to(dtype))
    out.float().sum().backward()
    assert features.grad.dtype == dtype


def test_a_map_of_one_row_or_column():
    for shape in ((1, 9), (9, 1), (1, 1)):
        features = torch.randn(1, 2, *shape, dtype=torch.float64)
        rois = random_rois(20, 1, shape, 0)
        for ratio in (2, 0):
            found = roi_align(features, rois, 3, 1.0, ratio, aligned=False)
            expected = peer(features, rois, 3, 1.0, ratio, False)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 1, 2])
@pytest.mark.parametrize("contiguous", [True, False])
def test_gradcheck(ratio, aligned, contiguous):
    """Features and boxes; boxes away from whole elements, where the derivative jumps."""
    g = torch.Generator().manual_seed(ratio)
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, generator=g)
    features = features if contiguous else features.transpose(2, 3)
    boxes = torch.tensor(
        [[0, 0.63, 0.41, 4.17, 3.83], [1, -0.87, 1.13, 2.91, 6.21], [1, 2.39, 0.17, 3.97, 1.71]],
        dtype=torch.float64,
    )
    image, corners = boxes[:, :1], boxes[:, 1:].clone().requires_grad_()

    def pool(features, corners):
        rois = torch.cat([image, corners], dim=1)
        return roi_align(features, rois, 2, 1.0, ratio, aligned=aligned)

    features = features.clone().requires_grad_()
    assert torch.autograd.gradcheck(pool, (features, corners))
    assert torch.autograd.gradcheck(lambda f: pool(f, corners.detach()), (features,))


def test_second_derivatives():
    features = torch.randn(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 0.6, 0.4, 4.1, 3.3]], dtype=torch.float64)

    def pool(f):
        return roi_align(f, rois, 2, 1.0, 2, aligned=False) ** 2

    assert torch.autograd.gradgradcheck(pool, (features,))


def test_the_gradient_of_boxes_points_uphill():
    """On a ramp the value grows by 1 per column and 5 per row, wherever the box is."""
    box = torch.tensor([[0.0, 1, 1, 3, 3]], requires_grad=True)
    roi_align(ramp(), box, 1, 1.0, 2, aligned=True).sum().backward()
    assert box.grad.flatten().tolist() == pytest.approx([0, 0.5, 2.5, 0.5, 2.5])


def test_gradients_reach_as_many_elements_as_the_samples_touch():
    for ratio, touched in ((1, 9), (2, 25)):
        features = article_map().requires_grad_()
        roi_align(features, article_rois(), 2, 1 / 32, ratio, aligned=False).sum().backward()
        assert int((features.grad != 0).sum()) == touched
        assert features.grad.sum().item() == pytest.approx(4)


def test_two_matrix_products_say_the_same():
    """RoIAlign is separable: rows times map times columns."""
    features = torch.randn(1, 1, 9, 11, dtype=torch.float64)
    start, extent = torch.tensor([[1.3], [5.9]], dtype=torch.float64)
    y = interpolation(start, extent, 4, 2, 9).matrix(9)[0]  # [P, h]
    x = interpolation(start + 1, extent, 4, 2, 11).matrix(11)[0]  # [P, w]
    roi = torch.tensor([[0, 2.3, 1.3, 8.2, 7.2]], dtype=torch.float64)
    expected = roi_align(features, roi, 4, 1.0, 2, aligned=False)[0, 0]
    torch.testing.assert_close(y @ features[0, 0] @ x.T, expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(y.sum(1), torch.ones(4).double())


def test_index_lists_are_bounded(monkeypatch):
    """Cut into pieces, the result and the gradient stay the same."""
    import mrcnn_lite.ops.sparse_gather as sparse_gather

    features = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    rois = random_rois(25, 2, (12, 12), 3)
    results = []
    for limit in (1 << 22, 3000, 1):
        monkeypatch.setattr(sparse_gather, "MAX_ENTRIES", limit)
        leaf = features.clone().requires_grad_()
        out = roi_align(leaf, rois, 5, 1.0, 2, aligned=False)
        out.pow(2).sum().backward()
        results.append((out.detach(), leaf.grad))
    for out, grad in results[1:]:
        assert torch.equal(out, results[0][0])
        torch.testing.assert_close(grad, results[0][1], rtol=0, atol=1e-12)


def test_a_repeated_backward_is_bit_identical():
    features = torch.randn(1, 8, 16, 16)
    rois = random_rois(100, 1, (16, 16), 5).float()
    grads = []
    for _ in range(3):
        leaf = features.clone().requires_grad_()
        roi_align(leaf, rois, 7, 1.0, 2, aligned=False).square().sum().backward()
        grads.append(leaf.grad)
    assert torch.equal(grads[0], grads[1]) and torch.equal(grads[0], grads[2])


def test_says_nothing_on_the_way():
    """nbval compares what notebooks write to stderr: no warning may escape."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = torch.randn(1, 2, 8, 8, requires_grad=True)
        rois = torch.tensor([[0.0, 1, 1, 6, 6]], requires_grad=True)
        for ratio in (2, 0):
            roi_align(features, rois, 3, 1.0, ratio, aligned=False).sum().backward()
            roi_align(features, rois.detach(), 3, 1.0, ratio, aligned=False).sum().backward()


@pytest.mark.gpu
def test_on_a_gpu():
    features = torch.randn(2, 4, 16, 20, device="cuda", requires_grad=True)
    for ratio in (2, 0):
        rois = random_rois(50, 2, (16, 20), 6, "proper").float().cuda()
        found = roi_align(features, rois, 7, 1.0, ratio, aligned=False)
        expected = roi_align(features.cpu(), rois.cpu(), 7, 1.0, ratio, aligned=False)
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-4)
        found.sum().backward()
