"""The whole network: the same function as torchvision's, and what it says to bad input."""

import pytest
import torch

from mrcnn_lite.config import Config, lite, resnet50_fpn
from mrcnn_lite.models import MaskRCNN, load_weights, maskrcnn_lite, save_weights
from mrcnn_lite.models.anchors import AnchorGenerator, cell_anchors
from mrcnn_lite.models.backbone import ResNet

LOSSES = ["loss_box_reg", "loss_classifier", "loss_mask", "loss_objectness", "loss_rpn_box_reg"]
# Larger than any number of candidates: both samplers then take everything, and chance plays no
# part.
ALL = 100_000


def small_resnet_config() -> Config:
    """R18-FPN with every default of torchvision, except that small images stay small."""
    config = resnet50_fpn(num_classes=4)
    return config.with_(
        image={"min_size": 96, "max_size": 160},
        backbone={"depth": 18, "fpn_channels": 256},
        rpn={
            "samples": ALL,
            "positive_fraction": 1.0,
            "pre_nms_train": 300,
            "post_nms_train": 40,
            "pre_nms_test": 100,
            "post_nms_test": 60,
        },
        box={"samples": ALL, "positive_fraction": 1.0, "detections": 12},
        mask={"rois": ALL},
    )


def torchvision_reference() -> torch.nn.Module:
    detection = pytest.importorskip("torchvision").models.detection
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, trainable_layers=3
    )
    return detection.MaskRCNN(
        backbone,
        num_classes=4,
        min_size=96,
        max_size=160,
        rpn_batch_size_per_image=ALL,
        rpn_positive_fraction=1.0,
        rpn_pre_nms_top_n_train=300,
        rpn_post_nms_top_n_train=40,
        rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_test=60,
        box_batch_size_per_image=ALL,
        box_positive_fraction=1.0,
        box_detections_per_img=12,
    )


@pytest.fixture(scope="module")
def reference_pair() -> tuple[MaskRCNN, torch.nn.Module]:
    """Our network and torchvision's with the same random weights in float64."""
    torch.manual_seed(0)
    theirs = torchvision_reference()
    for module in theirs.modules():  # fresh batch norms are all alike and would hide mistakes
        if hasattr(module, "running_var"):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_(0, 0.1)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    ours = MaskRCNN(small_resnet_config())
    ours.load_state_dict(theirs.state_dict())
    theirs = theirs.double()
    # Its labels are float32, and binary cross entropy then answers in float32: see parity.py.
    assign = theirs.rpn.assign_targets_to_anchors
    theirs.rpn.assign_targets_to_anchors = lambda anchors, targets: (
        [label.double() for label in assign(anchors, targets)[0]],
        assign(anchors, targets)[1],
    )
    return ours.double(), theirs


def pictures(seed: int = 3) -> tuple[list, list]:
    """Two random pictures of different sizes (shorter side 96: nothing is resized) with two and
    three objects."""
    generator = torch.Generator().manual_seed(seed)
    images, targets = [], []
    for (height, width), count in (((96, 120), 2), ((131, 96), 3)):
        images.append(torch.rand(3, height, width, generator=generator, dtype=torch.float64))
        corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 40
        size = 12 + torch.rand(count, 2, generator=generator, dtype=torch.float64) * 40
        boxes = torch.cat([corner, corner + size], dim=1)
        masks = torch.zeros(count, height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1 : y2 - 3, x1:x2] = 1
        labels = torch.randint(1, 4, (count,), generator=generator)
        targets.append({"boxes": boxes, "labels": labels, "masks": masks})
    return images, targets


def test_state_dict_goes_both_ways(reference_pair):
    ours, theirs = reference_pair
    theirs.load_state_dict(ours.state_dict())
    assert list(ours.state_dict()) != [] and set(ours.state_dict()) == set(theirs.state_dict())


def test_training_equals_torchvision(reference_pair):
    ours, theirs = reference_pair
    images, targets = pictures()
    got = ours.train()(images, targets)
    want = theirs.train()(images, [dict(t) for t in targets])
    assert sorted(got) == LOSSES
    for name in LOSSES:
        torch.testing.assert_close(got[name], want[name].double(), rtol=1e-9, atol=1e-12, msg=name)
    for model, losses in ((ours, got), (theirs, want)):
        model.zero_grad()
        sum(losses.values()).backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        wanted = gradients[name]
        assert (parameter.grad is None) == (wanted is None), name
        if wanted is not None:
            assert (parameter.grad - wanted).abs().max() <= 1e-9 * wanted.abs().max(), name


def test_detections_equal_torchvision(reference_pair):
    ours, theirs = reference_pair
    images, _ = pictures(seed=5)
    images.append(
        torch.rand(3, 131, 190, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    )  # resized
    with torch.no_grad():
        got, want = ours.eval()(images), theirs.eval()(images)
    assert sum(len(w["boxes"]) for w in want) > 20
    for g, w in zip(got, want, strict=True):
        assert g["labels"].tolist() == w["labels"].tolist()
        for key in ("boxes", "scores", "masks"):
            torch.testing.assert_close(g[key], w[key], rtol=1e-9, atol=1e-9, msg=key)


def test_reference_model_has_torchvisions_parameters():
    model = MaskRCNN(resnet50_fpn())
    theirs = pytest.importorskip("torchvision").models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None
    )
    # Built without weights, torchvision's batch norms train and count their batches; ours do not.
    wanted = {
        k: v.shape for k, v in theirs.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    assert {k: v.shape for k, v in model.state_dict().items()} == wanted
    model.load_state_dict(theirs.state_dict())


def test_cell_anchors_by_hand():
    assert cell_anchors((16,), (1.0,)).tolist() == [[-8, -8, 8, 8]]
    assert cell_anchors((32,), (0.5, 2.0)).tolist() == [[-23, -11, 23, 11], [-11, -23, 11, 23]]


def test_anchors_walk_the_grid_in_row_order():
    generator = AnchorGenerator(((16,), (32,)), (1.0,))
    maps = [torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 1)]
    anchors = generator(maps, (16, 24))
    assert anchors.shape == (7, 4)
    assert anchors[1].tolist() == [0, -8, 16, 8] and anchors[3].tolist() == [-8, 0, 8, 16]
    assert anchors[6].tolist() == [-16, -16, 16, 16]


def test_initial_losses_are_the_expected_ones():
    torch.manual_seed(0)
    model = maskrcnn_lite(num_classes=6).train()
    images, targets = pictures()
    losses = model(
        [i.float() for i in images], [{**t, "boxes": t["boxes"].float()} for t in targets]
    )
    assert abs(losses["loss_objectness"].item() - 0.6931) < 0.02  # ln 2
    assert abs(losses["loss_classifier"].item() - 1.7918) < 0.4  # ln 6
    assert abs(losses["loss_mask"].item() - 0.6931) < 0.4


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (
            "backbone.body.stem.0.weight",
            "features of level 0: .* is not finite, .* exploded",
        ),
        (
            "rpn.head.cls_logits.bias",
            "logits of the RPN: .* is not finite, .* exploded",
        ),
        ("rpn.head.bbox_pred.bias", "deltas of the RPN: .* is not finite, .* exploded"),
        (
            "roi_heads.box_predictor.bbox_pred.bias",
            "deltas of the box branch: .* exploded",
        ),
    ],
)
def test_a_network_of_nans_says_so_in_the_first_operation(parameter, message):
    """A user's own backbone or head may give them; they must not become detections."""
    torch.manual_seed(0)
    model = maskrcnn_lite(num_classes=3).eval()
    with torch.no_grad():
        dict(model.named_parameters())[parameter].fill_(float("nan"))
    with pytest.raises(ValueError, match=message), torch.no_grad():
        model([torch.rand(3, 64, 64)])


def test_images_without_objects_train():
    torch.manual_seed(0)
    model = maskrcnn_lite(num_classes=3).train()
    empty = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 64, 64, dtype=torch.uint8),
    }
    losses = model([torch.rand(3, 64, 64)] * 2, [empty, empty])
    assert (
        losses["loss_mask"] == 0 and losses["loss_box_reg"] == 0 and losses["loss_rpn_box_reg"] == 0
    )
    total = sum(losses.values())
    total.backward()
    assert total.isfinite() and all(
        p.grad is None or p.grad.isfinite().all() for p in model.parameters()
    )


def test_config_round_trip_and_unknown_field():
    config = lite(4)
    assert Config.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="unknown field 'rios'"):
        Config.from_dict({"mask": {"rios": 3}})


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("rpn", "nms_iou", 1.5),
        ("box", "nms_iou", float("nan")),
        ("box", "code_weights", (10.0, 10.0, 5.0)),
        ("box", "code_weights", (10.0, 10.0, 5.0, 0.0)),
        ("box", "pooled_size", 0),
        ("mask", "sampling_ratio", 2.5),
        ("mask", "paste", "detectron2"),
    ],
)
def test_numbers_that_no_operation_could_use_are_refused_at_the_door(section, field, value):
    with pytest.raises(ValueError, match=rf"config.{section}.{field} is .*; give "):
        MaskRCNN(lite().with_(**{section: {field: value}}))


def test_resnet_depths():
    assert ResNet(18).out_channels == [64, 128, 256, 512]
    assert ResNet(50).out_channels == [256, 512, 1024, 2048]
    with pytest.raises(ValueError, match="depth is 51"):
        ResNet(51)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": torch.tensor([[5.0, 5, 5, 9]])}, r"targets\[0\]\['boxes'\]\[0\]"),
        ({"boxes": torch.tensor([[5.0, 5, float("nan"), 9]])}, r"targets\[0\]\['boxes'\]\[0\]"),
        (
            {"labels": torch.tensor([7])},
            r"targets\[0\]\['labels'\]\[0\] is 7; labels go from 1 to 2",
        ),
        ({"labels": torch.tensor([1.0])}, "int64"),
        ({"masks": torch.zeros(1, 9, 9, dtype=torch.uint8)}, "the image asks for"),
    ],
)
def test_bad_targets_are_named(change, message):
    target = {
        "boxes": torch.tensor([[5.0, 5, 20, 20]]),
        "labels": torch.tensor([1]),
        "masks": torch.zeros(1, 64, 64, dtype=torch.uint8),
    }
    with pytest.raises(ValueError, match=message):
        maskrcnn_lite(num_classes=3).train()([torch.rand(3, 64, 64)], [target | change])


def test_bad_images_are_named():
    model = maskrcnn_lite().eval()
    with pytest.raises(TypeError, match=r"images\[0\] is torch.uint8"):
        model([torch.zeros(3, 8, 8, dtype=torch.uint8)])
    with pytest.raises(ValueError, match="channels first"):
        model([torch.zeros(8, 8, 3)])


def test_weights_round_trip(tmp_path):
    torch.manual_seed(0)
    model = maskrcnn_lite(3).eval()
    save_weights(model, tmp_path / "w.safetensors", ["background", "a", "b"])
    again, names = load_weights(tmp_path / "w.safetensors")
    assert names == ["background", "a", "b"] and again.config == model.config
    image = torch.rand(3, 64, 80)
    with torch.no_grad():
        one, two = model([image])[0], again([image])[0]
    assert all(torch.equal(one[key], two[key]) for key in one)
    (tmp_path / "w.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match="damaged"):
        load_weights(tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError, match="no such weights"):
        load_weights(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("mask", [{"class_agnostic": True}, {"competition": "softmax"}])
def test_the_mask_branchs_switches(mask):
    """One mask for all classes, and masks that compete: both train and both detect."""
    torch.manual_seed(0)
    model = MaskRCNN(lite(4).with_(mask=mask))
    images, targets = pictures()
    images = [i.float() for i in images]
    losses = model.train()(images, [{**t, "boxes": t["boxes"].float()} for t in targets])
    sum(losses.values()).backward()
    kinds = model.roi_heads.mask_predictor.mask_fcn_logits.weight
    assert kinds.shape[0] == (1 if "class_agnostic" in mask else 4)
    assert kinds.grad.abs().sum() > 0
    with torch.no_grad():
        found = model.eval()(images)
    assert all(f["masks"].min() >= 0 and f["masks"].max() <= 1 for f in found if len(f["masks"]))
