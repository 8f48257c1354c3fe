"""The variants of the network's modules give what the plain modules give, gradients included."""

import pytest
import torch

from mrcnn_lite.config import BoxConfig, lite, resnet50_fpn
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.box_head import FastRCNNConvFCHead
from mrcnn_lite.models.matching import random_priorities
from mrcnn_lite.models.variants import VARIANTS, ChannelsLastHead, use_variants

# Enough classes for one mask to pay, small enough for whole maps to be convolved twice.
CONFIGS = {
    "lite": lite(40),
    "R18-FPN": resnet50_fpn(40).with_(
        image={"min_size": 96, "max_size": 128},
        backbone={"depth": 18, "fpn_channels": 32},
        rpn={"samples": 32, "pre_nms_test": 30, "post_nms_test": 20},
        box={"samples": 16, "head_channels": 64},
        mask={"channels": (16, 16), "hidden": 16},
    ),
}
SHAPES = Shapes(None, seed=1)
BOX = BoxConfig(pooled_size=3, convs=(16, 24), head_channels=10, norm="group")


@pytest.fixture(params=CONFIGS)
def pair(request) -> tuple[MaskRCNN, MaskRCNN]:
    """The plain network and the usual one, in float64, with the same weights."""
    torch.manual_seed(0)
    plain = MaskRCNN(CONFIGS[request.param], variants=False).double()
    # Scores that differ, boxes that move: what a fresh network does not give.
    torch.nn.init.normal_(plain.roi_heads.box_predictor.cls_score.weight, std=0.3)
    torch.nn.init.normal_(plain.roi_heads.box_predictor.bbox_pred.weight, std=0.1)
    usual = MaskRCNN(CONFIGS[request.param]).double()
    usual.load_state_dict(plain.state_dict())
    return plain, usual


def test_the_usual_network_has_all_variants_and_the_plain_one_none(pair):
    plain, usual = ({type(module) for module in model.modules()} for model in pair)
    assert not plain & set(VARIANTS.values())
    assert not usual & set(VARIANTS)
    assert set(VARIANTS) >= plain - usual
    assert [*pair[0].state_dict()] == [*pair[1].state_dict()]


def test_losses_and_gradients_are_equal(pair):
    samples = [SHAPES[index] for index in range(3)]
    images = [image.double() for image, _ in samples]
    targets = [{**target, "boxes": target["boxes"].double()} for _, target in samples]
    found = []
    for model in pair:
        model.train().sampler.priorities = random_priorities(torch.Generator().manual_seed(1))
        losses = model(images, targets)
        sum(losses.values()).backward()
        found.append([*losses.values(), *(p.grad for p in model.parameters())])
    assert found[0][2] > 0  # masks take part
    for mine, wanted in zip(*found, strict=True):
        if wanted is None:
            assert mine is None
        else:
            torch.testing.assert_close(mine, wanted, rtol=1e-7, atol=1e-10)


def test_detections_are_equal(pair):
    images = [SHAPES[index][0].double() for index in range(3)]
    with torch.inference_mode():
        wanted, found = (model.eval()(images) for model in pair)
    assert sum(len(one["boxes"]) for one in wanted) > 20
    for one, other in zip(found, wanted, strict=True):
        for name, value in other.items():
            torch.testing.assert_close(one[name], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_box_head_by_itself(layout):
    torch.manual_seed(0)
    plain = FastRCNNConvFCHead(16, BOX).double()
    variant = ChannelsLastHead(16, BOX).double()
    variant.load_state_dict(plain.state_dict())
    x = torch.randn(5, 16, 3, 3, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    weights = torch.randn(5, 10, dtype=torch.float64)
    found = []
    for head in (plain, variant):
        gradients = torch.autograd.grad((head(x) * weights).sum(), [x, *head.parameters()])
        found.append([head(x), *gradients])
    for mine, wanted in zip(*found, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-12)


def test_a_module_that_a_user_derived_stays_as_it_is():
    class Own(FastRCNNConvFCHead):
        pass

    model = torch.nn.ModuleList([Own(16, BOX), FastRCNNConvFCHead(16, BOX)])
    use_variants(model)
    assert [type(module) for module in model] == [Own, ChannelsLastHead]
