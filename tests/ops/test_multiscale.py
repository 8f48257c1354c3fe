"""RoIAlign on a pyramid: level assignment and the one-table form."""

from collections import OrderedDict

import pytest
import torch
import torchvision

from mrcnn_lite.ops import assign_levels, multiscale_roi_align, roi_align, use_backend


def pyramid(sides, batch=2, channels=3, dtype=torch.float64):
    g = torch.Generator().manual_seed(len(sides))
    return [torch.randn(batch, channels, s, s + s // 4, dtype=dtype, generator=g) for s in sides]


def boxes_of_all_sizes(count, seed, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=g, dtype=dtype) * 250 - 20
    side = torch.exp(torch.rand(count, 2, generator=g, dtype=dtype) * 6)
    return torch.cat([corner, corner + side], dim=1)


def peer(features, boxes, size, ratio, **canonical):
    names = [str(i) for i in range(len(features))]
    op = torchvision.ops.MultiScaleRoIAlign(names, size, ratio, **canonical)
    return op(OrderedDict(zip(names, features, strict=True)), boxes, [(256, 320)] * len(boxes))


def test_levels_by_hand():
    """224 pixels go to level 4, half of that one level down, and both ends hold on."""
    sides = torch.tensor([224.0, 223.9, 112, 448, 10, 5000, 114, 0])
    boxes = torch.cat([torch.zeros(8, 2), sides[:, None].repeat(1, 2)], dim=1)
    assert (assign_levels(boxes, 2, 5) + 2).tolist() == [4, 3, 3, 5, 2, 5, 3, 2]
    assert assign_levels(boxes.view(2, 4, 4), 2, 5).shape == (2, 4)
    small = assign_levels(boxes / 8, 2, 5, canonical_scale=28)
    assert torch.equal(small, assign_levels(boxes, 2, 5))


def test_levels_equal_torchvision():
    boxes = boxes_of_all_sizes(2000, 0, torch.float32)
    exact = 224 * 2.0 ** torch.arange(-3, 3)
    boxes[:6] = torch.stack([exact * 0, exact * 0, exact, exact], dim=1)
    mapper = torchvision.ops.poolers.LevelMapper(2, 5)
    assert torch.equal(assign_levels(boxes, 2, 5), mapper([boxes]))


def test_a_reversed_box_goes_to_the_finest_level():
    assert assign_levels(torch.tensor([[50.0, 0, 0, 50.0]]), 2, 5).tolist() == [0]


@pytest.mark.parametrize("ratio", [2, 1, 0])
@pytest.mark.parametrize("sides", [(64, 32, 16, 8), (64, 32), (32,), (16, 8, 4)])
def test_equals_torchvision(sides, ratio):
    features = [f.requires_grad_() for f in pyramid(sides)]
    boxes = [boxes_of_all_sizes(40, 1), boxes_of_all_sizes(25, 2)]
    expected = peer(features, boxes, 5, ratio)
    found = multiscale_roi_align(features, boxes, (256, 320), 5, ratio, aligned=False)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    grad = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad(expected, features, grad, allow_unused=True),
        torch.autograd.grad(found, features, grad),
        strict=True,
    ):
        torch.testing.assert_close(b, torch.zeros_like(b) if a is None else a, rtol=0, atol=1e-11)


def test_canonical_scale():
    features, boxes = pyramid((64, 32, 16, 8)), [boxes_of_all_sizes(40, s) for s in (3, 4)]
    settings = {"canonical_scale": 60, "canonical_level": 3}
    expected = peer(features, boxes, 3, 2, **settings)
    found = multiscale_roi_align(features, boxes, (256, 320), 3, aligned=False, **settings)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("aligned", [False, True])
def test_each_box_equals_plain_roi_align_on_its_level(aligned):
    features, boxes = pyramid((32, 16, 8)), [boxes_of_all_sizes(12, s) for s in (5, 6)]
    out = multiscale_roi_align(features, boxes, (256, 320), (2, 3), 0, aligned=aligned)
    joined = torch.cat(boxes)
    for k, level in enumerate(assign_levels(joined, 3, 5).tolist()):
        one = [joined[k : k + 1] if b == k // 12 else joined[:0] for b in range(2)]
        expected = roi_align(features[level], one, (2, 3), 1 / 2 ** (level + 3), 0, aligned=aligned)
        torch.testing.assert_close(out[k], expected[0], rtol=0, atol=1e-12)


def test_reference_backend():
    features, boxes = pyramid((16, 8), channels=1), [boxes_of_all_sizes(4, s) for s in (7, 8)]
    fast = multiscale_roi_align(features, boxes, (256, 320), 2, aligned=True)
    with use_backend("reference"):
        slow = multiscale_roi_align(features, boxes, (256, 320), 2, aligned=True)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-13)


def test_gradients_reach_the_boxes():
    features = [f[:, :1] for f in pyramid((8, 4))]
    boxes = torch.tensor([[11.3, 20.7, 90.1, 77.9], [3.1, 8.3, 290.7, 200.9]], dtype=torch.float64)

    def pool(one, two):
        return multiscale_roi_align(features, [one, two], (256, 320), 2, aligned=True)

    leaves = [boxes[:1].clone().requires_grad_(), boxes[1:].clone().requires_grad_()]
    assert torch.autograd.gradcheck(pool, leaves)


def test_no_boxes_and_images_without_boxes():
    features = pyramid((16, 8))
    none = torch.zeros(0, 4, dtype=torch.float64)
    assert multiscale_roi_align(features, [none, none], (256, 320), 7, aligned=False).shape == (
        0, 3, 7, 7,
    )  # fmt: skip
    some = boxes_of_all_sizes(5, 9)
    found = multiscale_roi_align(features, [none, some], (256, 320), 7, aligned=False)
    torch.testing.assert_close(found, peer(features, [none, some], 7, 2), rtol=0, atol=1e-12)


def test_memory_layout_does_not_matter():
    features, boxes = pyramid((16, 8)), [boxes_of_all_sizes(9, s) for s in (10, 11)]
    last = [f.to(memory_format=torch.channels_last) for f in features]
    results = [
        multiscale_roi_align(f, boxes, (256, 320), 3, aligned=True) for f in (features, last)
    ]
    assert torch.equal(*results)


def test_levels_that_do_not_fit_are_refused():
    features, boxes = pyramid((8, 16)), [boxes_of_all_sizes(3, 0)] * 2
    with pytest.raises(ValueError, match="finest first"):
        multiscale_roi_align(features, boxes, (256, 320), 7, aligned=False)
    with pytest.raises(ValueError, match="halve"):
        multiscale_roi_align(pyramid((32, 4)), boxes, (256, 320), 7, aligned=False)
    mixed = [features[1], features[0].float()]
    with pytest.raises(ValueError, match=r"features\[1\]"):
        multiscale_roi_align(mixed, boxes, (256, 320), 7, aligned=False)
    with pytest.raises(TypeError, match="features must be a list"):
        multiscale_roi_align(features[0], boxes, (256, 320), 7, aligned=False)
