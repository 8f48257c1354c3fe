"""The RPN head at the sampled anchors alone: the numbers and gradients of whole maps."""

import pytest
import torch
import torchvision
from cases import random_boxes

from mrcnn_lite.config import lite
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import MaskRCNN, variants
from mrcnn_lite.models.matching import random_priorities
from mrcnn_lite.models.rpn import RPNHead, by_anchor, nms_at_once
from mrcnn_lite.models.sampled_head import head_at, im2col_patches
from mrcnn_lite.models.variants import sampling_pays
from mrcnn_lite.ops import nms_mask


def test_the_nine_pixels_around_a_cell_by_hand():
    fine = torch.arange(1.0, 7).view(1, 1, 2, 3)  # 1 2 3 / 4 5 6
    coarse = torch.tensor([[[[9.0]]]])
    corner, middle, alone = im2col_patches([fine, coarse], torch.tensor([[0, 4, 6]]))[0].tolist()
    assert corner == [0, 0, 0, 0, 1, 2, 0, 4, 5]
    assert middle == [1, 2, 3, 4, 5, 6, 0, 0, 0]
    assert alone == [0, 0, 0, 0, 9, 0, 0, 0, 0]


@pytest.mark.parametrize("kinds", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_some_anchors_equal_all_anchors(kinds, layout):
    torch.manual_seed(0)
    head = RPNHead(5, kinds).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    features = [
        torch.randn(2, 5, h, w, dtype=torch.float64).to(memory_format=layout).requires_grad_()
        for h, w in ((7, 9), (4, 5), (1, 2))
    ]
    anchors = kinds * (63 + 20 + 2)
    index = torch.stack([torch.randperm(anchors)[:40] for _ in range(2)])
    index[:, :2] = torch.tensor([0, anchors - 1])
    weights = torch.randn(2, 40, 5, dtype=torch.float64)

    def gradients(logits, deltas):
        loss = (logits * weights[..., 0]).sum() + (deltas * weights[..., 1:]).sum()
        return torch.autograd.grad(loss, [*features, *head.parameters()])

    parts = zip(head(features), (1, 4), strict=True)
    logits, deltas = (torch.cat([by_anchor(x, n) for x in maps], dim=1) for maps, n in parts)
    logits = logits[..., 0]  # [B, A]
    whole = logits.gather(1, index), deltas.take_along_dim(index[..., None], dim=1)
    some = head_at(head, features, index)
    pairs = [*zip(some, whole, strict=True)]
    pairs += zip(gradients(*some), gradients(*whole), strict=True)
    for mine, wanted in pairs:
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-10)


def test_it_is_used_only_where_it_pays():
    features = [torch.zeros(1, 4, 10, 10)]
    assert sampling_pays(RPNHead(4, 1), features, 11)
    assert not sampling_pays(RPNHead(4, 1), features, 12)
    assert not sampling_pays(RPNHead(4, 1, conv_depth=2), features, 1)


def test_a_training_step_has_the_same_losses_and_gradients_both_ways(monkeypatch):
    torch.manual_seed(0)
    model = MaskRCNN(lite()).double().train()
    samples = [Shapes(None, seed=1)[index] for index in range(2)]
    images = [image.double() for image, _ in samples]
    targets = [{**target, "boxes": target["boxes"].double()} for _, target in samples]
    found = []
    for pays in (True, False):
        monkeypatch.setattr(variants, "sampling_pays", lambda *_, pays=pays: pays)
        model.sampler.priorities = random_priorities(torch.Generator().manual_seed(1))
        model.zero_grad()
        losses = model(images, targets)
        sum(losses.values()).backward()
        found.append([*losses.values(), *(p.grad for p in model.parameters())])
    for mine, wanted in zip(*found, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("counts", [[9], [30, 30, 7, 1], [2, 40], [1, 1, 1], [5, 0, 9]])
def test_levels_compete_alone_one_by_one_and_all_at_once(counts):
    boxes = torch.stack([random_boxes(sum(counts), 30, seed) for seed in range(2)])
    random = torch.rand(2, *boxes.shape[:2], generator=torch.Generator().manual_seed(0))
    scores, valid = random[0], random[1] < 0.9
    split = [values.split(counts, dim=1) for values in (boxes, scores, valid)]
    keep = torch.cat([nms_mask(*one, 0.3) for one in zip(*split, strict=True)], dim=1)
    level = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    for image in range(2):
        rows = valid[image].nonzero()[:, 0]
        problem = boxes[image, rows], scores[image, rows], level[rows]
        wanted = rows[torchvision.ops.batched_nms(*problem, 0.3)]
        assert keep[image].nonzero()[:, 0].tolist() == sorted(wanted.tolist())
    assert torch.cat(nms_at_once(split, 0.3), dim=1).equal(keep)
    assert keep.sum() < valid.sum() or max(counts) < 10
