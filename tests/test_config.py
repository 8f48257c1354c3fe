"""Every field of the config has a range, told in one sentence that names it; parts that do not fit
together are named when the network is built."""

from dataclasses import fields
from typing import get_args

import pytest

from mrcnn_lite.config import (
    PRESETS,
    Config,
    KeypointConfig,
    Paste,
    from_scratch,
    lite,
    resnet50_fpn,
)
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.ops.paste import RULES

FIELDS = [
    (section.name, part.name)
    for section in fields(Config)
    if section.name != "num_classes"
    for part in fields(KeypointConfig if section.name == "keypoint" else section.default_factory)
]


@pytest.mark.parametrize("value", [None, "ten", float("nan"), -7, {}, [[]]], ids=repr)
@pytest.mark.parametrize(("section", "name"), FIELDS)
def test_row_13_no_field_takes_what_it_cannot_be(section, name, value):
    if name == "mean" and value == -7:
        value = (0.5, 0.5, float("inf"))
    with pytest.raises(ValueError, match=rf"^config\.{section}\.{name} is .*; give "):
        Config().with_(**{section: {name: value}})


@pytest.mark.parametrize(
    ("section", "name", "value", "asked"),
    [
        ("training", "accumulate", 0, "a whole number from 1 to 1e+09"),
        ("training", "batch_size", 2.5, "a whole number from 1"),
        ("training", "batch_size", True, "a whole number from 1"),
        ("training", "learning_rate", 0, "a number from 1e-12"),
        ("training", "precision", "fp16", "fp32 or bf16"),
        ("training", "optimizer", "adam", "adamw or muon or sgd"),
        ("training", "scale_range", (0.5,), "2 values"),
        ("backbone", "depth", 51, "18 or 34 or 50 or 101 or 152"),
        ("backbone", "trainable_layers", 6, "a whole number from 0 to 5"),
        ("backbone", "extra_level", 1, "a bool"),
        ("box", "nms_iou", 1.5, "a number from 0 to 1"),
        ("rpn", "aspect_ratios", [], "one or more values"),
        ("rpn", "anchor_sizes", [32, 64], "several values in brackets, each a number from 1e-12"),
    ],
)
def test_row_13_the_sentence_says_what_to_give(section, name, value, asked):
    with pytest.raises(ValueError, match=r"is .*; give ") as caught:
        lite().with_(**{section: {name: value}})
    assert asked in str(caught.value)


def test_unknown_sections_and_fields_are_named():
    with pytest.raises(ValueError, match=r"config: unknown section 'trainig'; known: .*'training'"):
        lite().with_(trainig={})
    with pytest.raises(ValueError, match=r"config.mask: unknown field 'rios'; known: .*'rois'"):
        Config.from_dict({"mask": {"rios": 3}})
    with pytest.raises(ValueError, match=r"config.mask is 3; give a MaskConfig"):
        Config.from_dict({"mask": 3})
    with pytest.raises(ValueError, match=r"config.num_classes is 1; give a whole number from 2"):
        lite().with_(num_classes=1)
    with pytest.raises(ValueError, match=r"config is \[\]; give its sections by name"):
        Config.from_dict([])


@pytest.mark.parametrize("preset", PRESETS)
def test_lists_become_tuples_and_a_round_trip_changes_nothing(preset):
    import json

    config = PRESETS[preset]()
    again = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config and hash(again) == hash(config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": {"blocks": [1, 1]}}, r"backbone.blocks is \(1, 1\); give one for each of 4"),
        ({"backbone": {"widths": (36, 48, 64, 96)}}, "norm 'group' is for multiples of 8 channels"),
        ({"rpn": {"background_iou": 0.8}}, "rpn.background_iou is 0.8; give at most foreground"),
        ({"box": {"roi_levels": 5}}, "box.roi_levels is 5; give at most 4"),
        ({"rpn": {"anchor_sizes": ((8,),)}}, "config.rpn.anchor_sizes has 1 levels"),
    ],
)
def test_fields_that_do_not_fit_together_are_named(changes, words):
    config = lite().with_(**changes)
    with pytest.raises(ValueError, match=words):
        MaskRCNN(config)


def test_the_ways_to_paste_are_those_of_the_operation():
    assert set(get_args(Paste)) == set(RULES)


def test_row_25_from_scratch_everything_trains_with_a_norm_that_can():
    config = from_scratch(resnet50_fpn(3))
    assert (config.backbone.norm, config.backbone.trainable_layers) == ("group", 5)
    small = config.with_(backbone={"depth": 18})
    assert all(parameter.requires_grad for parameter in MaskRCNN(small).parameters())
    assert from_scratch(lite()) == lite()
