"""The losses: hand-made answers, torchvision, gradcheck, and who receives no gradient."""

import math

import pytest
import torch
from torchvision.models.detection.roi_heads import maskrcnn_loss, project_masks_on_boxes

from mrcnn_lite.models.losses import mask_loss

BOTH = pytest.mark.parametrize("competition", ["sigmoid", "softmax"])


def batch(k=4, c=3, m=5, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(k, c, m, m, generator=generator, dtype=dtype).requires_grad_()
    targets = torch.rand(k, m, m, generator=generator, dtype=dtype)
    labels = torch.randint(1, c, (k,), generator=generator)
    return logits, targets, labels


def test_mask_loss_of_zero_logits_is_ln_2():
    _, targets, labels = batch()
    loss = mask_loss(torch.zeros(4, 3, 5, 5), targets, labels)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)


def test_softmax_of_zero_logits_is_ln_c():
    _, targets, labels = batch()
    loss = mask_loss(torch.zeros(4, 3, 5, 5), targets, labels, competition="softmax")
    assert loss.item() == pytest.approx(math.log(3), abs=1e-6)


def test_mask_loss_by_hand():
    # One RoI, 1x2 cells, class 1: logit ln 3 (p = 3/4) where the object is, 0 (p = 1/2) beside it.
    logits = torch.tensor([[[[7.0, -7.0]], [[math.log(3), 0.0]]]])
    targets = torch.tensor([[[1.0, 0.0]]])
    expected = (math.log(4 / 3) + math.log(2)) / 2
    loss = mask_loss(logits, targets, torch.tensor([1]))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_softmax_by_hand():
    # Background 0, class ln 3: probabilities 1/4 and 3/4 in both cells; the object is in the first.
    logits = torch.tensor([[[[0.0, 0.0]], [[math.log(3), math.log(3)]]]])
    targets = torch.tensor([[[1.0, 0.0]]])
    expected = (math.log(4 / 3) + math.log(4)) / 2
    loss = mask_loss(logits, targets, torch.tensor([1]), competition="softmax")
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_softmax_with_hard_targets_is_cross_entropy():
    logits, targets, labels = batch()
    hard = (targets > 0.5).float()
    classes = hard.long() * labels[:, None, None]
    expected = torch.nn.functional.cross_entropy(logits, classes)
    torch.testing.assert_close(mask_loss(logits, hard, labels, competition="softmax"), expected)


@pytest.mark.parametrize("seed", range(5))
def test_mask_loss_equals_torchvision(seed):
    generator = torch.Generator().manual_seed(seed)
    boxes = [torch.rand(n, 4, generator=generator) * 10 for n in (3, 2)]
    boxes = [torch.cat([b[:, :2], b[:, :2] + 3 + b[:, 2:]], dim=1) for b in boxes]
    masks = [(torch.rand(2, 24, 24, generator=generator) > 0.5).byte() for _ in boxes]
    gt_labels = [torch.tensor([1, 3]), torch.tensor([2, 2])]
    matched = [torch.tensor([0, 1, 1]), torch.tensor([1, 0])]
    logits = torch.randn(5, 4, 7, 7, generator=generator)
    expected = maskrcnn_loss(logits, boxes, masks, gt_labels, matched)
    each = zip(masks, boxes, matched, strict=True)
    targets = torch.cat([project_masks_on_boxes(m, b, i, 7) for m, b, i in each])
    labels = torch.cat([lab[i] for lab, i in zip(gt_labels, matched, strict=True)])
    torch.testing.assert_close(mask_loss(logits, targets, labels), expected)


def test_sigmoid_gives_gradient_to_the_own_channel_only():
    logits, targets, labels = batch(c=4)
    mask_loss(logits, targets, labels).backward()
    for k, label in enumerate(labels.tolist()):
        touched = logits.grad[k].abs().sum(dim=(1, 2)) > 0
        assert touched.tolist() == [c == label for c in range(4)]


def test_softmax_gives_gradient_to_every_channel():
    logits, targets, labels = batch(c=4)
    mask_loss(logits, targets, labels, competition="softmax").backward()
    assert (logits.grad.abs().sum(dim=(2, 3)) > 0).all()


@BOTH
@pytest.mark.parametrize("rows", [0, 3])
def test_no_positives_is_zero_with_a_graph(rows, competition):
    logits, targets, labels = batch(k=rows)
    loss = mask_loss(logits, targets, labels, torch.zeros(rows, dtype=torch.bool), competition)
    assert loss.item() == 0
    loss.backward()
    assert logits.grad.abs().sum() == 0


@BOTH
def test_invalid_rows_change_nothing(competition):
    logits, targets, labels = batch()
    valid = torch.tensor([True, False, True, True])
    labels[1] = -1
    loss = mask_loss(logits, targets, labels, valid, competition)
    kept = mask_loss(logits[valid], targets[valid], labels[valid], None, competition)
    torch.testing.assert_close(loss, kept)
    loss.backward()
    assert logits.grad[1].abs().sum() == 0


def test_class_agnostic_ignores_labels():
    logits, targets, labels = batch(c=3)
    single = logits[:, :1]
    torch.testing.assert_close(
        mask_loss(single, targets, labels), mask_loss(single, targets, torch.zeros_like(labels))
    )


@BOTH
def test_gradcheck(competition):
    logits, targets, labels = batch(k=2, c=3, m=3, dtype=torch.float64)
    valid = torch.tensor([True, False])
    assert torch.autograd.gradcheck(
        lambda x: mask_loss(x, targets, labels, valid, competition), (logits,)
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"competition": "relu"}, "'sigmoid' or 'softmax'"),
        ({"targets": torch.zeros(1, 5, 5)}, "targets has shape"),
        ({"labels": torch.ones(4, 1, dtype=torch.long)}, "labels has shape"),
        ({"mask_logits": torch.zeros(4, 5, 5)}, "mask_logits has shape"),
        ({"mask_logits": torch.zeros(4, 1, 5, 5), "competition": "softmax"}, "at least two"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    logits, targets, labels = batch()
    arguments = {"mask_logits": logits, "targets": targets, "labels": labels} | change
    with pytest.raises(ValueError, match=words):
        mask_loss(**arguments)
