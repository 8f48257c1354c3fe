"""Gradients of RoIAlign for features and boxes: loop, tensor form, matrices, differences."""

import pytest
import torch
import torchvision
from cases import article_map, article_rois, ramp, random_rois
from torch import Tensor

from mrcnn_lite import ops
from mrcnn_lite.ops.backend import use_backend

FORMS = ("torch", "reference")
BOXES = torch.tensor(
    [[0.63, 0.41, 4.17, 3.87], [-0.87, 1.13, 2.91, 6.21], [2.39, 0.17, 3.97, 1.71]],
    dtype=torch.float64,
)  # away from whole elements, where the derivative jumps; the second sticks out

each_form = pytest.mark.parametrize("form", FORMS)
each_ratio = pytest.mark.parametrize("ratio", [1, 2, 3])
each_aligned = pytest.mark.parametrize("aligned", [False, True])


def noise(*shape: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def hats(start: Tensor, length: Tensor, size: int, ratio: int, n: int) -> Tensor:
    """The interpolation matrix from triangles alone, Tensor[P, n]: no floor, no index."""
    part = (torch.arange(size * ratio, dtype=start.dtype) + 0.5) / (size * ratio)
    at = (start + part * length).clamp(0, n - 1)  # [P * S]
    hat = (1 - (at[:, None] - torch.arange(n)).abs()).clamp(min=0)
    return hat.unflatten(0, (size, ratio)).mean(1)


def by_matrices(features: Tensor, box: Tensor, size: int, ratio: int, aligned: bool) -> Tensor:
    """A_y X A_x^T for one box whose samples stay near the map: Tensor[C, P, P]."""
    h, w = features.shape[-2:]
    x1, y1, x2, y2 = box - (0.5 if aligned else 0.0)
    rows, columns = hats(y1, y2 - y1, size, ratio, h), hats(x1, x2 - x1, size, ratio, w)
    return rows @ features @ columns.T


@each_form
@each_ratio
@each_aligned
def test_gradcheck(form, ratio, aligned):
    few = form == "reference"  # the loop is slow; one box that sticks out is enough for it
    features = noise(1, 1 if few else 2, 5, 6, seed=ratio).requires_grad_()
    boxes = BOXES[1:2] if few else BOXES
    boxes = boxes.clone().requires_grad_()

    def pool(features, boxes):
        with use_backend(form):
            return ops.roi_align(features, [boxes], 2, 1.0, ratio, aligned=aligned)

    assert torch.autograd.gradcheck(pool, (features, boxes))


@each_form
@each_ratio
@each_aligned
def test_equals_the_matrix_form(form, ratio, aligned):
    """Both gradients, for every box alone."""
    weights = noise(2, 3, 3, seed=9)
    for k, box in enumerate(BOXES[[0, 2]]):
        grads = []
        for matrices in (True, False):
            leaf, corners = noise(2, 5, 6, seed=k).requires_grad_(), box.clone().requires_grad_()
            if matrices:
                out = by_matrices(leaf, corners, 3, ratio, aligned)
            else:
                with use_backend(form):
                    out = ops.roi_align(
                        leaf[None], [corners[None]], 3, 1.0, ratio, aligned=aligned
                    )[0]
            (out * weights).sum().backward()
            grads.append((out.detach(), leaf.grad, corners.grad))
        for left, right in zip(*grads, strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("ratio", [0, 1, 2])
@each_aligned
def test_the_loop_and_the_tensor_form_agree_about_every_box(ratio, aligned):
    """Far outside, sticking out, tiny, empty; several images; sizes that differ per axis."""
    features, weights = noise(2, 2, 6, 7), noise(14, 2, 2, 3, seed=1)
    rois = random_rois(14, 2, (12, 14), 3, "proper")
    grads = []
    for form in FORMS:
        leaf, boxes = features.clone().requires_grad_(), rois.clone().requires_grad_()
        with use_backend(form):
            out = ops.roi_align(leaf, boxes, (2, 3), 0.5, ratio, aligned=aligned)
        (out * weights).sum().backward()
        grads.append((leaf.grad, boxes.grad))
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)
    assert grads[0][1][:, 0].eq(0).all(), "the image index is no coordinate"
    assert (grads[0][1][:, 1:] != 0).any(1).sum() > 5


@each_form
def test_a_pyramid_passes_them_on(form):
    features = [noise(1, 2, side, side, seed=side) for side in (8, 4)]
    boxes = torch.tensor([[11.3, 20.7, 90.1, 77.9]], dtype=torch.float64, requires_grad=True)

    def pool(boxes):
        with use_backend(form):
            return ops.multiscale_roi_align(features, [boxes], (256, 256), 2, aligned=True)

    assert torch.autograd.gradcheck(pool, (boxes,))


@each_form
def test_on_a_ramp_the_answer_is_known(form):
    """The value grows by 1 per column and 5 per row; each edge moves the centre by half."""
    box = torch.tensor([[1.0, 1, 3, 3]], requires_grad=True)
    with use_backend(form):
        ops.roi_align(ramp(), [box], 1, 1.0, 2, aligned=True).sum().backward()
    assert box.grad.flatten().tolist() == pytest.approx([0.5, 2.5, 0.5, 2.5])


@each_form
def test_a_box_below_one_element_cannot_grow(form):
    """With aligned=False its length is fixed at 1, so that the far edges have no effect."""
    box = torch.tensor([[1.2, 1.2, 1.7, 1.7]], requires_grad=True)
    with use_backend(form):
        ops.roi_align(ramp(), [box], 1, 1.0, 1, aligned=False).sum().backward()
    assert box.grad.flatten().tolist() == pytest.approx([1, 5, 0, 0])


@each_form
def test_far_outside_there_is_none(form):
    features = noise(1, 1, 5, 5).requires_grad_()
    far = torch.tensor([[20.0, 20, 24, 24], [0.3, 0.4, 3.1, 3.2]], dtype=torch.float64)
    boxes = far.requires_grad_()
    with use_backend(form):
        out = ops.roi_align(features, [boxes], 2, 1.0, 2, aligned=False)
    out.sum().backward()
    assert out[0].eq(0).all() and boxes.grad[0].eq(0).all()
    assert boxes.grad[1].ne(0).all() and features.grad.sum().item() == pytest.approx(4)


def test_boxes_without_gradient_take_the_quick_path():
    """Only boxes that ask for it pay: the others go through `_Gather`, whose backward is quick."""
    for asks in (False, True):
        rois = article_rois().requires_grad_(asks)
        out = ops.roi_align(article_map().requires_grad_(), rois, 2, 1 / 32, 2, aligned=False)
        names, nodes = set(), [out.grad_fn]
        while nodes:
            node = nodes.pop()
            names.add(type(node).__name__)
            nodes += [following for following, _ in node.next_functions if following]
        assert ("_GatherBackward" in names) is not asks


def test_torchvision_gives_boxes_none():
    """What the course says about torchvision; should it change, notebook 05 must say so."""
    rois = article_rois().requires_grad_()
    features = article_map().requires_grad_()
    torchvision.ops.roi_align(features, rois, 2, 1 / 32, 2).sum().backward()
    assert rois.grad is None and features.grad is not None
