"""Rows 11, 14, 23 and 24 of the faults, for the network: its parts replaced, nothing detected, a
model saved whole, weights that exploded."""

import copy
import io
import math
import pickle

import pytest
import torch
import torchvision
from detection_pair import (
    CHANNELS,
    CLASSES,
    DETECTION,
    HIDDEN,
    TinyBackbone,
    answers,
    images_and_targets,
    same,
    tiny_config,
    tiny_pair,
)
from torch import nn

from mrcnn_lite import models, ops
from mrcnn_lite.config import lite, resnet50_fpn
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.variants import use_variants
from mrcnn_lite.training.distributed import image_priorities


@pytest.fixture(scope="module")
def pair():
    return tiny_pair()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("levels", "form"), [(1, "tensor"), (1, "list"), (2, "dict"), (5, "dict"), (5, "list")]
)
def test_a_backbone_of_ones_own(levels, form, training):
    """Row 24: one map, or several, in any form; the same numbers as in torchvision."""
    ours, theirs = tiny_pair(levels, form)
    assert same(answers(ours, training), answers(theirs, training))


def test_a_backbone_is_replaced_afterwards(pair):
    ours, theirs = copy.deepcopy(pair)
    torch.manual_seed(1)
    ours.backbone = theirs.backbone = TinyBackbone(2).double()
    assert same(answers(ours, False), answers(theirs, False))
    ours.backbone = TinyBackbone(3).double()
    with pytest.raises(ValueError, match=r"3 feature maps for 2 anchor_sizes.*anchor_generator"):
        answers(ours, False)
    other = nn.Conv2d(3, 5, 4, 4)
    other.out_channels = 5
    with pytest.raises(ValueError, match=r"model.backbone has out_channels 5; give 8, or build"):
        ours.backbone = other
    with pytest.raises(ValueError, match="out_channels None; give the number of channels"):
        MaskRCNN(tiny_config(), backbone=nn.Identity())


def test_one_tensor_of_images(pair):
    """Row 24: `model(Tensor[1, 3, H, W])`, and targets with it in training."""
    ours, theirs = copy.deepcopy(pair)
    batch = torch.rand(2, 3, 40, 50, dtype=torch.float64)
    with torch.no_grad():
        mine, wanted, listed = ours(batch), theirs(batch), ours([*batch])
    for a, b, c in zip(mine, wanted, listed, strict=True):
        assert all(torch.allclose(a[k].double(), b[k].double(), atol=1e-5) for k in b)
        assert all(torch.equal(a[k], c[k]) for k in c)
    _, targets = images_and_targets()
    targets = [{**targets[1], "masks": targets[1]["masks"][:, :40]}] * 2
    assert sum(ours.train()(batch, targets).values()).isfinite()
    for nothing in ([], (), torch.zeros(0, 3, 8, 8), batch[0], "image"):
        with pytest.raises(TypeError, match=r"non-empty list of Tensor\[3, H, W\]; give \[image\]"):
            ours.eval()(nothing)
    with pytest.raises(ValueError, match=r"images\[0\] has shape \(3, 0, 8\)"):
        ours([torch.zeros(3, 0, 8)])


GENERATORS = {"ours": models.AnchorGenerator, "torchvision's": DETECTION.rpn.AnchorGenerator}
HEADS = {"ours": models.RPNHead, "torchvision's": DETECTION.rpn.RPNHead}
SIZES, RATIOS = ((10, 14), (20, 28)), ((0.5, 1.0),) * 2


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("generator", GENERATORS)
def test_a_replaced_anchor_generator_and_head(pair, generator, head, training):
    ours, theirs = copy.deepcopy(pair)
    theirs.rpn.anchor_generator = DETECTION.rpn.AnchorGenerator(SIZES, RATIOS)
    theirs.rpn.head = DETECTION.rpn.RPNHead(CHANNELS, 4).double()
    ours.rpn.anchor_generator = GENERATORS[generator](SIZES, RATIOS)
    with pytest.raises(ValueError, match=r"gives .* anchors, its head .*; set model.rpn.head ="):
        answers(ours, training)
    count = ours.rpn.anchor_generator.num_anchors_per_location()
    assert count == theirs.rpn.anchor_generator.num_anchors_per_location() == [4, 4]
    ours.rpn.head = HEADS[head](CHANNELS, count[0]).double()
    ours.rpn.head.load_state_dict(theirs.rpn.head.state_dict())
    assert same(answers(ours, training), answers(theirs, training))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", [torchvision.ops.MultiScaleRoIAlign, ops.MultiScaleRoIAlign])
def test_replaced_pools(pair, kind, training):
    ours, theirs = copy.deepcopy(pair)
    for model, pool in ((ours, kind), (theirs, torchvision.ops.MultiScaleRoIAlign)):
        assert model.roi_heads.box_roi_pool.output_size[0] == 7
        model.roi_heads.box_roi_pool = pool(["1"], output_size=7, sampling_ratio=1)
        model.roi_heads.mask_roi_pool = pool(["0", "1"], output_size=[12, 12], sampling_ratio=2)
        assert model.roi_heads.mask_roi_pool.output_size[0] == 12
    assert same(answers(ours, training), answers(theirs, training))


@pytest.mark.parametrize("training", [False, True])
def test_replaced_heads_and_predictors(pair, training):
    """The box branch may be replaced too: by torchvision's modules or a user's own."""
    ours, theirs = copy.deepcopy(pair)
    torch.manual_seed(2)

    class OwnPredictor(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores, self.boxes = nn.Linear(HIDDEN, CLASSES), nn.Linear(HIDDEN, 4 * CLASSES)

        def forward(self, x):
            return self.scores(x), self.boxes(x)

    parts = {
        "box_head": nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * 49, HIDDEN), nn.Tanh()),
        "box_predictor": OwnPredictor(),
        "mask_head": nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
    }
    for name, part in parts.items():
        for model in (ours, theirs):
            setattr(model.roi_heads, name, part.double())
    assert ours.num_classes == CLASSES
    assert same(answers(ours, training), answers(theirs, training))


def test_a_fast_variant_sees_what_was_replaced_inside():
    """A layer inside a head is replaced, or somebody listens to one: no variant passes it by."""
    torch.manual_seed(0)
    config = lite(50).with_(rpn={"samples": 4}, mask={"rois": 100_000})
    plain = MaskRCNN(config, variants=False).double()
    images, targets = images_and_targets()

    def losses(model):
        model.sampler.priorities = lambda shape, _: torch.linspace(0, 0.9, shape[-1]).expand(shape)
        return torch.stack([*model.train()(images, targets).values()])

    changes = {
        "rpn.head.conv.0.1": lambda old: nn.LeakyReLU(),
        "rpn.head.cls_logits": lambda old: nn.utils.parametrizations.weight_norm(old),
        "rpn.head.bbox_pred": lambda old: nn.Sequential(old, nn.Hardtanh(-0.01, 0.01)),
        "roi_heads.box_head.4": lambda old: nn.Tanh(),
        "roi_heads.mask_predictor.relu": lambda old: nn.Tanh(),
        "roi_heads.mask_predictor.mask_fcn_logits": lambda old: nn.Sequential(old, nn.Tanh()),
    }
    for path, change in changes.items():
        one = copy.deepcopy(plain)
        parent, _, name = path.rpartition(".")
        setattr(one.get_submodule(parent), name, change(one.get_submodule(path)).double())
        other = copy.deepcopy(one)
        use_variants(other)
        torch.testing.assert_close(losses(other), losses(one), msg=path)
    heard, model = [], copy.deepcopy(plain)
    use_variants(model)
    for path in ("rpn.head.conv.0.0", "roi_heads.box_head.3", "roi_heads.mask_predictor.relu"):
        layer = model.get_submodule(path)
        layer.register_forward_hook(
            lambda *_, path=path: heard.append((path, torch.is_grad_enabled()))
        )
    losses(model)
    assert {path for path, graph in heard if graph} == {
        "rpn.head.conv.0.0", "roi_heads.box_head.3", "roi_heads.mask_predictor.relu",
    }  # fmt: skip


def test_constructor_keywords_of_torchvision():
    """Every keyword of its builder, modules included."""
    settings = {
        "num_classes": 3, "min_size": (64, 96), "max_size": 128, "rpn_score_thresh": 0.25,
        "box_bg_iou_thresh": 0.3, "_skip_resize": True, "size_divisible": 64,
        "image_mean": [0.5, 0.5, 0.5], "fixed_size": None,
    }  # fmt: skip
    parts = {
        "rpn_anchor_generator": DETECTION.rpn.AnchorGenerator(((16,),) * 5, ((1.0,),) * 5),
        "box_roi_pool": torchvision.ops.MultiScaleRoIAlign(["0", "1"], 5, 2),
        "mask_head": DETECTION.mask_rcnn.MaskRCNNHeads(256, (256,), 1),
    }
    model = models.maskrcnn_resnet50_fpn(weights_backbone=None, **settings, **parts)
    theirs = DETECTION.maskrcnn_resnet50_fpn(weights_backbone=None, **settings, **parts)
    for where in ("transform.min_size", "transform.max_size", "transform._skip_resize"):
        assert eval(f"model.{where} == theirs.{where}"), where
    assert model.rpn.score_thresh == theirs.rpn.score_thresh == 0.25
    assert model.transform.size_divisible == 64
    assert model.roi_heads.proposal_matcher.low_threshold == 0.3
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (model, theirs)]
    assert shapes[0] == shapes[1]
    with torch.no_grad():
        model.eval()(torch.rand(1, 3, 64, 64))
    with pytest.raises(AttributeError, match=r"model.transform.fixed_size has no effect"):
        models.maskrcnn_resnet50_fpn(num_classes=2, fixed_size=(8, 8))


def test_nothing_detected_with_gradients_on():
    """Row 11: evaluation outside `no_grad`, and a backward pass through what there is not."""
    model = MaskRCNN(lite(3).with_(box={"score_threshold": 1.0})).eval()
    found = model([torch.rand(3, 64, 70), torch.rand(3, 40, 64)])
    assert [one["masks"].shape for one in found] == [(0, 1, 64, 70), (0, 1, 40, 64)]
    total = sum(value.double().sum() for one in found for value in one.values())
    total.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    lazy = model([torch.rand(3, 64, 70)], lazy_masks=True)[0]["masks"]
    assert len(lazy) == 0 and lazy[:].shape == (0, 64, 70)


@pytest.mark.parametrize("size", [(5000, 1), (1, 5000), (1, 1), (2, 700)])
def test_images_of_one_row_or_column(size):
    """Row 12, all the way: detected in, and trained on."""
    model = MaskRCNN(lite(3)).eval()
    image = torch.rand(3, *size)
    with torch.no_grad():
        (found,) = model([image])
    assert found["masks"].shape[1:] == (1, *size)
    whole = torch.tensor([[0.0, 0, size[1], size[0]]])
    target = {"boxes": whole, "labels": torch.tensor([1]), "masks": torch.ones(1, *size).byte()}
    assert sum(model.train()([image], [target]).values()).isfinite()


def heard(module, inputs, output):
    """A hook that can be saved by its name."""


def saved(model, how):
    if how == "deepcopy":
        return copy.deepcopy(model)
    if how == "pickle":
        return pickle.loads(pickle.dumps(model))
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("how", ["torch.save", "pickle", "deepcopy"])
@pytest.mark.parametrize("kind", ["lite", "plain", "resnet", "replaced", "hooked"])
def test_a_model_is_saved_whole(kind, how):
    """Row 14: the same detections, losses and settings from what comes back."""
    torch.manual_seed(0)
    small = {
        "image": {"min_size": 64, "max_size": 96}, "backbone": {"depth": 18, "fpn_channels": 16},
        "box": {"head_channels": 32}, "mask": {"channels": (16,), "hidden": 16},
    }  # fmt: skip
    config = resnet50_fpn(3).with_(**small) if kind == "resnet" else lite(3)
    model = MaskRCNN(config, variants=kind != "plain")
    if kind == "replaced":
        model.roi_heads.box_predictor = models.FastRCNNPredictor(128, 5)
        model.roi_heads.mask_predictor = models.MaskRCNNPredictor(32, 32, 5)
    if kind == "hooked":
        model.roi_heads.register_forward_hook(heard)
    image = torch.rand(3, 64, 64)
    with torch.no_grad():
        model.eval()([image])  # anchors are kept from here on
    model.roi_heads.score_thresh = 0.0
    model.sampler.generator = torch.Generator().manual_seed(1)
    again = saved(model, how)
    assert again.config == model.config and again.roi_heads.score_thresh == 0.0
    assert again.rpn.sampler is again.sampler is again.roi_heads.sampler
    with torch.no_grad():
        (mine,), (other,) = model([image]), again([image])
    assert len(mine["boxes"]) and all(torch.equal(mine[k], other[k]) for k in mine)
    again.rpn.nms_thresh = 0.2
    assert model.rpn.nms_thresh != 0.2


def test_a_model_in_training_is_saved_whole():
    """Row 14: the command line's loop leaves its own sampling in the model."""
    model = MaskRCNN(lite(3))
    model.sampler.priorities = image_priorities(1, 2, 3)
    again = saved(model, "torch.save")
    shape = (2, 5), torch.device("cpu")
    assert torch.equal(model.sampler.priorities(*shape), again.sampler.priorities(*shape))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("parameter", "first"),
    [
        ("backbone.stem.bias", "features of level 0"),
        ("backbone.stages.0.bias", "features of level 1"),
        ("rpn.head.conv.0.0.bias", "logits of the RPN"),
        ("rpn.head.cls_logits.bias", "logits of the RPN"),
        ("rpn.head.bbox_pred.bias", "deltas of the RPN"),
        ("roi_heads.box_predictor.cls_score.bias", "class logits of the box branch"),
        ("roi_heads.box_predictor.bbox_pred.bias", "deltas of the box branch"),
        ("roi_heads.mask_predictor.mask_fcn_logits.bias", "logits of the mask branch"),
    ],
)
def test_exploding_weights_are_called_that(pair, parameter, first, training, bad):
    """Row 23: one sentence, with the first tensor that is not finite, in a user's own loop."""
    model = copy.deepcopy(pair[0])
    with torch.no_grad():
        value = abs(bad) if ".conv." in parameter else bad  # a ReLU swallows -inf
        dict(model.named_parameters())[parameter].fill_(value)
    with pytest.raises(ValueError, match=rf"^{first}: .* not finite.*weights have exploded.*lower"):
        answers(model, training)


def test_a_loop_without_any_check_stops_with_that_sentence():
    torch.manual_seed(0)
    model = MaskRCNN(lite(3)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e12)
    images, targets = images_and_targets(torch.float32)

    def steps():
        for _ in range(5):
            optimizer.zero_grad()
            sum(model(images, targets).values()).backward()
            optimizer.step()

    with pytest.raises(ValueError, match=r"is not finite, .* the weights have exploded; go back"):
        steps()
