"""NaN and infinity in any argument of any public operation: a ValueError that names argument and
row, on both backends, before anything is computed."""

import math

import pytest
import torch

from mrcnn_lite import ops

BOXES = torch.tensor([[1.0, 1, 5, 5], [2, 2, 7, 6], [0, 0, 3, 3]])
ROIS = torch.cat([torch.tensor([[0.0], [1], [0]]), BOXES], dim=1)
SCORES = torch.tensor([0.9, 0.8, 0.7])
MAPS = torch.rand(2, 3, 8, 8)
POOLING = {"input": MAPS, "boxes": ROIS, "output_size": 2, "spatial_scale": 0.5}

# Good arguments of every operation; each tensor and each number in them is spoiled in turn.
GOOD = {
    "assign_levels": {"boxes": BOXES, "k_min": 2, "k_max": 5, "canonical_scale": 224.0},
    "batched_nms": {
        "boxes": BOXES, "scores": SCORES, "idxs": torch.tensor([0, 1, 0]), "iou_threshold": 0.5,
    },
    "best_objects": {
        "objects": BOXES[None], "valid": torch.ones(1, 3, dtype=torch.bool), "boxes": BOXES,
    },
    "bilinear": {"features": MAPS[0], "y": SCORES, "x": SCORES},
    "box_area": {"boxes": BOXES},
    "box_convert": {"boxes": BOXES, "in_fmt": "xywh", "out_fmt": "xyxy"},
    "box_iou": {"boxes1": BOXES, "boxes2": BOXES},
    "clip_boxes_to_image": {"boxes": BOXES, "size": (8, 9)},
    "clip_boxes": {"boxes": BOXES, "image_size": torch.tensor([[8.0, 8], [7, 7], [6, 9]])},
    "crop_masks": {
        "masks": torch.rand(2, 9, 9), "boxes": BOXES, "matched": torch.tensor([0, 1, 0]), "size": 4,
    },
    "decode_boxes": {"deltas": BOXES / 9, "boxes": BOXES, "weights": (10.0, 10.0, 5.0, 5.0)},
    "encode_boxes": {"gt": BOXES, "proposals": BOXES + 1, "weights": (10.0, 10.0, 5.0, 5.0)},
    "multiscale_roi_align": {
        "features": [MAPS, MAPS[:, :, ::2, ::2]], "boxes": [BOXES, BOXES[:2]],
        "image_size": (32.0, 32.0), "output_size": 2, "canonical_scale": 224.0,
    },
    "nms": {"boxes": BOXES, "scores": SCORES, "iou_threshold": 0.5},
    "nms_mask": {
        "boxes": BOXES, "scores": SCORES, "valid": torch.ones(3, dtype=torch.bool),
        "iou_threshold": 0.5,
    },
    "paste_masks": {
        "masks": torch.rand(3, 4, 4), "boxes": BOXES, "image_size": (9, 9), "threshold": 0.5,
    },
    "masks_to_boxes": {"masks": torch.rand(2, 4, 5)},
    "remove_small_boxes": {"boxes": BOXES, "min_size": 1.5},
    "roi_align": POOLING,
    "roi_pool": POOLING,
}  # fmt: skip
SWITCHES = {"backend", "register_kernel", "set_backend", "use_backend"}
# Thin classes around the operations above, for users of torchvision's.
WRAPPERS = {name for name in ops.__all__ if isinstance(getattr(ops, name), type)}
BAD = {"NaN": math.nan, "inf": math.inf, "-inf": -math.inf}


def spoilable(arguments):
    """(argument, entry of a list or None) of everything that can hold a NaN."""
    for name, value in arguments.items():
        if isinstance(value, (list, tuple)):
            floats = [i for i, v in enumerate(value) if not isinstance(v, int)]
            yield from ((name, entry) for entry in floats)
        elif isinstance(value, float) or (torch.is_tensor(value) and value.is_floating_point()):
            yield name, None


def spoil(value, bad):
    """A copy with a bad value in its last row, and what the message must call that row."""
    if isinstance(value, float):
        return bad, str(bad)
    value = value.clone()
    value.view(-1)[-1] = bad
    row = [n - 1 for n in (value.shape[:-1] or value.shape)]
    return value, f"row {row[0] if len(row) == 1 else row} "


CASES = [
    (name, argument, entry) for name, good in GOOD.items() for argument, entry in spoilable(good)
]


def test_every_operation_is_in_the_table():
    assert set(GOOD) == set(ops.__all__) - SWITCHES - WRAPPERS


@pytest.mark.parametrize("backend", ["torch", "reference"])
@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(
    ("name", "argument", "entry"), CASES, ids=lambda v: "" if v is None else str(v)
)
def test_is_refused_by_name_and_row(name, argument, entry, kind, backend):
    arguments = dict(GOOD[name])
    value = arguments[argument] if entry is None else arguments[argument][entry]
    bad, place = spoil(value, BAD[kind])
    if entry is not None:
        parts = list(arguments[argument])
        parts[entry] = bad
        bad = parts
    with ops.use_backend(backend), pytest.raises(ValueError) as caught:
        getattr(ops, name)(**arguments | {argument: bad})
    message = str(caught.value)
    if entry is not None and torch.is_tensor(value):
        argument = f"{argument}[{entry}]"
    assert message.startswith(argument) and place in message, message


@pytest.mark.parametrize("name", GOOD)
def test_the_table_itself_is_good(name):
    getattr(ops, name)(**GOOD[name])
