"""`--init`: torchvision's weights from its cache, state dicts, runs; what is new, what is frozen;
and that fine-tuning is better than starting from scratch. No test reaches a network."""

import argparse
import json
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from mrcnn_lite.cli import main
from mrcnn_lite.config import lite, resnet50_fpn
from mrcnn_lite.datasets import Shapes, open_dataset
from mrcnn_lite.evaluation.coco import evaluate
from mrcnn_lite.lessons.n18_your_own_data.toy_dataset import write_toy_dataset
from mrcnn_lite.models import MaskRCNN, load_weights, maskrcnn_resnet50_fpn, save_weights
from mrcnn_lite.models.pretrained import published
from mrcnn_lite.training import TrainingRun, fit_config, training_batches
from mrcnn_lite.training.checkpoint import load_checkpoint
from mrcnn_lite.training.initial import Start

DETECTION = torchvision.models.detection
DATA = Path(__file__).parents[2] / "data"
SAMPLE = DATA / "sample" / "instances.json"
SHAPES_LITE = DATA / "weights" / "shapes_lite.safetensors"
STEPS = 15  # of fine-tuning
SHAPES = Shapes(None, seed=1)
OLD = ("inner_blocks.{}.0.", "layer_blocks.{}.0.")


def old_names(state: dict) -> OrderedDict:
    """The names of torchvision's published file: those of the version that trained it."""
    renamed = OrderedDict()
    for name, value in state.items():
        for part in OLD:
            for level in range(4):
                new = part.format(level)
                name = name.replace(new, new.removesuffix("0."))
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        for layer in range(4):
            name = name.replace(f"mask_head.{layer}.0.", f"mask_head.mask_fcn{layer + 1}.")
        renamed[name] = value
    return renamed


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """torchvision's network with small random weights, 91 classes."""
    torch.manual_seed(0)
    model = DETECTION.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    for name, value in model.state_dict().items():
        if value.ndim > 1:
            value.mul_(0.3)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    model.roi_heads.box_predictor.cls_score.bias.data[1:4] += 4.0  # so that it finds something
    return model.eval()


@pytest.fixture(scope="module")
def cache(theirs, tmp_path_factory) -> Path:
    """torchvision's cache with that network, and with its body as an ImageNet network."""
    folder = tmp_path_factory.mktemp("torch_home")
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    state = theirs.state_dict()
    url = DETECTION.MaskRCNN_ResNet50_FPN_Weights.DEFAULT.url
    torch.save(old_names(state), checkpoints / url.rpartition("/")[2])
    url = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url
    start = "backbone.body."
    body = {n.removeprefix(start): v for n, v in state.items() if n.startswith(start)}
    body |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    torch.save(body, checkpoints / url.rpartition("/")[2])
    return folder


@pytest.fixture
def cached(cache, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(cache))
    return cache / "hub" / "checkpoints"


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    return tmp_path / "torch_home" / "hub" / "checkpoints"


def test_old_names_are_what_torchvision_reads(theirs):
    """Its own modules rename them; a network of ours does the same, whoever loads them."""
    old = old_names(theirs.state_dict())
    assert "roi_heads.mask_head.mask_fcn4.bias" in old and "rpn.head.conv.weight" in old
    again = DETECTION.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    again.load_state_dict(OrderedDict(old))
    ours = maskrcnn_resnet50_fpn(num_classes=91)
    ours.load_state_dict(old, strict=False)
    for name, value in again.state_dict().items():
        assert torch.equal(ours.state_dict().get(name, value), value), name
    assert torch.equal(
        ours.backbone.fpn.inner_blocks[0][0].weight, theirs.backbone.fpn.inner_blocks[0][0].weight
    )


def test_default_is_torchvisions_network_and_names_cocos_classes(cached, theirs):
    model, names = load_weights("DEFAULT")
    assert len(names) == 91 and names[0] == "background" and names[1] == "person"
    assert model.backbone.body.bn1.eps == 0.0 and not model.training
    DETECTION._utils.overwrite_eps(theirs, 0.0)
    theirs.transform.min_size = model.transform.min_size = (128,)
    image = [torch.rand(3, 100, 130)]
    with torch.inference_mode():
        ours, reference = model(image)[0], theirs(image)[0]
    assert len(ours["boxes"]) == len(reference["boxes"]) > 0
    torch.testing.assert_close(ours["scores"], reference["scores"], rtol=1e-4, atol=1e-5)
    again, _ = load_weights("MaskRCNN_ResNet50_FPN_Weights.COCO_V1")
    assert torch.equal(again.rpn.head.conv[0][0].weight, model.rpn.head.conv[0][0].weight)


@pytest.mark.parametrize(
    ("weights", "member"),
    [
        ("DEFAULT", DETECTION.MaskRCNN_ResNet50_FPN_Weights.DEFAULT),
        (
            "MaskRCNN_ResNet50_FPN_V2_Weights.DEFAULT",
            DETECTION.MaskRCNN_ResNet50_FPN_V2_Weights.DEFAULT,
        ),
    ],
)
def test_without_a_network_one_sentence_names_file_and_place(empty, weights, member):
    name = member.url.rpartition("/")[2]
    with pytest.raises(ValueError, match=r"does not exist and cannot be fetched") as caught:
        load_weights(weights)
    said = str(caught.value)
    assert str(empty / name) in said and member.url in said and "put it there" in said
    assert "\n" not in said


@pytest.mark.slow
def test_predict_with_default_names_cocos_classes(cached, tmp_path):
    image, results = SAMPLE.parent / "images" / "000000.png", tmp_path / "found.json"
    command = ["predict", "--weights", "DEFAULT", str(image), "--score", "0.0"]
    assert main([*command, "--json", str(results)]) == 0
    names = {found["category_name"] for found in json.loads(results.read_text())}
    assert names and names <= {"person", "bicycle", "car"}


SMALL = {
    "image": {"min_size": 96, "max_size": 128},
    "rpn": {"pre_nms_train": 100, "post_nms_train": 40},
    "box": {"samples": 32},
    "mask": {"rois": 4},
}


def train_once(tmp_path, *words) -> int:
    config = tmp_path / "small.json"
    config.write_text(json.dumps(SMALL))
    command = ["train", "--data", str(SAMPLE), "--config", str(config), "--workers", "1"]
    return main(
        [*command, "--steps", "1", "--batch-size", "1", "--out", str(tmp_path / "run"), *words]
    )


@pytest.mark.slow
def test_train_from_default(cached, theirs, tmp_path, capsys):
    """New last layers for other classes, frozen stages and norms as in the paper."""
    assert train_once(tmp_path, "--preset", "resnet50_fpn", "--init", "DEFAULT") == 0
    said = capsys.readouterr().out
    assert "starts from MaskRCNN_ResNet50_FPN_Weights.COCO_V1" in said
    assert "roi_heads.box_predictor and roi_heads.mask_predictor.mask_fcn_logits new" in said
    assert "(91 there, 6 here)" in said
    model, names = load_weights(tmp_path / "run")
    assert len(names) == 6 and model.config.backbone.norm == "frozen_batch"
    assert model.config.backbone.trainable_layers == 3 and model.config.backbone.norm_eps == 0
    trained, start = load_checkpoint(tmp_path / "run")["model"], theirs.state_dict()
    body = "backbone.body."
    for name in ("conv1.weight", "layer1.0.conv1.weight", "bn1.weight", "layer3.1.bn2.running_var"):
        assert torch.equal(trained[body + name], start[body + name]), name
    name = "rpn.head.cls_logits.bias"
    assert not torch.equal(trained[name], start[name])  # it has learned, from there
    torch.testing.assert_close(trained[name], start[name], rtol=0, atol=1e-3)


def test_train_from_default_without_the_file(empty, tmp_path, capsys):
    assert train_once(tmp_path, "--preset", "resnet50_fpn", "--init", "DEFAULT") == 2
    said = capsys.readouterr()
    told = [line for line in said.err.splitlines() if line.startswith("mrcnn_lite train: ")]
    assert len(told) == 1 and str(empty) in told[0] and "Traceback" not in said.err
    assert not (tmp_path / "run").exists()


def new_run(config, names, start: Start) -> tuple[TrainingRun, str]:
    run = TrainingRun(config, names)
    return run, run.start_from(start)


def test_imagenet_is_for_the_backbone_alone(cached, theirs):
    start = Start("imagenet")
    run, told = new_run(start.config.with_(num_classes=3), ["background", "a", "b"], start)
    assert told == (
        "the backbone starts from ResNet50_Weights.IMAGENET1K_V1; all other parts are new"
    )
    assert run.fresh and run.config.backbone.norm == "frozen_batch"
    ours = run.model.backbone.body.state_dict()
    assert all(torch.equal(theirs.backbone.body.state_dict()[n], v) for n, v in ours.items())
    assert all(torch.equal(run.average["backbone.body." + n], v) for n, v in ours.items())
    (file,) = cached.glob("resnet50*")
    start = Start(str(file))  # the same file, by its path
    assert start.load_into(run.model, run.class_names).startswith("the backbone starts from /")
    with pytest.raises(
        ValueError, match="torchvision has none of preset lite, but resnet50_fpn or"
    ):
        Start("imagenet", "lite")


def test_a_state_dict_of_a_training_script(tmp_path, theirs):
    """As torchvision's reference scripts write it, from several processes, with their options."""
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    options = argparse.Namespace(lr=0.02, data="coco")
    torch.save({"model": state, "epoch": 3, "args": options}, tmp_path / "model_3.pth")
    start = Start(str(tmp_path / "model_3.pth"), "resnet50_fpn")
    assert start.config.backbone.norm_eps == 1e-5
    run, told = new_run(start.config, ["background", *map(str, range(90))], start)
    assert told == f"starts from {tmp_path / 'model_3.pth'}" and not run.fresh
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_the_published_file_under_any_path_wants_no_eps(tmp_path):
    name = published("MaskRCNN_ResNet50_FPN_Weights", "DEFAULT").url.rpartition("/")[2]
    (tmp_path / name).touch()
    assert Start(str(tmp_path / name)).config.backbone.norm_eps == 0.0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pth", {"epoch": 3}, "holds a dict, no state dict"),
        ("a.pth", nn.Linear(2, 2), "no state dict .a file of torch.save; UnpicklingError"),
        ("a.pth", b"<html>", "no state dict .a page of HTML"),
        ("a.pth", b"", "no state dict .an empty file"),
        ("a.pth", {"w": torch.tensor([1.0, float("nan")])}, "w is not finite"),
        ("a.pth", {"w": torch.zeros(2)}, "not of this network: .* is missing"),
        ("a.safetensors", b"\1" * 99, "damaged or not a safetensors file"),
        ("last.checkpoint", b"mrcnn_lite checkpoint 1\nxx", "its weights are last.safetensors"),
    ],
    ids=str,
)
def test_what_is_no_state_dict_is_told(tmp_path, name, content, words):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=words):
        Start(str(path), "lite").load_into(MaskRCNN(lite()), SHAPES.class_names)


def test_weights_that_are_not_there():
    with pytest.raises(FileNotFoundError, match="--init DEFALT: no such weights; give DEFAULT, "):
        Start("DEFALT")


def test_from_a_run_its_network_is_taken_and_the_same_classes_are_kept(tmp_path):
    torch.manual_seed(5)
    model = MaskRCNN(lite().with_(mask={"hidden": 16}))
    save_weights(model, tmp_path / "last.safetensors", SHAPES.class_names)
    for init in (str(tmp_path), str(tmp_path / "last.safetensors")):
        start = Start(init, "lite")
        assert start.config.mask.hidden == 16
        run, told = new_run(start.config, SHAPES.class_names, start)
        assert told == f"starts from {init}"
        assert all(torch.equal(model.state_dict()[n], v) for n, v in run.average.items())
    other = ["background", *"abcde"]  # as many classes, but others
    run, told = new_run(start.config, other, start)
    assert "new, because the classes are others (6 there, 6 here)" in told
    head = "roi_heads.box_predictor.cls_score.weight"
    assert not torch.equal(run.average[head], model.state_dict()[head])
    with pytest.raises(ValueError, match="its network is not of preset resnet50_fpn"):
        Start(str(tmp_path), "resnet50_fpn")


def test_from_a_run_of_a_resnet_the_first_stages_are_frozen(tmp_path):
    config = resnet50_fpn(6).with_(backbone={"depth": 18, "norm": "group", "trainable_layers": 5})
    config = config.with_(box={"head_channels": 8}, backbone={"fpn_channels": 8})
    save_weights(MaskRCNN(config), tmp_path / "last.safetensors", SHAPES.class_names)
    start = Start(str(tmp_path), "resnet50_fpn")
    assert (start.config.backbone.norm, start.config.backbone.trainable_layers) == ("group", 3)


def test_our_shapes_are_a_start_and_other_anchors_are_learned_anew():
    """Everything but the last layers of the boxes, the masks and, for other anchors, the RPN."""
    start = Start("shapes")
    assert start.config == replace(load_weights(SHAPES_LITE)[0].config, training=lite().training)
    tall = {"anchor_sizes": ((30,), (40,), (50,), (60,)), "aspect_ratios": (2.3,)}
    last = "roi_heads.box_predictor", "roi_heads.mask_predictor.mask_fcn_logits"
    rpn = "rpn.head.cls_logits", "rpn.head.bbox_pred"
    for changes, new in (({}, last), (tall, last + rpn), (tall | {"aspect_ratios": (1, 2)}, None)):
        config = start.config.with_(num_classes=2, rpn=changes)
        model = MaskRCNN(config)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        told = start.load_into(model, ["background", "person"])
        new = new or last + rpn
        assert told.startswith("starts from shapes; ")
        assert ("rpn.head.bbox_pred new, because the anchors are others" in told) == bool(changes)
        assert f"{' and '.join(last)} new, because the classes are others (6 there, 2 here)" in told
        shipped = load_weights(SHAPES_LITE)[0].state_dict()
        for name, value in model.state_dict().items():
            assert value.equal((before if name.startswith(new) else shipped)[name]), name
    with pytest.raises(ValueError, match="--init shapes: its network is not of preset resnet50"):
        Start("shapes", "resnet50_fpn")


def test_resume_of_a_fine_tuning_reads_no_weights_again(tmp_path, capsys):
    save_weights(MaskRCNN(lite()), tmp_path / "last.safetensors", SHAPES.class_names)
    command = ["train", "--data", "shapes", "--batch-size", "1", "--workers", "1"]
    command += ["--init", str(tmp_path), "--out", str(tmp_path / "run"), "--steps"]
    assert main([*command, "1"]) == 0 and main([*command, "2", "--resume"]) == 0
    assert "goes on after 1 steps" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "run")["steps"] == 2


@pytest.mark.slow
def test_fine_tuning_beats_scratch(tmp_path):
    """From weights that know drawn shapes, coins and nuts are learned in fewer steps. The loss does
    not say it: where the RPN finds no object all is background, which is easily told."""
    torch.set_num_threads(1)
    settings = {"training": {"batch_size": 4, "warmup_steps": 10, "ema_decay": 0.0}}
    toy, held_out = (
        open_dataset(write_toy_dataset(tmp_path / str(seed), 12, seed), cache_bytes=10**8)
        for seed in (0, 7)
    )
    found = []
    for start in (None, Start(str(SHAPES_LITE))):
        config = fit_config((start.config if start else lite()).with_(**settings), toy)
        run = TrainingRun(config, toy.class_names)
        if start:
            run.start_from(start)
        batches = training_batches(config, toy, 0)(0)
        for step, batch in zip(range(STEPS), batches, strict=False):
            run.step(batch, step / STEPS)
        found.append(evaluate(run.model, held_out)["mask"]["AP50"])
    assert found[1] > found[0] + 0.1, found  # 0.15 to 0.55 over four seeds
