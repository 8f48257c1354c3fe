"""Networks with keypoints, with masks and without: torchvision's weights, losses, detections."""

import copy
import math
from unittest import mock

import pytest
import torch
import torchvision
from detection_pair import (
    ALL,
    CHANNELS,
    CLASSES,
    DETECTION,
    HIDDEN,
    TinyBackbone,
    anchor_sizes,
    images_and_targets,
    tiny_config,
)
from torch import nn
from torchvision.models.detection import keypoint_rcnn

import mrcnn_lite.models
from mrcnn_lite.config import lite, with_keypoints
from mrcnn_lite.datasets.keypoint_shapes import KeypointShapes
from mrcnn_lite.models import (
    KeypointRCNNPredictor,
    MaskRCNN,
    load_weights,
    save_weights,
    variants,
)
from mrcnn_lite.models.detector import Detector
from mrcnn_lite.models.keypoint_head import decode_keypoints
from mrcnn_lite.models.postprocess import to_original_size
from mrcnn_lite.models.target_faults import check_keypoints
from mrcnn_lite.models.weights import _WithoutNumbers
from mrcnn_lite.training import TrainingRun
from mrcnn_lite.training.fast import FastRun, PaddingByOrientation

POINTS = 5
TORCHVISIONS = {"decoder": "torchvision", "closed_edge": True}
LITE = with_keypoints(lite(4), POINTS)


def pair(masks: bool):
    """Our tiny network and torchvision's with the same weights, in float64."""
    torch.manual_seed(0)
    pool, heads = torchvision.ops.MultiScaleRoIAlign, DETECTION.mask_rcnn
    theirs = keypoint_rcnn.KeypointRCNN(
        TinyBackbone(2), min_size=48, max_size=80,
        rpn_anchor_generator=DETECTION.rpn.AnchorGenerator(
            anchor_sizes(2), ((0.5, 1.0, 2.0),) * 2
        ),
        rpn_batch_size_per_image=ALL, rpn_positive_fraction=1.0,
        rpn_pre_nms_top_n_train=60, rpn_pre_nms_top_n_test=50,
        rpn_post_nms_top_n_train=30, rpn_post_nms_top_n_test=25,
        box_roi_pool=pool(["0", "1"], 7, 2),
        box_head=DETECTION.faster_rcnn.TwoMLPHead(CHANNELS * 49, HIDDEN),
        box_predictor=DETECTION.faster_rcnn.FastRCNNPredictor(HIDDEN, CLASSES),
        box_batch_size_per_image=ALL, box_positive_fraction=1.0, box_detections_per_img=12,
        box_score_thresh=0.1,
        keypoint_roi_pool=pool(["0", "1"], 14, 2),
        keypoint_head=keypoint_rcnn.KeypointRCNNHeads(CHANNELS, (CHANNELS,) * 2),
        keypoint_predictor=keypoint_rcnn.KeypointRCNNPredictor(CHANNELS, POINTS),
    )  # fmt: skip
    if masks:
        theirs.roi_heads.mask_roi_pool = pool(["0", "1"], 14, 2)
        theirs.roi_heads.mask_head = heads.MaskRCNNHeads(CHANNELS, (CHANNELS,), 1)
        theirs.roi_heads.mask_predictor = heads.MaskRCNNPredictor(CHANNELS, CHANNELS, CLASSES)
    for name, value in theirs.named_parameters():
        if value.dim() > 1:
            nn.init.normal_(value, std=0.2 if "bbox_pred" not in name else 0.05)
    branch = {"count": POINTS, "channels": (CHANNELS,) * 2, "rois": ALL} | TORCHVISIONS
    config = tiny_config().with_(keypoint=branch, **({} if masks else {"mask": None}))
    ours = MaskRCNN(config, backbone=TinyBackbone(2))
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    return ours.double(), theirs.double()


def samples():
    """The usual two images, with points in, beside and on the edges of their objects."""
    images, targets = images_and_targets()
    g = torch.Generator().manual_seed(5)
    for target in targets:
        low, high = target["boxes"][:, None, :2], target["boxes"][:, None, 2:]
        share = torch.rand(len(low), POINTS, 2, generator=g, dtype=torch.float64) * 1.2 - 0.1
        v = torch.randint(0, 3, (len(low), POINTS, 1), generator=g)
        points = torch.cat([low + share * (high - low), v], dim=2)
        points[:, 0, :2], points[:, 0, 2] = target["boxes"][:, 2:], 2
        target["keypoints"] = points.float().double()
    return images, targets


@pytest.mark.parametrize("masks", [True, False], ids=["masks too", "no masks"])
def test_losses_and_detections_are_torchvisions(masks):
    ours, theirs = pair(masks)
    images, targets = samples()
    wanted_targets = [{**t, "keypoints": t["keypoints"].float()} for t in targets]  # it asks for it
    losses = ours.train()(images, [dict(target) for target in targets])
    wanted = theirs.train()(images, wanted_targets)
    assert {*losses} == {*wanted} and ("loss_mask" in losses) == masks
    assert losses["loss_keypoint"].item() > 1
    for name in wanted:
        assert losses[name].item() == pytest.approx(wanted[name].item(), rel=1e-5), name
    with torch.no_grad():
        found, expected = ours.eval()(images), theirs.eval()(images)
    for mine, other in zip(found, expected, strict=True):
        assert {*mine} == {*other} and len(mine["scores"]) > 2
        for name in other:
            torch.testing.assert_close(
                mine[name].double(), other[name].double(), rtol=1e-5, atol=1e-4, msg=name
            )


def test_the_drop_in_has_torchvisions_weights_and_defaults():
    with torch.device("meta"), _WithoutNumbers():
        theirs = DETECTION.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
        ours = mrcnn_lite.models.keypointrcnn_resnet50_fpn()
    shapes = [{n: v.shape for n, v in m.state_dict().items()} for m in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert ours.num_classes == 2 and ours.config.keypoint.count == 17 and ours.config.mask is None
    assert ours.transform.min_size == theirs.transform.min_size
    with pytest.raises(AttributeError, match="has no mask branch"):
        ours.roi_heads.mask_head = nn.Identity()
    with pytest.raises(AttributeError, match="has no keypoint branch"):
        MaskRCNN(lite()).roi_heads.keypoint_head = nn.Identity()


def test_a_file_of_weights_says_how_many_points_it_has(tmp_path):
    build, path = mrcnn_lite.models.keypointrcnn_resnet50_fpn, tmp_path / "w.pth"
    with torch.device("meta"), _WithoutNumbers():
        state = build(num_classes=4, num_keypoints=3).state_dict()
    torch.save({n: torch.zeros((), dtype=v.dtype).expand(v.shape) for n, v in state.items()}, path)
    with _WithoutNumbers():
        model = build(weights=path, torchvisions_points=True)
        assert model.config.keypoint.count == 3 and model.num_classes == 4
        assert model.config.keypoint.decoder == "torchvision" and model.config.keypoint.closed_edge
        words = r"kps_score_lowres.weight is \[512, 3, 4, 4\] instead of \[512, 5, 4, 4\]"
        with pytest.raises(ValueError, match=words):
            build(weights=path, num_keypoints=5)


def shapes(count=2):
    drawn = KeypointShapes(8, 3)
    pairs = [drawn[i] for i in range(count)]
    return [image for image, _ in pairs], [target for _, target in pairs]


def test_masks_and_keypoints_in_one_network_start_where_they_should():
    for seed in range(3):
        torch.manual_seed(seed)
        losses = MaskRCNN(LITE).train()(*shapes())
        assert len(losses) == 6
        assert abs(losses["loss_keypoint"].item() - math.log(3136)) < 0.35


def test_the_branch_learns_and_reaches_the_backbone():
    torch.manual_seed(0)
    model = MaskRCNN(LITE).train()
    images, targets = shapes()
    losses = model(images, targets)
    losses["loss_keypoint"].backward()
    heads = model.roi_heads
    for part in (model.backbone.body.stem, heads.keypoint_head, heads.keypoint_predictor):
        assert all(p.grad.any() for p in part.parameters() if p.ndim > 1)
    assert all(p.grad is None for p in model.roi_heads.mask_head.parameters())


def test_other_networks_are_as_they_were():
    """The same weights from the same seed, the same losses, whatever keypoints targets have."""
    torch.manual_seed(0)
    plain = MaskRCNN(lite(4)).train()
    torch.manual_seed(0)
    both = MaskRCNN(LITE).train()
    for name, value in plain.state_dict().items():
        assert torch.equal(both.state_dict()[name], value)
    images, targets = shapes()
    losses = []
    for model, change in ((plain, lambda t: t), (plain, lambda t: t[..., :2]), (both, lambda t: t)):
        torch.manual_seed(1)
        changed = [{**t, "keypoints": change(t["keypoints"])} for t in targets]
        losses.append({name: v.item() for name, v in model(images, changed).items()})
    assert losses[0] == losses[1] == {n: v for n, v in losses[2].items() if n != "loss_keypoint"}


def test_detections_have_points_of_their_boxes_and_probabilities():
    torch.manual_seed(0)
    model = MaskRCNN(LITE).eval()
    images, _ = shapes()
    with torch.no_grad():
        found = model(images[:1])[0]
        again = Detector(model)(images[0])
    count = len(found["boxes"])
    assert count and found["keypoints"].shape == (count, POINTS, 3)
    x, y, score = found["keypoints"].unbind(2)
    x1, y1, x2, y2 = found["boxes"][..., None].unbind(1)
    assert ((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)).all()
    assert torch.equal(score, found["keypoints_scores"]) and ((score > 0) & (score < 1)).all()
    for name in found:
        torch.testing.assert_close(again[name], found[name], rtol=1e-3, atol=1e-3)


def test_points_are_found_in_the_users_image_whatever_the_networks_size():
    """An image twice as large has its points at twice the place."""
    torch.manual_seed(0)
    model = MaskRCNN(LITE).eval()
    detection = {
        "boxes": torch.tensor([[10.0, 20, 40, 80]]), "labels": torch.ones(1, dtype=torch.int64),
        "scores": torch.ones(1), "mask_probabilities": torch.ones(1, 28, 28),
        "keypoint_logits": torch.randn(1, POINTS, 56, 56),
    }  # fmt: skip
    found = to_original_size(detection, (128, 128), (256, 384), model.config, lazy_masks=True)
    wanted, _ = decode_keypoints(detection["keypoint_logits"], detection["boxes"])
    torch.testing.assert_close(found["keypoints"], wanted * torch.tensor([3.0, 2.0, 1.0]))


def test_a_replaced_predictor_counts_and_is_stored_as_it_is(tmp_path):
    model = MaskRCNN(LITE)
    model.roi_heads.keypoint_predictor = KeypointRCNNPredictor(48, 3)
    assert model.config.keypoint.count == 3
    with pytest.raises(ValueError, match=r"\['keypoints'\] is torch.float32 \[\d, 5, 3\]; give"):
        model.train()(*shapes())
    save_weights(model, tmp_path / "w.safetensors", ["background", "a", "b", "c"])
    again, _ = load_weights(tmp_path / "w.safetensors")
    assert again.config == model.config
    assert copy.deepcopy(again).config.keypoint.count == 3


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (None, r"targets\[0\]\['keypoints'\] is None; give float \[2, 3, 3\]: x, y and v"),
        (torch.zeros(3, 3), r"is torch.float32 \[3, 3\]; give float \[2, 3, 3\]"),
        (torch.zeros(2, 3, 2), r"is torch.float32 \[2, 3, 2\]; give .* v 0 \(not labelled\), 1"),
        (torch.zeros(1, 3, 3), r"is torch.float32 \[1, 3, 3\]; give"),
        (torch.zeros(2, 3, 3, dtype=torch.int64), r"is torch.int64 \[2, 3, 3\]; give float"),
        (
            torch.full((2, 3, 3), 3.0),
            r"\['keypoints'\]\[0, 0\] is \[3.0, 3.0, 3.0\]; give finite x",
        ),
        (torch.full((2, 3, 3), math.nan), r"\[0, 0\] is \[nan, nan, nan\]; give finite x, y"),
    ],
)
def test_points_that_would_train_nonsense_are_named(points, words):
    """Instead of torchvision's IndexError in its loss (vision #7750, #8371)."""
    target = {"boxes": torch.zeros(2, 4)} | ({} if points is None else {"keypoints": points})
    with pytest.raises(ValueError, match=words):
        check_keypoints([target], 3)


def test_the_recorded_step_and_static_shapes_have_the_same_losses():
    """`FastRun` and heads whose rows all stay, on the CPU; after bf16 the loss is fp32."""
    samples = shapes()
    plain, fast = (kind(LITE, KeypointShapes.class_names) for kind in (TrainingRun, FastRun))
    plain.model.padding = PaddingByOrientation(LITE.image)
    want = plain.step(samples, 0.0)
    with mock.patch.object(variants, "wants_static_shapes", return_value=True):
        found = fast.step(samples, 0.0)
    assert found == pytest.approx(want, rel=1e-4, abs=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        loss = plain.model(*samples)["loss_keypoint"]
    assert loss.dtype == torch.float32 and loss.isfinite()


def test_a_network_of_boxes_alone():
    """Neither masks nor points: Faster R-CNN."""
    torch.manual_seed(0)
    model = MaskRCNN(lite(4).with_(mask=None)).train()
    images, targets = shapes()
    bare = [{name: t[name] for name in ("boxes", "labels")} for t in targets]
    assert len(model(images, bare)) == 4
    with torch.no_grad():
        assert {*model.eval()(images)[0]} == {"boxes", "labels", "scores"}
