"""Row 11 of the faults: nothing in, nothing out, on every differentiable path of every operation.

Each case runs with every choice of which of its tensors require a gradient, none included; where
the result has one, its backward pass gives finite numbers of the right shape.
"""

import inspect
import itertools

import pytest
import torch

from mrcnn_lite import ops

Z = torch.zeros


def maps(b=2, c=3, side=8):
    return torch.rand(b, c, side, side)


def pyramid(b=2, c=3):
    return [maps(b, c, 8), maps(b, c, 4)]


def aligned(**given):
    return {"output_size": 2, "spatial_scale": 0.5, **given}


NO_BOXES, ONE = Z(0, 4), torch.tensor([[1.0, 1, 5, 6]])
INDEX, NONE = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
ROI_CASES = {
    "no RoIs": aligned(input=maps(), boxes=Z(0, 5)),
    "no boxes in any image": aligned(input=maps(), boxes=[NO_BOXES, NO_BOXES]),
    "no boxes in one image": aligned(input=maps(), boxes=[NO_BOXES, ONE]),
    "no channels": aligned(input=maps(c=0), boxes=[ONE, ONE]),
    "no channels, no boxes": aligned(input=maps(c=0), boxes=Z(0, 5)),
    "no images": aligned(input=maps(b=0), boxes=[]),
    "no images, no RoIs": aligned(input=maps(b=0), boxes=Z(0, 5)),
    "channels last": aligned(
        input=maps().contiguous(memory_format=torch.channels_last), boxes=Z(0, 5)
    ),
}
ADAPTIVE = {
    f"{name}, {ratio} samples": {**case, "sampling_ratio": ratio}
    for name, case in ROI_CASES.items()
    for ratio in (0, 2)
}
PYRAMID_CASES = {
    name: {"image_size": (16, 16), "output_size": (2, 3), "sampling_ratio": ratio, **case}
    for ratio in (0, 2)
    for name, case in {
        f"no boxes, {ratio}": {"features": pyramid(), "boxes": [NO_BOXES, NO_BOXES]},
        f"no boxes in one image, {ratio}": {"features": pyramid(), "boxes": [ONE, NO_BOXES]},
        f"no channels, {ratio}": {"features": pyramid(c=0), "boxes": [ONE, ONE]},
        f"no images, {ratio}": {"features": pyramid(b=0), "boxes": []},
        f"one level, {ratio}": {"features": [maps()], "boxes": [NO_BOXES, NO_BOXES]},
    }.items()
}
CASES = {
    "assign_levels": {"no boxes": {"boxes": NO_BOXES, "k_min": 2, "k_max": 5}},
    "batched_nms": {
        "no boxes": {"boxes": NO_BOXES, "scores": Z(0), "idxs": INDEX, "iou_threshold": 0.5}
    },
    "best_objects": {
        "no boxes": {"objects": ONE[None], "valid": NONE.new_ones(1, 1), "boxes": NO_BOXES},
        "no objects but padding": {
            "objects": Z(1, 2, 4), "valid": NONE.new_zeros(1, 2), "boxes": ONE, "low_quality": True,
        },
        "no images": {"objects": Z(0, 1, 4), "valid": NONE.new_zeros(0, 1), "boxes": ONE},
        "no boxes, both questions": {
            "objects": ONE[None], "valid": NONE.new_ones(1, 1), "boxes": NO_BOXES,
            "low_quality": True,
        },
    },
    "bilinear": {
        "no points": {"features": maps()[0], "y": Z(0), "x": Z(0)},
        "no channels": {"features": maps(c=0)[0], "y": torch.rand(3), "x": torch.rand(3)},
    },
    "box_area": {"no boxes": {"boxes": NO_BOXES}, "cxcywh": {"boxes": NO_BOXES, "fmt": "cxcywh"}},
    "box_convert": {"no boxes": {"boxes": NO_BOXES, "in_fmt": "xywh", "out_fmt": "cxcywh"}},
    "box_iou": {
        "none and one": {"boxes1": NO_BOXES, "boxes2": ONE},
        "one and none": {"boxes1": ONE, "boxes2": NO_BOXES},
        "none and none": {"boxes1": NO_BOXES, "boxes2": NO_BOXES},
        "no images": {"boxes1": Z(0, 3, 4), "boxes2": Z(0, 2, 4)},
    },
    "clip_boxes": {
        "no boxes": {"boxes": NO_BOXES, "image_size": (5, 6)},
        "no images": {"boxes": Z(0, 3, 4), "image_size": Z(0, 1, 2)},
    },
    "clip_boxes_to_image": {"no boxes": {"boxes": NO_BOXES, "size": (5, 6)}},
    "crop_masks": {
        "no boxes": {"masks": torch.rand(2, 5, 6), "boxes": NO_BOXES, "matched": INDEX, "size": 3},
        "no masks": {"masks": Z(0, 5, 6), "boxes": NO_BOXES, "matched": INDEX, "size": 3},
    },
    "decode_boxes": {
        "no boxes": {"deltas": NO_BOXES, "boxes": NO_BOXES},
        "no classes": {"deltas": Z(2, 0, 4), "boxes": torch.rand(2, 1, 4)},
    },
    "encode_boxes": {"no boxes": {"gt": NO_BOXES, "proposals": NO_BOXES}},
    "masks_to_boxes": {"no masks": {"masks": Z(0, 5, 6)}, "no objects": {"masks": Z(2, 5, 6)}},
    "multiscale_roi_align": PYRAMID_CASES,
    "nms": {"no boxes": {"boxes": NO_BOXES, "scores": Z(0), "iou_threshold": 0.5}},
    "nms_mask": {
        "no boxes": {"boxes": NO_BOXES, "scores": Z(0), "valid": NONE, "iou_threshold": 0.5},
        "no problems": {
            "boxes": Z(0, 3, 4), "scores": Z(0, 3), "valid": NONE.new_zeros(0, 3),
            "iou_threshold": 0.5,
        },
        "none valid": {
            "boxes": Z(2, 3, 4), "scores": Z(2, 3), "valid": NONE.new_zeros(2, 3),
            "iou_threshold": 0.5,
        },
    },
    "paste_masks": {
        "no masks": {"masks": Z(0, 4, 4), "boxes": NO_BOXES, "image_size": (5, 6)},
        "no masks, cut": {
            "masks": Z(0, 4, 4), "boxes": NO_BOXES, "image_size": (5, 6), "threshold": 0.5,
        },
        "exact": {
            "masks": Z(0, 4, 4), "boxes": NO_BOXES, "image_size": (5, 6), "rule": "pixel_centres",
        },
    },
    "remove_small_boxes": {"no boxes": {"boxes": NO_BOXES, "min_size": 1.0}},
    "roi_align": ADAPTIVE,
    "roi_pool": ROI_CASES,
}  # fmt: skip
GRADIENTS = {
    getattr(ops, name)
    for name in (
        "bilinear", "box_area", "box_convert", "box_iou", "clip_boxes", "clip_boxes_to_image",
        "decode_boxes", "encode_boxes", "multiscale_roi_align", "roi_align",
    )
}  # fmt: skip
# ... and these in one of their arguments.
ALSO = {"crop_masks": "boxes", "paste_masks": "masks", "roi_pool": "input"}
SWITCHES = {"backend", "register_kernel", "set_backend", "use_backend"}


def leaves(value):
    """The floating-point tensors of an argument."""
    parts = value if isinstance(value, list) else [value]
    return [p for p in parts if torch.is_tensor(p) and p.is_floating_point()]


def run(function, case, wanted, twice=False):
    """Call with gradients for the arguments `wanted`; backward, and if `twice` the one behind."""
    given, inputs = {}, []
    for name, value in case.items():
        if leaves(value):
            copies = [
                part.detach().clone().requires_grad_(name in wanted) for part in leaves(value)
            ]
            inputs += [copy for copy in copies if copy.requires_grad]
            value = copies if isinstance(value, list) else copies[0]
        given[name] = value
    out = function(**given)
    for result in out if isinstance(out, tuple) else (out,):
        if result is None or not result.requires_grad:
            assert not wanted or function not in GRADIENTS
            continue
        total = (result * result).sum()
        grads = torch.autograd.grad(total, inputs, create_graph=twice, allow_unused=True)
        for grad, leaf in zip(grads, inputs, strict=True):
            assert grad is None or (grad.shape == leaf.shape and grad.isfinite().all())
        if twice and grads[0].requires_grad:
            torch.autograd.grad(grads[0].sum(), inputs, allow_unused=True)
    return out


def choices(case):
    """Every subset of the arguments that can have a gradient."""
    names = [name for name, value in case.items() if leaves(value)]
    return itertools.chain(*(itertools.combinations(names, n) for n in range(len(names) + 1)))


ROWS = [(name, case) for name, cases in CASES.items() for case in cases]


def test_every_operation_is_in_the_table():
    layers = {name for name in ops.__all__ if inspect.isclass(getattr(ops, name))}
    assert set(CASES) == set(ops.__all__) - SWITCHES - layers
    assert layers == {"MultiScaleRoIAlign", "RoIAlign", "RoIPool"}  # see the test of layers


@pytest.mark.parametrize("backend", ["torch", "reference"])
@pytest.mark.parametrize(("name", "case"), ROWS)
def test_nothing_in_nothing_out(name, case, backend):
    given = CASES[name][case]
    with ops.use_backend(backend):
        for wanted in choices(given):
            # Only the maps' gradient of RoIAlign can itself be differentiated by torch's operators.
            twice = name.endswith("roi_align") and wanted in (("input",), ("features",))
            out = run(getattr(ops, name), given, wanted, twice)
            if ALSO.get(name) in wanted and "threshold" not in given:
                assert out.requires_grad


@pytest.mark.parametrize("wanted", [(), ("x",), ("boxes",), ("x", "boxes")], ids=str)
@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_the_layers_too(backend, wanted):
    with ops.use_backend(backend):
        for layer in (ops.RoIAlign(3, 0.5, 2), ops.RoIAlign(3, 0.5, 0, True), ops.RoIPool(3, 0.5)):
            for boxes in (Z(0, 5), [NO_BOXES, NO_BOXES]):
                inputs = {"x": maps(), "boxes": boxes}
                out = run(lambda x, boxes, pool=layer: pool(x, boxes), inputs, wanted)
                assert out.shape == (0, 3, 3, 3)
        layer = ops.MultiScaleRoIAlign(["a", "b"], 3, 2)

        def pool(x, boxes):
            return layer(dict(zip("ab", x, strict=True)), boxes, [(16, 16)] * len(x[0]))

        assert run(pool, {"x": pyramid(), "boxes": [NO_BOXES] * 2}, wanted).shape == (0, 3, 3, 3)
        assert run(pool, {"x": pyramid(0), "boxes": []}, wanted).shape == (0, 3, 3, 3)
