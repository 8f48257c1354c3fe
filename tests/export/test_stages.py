"""The network with its stages as outputs: through onnxruntime every stage is PyTorch's, and the
stages fit together.

PyTorch's side runs the same recording with the package's own suppression, RoIAlign and RoIPool;
that the recording tells the truth is asked of the plain network.
"""

import json

import onnxruntime
import pytest
import torch
from live_page import network, same_choices

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.export.forms import exportable
from mrcnn_lite.export.stages import StagedNetwork
from mrcnn_lite.models import load_weights
from mrcnn_lite.models.intermediate import intermediate_outputs
from mrcnn_lite.ops import nms_mask, roi_align, roi_pool
from mrcnn_lite.ops.nms import largest_at_most, nms_loop
from mrcnn_lite.ops.roi_align import roi_align_tensor
from tools import build_live

DETECTIONS, COUNT = 20, 4
USUAL = {"score_threshold": 0.05, "nms_iou": 0.5, "rpn_nms_iou": 0.7, "pooling": 0}
# Boxes in pixels; and pooled features, whose limit is a box's times the slope of a map.
WIDE = ("candidates", "proposals", "class_boxes", "boxes", "box_pooled", "mask_pooled")


def pool(pooling, features, rois, scales, grid):
    """PyTorch's side of the switch."""
    if not pooling:
        return roi_align_tensor(features, rois, scales, grid)
    boxes = torch.cat([rois.image[:, None], rois.corners], dim=1)  # [K, 5]
    (feature,), (scale,) = features, scales
    return roi_pool(feature, boxes, grid.size, scale)


def suppress(boxes, valid, groups, iou):
    return nms_loop(boxes, valid, groups, float(iou))


def inputs(image, switches):
    """The image and what the switches say; an overlap rounded as the network's own."""
    said = USUAL | switches
    for name in ("nms_iou", "rpn_nms_iou"):
        said[name] = largest_at_most(said[name], torch.float32)
    return {"image": image[None], **{name: torch.tensor(value) for name, value in said.items()}}


@pytest.fixture(scope="module")
def model():
    return load_weights(build_live.WEIGHTS)


@pytest.fixture(scope="module")
def written():
    """The live page's file and what is said of it: exported once for all tests."""
    return build_live.BUILD / "stages.onnx", network()


@pytest.fixture(scope="module")
def ours(written):
    """Stages of an image through onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(written[0]), options)
    names = [output.name for output in session.get_outputs()]

    def run(image, **switches):
        given = {name: value.numpy() for name, value in inputs(image, switches).items()}
        return dict(zip(names, map(torch.tensor, session.run(None, given)), strict=True))

    return run


@pytest.fixture(scope="module")
def pytorch(model):
    """The same in PyTorch."""
    staged = StagedNetwork(model[0], DETECTIONS, pool)

    @torch.no_grad()
    def run(image, **switches):
        with exportable(nms=suppress):
            return staged(**inputs(image, switches))

    return run


def images():
    drawn = Shapes(COUNT, seed=5)
    return [drawn[index][0] for index in range(COUNT)]


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"pooling": 1},
        {"score_threshold": 0.6, "nms_iou": 0.2, "rpn_nms_iou": 0.45},
        {"score_threshold": 0.0, "nms_iou": 0.9, "rpn_nms_iou": 0.95},
        {"score_threshold": 1.0},
    ],
    ids=["usual", "RoIPool", "strict", "lenient", "nothing"],
)
def test_every_stage_is_pytorchs(ours, pytorch, switches):
    found_any = compared = 0
    for image in images():
        found, expected = ours(image, **switches), pytorch(image, **switches)
        assert found.keys() == expected.keys()
        same = same_choices(found, expected)
        for name, value in expected.items():
            if not same and not name.startswith(("features", "objectness")):
                continue
            if value.is_floating_point():
                limit = 1e-3 if name in WIDE else 1e-4
                torch.testing.assert_close(found[name], value, rtol=0, atol=limit, msg=name)
            else:
                assert torch.equal(found[name], value), name
        found_any += int(found["count"])
        compared += same
    assert compared >= COUNT / 2
    assert (found_any == 0) == (switches.get("score_threshold") == 1.0)


def test_the_detections_are_those_of_the_plain_network(ours, model):
    """The threshold after suppression, too, and stages that the network itself gives elsewhere."""
    for image in images():
        found, plain = ours(image), intermediate_outputs(model[0], image)
        count = int(found["count"])
        assert count == len(plain.detections["boxes"]) > 0
        assert torch.equal(found["labels"][:count].long(), plain.detections["labels"])
        for name, mine, theirs in (
            ("boxes", found["boxes"], plain.detections["boxes"]),
            ("scores", found["scores"], plain.detections["scores"]),
            ("proposals", found["proposals"], plain.proposals),
            ("mask_pooled", found["mask_pooled"], plain.pooled),
            ("mask_all", found["mask_all"], plain.mask_logits.sigmoid()),
            *((f"features_{i}", found[f"features_{i}"], x) for i, x in enumerate(plain.features)),
        ):
            limit = 1e-3 if name in WIDE else 1e-4
            torch.testing.assert_close(mine[: len(theirs)], theirs, rtol=0, atol=limit, msg=name)
        assert int(found["proposal_count"]) == len(plain.proposals)


@pytest.mark.parametrize("pooling", [0, 1], ids=["RoIAlign", "RoIPool"])
def test_the_stages_fit_together(ours, pooling):
    """Each follows from those before it by the package's own operations."""
    for image in images():
        it = ours(image, pooling=pooling)
        count, proposed = int(it["count"]), int(it["proposal_count"])
        for level in range(4):
            mine = it["candidate_level"] == level
            args = it["candidates"][mine], it["candidate_scores"][mine]
            best = it[f"objectness_{level}"].flatten().sort(descending=True).values
            torch.testing.assert_close(args[1], best[: len(args[1])], rtol=0, atol=1e-6)
            keep = nms_mask(*args, torch.ones_like(args[1], dtype=torch.bool), 0.7)
            assert torch.equal(keep, it["candidate_kept"][mine])
        source = it["proposal_source"][:proposed]
        assert it["candidate_kept"][source].all()
        assert torch.equal(it["candidates"][source], it["proposals"][:proposed])
        assert torch.equal(it["candidate_scores"][source], it["proposal_scores"][:proposed])
        for name, boxes, side in (
            ("box_pooled", it["proposals"][:proposed], 7),
            ("mask_pooled", it["boxes"][:count], 14),
        ):
            feature = it["features_0"][None]
            if pooling:
                expected = roi_pool(feature, [boxes], side, 1 / 4)
            else:
                expected = roi_align(feature, [boxes], side, 1 / 4, 2, False)
            torch.testing.assert_close(it[name][: len(boxes)], expected, rtol=0, atol=1e-5)
        row, label = it["detection_source"][:count], it["labels"][:count]
        assert it["class_kept"][row, label - 1].all()
        assert int(it["class_kept"].sum()) == count < DETECTIONS
        assert torch.equal(it["class_boxes"][row, label - 1], it["boxes"][:count])
        assert torch.equal(it["class_probabilities"][row, label], it["scores"][:count])
        masks = it["mask_all"][torch.arange(count), label]
        assert torch.equal(masks, it["masks"][:count])
        for name in ("boxes", "labels", "scores", "masks", "detection_source"):
            assert not it[name][count:].any()


def test_what_is_said_of_the_network(written, ours):
    path, meta = written
    session = onnxruntime.InferenceSession(str(path))
    in_file = session.get_modelmeta().custom_metadata_map
    said = {name: json.loads(text) for name, text in in_file.items()}
    assert said | {"sources": meta["sources"]} == meta
    assert meta["outputs"] == {name: [*x.shape] for name, x in ours(images()[0]).items()}
    assert meta["outputs"]["candidates"] == [480, 4]
    assert meta["class_names"] == Shapes.class_names
    assert (meta["score_threshold"], meta["nms_iou"], meta["rpn_nms_iou"]) == (0.05, 0.5, 0.7)
    assert (meta["strides"], meta["detections"]) == ([4, 8, 16, 32], DETECTIONS)


def test_a_network_without_masks_is_refused(model):
    from mrcnn_lite.config import lite
    from mrcnn_lite.models import MaskRCNN

    with pytest.raises(ValueError, match="no mask branch"):
        StagedNetwork(MaskRCNN(lite().with_(mask=None)), DETECTIONS, pool)
