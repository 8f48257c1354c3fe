"""The first losses: what is expected of healthy networks, and what odd ones are told."""

import math

import pytest
import torch

from mrcnn_lite.config import from_scratch, lite, resnet50_fpn
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.training import TrainingRun
from mrcnn_lite.training.sanity import check_first_losses

SHAPES = Shapes(None, seed=1)
SMALL = {"image": {"min_size": 128, "max_size": 128}}
BATCH = {"norm": "batch", "trainable_layers": 5}
SCRATCH = {
    "as torchvision": resnet50_fpn(6).with_(**SMALL, backbone=BATCH),
    "resnet50_fpn": from_scratch(resnet50_fpn(6)).with_(**SMALL),
}


def first_losses(config, seed: int, change=None) -> list[str]:
    """The warnings of a fresh network on two drawn pictures."""
    torch.manual_seed(seed)
    model = MaskRCNN(config)
    if change:
        change(model)
    images, targets = zip(*(SHAPES[seed * 10 + i] for i in range(2)), strict=True)
    with torch.no_grad():
        losses = model.train().losses(list(images), list(targets))
    return check_first_losses({name: float(v) for name, v in losses.items()}, config)


@pytest.mark.parametrize("seed", range(8))
def test_a_healthy_start_is_not_mentioned(seed):
    assert first_losses(lite(6), seed) == []
    assert first_losses(lite(91), seed) == []


@pytest.mark.parametrize("name", SCRATCH)
def test_row_25_a_healthy_start_of_the_large_networks(name):
    assert first_losses(SCRATCH[name], 0) == []


def scale(name: str, factor: float):
    """Make one layer's weights larger."""
    return lambda model: model.get_parameter(name).data.mul_(factor)


@pytest.mark.parametrize(
    ("name", "factor", "words"),
    [
        ("roi_heads.box_predictor.cls_score.weight", 60, "loss_classifier is .* about 1.792"),
        ("rpn.head.cls_logits.weight", 300, "loss_objectness is .* about 0.693"),
        ("roi_heads.mask_predictor.mask_fcn_logits.weight", 300, "loss_mask is .* about 0.693"),
    ],
)
def test_an_odd_start_is_named(name, factor, words):
    (sentence,) = first_losses(lite(6), 0, scale(name, factor))
    import re

    assert re.search(words, sentence)


def test_frozen_random_batch_norms_are_named():
    found = first_losses(resnet50_fpn(6).with_(**SMALL), 0)
    assert any("features explode" in words for words in found)


def test_a_batch_without_a_positive_is_named():
    report = {"loss_objectness": math.log(2), "loss_classifier": math.log(6), "loss_mask": 0.0}
    (sentence,) = check_first_losses(report, lite(6))
    assert "no box matched an object" in sentence


def test_only_the_first_step_is_checked(capsys):
    config = lite(6).with_(training={"batch_size": 1})
    run = TrainingRun(config, SHAPES.class_names)
    scale("rpn.head.cls_logits.weight", 300)(run.model)
    image, target = SHAPES[3]
    run.step(([image], [target]), 0.0)
    assert capsys.readouterr().err.startswith("warning: loss_objectness is")
    run.step(([image], [target]), 0.0)
    assert capsys.readouterr().err == ""
