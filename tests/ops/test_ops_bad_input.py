"""Bad input to the operations: one clear error each, with argument, row and cure; never a crash."""

import inspect
import math

import pytest
import torch
from source_tree import PACKAGE

from mrcnn_lite import ops

F1 = torch.randn(2, 3, 8, 8)
BOXES = torch.tensor([[1.0, 1, 5, 5], [2, 2, 7, 6], [0, 0, 3, 3]])
ROIS = torch.cat([torch.tensor([[0.0], [1], [0]]), BOXES], dim=1)
SCORES = torch.tensor([0.9, 0.8, 0.7])
GROUPS = torch.tensor([0, 1, 0])
MASKS = torch.ones(2, 9, 9, dtype=torch.uint8)
PROBABILITIES = torch.rand(3, 28, 28)
PER_IMAGE = [BOXES[:2], BOXES[2:]]


def spoiled(tensor, row, value):
    """A copy whose given row holds a bad value in its last column."""
    tensor = tensor.clone()
    tensor[row, ..., -1] = value
    return tensor


def roi_align(input=F1, boxes=ROIS, size=2, ratio=2, scale=1.0):
    return ops.roi_align(input, boxes, size, scale, ratio, aligned=False)


def roi_pool(input=F1, boxes=ROIS, size=2, scale=1.0):
    return ops.roi_pool(input, boxes, size, scale)


def multiscale(features=(F1,), boxes=PER_IMAGE):
    return ops.multiscale_roi_align(list(features), boxes, (8, 8), 2, aligned=False)


def nms_mask(boxes=BOXES, scores=SCORES, valid=(True, True, True)):
    return ops.nms_mask(boxes, scores, torch.tensor(valid), 0.5)


def best_objects(objects=BOXES[None], valid=((True, True, True),), boxes=BOXES):
    return ops.best_objects(objects, torch.tensor(valid), boxes)


def crop(masks=MASKS, boxes=BOXES, matched=GROUPS, size=4):
    return ops.crop_masks(masks, boxes, matched, size)


# call, error, what the message must say
TABLE = {
    "roi_align NaN": (lambda: roi_align(boxes=spoiled(ROIS, 1, math.nan)), ValueError, "row 1"),
    "roi_align inf": (lambda: roi_align(boxes=spoiled(ROIS, 2, math.inf)), ValueError, "row 2"),
    "roi_align -inf": (lambda: roi_align(boxes=spoiled(ROIS, 0, -math.inf)), ValueError, "row 0"),
    "roi_align NaN in a list": (
        lambda: roi_align(boxes=[BOXES[:2], spoiled(BOXES, 1, math.nan)]),
        ValueError,
        r"boxes\[1\]: row 1",
    ),
    "roi_align image index too large": (
        lambda: roi_align(boxes=ROIS + torch.tensor([1.0, 0, 0, 0, 0])),
        ValueError,
        "row 1 has image index 2.*0 to 1",
    ),
    "roi_align image index negative": (
        lambda: roi_align(boxes=ROIS - torch.tensor([1.0, 0, 0, 0, 0])),
        ValueError,
        "row 0 has image index -1",
    ),
    "roi_align image index a fraction": (
        lambda: roi_align(boxes=ROIS + torch.tensor([0.5, 0, 0, 0, 0])),
        ValueError,
        "image index 0.5",
    ),
    "roi_align boxes [K, 4]": (lambda: roi_align(boxes=BOXES), ValueError, r"boxes .*\[K, 5\]"),
    "roi_align list of [K, 5]": (
        lambda: roi_align(boxes=[ROIS, ROIS]), ValueError, r"boxes\[0\] .*\[R, 4\]",
    ),
    "roi_align list too short": (lambda: roi_align(boxes=[BOXES]), ValueError, "1 entries for 2"),
    "roi_align boxes no tensor": (lambda: roi_align(boxes="abc"), TypeError, "boxes must be"),
    "roi_align input of three dimensions": (
        lambda: roi_align(F1[0]), ValueError, r"input .*\[B, C, h, w\]",
    ),
    "roi_align input no tensor": (lambda: roi_align([1, 2]), TypeError, "input must be a tensor"),
    "roi_align integer input": (lambda: roi_align(F1.long()), TypeError, r"input\.float"),
    "roi_align integer boxes": (lambda: roi_align(boxes=ROIS.long()), TypeError, r"boxes\.float"),
    "roi_align mixed dtypes": (lambda: roi_align(F1.double()), TypeError, r"boxes\.to\(input"),
    "roi_align size 0": (lambda: roi_align(size=0), ValueError, "output_size.*positive"),
    "roi_align size -7": (lambda: roi_align(size=-7), ValueError, "output_size.*positive"),
    "roi_align size of three": (lambda: roi_align(size=(1, 2, 3)), ValueError, "output_size"),
    "roi_align size 2.0": (lambda: roi_align(size=(2.0, 2)), TypeError, "output_size.*int"),
    "roi_align absurd adaptive sampling": (
        lambda: roi_align(boxes=spoiled(ROIS, 2, 1e9), ratio=0), ValueError, "row 2.*clip boxes",
    ),
    "roi_align empty map": (lambda: roi_align(F1[:, :, :0]), ValueError, "input.*at least"),
    "roi_align scale 0": (lambda: roi_align(scale=0), ValueError, "spatial_scale.*got 0"),
    "roi_align scale NaN": (lambda: roi_align(scale=math.nan), ValueError, "spatial_scale"),
    "roi_align ratio 1.5": (lambda: roi_align(ratio=1.5), TypeError, "sampling_ratio"),
    "roi_pool scale": (lambda: roi_pool(scale=-1), ValueError, "spatial_scale"),
    "roi_pool NaN": (lambda: roi_pool(boxes=spoiled(ROIS, 1, math.nan)), ValueError, "row 1"),
    "roi_pool inf": (lambda: roi_pool(boxes=spoiled(ROIS, 1, math.inf)), ValueError, "row 1"),
    "roi_pool shape": (lambda: roi_pool(boxes=BOXES), ValueError, r"\[K, 5\]"),
    "roi_pool image index": (lambda: roi_pool(F1[:1]), ValueError, "row 1 has image index 1"),
    "roi_pool size": (lambda: roi_pool(size=0), ValueError, "output_size"),
    "multiscale NaN": (
        lambda: multiscale(boxes=[BOXES[:2], spoiled(BOXES, 0, math.nan)]),
        ValueError,
        r"boxes\[1\]: row 0",
    ),
    "multiscale no levels": (lambda: multiscale([]), TypeError, "at least one level"),
    "multiscale list too long": (lambda: multiscale(boxes=[BOXES] * 3), ValueError, "3 entries"),
    "multiscale NaN image": (lambda: multiscale([F1[0]]), ValueError, r"features\[0\]"),
    "levels NaN": (
        lambda: ops.assign_levels(spoiled(BOXES, 1, math.nan), 2, 5), ValueError, "boxes: row 1",
    ),
    "nms NaN box": (
        lambda: ops.nms(spoiled(BOXES, 1, math.nan), SCORES, 0.5), ValueError, "boxes: row 1",
    ),
    "nms NaN score": (
        lambda: ops.nms(BOXES, torch.tensor([1, math.nan, 0]), 0.5), ValueError, "scores: row 1",
    ),
    "nms inf score": (
        lambda: ops.nms(BOXES, torch.tensor([1, 0, math.inf]), 0.5), ValueError, "scores: row 2",
    ),
    "nms lengths": (lambda: ops.nms(BOXES, SCORES[:2], 0.5), ValueError, "3 rows and scores has 2"),
    "nms shape": (lambda: ops.nms(ROIS, SCORES, 0.5), ValueError, r"boxes .*\[N, 4\]"),
    "nms scores shape": (lambda: ops.nms(BOXES, SCORES[:, None], 0.5), ValueError, "scores"),
    "nms integer boxes": (lambda: ops.nms(BOXES.long(), SCORES, 0.5), TypeError, "boxes"),
    "nms threshold": (lambda: ops.nms(BOXES, SCORES, 1.5), ValueError, "iou_threshold.*1.5"),
    "nms NaN threshold": (lambda: ops.nms(BOXES, SCORES, math.nan), ValueError, "iou_threshold"),
    "batched_nms groups": (
        lambda: ops.batched_nms(BOXES, SCORES, GROUPS[:2], 0.5), ValueError, "idxs has 2 rows",
    ),
    "batched_nms NaN": (
        lambda: ops.batched_nms(spoiled(BOXES, 0, math.nan), SCORES, GROUPS, 0.5),
        ValueError,
        "boxes: row 0",
    ),
    "nms_mask NaN in a valid row": (
        lambda: nms_mask(spoiled(BOXES, 1, math.nan)), ValueError, "boxes: row 1",
    ),
    "best_objects no object": (
        lambda: ops.best_objects(BOXES[None, :0], torch.zeros(1, 0).bool(), BOXES),
        ValueError,
        "G at least 1",
    ),
    "best_objects images": (
        lambda: best_objects(boxes=torch.stack([BOXES, BOXES])), ValueError, r"\[2, 3, 4\] must",
    ),
    "best_objects valid": (lambda: best_objects(valid=((1, 1, 1),)), TypeError, "valid must be"),
    "nms_mask shapes": (lambda: nms_mask(valid=(True, True)), ValueError, "valid"),
    "nms_mask valid no bool": (lambda: nms_mask(valid=(1, 1, 1)), TypeError, "valid must be bool"),
    "crop NaN": (lambda: crop(boxes=spoiled(BOXES, 2, math.nan)), ValueError, "boxes: row 2"),
    "crop matched too large": (lambda: crop(matched=GROUPS + 1), ValueError, "matched: row 1 is 2"),
    "crop matched negative": (lambda: crop(matched=GROUPS - 1), ValueError, "matched: row 0 is -1"),
    "crop matched float": (lambda: crop(matched=GROUPS.float()), TypeError, r"matched\.long"),
    "crop matched length": (lambda: crop(matched=GROUPS[:2]), ValueError, "matched has 2 rows"),
    "crop shape": (lambda: crop(masks=MASKS[0]), ValueError, r"masks .*\[G, H, W\]"),
    "crop size": (lambda: crop(size=0), ValueError, "size must be a positive int"),
    "paste NaN": (
        lambda: ops.paste_masks(PROBABILITIES, spoiled(BOXES, 1, math.nan), (9, 9)),
        ValueError,
        "boxes: row 1",
    ),
    "paste lengths": (
        lambda: ops.paste_masks(PROBABILITIES[:2], BOXES, (9, 9)), ValueError, "2 rows and boxes",
    ),
    "paste rule": (
        lambda: ops.paste_masks(PROBABILITIES, BOXES, (9, 9), rule="nearest"), ValueError, "rule",
    ),
    "paste [N, 1, M, M]": (
        lambda: ops.paste_masks(PROBABILITIES[:, None], BOXES, (9, 9)), ValueError, "masks",
    ),
    "paste image size": (
        lambda: ops.paste_masks(PROBABILITIES, BOXES, (9, -1)), ValueError, "image_size",
    ),
    "box_area shape": (lambda: ops.box_area(BOXES[:, :3]), ValueError, r"boxes .*\[\.\.\., 4\]"),
    "box_iou shape": (lambda: ops.box_iou(BOXES, SCORES), ValueError, "boxes2 must have shape"),
    "box_iou no tensor": (lambda: ops.box_iou(BOXES, [[1, 2, 3, 4]]), TypeError, "boxes2 must be"),
    "decode NaN box": (
        lambda: ops.decode_boxes(BOXES, spoiled(BOXES, 1, math.nan)), ValueError, "boxes: row 1",
    ),
    "encode shape": (lambda: ops.encode_boxes(BOXES, SCORES), ValueError, "proposals"),
    "bilinear shapes": (
        lambda: ops.bilinear(F1[0], SCORES, SCORES[:2]), ValueError, "same shape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_one_clear_error(name, backend):
    call, error, words = TABLE[name]
    with ops.use_backend(backend), pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", range(1, 5))
def test_no_coordinate_escapes(value, column):
    """torchvision's CPU operation ends the process on these."""
    boxes = ROIS.clone()
    boxes[1, column] = value
    for call in (roi_align, roi_pool):
        with pytest.raises(ValueError, match="boxes: row 1 is not finite"):
            call(boxes=boxes)


def test_devices_must_agree():
    elsewhere = torch.zeros(3, 5, device="meta")
    with pytest.raises(ValueError, match="one device"):
        roi_align(boxes=elsewhere)
    with pytest.raises(ValueError, match="one device"):
        ops.nms(BOXES, torch.zeros(3, device="meta"), 0.5)


def test_large_finite_boxes_are_no_error():
    """Their sum overflows, they do not; fixed sampling has nothing against them."""
    rois = spoiled(ROIS, 1, 3e38)
    rois[0, 1:3], rois[0, 3:] = -3e38, 3e38
    assert roi_align(boxes=rois).isfinite().all()


def test_checks_stand_at_the_door_and_nowhere_else():
    """The files with the operations know no check; the door keeps their names and signatures."""
    inside = {path for path in (PACKAGE / "ops").glob("*.py") if path.stem != "public"}
    assert not [path.name for path in inside if "from .checks" in path.read_text("utf-8")]
    for name in ("nms", "roi_align", "decode_boxes", "multiscale_roi_align", "paste_masks"):
        public = getattr(ops, name)
        plain = inspect.unwrap(public)
        assert plain is not public and inspect.signature(plain) == inspect.signature(public)
        assert public.__doc__.startswith(plain.__doc__.rstrip()) and "Raises:" in public.__doc__


def test_what_is_missing_is_named():
    with pytest.raises(TypeError, match="scores"):
        ops.nms(BOXES, iou_threshold=0.5)
