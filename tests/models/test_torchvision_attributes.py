"""Row 6 of the faults: what torchvision's users set on a built model has the same effect here, or
is refused by name. Rows of torchvision's attributes come from its own modules."""

import copy

import pytest
import torch
from detection_pair import DETECTION, answers, same, tiny_pair
from torch import nn

from mrcnn_lite.config import lite
from mrcnn_lite.models import MaskRCNN


@pytest.fixture(scope="module")
def built():
    """Both networks and what they answer before anything is set."""
    pair = tiny_pair()
    before = {training: answers(pair[0], training) for training in (False, True)}
    for training, wanted in before.items():
        assert same(wanted, answers(pair[1], training))
    return pair, before


def line(path, value):
    """A line of a user's script: `model.rpn._pre_nms_top_n["testing"] = 5`."""

    def run(model):
        exec(f"model.{path} = value", {"model": model, "value": value})

    return run


EVALUATION, TRAINING = False, True
# path, value, and in which mode its effect is seen
HONOURED = [
    ("roi_heads.score_thresh", 0.4, EVALUATION),
    ("roi_heads.nms_thresh", 0.05, EVALUATION),
    ("roi_heads.detections_per_img", 3, EVALUATION),
    ("roi_heads.proposal_matcher.low_threshold", 0.2, TRAINING),
    ("roi_heads.box_coder.weights", (2.0, 2.0, 1.0, 1.0), EVALUATION),
    ("roi_heads.box_roi_pool.sampling_ratio", 1, EVALUATION),
    ("roi_heads.box_roi_pool.canonical_scale", 40, EVALUATION),
    ("roi_heads.box_roi_pool.canonical_level", 7, EVALUATION),
    ("roi_heads.box_roi_pool.featmap_names", ["1"], EVALUATION),
    ("roi_heads.mask_roi_pool.output_size", (10, 10), EVALUATION),
    ("rpn.nms_thresh", 0.2, EVALUATION),
    ("rpn.score_thresh", 0.9, EVALUATION),
    ("rpn.min_size", 15.0, EVALUATION),
    ("rpn._pre_nms_top_n", {"training": 60, "testing": 4}, EVALUATION),
    ('rpn._pre_nms_top_n["training"]', 4, TRAINING),
    ('rpn._post_nms_top_n["testing"]', 3, EVALUATION),
    ("rpn._post_nms_top_n", {"training": 30, "testing": 5}, EVALUATION),
    ("rpn.proposal_matcher.high_threshold", 0.5, TRAINING),
    ("rpn.proposal_matcher.low_threshold", 0.1, TRAINING),
    ("transform.min_size", (60,), EVALUATION),
    ("transform.max_size", 50, EVALUATION),
    ("transform.image_mean", [0.1, 0.2, 0.3], EVALUATION),
    ("transform.image_std", [0.5, 0.6, 0.7], EVALUATION),
    ("transform._skip_resize", True, TRAINING),
]


@pytest.mark.parametrize(("path", "value", "training"), HONOURED, ids=lambda v: str(v))
def test_an_attribute_has_torchvisions_effect(built, path, value, training):
    pair, before = built
    ours, theirs = copy.deepcopy(pair)
    config = ours.config
    for model in (ours, theirs):
        line(path, value)(model)
    theirs.roi_heads.box_roi_pool.scales = None  # it keeps what it saw first
    found = answers(ours, training)
    assert not same(found, before[training]), "no effect"
    assert same(found, answers(theirs, training))
    if "_roi_pool." not in path:  # those are the layer's own
        assert ours.config != config, "a saved model would forget it"
        read = eval(f"ours.{path}", {"ours": ours})
        assert (tuple(read) if isinstance(value, list) else read) == (
            tuple(value) if isinstance(value, list) else value
        )


def test_samples_count_at_once():
    """How many are sampled is seen where they are: what is drawn is chance."""
    model = MaskRCNN(lite(3))
    model.rpn.fg_bg_sampler.batch_size_per_image = 6
    model.rpn.fg_bg_sampler.positive_fraction = 0.0
    model.roi_heads.fg_bg_sampler.batch_size_per_image = 5
    drawn = []
    model.sampler.priorities = lambda shape, device: torch.rand(shape, device=device)
    sampler = model.rpn.sampler
    asked = type(sampler).__call__

    class Listening(type(sampler)):
        def __call__(self, labels, count, fraction):
            drawn.append((count, fraction))
            return asked(self, labels, count, fraction)

    sampler.__class__ = Listening
    target = {
        "boxes": torch.tensor([[4.0, 4, 60, 60]]), "labels": torch.tensor([1]),
        "masks": torch.ones(1, 64, 64, dtype=torch.uint8),
    }  # fmt: skip
    model.train()([torch.rand(3, 64, 64)], [target])
    assert drawn == [(6, 0.0), (5, 0.5)]
    assert model.config.rpn.samples == 6 and model.config.box.samples == 5


MODULES = ["", "transform", "rpn", "rpn.anchor_generator", "roi_heads", "roi_heads.box_roi_pool"]
OBJECTS = [
    f"{module}.{name}"
    for module in ("rpn", "roi_heads")
    for name in ("proposal_matcher", "fg_bg_sampler", "box_coder")
]
# Replaced by a module, which is called: see the tests of replaced parts.
PARTS = {
    "backbone", "rpn.anchor_generator", "rpn.head", "roi_heads.box_roi_pool", "roi_heads.box_head",
    "roi_heads.box_predictor", "roi_heads.mask_roi_pool", "roi_heads.mask_head",
    "roi_heads.mask_predictor",
}  # fmt: skip
SEEN = {path.split("[")[0] for path, _, _ in HONOURED} | {
    "rpn.anchor_generator.sizes", "rpn.anchor_generator.aspect_ratios",
    "roi_heads.box_roi_pool.output_size", "rpn.fg_bg_sampler.batch_size_per_image",
    "rpn.fg_bg_sampler.positive_fraction", "roi_heads.fg_bg_sampler.batch_size_per_image",
    "roi_heads.fg_bg_sampler.positive_fraction", "roi_heads.proposal_matcher.high_threshold",
    "transform.size_divisible",
}  # fmt: skip


def torchvisions_attributes():
    """Every attribute of its modules and helpers that a user could set, from themselves."""
    _, theirs = tiny_pair()
    base = {*dir(nn.Module), *vars(nn.Module())}
    for where in MODULES + OBJECTS:
        owner = theirs.get_submodule(where) if where in MODULES else eval(f"theirs.{where}")
        names = {*vars(owner), *getattr(owner, "_modules", {}), *dir(type(owner))} - base
        for name in sorted(name for name in names if not name.startswith("__")):
            yield f"{where}.{name}".lstrip(".")


NO_EFFECT = sorted({*torchvisions_attributes()} - SEEN - PARTS)


@pytest.mark.parametrize("path", NO_EFFECT)
def test_what_has_no_effect_is_refused_by_name(built, path):
    ours = copy.deepcopy(built[0][0])
    config, name = ours.config, path.rsplit(".", 1)[-1]
    for value in (lambda *_: None, 3, None, nn.Identity(), DETECTION._utils.Matcher(0.5, 0.4)):
        with pytest.raises((AttributeError, TypeError), match=name):
            line(path, value)(ours)
    assert ours.config == config


@pytest.mark.parametrize("path", sorted(PARTS))
def test_a_part_is_a_module(built, path):
    ours = copy.deepcopy(built[0][0])
    with pytest.raises(TypeError, match=f"model.{path} is NoneType; give a Module"):
        line(path, None)(ours)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("roi_heads.score_thresh", 1.5, "config.box.score_threshold is 1.5; give a number from 0"),
        ("rpn.nms_thresh", "0.5", "config.rpn.nms_iou is '0.5'; give a number"),
        ("rpn._pre_nms_top_n", {"testing": 0}, "config.rpn.pre_nms_test is 0; give a whole number"),
        ("rpn._pre_nms_top_n", {"test": 5}, "model.rpn._pre_nms_top_n.test has no effect"),
        ("transform.min_size", (), "config.image.min_size is None; give"),
        ("transform", nn.Identity(), "model.transform is Identity; give a Transform of this pack"),
        ("backbone", nn.Identity(), "model.backbone has out_channels None; give 8, or build"),
    ],
)
def test_a_value_that_nothing_could_use_is_refused(built, path, value, message):
    ours = copy.deepcopy(built[0][0])
    with pytest.raises((AttributeError, TypeError, ValueError), match=message):
        line(path, value)(ours)


def test_several_sides_are_drawn_in_training_and_the_last_counts_in_evaluation(built):
    """torchvision's multi-scale training: min_size=(640, 672, ..., 800)."""
    ours, theirs = copy.deepcopy(built[0])
    for model in (ours, theirs):
        model.transform.min_size = (24, 32, 40)
    assert same(answers(ours, EVALUATION), answers(theirs, EVALUATION))
    assert ours.transform.min_size == (24, 32, 40)
    image = torch.rand(3, 48, 48)
    sides = {ours.train().transform([image])[0].resized_sizes[0] for _ in range(60)}
    assert sides == {(24, 24), (32, 32), (40, 40)}
    batch, _ = ours.eval().transform([image])
    assert batch.image_sizes == [(40, 40)] and batch.tensors is batch.pixels


def test_both_thresholds_of_the_box_branch_and_its_weights(built):
    """Proposals between the two take no part; positives are told apart in units of the weights."""
    found = []
    for high, weight in ((0.4, 10.0), (0.2, 10.0), (0.2, 2.0)):
        ours, theirs = copy.deepcopy(built[0])
        for model in (ours, theirs):
            model.roi_heads.proposal_matcher.low_threshold = 0.1
            model.roi_heads.proposal_matcher.high_threshold = high
            model.roi_heads.box_coder.weights = (weight,) * 4
        found.append(answers(ours, TRAINING))
        assert same(found[-1], answers(theirs, TRAINING))
    assert not same(*found[:2]) and not same(*found[1:])


def test_the_padding_follows_size_divisible(built):
    ours = copy.deepcopy(built[0][0])
    ours.transform.size_divisible = 56
    assert ours.transform([torch.rand(3, 48, 60)])[0].padded_size == (56, 112)


def test_anchors_follow_their_sizes(built):
    """Anchors are kept for later; new sizes make new ones."""
    ours, theirs = copy.deepcopy(built[0])
    ours.rpn.anchor_generator.sizes = ((10,), (20,))
    theirs.rpn.anchor_generator = DETECTION.rpn.AnchorGenerator(((10,), (20,)), ((0.5, 1, 2),) * 2)
    assert same(answers(ours, EVALUATION), answers(theirs, EVALUATION))
