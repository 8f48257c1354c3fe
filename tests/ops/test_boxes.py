"""Boxes: areas, overlaps, clipping, encoding."""

import math

import pytest
import torch
import torchvision
from cases import random_boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_lite.ops import box_area, box_iou, clip_boxes, decode_boxes, encode_boxes
from mrcnn_lite.ops.boxes import MAX_LOG_SCALE, box_iou_loop

finite = st.floats(-200, 200, width=32)
positive = st.floats(0.5, 100, width=32)


@st.composite
def box(draw):
    x, y, w, h = draw(finite), draw(finite), draw(positive), draw(positive)
    return torch.tensor([[x, y, x + w, y + h]])


def test_by_hand():
    a = torch.tensor([[0.0, 0.0, 4.0, 2.0]])
    b = torch.tensor([[2.0, 0.0, 6.0, 2.0], [4.0, 0.0, 5.0, 1.0], [0.0, 0.0, 4.0, 2.0]])
    assert box_area(a).tolist() == [8.0]
    # 2 x 2 shared of 8 + 8 - 4; an edge in common is no area in common.
    assert box_iou(a, b)[0].tolist() == pytest.approx([4 / 12, 0.0, 1.0])
    assert clip_boxes(torch.tensor([[-3.0, 1.0, 9.0, 8.0]]), (5, 7)).tolist() == [[0, 1, 7, 5]]


def test_a_box_is_half_open():
    one_pixel = torch.tensor([[3.0, 3.0, 4.0, 4.0]])
    assert box_area(one_pixel).item() == 1


def test_the_window_that_roi_pool_reads():
    """The article's proposal against the whole elements it is rounded to, at strides 4 to 32."""
    proposal = torch.tensor([[10.0, 10.0, 124.0, 124.0]])
    found = []
    for stride in (4, 8, 16, 32):
        first, last = math.floor(10 / stride + 0.5), math.floor(124 / stride + 0.5)
        window = torch.tensor([[first, first, last + 1, last + 1]]) * float(stride)
        found.append(round(box_iou(proposal, window).item(), 4))
    assert found == [0.9019, 0.7932, 0.6584, 0.5077]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_iou_equals_the_loop_and_torchvision(dtype):
    a, b = random_boxes(40, 90, 0).to(dtype), random_boxes(31, 90, 1).to(dtype)
    torch.testing.assert_close(box_iou(a, b), box_iou_loop(a, b))
    torch.testing.assert_close(box_iou(a, b), torchvision.ops.box_iou(a, b))
    batch = box_iou(a.view(2, 20, 4), b[:30].view(2, 15, 4))
    torch.testing.assert_close(batch[1], box_iou(a[20:], b[15:30]), rtol=0, atol=0)


def test_iou_is_differentiable():
    a = (random_boxes(4, 20, 6) + torch.rand(4, 4)).double().requires_grad_()
    b = (random_boxes(5, 20, 7) + torch.rand(5, 4)).double().requires_grad_()
    assert torch.autograd.gradcheck(box_iou, (a, b))


def test_boxes_without_area_do_not_overlap():
    flat = torch.tensor([[1.0, 1.0, 1.0, 5.0], [2.0, 2.0, 2.0, 2.0], [9.0, 9.0, 3.0, 3.0]])
    assert box_iou(flat[:2], flat).eq(0).all()
    assert box_iou(torch.zeros(0, 4), flat).shape == (0, 3)


def test_integer_and_half_precision_boxes():
    ints = torch.tensor([[0, 0, 300, 300]])
    assert box_area(ints).item() == 90_000
    # 90,000 does not fit into float16: areas are taken in float32.
    assert box_iou(ints.half(), ints.half()).item() == 1


def test_clip_equals_torchvision():
    boxes = random_boxes(50, 200, 2) - 40
    expected = torchvision.ops.clip_boxes_to_image(boxes, (90, 120))
    assert torch.equal(clip_boxes(boxes, (90, 120)), expected)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_encoding_equals_torchvision(weights):
    from torchvision.models.detection._utils import BoxCoder

    gt, proposals = random_boxes(40, 90, 3) + 0.1, random_boxes(40, 90, 4)
    proposals[:, 2:] += 1
    gt[:, 2:] += 1
    coder = BoxCoder(weights)
    deltas = encode_boxes(gt, proposals, weights)
    torch.testing.assert_close(deltas, coder.encode_single(gt, proposals))
    noisy = deltas + torch.linspace(-6, 6, 160).view(40, 4)
    expected = coder.decode_single(noisy, proposals)
    torch.testing.assert_close(decode_boxes(noisy, proposals, weights), expected)


def test_encoding_by_hand():
    proposal, gt = torch.tensor([[0.0, 0.0, 10.0, 20.0]]), torch.tensor([[5.0, 0.0, 15.0, 40.0]])
    expected = [0.5, 0.5, 0.0, math.log(2)]
    assert encode_boxes(gt, proposal)[0].tolist() == pytest.approx(expected)


def test_decoding_for_many_classes_and_its_limit():
    boxes = random_boxes(6, 50, 5)
    boxes[:, 2:] += 1
    deltas = torch.zeros(6, 3, 4)
    deltas[..., 2:] = 100
    out = decode_boxes(deltas, boxes[:, None])  # [K, C, 4]
    assert out.shape == (6, 3, 4)
    growth = (out[..., 2] - out[..., 0]) / (boxes[:, None, 2] - boxes[:, None, 0])
    torch.testing.assert_close(growth, torch.full_like(growth, math.exp(MAX_LOG_SCALE)))


def test_encoding_of_a_batch():
    gt, proposals = random_boxes(6, 40, 8) + 0.5, random_boxes(6, 40, 9)
    gt[:, 2:] += 1
    proposals[:, 2:] += 1
    batch = encode_boxes(gt.view(2, 3, 4), proposals.view(2, 3, 4))
    assert torch.equal(batch.view(6, 4), encode_boxes(gt, proposals))
    assert torch.equal(encode_boxes(gt, proposals[:1])[4], encode_boxes(gt[4], proposals[0]))


def test_padding_rows_stay_finite():
    assert encode_boxes(torch.zeros(3, 4), torch.zeros(3, 4)).isfinite().all()


@settings(deadline=None, derandomize=True)
@given(a=box(), b=box())
def test_iou_is_symmetric_and_a_fraction(a, b):
    forth, back = box_iou(a, b), box_iou(b, a)
    assert 0 <= forth.item() <= 1
    assert forth.item() == pytest.approx(back.item(), abs=1e-6)
    assert box_iou(a, a).item() == pytest.approx(1, abs=1e-6)


@settings(deadline=None, derandomize=True)
@given(a=box(), b=box(), scale=st.sampled_from([0.25, 2.0, 8.0]), shift=st.integers(-64, 64))
def test_iou_does_not_know_units_or_origin(a, b, scale, shift):
    a, b = (a * 8).round() / 8, (b * 8).round() / 8
    assert box_iou(a * scale + shift, b * scale + shift).item() == pytest.approx(
        box_iou(a, b).item(), abs=1e-5
    )


@settings(deadline=None, derandomize=True)
@given(gt=box(), proposal=box())
def test_decoding_inverts_encoding(gt, proposal):
    weights = (10.0, 10.0, 5.0, 5.0)
    again = decode_boxes(encode_boxes(gt, proposal, weights), proposal, weights)
    ratio = (gt[0, 2:] - gt[0, :2]) / (proposal[0, 2:] - proposal[0, :2])
    if ratio.max() < math.exp(MAX_LOG_SCALE):
        torch.testing.assert_close(again, gt, rtol=1e-4, atol=2e-3)
