"""`--data keypoint-shapes`: train, evaluate and predict with masks and keypoints in one network."""

import json
import math

import pytest
import torch
from PIL import Image

from mrcnn_lite.cli import main
from mrcnn_lite.config import lite, with_keypoints
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.datasets.keypoint_shapes import KeypointShapes
from mrcnn_lite.draw import describe_instances, paint_instances
from mrcnn_lite.evaluation.coco import evaluate_detections
from mrcnn_lite.models import MaskRCNN, load_weights, save_weights
from mrcnn_lite.training import fit_config
from mrcnn_lite.training.checkpoint import check_settings
from mrcnn_lite.training.initial import Start
from mrcnn_lite.training.sanity import check_first_losses

NAMES = KeypointShapes.class_names
TRAIN = [
    "train",
    "--data",
    "keypoint-shapes",
    "--steps",
    "1",
    "--workers",
    "1",
    "--batch-size",
    "2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of one step."""
    folder = tmp_path_factory.mktemp("run") / "run"
    assert main([*TRAIN, "--out", str(folder)]) == 0
    return folder


def test_train_makes_a_network_of_masks_and_points(folder):
    model, names = load_weights(folder)
    assert names == NAMES and model.config.mask and model.config.keypoint.count == 5
    (line,) = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert abs(line["loss_keypoint"] - math.log(3136)) < 0.35
    assert line["loss"] == pytest.approx(
        sum(v for n, v in line.items() if n.startswith("loss_")), abs=1e-4
    )


def test_a_config_can_do_without_points_or_masks(tmp_path):
    for section, other in (("keypoint", "mask"), ("mask", "keypoint")):
        (tmp_path / "c.json").write_text(json.dumps({section: None}))
        out = tmp_path / section
        assert main([*TRAIN, "--config", str(tmp_path / "c.json"), "--out", str(out)]) == 0
        config = load_weights(out)[0].config
        assert getattr(config, section) is None and getattr(config, other)


def test_evaluate_prints_three_kinds_of_ap(folder, tmp_path, capsys):
    path = tmp_path / "figures.json"
    options = ["--data", "keypoint-shapes", "--images", "2", "--json", str(path)]
    for _ in range(2):  # the second time our own file is replaced
        assert main(["evaluate", "--weights", str(folder), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["mask", "box", "keypoints"]
    figures = json.loads(path.read_text())
    assert {"AP", "AR", "APm"} <= {*figures["keypoints"]} and figures["images"] == 2


def test_perfect_points_have_an_ap_of_one_and_wrong_ones_none():
    drawn = KeypointShapes(6, 3)
    targets = [drawn[i][1] for i in range(6)]
    found = [{**t, "scores": torch.ones(len(t["labels"]))} for t in targets]
    figures = evaluate_detections(found, drawn)
    assert figures["keypoints"]["AP"] == figures["mask"]["AP"] == 1
    moved = [{**f, "keypoints": f["keypoints"] + torch.tensor([40.0, 0, 0])} for f in found]
    assert evaluate_detections(moved, drawn)["keypoints"]["AP"] < 0.1
    bare = [{n: v for n, v in f.items() if n not in ("masks", "keypoints")} for f in found]
    figures = evaluate_detections(bare, drawn)
    assert {*figures} == {"box", "images"} and figures["box"]["AP"] == 1


@pytest.mark.parametrize("masks", [True, False])
def test_predict_writes_points_as_pixels(folder, tmp_path, masks):
    weights = folder
    if not masks:
        config = with_keypoints(lite(4), 5).with_(mask=None, box={"score_threshold": 0.0})
        weights = tmp_path / "w.safetensors"
        save_weights(MaskRCNN(config), weights, NAMES)
    image, _ = KeypointShapes(1, 9)[0]
    path, out = tmp_path / "a.png", tmp_path / "out"
    Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(path)
    files = ["--out", str(out), "--json", str(tmp_path / "found.json"), "--score", "0"]
    command = ["predict", "--weights", str(weights), *files, str(path)]
    assert main(command) == 0 and [*out.iterdir()]
    rows = json.loads((tmp_path / "found.json").read_text())
    model, _ = load_weights(weights)
    with torch.no_grad():
        (found,) = model([torch.from_numpy((image * 255).byte().numpy()) / 255])
    assert rows and ("segmentation" in rows[0]) == masks
    wanted = found["keypoints"][0] - torch.tensor([0.5, 0.5, 0])
    assert rows[0]["keypoints"] == pytest.approx(wanted.flatten().tolist(), abs=1e-2)
    assert main([*command, "--masks", str(tmp_path / "maps")]) == (0 if masks else 2)


def test_points_are_drawn_hidden_ones_hollow_and_said_in_words():
    image, instances = torch.zeros(3, 500, 500), {
        "boxes": torch.tensor([[100.0, 100, 400, 400]]), "labels": torch.tensor([1]),
        "keypoints": torch.tensor([[[150.0, 150, 2], [250, 250, 1], [350, 350, 0]]]),
    }  # fmt: skip
    painted = paint_instances(image, instances, ["background", "a"], show_boxes=False)
    blue = [0, 0x72, 0xB2]
    assert painted[150, 150].tolist() == blue and painted[250, 250].tolist() == [255] * 3
    assert painted[350, 350].tolist() == [0] * 3
    assert describe_instances(instances, ["background", "a"]).endswith("0:(150, 150) 1:(250, 250)")
    instances |= {"scores": torch.ones(1)}
    instances["keypoints"][..., 2] = torch.tensor([0.9, 0.2, 0.6])
    painted = paint_instances(image, instances, ["background", "a"], show_boxes=False)
    assert [painted[i, i].tolist() for i in (150, 250, 350)] == [blue, [255] * 3, blue]


def test_the_first_loss_is_looked_at():
    config = fit_config(lite(), KeypointShapes(None, 1))
    assert config.num_classes == 4 and config.keypoint.rois == 8
    good = {"loss_keypoint": math.log(3136)}
    assert check_first_losses(good, config) == []
    for value, words in (
        (0.0, "no labelled point lies in a box of"),
        (6.0, r"expected about 8.051"),
    ):
        (message,) = check_first_losses({"loss_keypoint": value}, config)
        assert words in message
    assert check_first_losses({}, fit_config(lite(), Shapes(None, 1))) == []


def test_a_run_with_points_is_no_run_without(folder):
    config = lite(4)
    state = {"config": with_keypoints(config, 5).to_dict(), "class_names": NAMES}
    check_settings(folder, state, with_keypoints(config, 5), NAMES)
    for there, here in ((config, with_keypoints(config, 5)), (with_keypoints(config, 5), config)):
        state["config"] = there.to_dict()
        with pytest.raises(
            ValueError, match=r"keypoint.count (None instead of 5|5 instead of None)"
        ):
            check_settings(folder, state, here, NAMES)


def test_a_branch_can_be_added_to_a_trained_network(folder, tmp_path):
    torch.manual_seed(0)
    save_weights(MaskRCNN(lite(4)), tmp_path / "w.safetensors", NAMES)
    model = MaskRCNN(with_keypoints(lite(4), 5))
    told = Start(str(tmp_path / "w.safetensors")).load_into(model, NAMES)
    assert told.endswith("; the keypoint branch is new") and "classes" not in told
    assert Start(str(folder)).load_into(model, NAMES).endswith(str(folder))
    told = Start(str(folder)).load_into(model, ["background", "x", "y", "z"])
    assert "roi_heads.mask_predictor.mask_fcn_logits new, because" in told


def test_a_run_with_points_starts_one_without(folder, tmp_path, capsys):
    words = ["train", "--data", "shapes", "--steps", "1", "--workers", "1", "--batch-size", "2"]
    assert main([*words, "--init", str(folder), "--out", str(tmp_path / "run")]) == 0
    assert "; its keypoint branch is left out" in capsys.readouterr().out
    assert load_weights(tmp_path / "run")[0].config.keypoint is None
