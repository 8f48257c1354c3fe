"""Weights files describe the tensors that are in them; what is no weights file is told by name."""

import json

import pytest
import torch
from torch import nn
from torchvision.models.detection import anchor_utils, faster_rcnn, mask_rcnn

from mrcnn_lite.config import lite, resnet50_fpn
from mrcnn_lite.models import (
    AnchorGenerator,
    FastRCNNPredictor,
    MaskRCNN,
    MaskRCNNPredictor,
    load_weights,
    save_weights,
)
from mrcnn_lite.models.weights import describe
from mrcnn_lite.training.checkpoint import save_checkpoint

SMALL = resnet50_fpn(3).with_(
    backbone={"depth": 18, "fpn_channels": 16},
    box={"head_channels": 16},
    mask={"channels": (8, 8), "hidden": 8},
)
FIVE = ["background", "a", "b", "c", "d"]


def with_predictors(box=FastRCNNPredictor, mask=MaskRCNNPredictor, hidden=256, classes=5):
    """The recipe: a network whose last layers are replaced for other classes."""
    model = MaskRCNN(lite())
    heads = model.roi_heads
    heads.box_predictor = box(heads.box_predictor.cls_score.in_features, classes)
    heads.mask_predictor = mask(heads.mask_predictor.conv5_mask.in_channels, hidden, classes)
    return model.eval()


@pytest.mark.parametrize(
    "classes",
    [
        (FastRCNNPredictor, MaskRCNNPredictor),
        (faster_rcnn.FastRCNNPredictor, mask_rcnn.MaskRCNNPredictor),
    ],
    ids=["ours", "torchvision's"],
)
def test_row_05_replaced_predictors_are_stored_as_they_are(tmp_path, classes):
    model = with_predictors(*classes)
    save_weights(model, tmp_path / "w.safetensors", FIVE)
    again, names = load_weights(tmp_path / "w.safetensors")
    assert names == FIVE
    assert (again.config.num_classes, again.config.mask.hidden) == (5, 256)
    image = [torch.rand(3, 128, 128)]
    with torch.inference_mode():
        for key, value in model(image)[0].items():
            torch.testing.assert_close(again(image)[0][key], value)


def test_row_05_class_agnostic_masks_are_described():
    model = with_predictors()
    model.roi_heads.mask_predictor = MaskRCNNPredictor(32, 16, 1)
    config = describe(model)
    assert config.mask.class_agnostic and config.mask.hidden == 16 and config.num_classes == 5


def set_attributes(model):
    model.roi_heads.score_thresh, model.roi_heads.detections_per_img = 0.9, 3
    model.rpn.nms_thresh, model.transform.min_size = 0.5, (200,)


def replace_anchors(model):
    model.rpn.anchor_generator = AnchorGenerator(((8,), (16,), (24,), (32,)), ((1.0,),) * 4)


def replace_anchors_with_torchvisions(model):
    sizes = ((8,), (16,), (24,), (32,))
    model.rpn.anchor_generator = anchor_utils.AnchorGenerator(sizes, ((1.0,),) * 4)


@pytest.mark.parametrize(
    "change", [set_attributes, replace_anchors, replace_anchors_with_torchvisions]
)
def test_row_05_attributes_and_anchors_are_stored_as_they_are(tmp_path, change):
    model = MaskRCNN(lite()).eval()
    change(model)
    model.roi_heads.box_predictor.cls_score.weight.data *= 30
    save_weights(model, tmp_path / "w.safetensors", [*FIVE, "e"])
    again, _ = load_weights(tmp_path / "w.safetensors")
    assert again.config != lite()
    image = [torch.rand(3, 128, 128)]
    with torch.inference_mode():
        for key, value in model(image)[0].items():
            torch.testing.assert_close(again(image)[0][key], value)


@pytest.mark.parametrize("names", [FIVE[:2], [*FIVE, "e"], [*FIVE[:4], 7]], ids=str)
def test_row_05_names_that_are_not_one_a_class_are_refused(tmp_path, names):
    with pytest.raises(ValueError, match=r"class_names is .* for 5 classes; give one name"):
        save_weights(with_predictors(), tmp_path / "w.safetensors", names)
    assert not list(tmp_path.iterdir())


def replace_masks(model):
    model.roi_heads.mask_predictor = MaskRCNNPredictor(32, 32, 7)


def replace_box_head(model):
    model.roi_heads.box_head = nn.Sequential(nn.Flatten(), nn.Linear(48 * 49, 128))


def replace_predictor(model):
    model.roi_heads.box_predictor = nn.Linear(128, 6)


def change_pooling(model):
    model.roi_heads.mask_roi_pool.sampling_ratio = 1


def change_norm(model):
    model.backbone.body.stem[1].eps = 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace_masks, r"mask_fcn_logits.weight is \[7, 32, 1, 1\] instead of \[6, 32, 1, 1\]"),
        (replace_box_head, r"roi_heads.box_head.0.0.weight is missing"),
        (replace_predictor, r"a predictor is not one that a config describes"),
        (change_pooling, r"roi_heads.mask_roi_pool.sampling_ratio is 1 instead of 2"),
        (change_norm, r"backbone.body.stem.1.eps is 0.1 instead of 1e-05"),
    ],
)
def test_row_05_a_part_that_no_config_describes_is_named(tmp_path, change, words):
    model = MaskRCNN(lite())
    change(model)
    with pytest.raises(ValueError, match=words + r".*; save model.state_dict\(\) with torch.save"):
        save_weights(model, tmp_path / "w.safetensors", [*FIVE, "e"])


def test_row_05_another_networks_state_is_refused(tmp_path):
    state = MaskRCNN(lite(4)).state_dict()
    with pytest.raises(ValueError, match=r"state is not the network's: .*cls_score.weight is"):
        save_weights(MaskRCNN(lite()), tmp_path / "w.safetensors", [*FIVE, "e"], state)


def test_row_05_a_file_that_contradicts_itself_is_refused(tmp_path):
    """As version 0.2.0 wrote it after predictors were replaced."""
    from safetensors.torch import save_file

    from mrcnn_lite.models.weights import _digest

    tensors = {n: v.contiguous() for n, v in with_predictors().state_dict().items()}
    config = json.dumps(lite().to_dict())
    for names, words in (
        (
            [*FIVE, "e"],
            r"not of this network: .*cls_score.weight is \[5, 128\] instead of",
        ),
        (FIVE, r"w.safetensors: class_names is .* for 6 classes"),
    ):
        metadata = {"config": config, "class_names": json.dumps(names)}
        metadata["sha256"] = _digest(tensors, metadata)
        save_file(tensors, tmp_path / "w.safetensors", metadata)
        with pytest.raises(ValueError, match=words):
            load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("config", [lite(), SMALL], ids=["lite", "R18-FPN"])
def test_a_network_as_it_was_built_is_its_config(config):
    before = torch.get_rng_state()
    model = MaskRCNN(config)
    state = torch.get_rng_state()
    assert describe(model) == config
    assert torch.equal(torch.get_rng_state(), state) and not torch.equal(state, before)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("w.pth", None, "a file of torch.save; weights are the .safetensors file of a run"),
        ("last.checkpoint", {"steps": 1}, "its weights are last.safetensors beside it"),
        ("w.safetensors", b"", "an empty file"),
        ("w.safetensors", b"<!DOCTYPE html><html>no such page", "a page of HTML or XML"),
        ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("w.safetensors", b"\1" * 99, "damaged or not a safetensors file"),
    ],
)
def test_row_22_what_is_no_weights_file_is_called_by_its_name(tmp_path, name, content, words):
    if name == "w.pth":
        torch.save(MaskRCNN(lite()).state_dict(), tmp_path / name)
    elif name == "last.checkpoint":
        save_checkpoint(tmp_path, content)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        load_weights(tmp_path / name)


def test_row_22_a_runs_folder_is_its_weights(tmp_path):
    model = MaskRCNN(lite())
    save_weights(model, tmp_path / "last.safetensors", [*FIVE, "e"])
    again, _ = load_weights(tmp_path)
    name = "backbone.body.stem.0.weight"
    assert torch.equal(again.state_dict()[name], model.state_dict()[name])
    with pytest.raises(FileNotFoundError, match=r"last.safetensors: no such weights file"):
        load_weights(tmp_path / "..")
