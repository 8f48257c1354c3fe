"""Row 10 of the faults: boxes in every type, small ones too. The arithmetic is done in a type that
holds the result, so each operation gives what it gives for the same numbers in float64."""

import pytest
import torch
import torchvision

from mrcnn_lite import ops

WHOLE = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# Of every type the largest sides that it can hold; the products of these do not fit into it.
SIDES = {
    torch.uint8: 250, torch.int8: 120, torch.int16: 30_000, torch.int32: 2_000_000_000,
    torch.int64: 2_000_000_000, torch.float16: 60_000, torch.bfloat16: 2**18,
    torch.float32: 2**20, torch.float64: 2**20,
}  # fmt: skip


def boxes(dtype, shift=0):
    """Three boxes as large as the type allows; of one side the middle, a third, or all."""
    side = SIDES[dtype]
    rows = [[0, 0, side, side], [side // 2, 0, side, side], [0, side // 3, side, side - shift]]
    return torch.tensor(rows, dtype=torch.float64).to(dtype)


def same(found, wanted, tolerance=1e-6):
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), wanted.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", WHOLE + FLOATING, ids=str)
def test_area_and_overlap_hold_in_every_type(dtype):
    a, b = boxes(dtype), boxes(dtype, shift=SIDES[dtype] // 5)
    same(ops.box_area(a), ops.box_area(a.double()))
    same(ops.box_iou(a, b), ops.box_iou(a.double(), b.double()))
    same(ops.box_iou(a, b.double()), ops.box_iou(a.double(), b.double()))
    theirs = torchvision.ops.box_iou(a.double(), b.double())
    same(ops.box_iou(a, b), theirs)
    valid = torch.ones(1, 3, dtype=torch.bool)
    found = ops.best_objects(a[None], valid, b, low_quality=True)
    wanted = ops.best_objects(a[None].double(), valid, b.double(), low_quality=True)
    same(found.iou, wanted.iou)
    assert torch.equal(found.index, wanted.index)
    assert torch.equal(found.low_quality, wanted.low_quality)


def test_the_faults_own_numbers():
    for dtype in (torch.int8, torch.uint8, torch.float16):
        square = torch.tensor([[0, 0, 100, 100]], dtype=dtype)
        assert ops.box_area(square).tolist() == [10_000]
    large = torch.tensor([[0, 0, 3, 1]]) + 2**40  # float32 cannot tell its corners apart
    assert ops.box_iou(large, large + torch.tensor([0, 0, -1, 0])).item() == pytest.approx(2 / 3)
    assert ops.box_iou(large, large).dtype == torch.float32  # as in torchvision


@pytest.mark.parametrize("dtype", WHOLE + FLOATING, ids=str)
@pytest.mark.parametrize("out_fmt", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("in_fmt", ["xyxy", "xywh", "cxcywh"])
def test_formats_hold_in_every_type(in_fmt, out_fmt, dtype):
    rows = boxes(dtype)
    wanted = ops.box_convert(rows.double(), in_fmt, out_fmt)
    same(ops.box_convert(rows, in_fmt, out_fmt), wanted)
    same(wanted, torchvision.ops.box_convert(rows.double(), in_fmt, out_fmt))
    same(ops.box_area(rows, in_fmt), ops.box_area(rows.double(), in_fmt))
    same(ops.box_iou(rows, rows, in_fmt), ops.box_iou(rows.double(), rows.double(), in_fmt))


@pytest.mark.parametrize("dtype", WHOLE + FLOATING, ids=str)
@pytest.mark.parametrize("size", [(100, 90), (333, 1333), (70_000, 70_001)])
def test_clipping_to_an_image_larger_than_the_type(size, dtype):
    rows = boxes(dtype)
    for image_size in (size, torch.tensor([size]), torch.tensor([size]).float()):
        found = ops.clip_boxes(rows, image_size)
        assert torch.equal(found.double(), ops.clip_boxes(rows.double(), image_size))
    assert torch.equal(ops.clip_boxes_to_image(rows, size), found)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_encoding_and_decoding_hold_in_half_precision(dtype):
    start, goal = boxes(dtype), boxes(dtype, shift=SIDES[dtype] // 5)
    deltas = ops.encode_boxes(goal, start)
    same(deltas, ops.encode_boxes(goal.double(), start.double()), 1e-5)
    found = ops.decode_boxes(deltas.to(dtype), start)
    same(found, ops.decode_boxes(deltas.to(dtype).double(), start.double()), 1e-5)
    largest = torch.full((3, 4), 9.0, dtype=dtype)  # sizes grow by 62.5, shifts by 9 sizes
    same(ops.decode_boxes(largest, start), ops.decode_boxes(largest.double(), start.double()), 1e-5)
    exact = torch.tensor([[0.0, 0, 2049, 1]] * 3)  # half deltas do not round their float32 boxes
    assert torch.equal(ops.decode_boxes(torch.zeros(3, 4, dtype=dtype), exact).float(), exact)


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
def test_suppression_levels_and_sizes_hold_in_half_precision(dtype):
    rows = boxes(dtype)
    scores, groups = torch.tensor([0.3, 0.9, 0.5]).to(dtype), torch.tensor([0, 1, 0])
    wide, valid = rows.double(), torch.ones(3, dtype=torch.bool)
    for limit in (0.35, 0.45, 0.55, 0.9):
        kept = ops.nms(wide, scores.double(), limit).tolist()
        assert ops.nms(rows, scores, limit).tolist() == kept
        assert ops.nms_mask(rows, scores, valid, limit).nonzero()[:, 0].tolist() == sorted(kept)
        kept = ops.batched_nms(wide, scores.double(), groups, limit).tolist()
        assert ops.batched_nms(rows, scores, groups, limit).tolist() == kept
    for most in (5, 30):
        assert torch.equal(ops.assign_levels(rows, 2, most), ops.assign_levels(wide, 2, most))
    opposite = torch.tensor([[-60_000.0, 0, 60_000, 5], [0, 0, 1, 9]]).to(dtype)
    assert ops.remove_small_boxes(opposite, 2.0).tolist() == [0]


@pytest.mark.parametrize("dtype", FLOATING, ids=str)
@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_masks_hold_with_boxes_in_half_precision(backend, dtype):
    rows = torch.tensor([[3.0, 1, 257, 5], [0, 0, 300, 6]]).to(dtype)
    masks = torch.zeros(2, 6, 300, dtype=torch.uint8)
    masks[:, 2:5, 100:250] = 1
    index, probabilities = torch.arange(2), torch.rand(2, 4, 4).to(dtype)
    with ops.use_backend(backend):
        found = ops.crop_masks(masks, rows, index, 2)
        same(found, ops.crop_masks(masks, rows.double(), index, 2), 1e-5)
        pasted = ops.paste_masks(probabilities, rows, (6, 300))
        wanted = ops.paste_masks(probabilities.double(), rows.double(), (6, 300))
        assert pasted.dtype == dtype
        same(pasted, wanted, 1e-5 if dtype in (torch.float32, torch.float64) else 1e-2)
