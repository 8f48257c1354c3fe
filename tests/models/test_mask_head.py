"""The mask branch against torchvision's, and against counts made by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.detection import mask_rcnn as torchvision_mask

from mrcnn_lite.config import lite
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.losses import mask_loss
from mrcnn_lite.models.mask_head import MaskHead, MaskHeadC4, MaskRCNNPredictor
from mrcnn_lite.models.variants import logits_of_classes, one_class_pays


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def branch(num_classes, width=256):
    torch.manual_seed(0)
    return MaskHead(width, (width,) * 4), MaskRCNNPredictor(width, width, num_classes)


@pytest.mark.parametrize(
    ("num_classes", "expected"), [(80, 2_643_280), (91, 2_646_107), (1, 2_622_977)]
)
def test_parameter_count(num_classes, expected):
    convs = 4 * (256 * 256 * 9 + 256)
    deconv = 256 * 256 * 4 + 256
    assert convs + deconv + 257 * num_classes == expected
    assert count(*branch(num_classes)) == expected


def test_shapes_fpn_and_c4():
    head, predictor = branch(5, width=16)
    assert predictor(head(torch.zeros(3, 16, 14, 14))).shape == (3, 5, 28, 28)
    assert MaskHeadC4(5, 32, 16)(torch.zeros(3, 32, 7, 7)).shape == (3, 5, 14, 14)
    assert MaskHeadC4(80).conv5_mask.weight.shape == (2048, 256, 2, 2)


def test_no_rois():
    head, predictor = branch(5, width=16)
    out = predictor(head(torch.zeros(0, 16, 14, 14)))
    assert out.shape == (0, 5, 28, 28)
    out.sum().backward()


def test_same_function_and_same_initial_weights_as_torchvision():
    torch.manual_seed(3)
    ours = nn.Sequential(MaskHead(16, (16, 16)), MaskRCNNPredictor(16, 8, 4))
    torch.manual_seed(3)
    theirs = nn.Sequential(
        torchvision_mask.MaskRCNNHeads(16, (16, 16), 1),
        torchvision_mask.MaskRCNNPredictor(16, 8, 4),
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        # The biases of the two predictor layers keep PyTorch's random start in both.
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=0, atol=0)
    x = torch.randn(2, 16, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)


def test_weights_travel_both_ways_and_old_names_load():
    ours, theirs = MaskHead(8, (8, 8)), torchvision_mask.MaskRCNNHeads(8, (8, 8), 1)
    theirs.load_state_dict(ours.state_dict())
    old = {f"mask_fcn{i + 1}.{k}": theirs[i][0].state_dict()[k] for i in range(2)
           for k in ("weight", "bias")}  # fmt: skip
    fresh = MaskHead(8, (8, 8))
    fresh.load_state_dict(old)
    nested = nn.ModuleDict({"mask_head": MaskHead(8, (8, 8))})
    nested.load_state_dict({f"mask_head.{k}": v for k, v in old.items()})
    for module in (fresh, nested["mask_head"]):
        torch.testing.assert_close(module[1][0].weight, ours[1][0].weight)


def test_norm_replaces_the_bias():
    head = MaskHead(16, (16, 16), norm=lambda c: nn.GroupNorm(4, c))
    assert list(head.state_dict()) == [
        "0.0.weight", "0.1.weight", "0.1.bias", "1.0.weight", "1.1.weight", "1.1.bias",
    ]  # fmt: skip
    theirs = torchvision_mask.MaskRCNNHeads(
        16, (16, 16), 1, norm_layer=lambda c: nn.GroupNorm(4, c)
    )
    theirs.load_state_dict(head.state_dict())
    x = torch.randn(2, 16, 6, 6)
    torch.testing.assert_close(head(x), theirs(x))


def test_deconvolution_is_a_1x1_convolution_and_pixel_shuffle():
    deconv = MaskRCNNPredictor(6, 4, 2).conv5_mask.double()
    x = torch.randn(3, 6, 5, 5, dtype=torch.float64)
    weight = deconv.weight.permute(1, 2, 3, 0).reshape(16, 6, 1, 1)
    shuffled = F.pixel_shuffle(F.conv2d(x, weight, deconv.bias.repeat_interleave(4)), 2)
    torch.testing.assert_close(shuffled, deconv(x), rtol=0, atol=1e-12)


def test_gradcheck():
    head, predictor = branch(2, width=3)
    both = nn.Sequential(head, predictor).double()
    x = torch.randn(1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(both, (x,))


def test_the_class_that_counts_alone_is_equal_gradients_included():
    """One channel of the whole form, and the loss's gradients of all weights, in float64."""
    torch.manual_seed(0)
    predictor = MaskRCNNPredictor(16, 12, 40).double()
    labels = torch.tensor([3, 39, 3, 0, 17])
    x = torch.randn(5, 16, 7, 7, dtype=torch.float64).requires_grad_()
    targets = torch.rand(5, 14, 14, dtype=torch.float64)
    valid = labels > 0
    results = []
    for whole in (True, False):
        predictor.zero_grad()
        x.grad = None
        logits = predictor(x) if whole else logits_of_classes(predictor, x, labels)
        mask_loss(logits, targets, labels, valid).backward()
        own = logits[torch.arange(5), labels] if whole else logits[:, 0]
        results.append([own.detach(), x.grad, *(p.grad.clone() for p in predictor.parameters())])
    assert logits_of_classes(predictor, x, labels).shape == (5, 1, 14, 14)
    for whole, alone in zip(*results, strict=True):
        torch.testing.assert_close(alone, whole, rtol=1e-12, atol=1e-14)
    assert logits_of_classes(predictor, x[:0], labels[:0]).shape == (0, 1, 14, 14)


def test_when_one_class_is_asked_for():
    assert one_class_pays(MaskRCNNPredictor(8, 8, 91))
    assert not one_class_pays(MaskRCNNPredictor(8, 8, 6))  # measured: longer
    assert not one_class_pays(MaskRCNNPredictor(8, 8, 1))  # class-agnostic: there is one channel
    hooked = MaskRCNNPredictor(8, 8, 91)
    hooked.register_forward_hook(lambda *_: None)
    assert not one_class_pays(hooked)


def heads(competition="sigmoid"):
    torch.manual_seed(0)
    config = lite(40).with_(mask={"competition": competition})
    return MaskRCNN(config).roi_heads


@pytest.mark.parametrize("competition", ["sigmoid", "softmax"])
def test_the_heads_ask_for_one_class_where_no_other_takes_part(competition):
    model = heads(competition)
    features, boxes = (
        [torch.randn(1, 48, 32, 32)],
        [torch.tensor([[4.0, 4, 60, 50], [0, 0, 90, 9]])],
    )
    labels = torch.tensor([7, 39])
    found = model.predict_masks({"0": features[0]}, boxes, (128, 128), labels)
    assert found.shape[1] == (1 if competition == "sigmoid" else 40)
    model.mask_predictor.register_forward_hook(lambda *_: None)
    whole = model.predict_masks({"0": features[0]}, boxes, (128, 128), labels)
    assert whole.shape[1] == 40
    if competition == "sigmoid":
        torch.testing.assert_close(found[:, 0], whole[torch.arange(2), labels])


def test_a_users_own_predictor_is_not_asked_for_one_class():
    class Foreign(MaskRCNNPredictor):
        def forward(self, x):
            return super().forward(x)

    model = heads()
    model.mask_predictor = Foreign(32, 32, 40)
    features, boxes = [torch.randn(1, 48, 32, 32)], [torch.tensor([[4.0, 4, 60, 50]])]
    found = model.predict_masks({"0": features[0]}, boxes, (128, 128), torch.tensor([7]))
    assert found.shape == (1, 40, 28, 28)
