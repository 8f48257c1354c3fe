"""Notebook 09: targets, loss and gradient of one proposal, and the scene it stands on."""

import math

import pytest
import torch
import torch.nn.functional as F
from explorer_tools import check_controls, check_quick

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit.cat import CLASS_NAMES, cat_scene, true_mask
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.n09_mask_loss.explorer import MaskTarget, explore_target, target_floor
from mrcnn_lite.lessons.n09_mask_loss.pictures import draw_training


def own(logits, labels):
    return logits[torch.arange(len(labels)), labels]


def guarded(loss):
    return lambda x, t, y: loss(x, t, y) if len(y) else x.sum() * 0


def all_channels(x, t, y):
    wanted = torch.zeros_like(x)
    wanted[torch.arange(len(y)), y] = t
    return F.binary_cross_entropy_with_logits(x, wanted)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda x, t, y: F.binary_cross_entropy_with_logits(own(x, y), t), "without positives"),
        (
            lambda x, t, y: (
                F.binary_cross_entropy_with_logits(own(x, y), t) if len(y) else torch.tensor(0.0)
            ),
            "without positives",
        ),
        (guarded(all_channels), "all channels are compared"),
        (
            guarded(lambda x, t, y: F.binary_cross_entropy_with_logits(own(x, y - 1), t)),
            "channel label - 1",
        ),
        (
            guarded(lambda x, t, y: F.binary_cross_entropy_with_logits(x[:, 0], t)),
            "channel 0 is compared",
        ),
        (
            guarded(lambda x, t, y: F.binary_cross_entropy_with_logits(own(x, y).sigmoid(), t)),
            "applied twice",
        ),
        (
            guarded(
                lambda x, t, y: F.binary_cross_entropy_with_logits(own(x, y), t, reduction="sum")
            ),
            "summed up",
        ),
    ],
)
def test_mistakes_in_the_loss_are_named(loss, words):
    verdict = find("09-mask-loss").grade(loss)
    assert not verdict.passed
    assert words in verdict.message


def bce(x, t, **settings):
    return F.binary_cross_entropy_with_logits(x, t, **settings)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda x, t, y: bce(own(x, y).sigmoid(), t), "applied twice"),
        (lambda x, t, y: bce(own(x, y - 1), t), "channel label - 1"),
        (lambda x, t, y: bce(own(x, y), t, reduction="sum") / len(y), "divided by the RoIs alone"),
        (lambda x, t, y: F.binary_cross_entropy(own(x.softmax(1), y), t), "compete in a softmax"),
    ],
)
def test_first_tries_are_named_without_the_guard_of_the_empty_batch(loss, words):
    verdict = find("09-mask-loss").grade(loss)
    assert not verdict.passed
    assert words in verdict.message and "and: the batch without positives" in verdict.message


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda x, t, y: bce(x[:, y], t), "channels of all labels"),
        (lambda x, t, y: F.binary_cross_entropy(x[:, y].sigmoid(), t), "channels of all labels"),
        (guarded(lambda x, t, y: (x[:, y].sigmoid() - t).square().mean()), "channels of all"),
        (lambda x, t, y: bce(x[y], t), "logits[labels] takes RoIs"),
        (lambda x, t, y: F.binary_cross_entropy(own(x, y), t), "takes probabilities"),
        (lambda x, t, y: F.cross_entropy(x, y), "lets the classes compete"),
        (guarded(lambda x, t, y: F.binary_cross_entropy(own(x, y).sigmoid(), t)), "sigmoid(-120)"),
        (lambda x, t, y: bce(own(x, y), t) if len(y) else torch.zeros((), requires_grad=True),
         "hangs on the logits"),
    ],
)  # fmt: skip
def test_errors_and_wrong_channels_are_led_out_of(loss, words):
    verdict = find("09-mask-loss").grade(loss)
    assert not verdict.passed
    assert words in verdict.message


def crop_and_resize(masks, boxes, matched, size):
    parts = []
    for box, m in zip(boxes, matched):
        x1, y1, x2, y2 = box.int()
        crop = masks[m][None, None, y1:y2, x1:x2].float()
        parts.append(F.interpolate(crop, (size, size), mode="bilinear")[0, 0])
    return torch.stack(parts)


def two_samples_then_hard(masks, boxes, matched, size):
    rois = torch.cat([matched[:, None].float(), boxes], dim=1)
    return (
        ops.roi_align(masks[:, None].float(), rois, size, 1.0, 2, aligned=False)[:, 0] > 0.5
    ) * 1.0


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (crop_and_resize, ["whole pixels are cut out", "cut off to integers"]),
        (two_samples_then_hard, ["was thresholded", "sampling_ratio=2 is for features"]),
    ],
)
def test_first_tries_at_the_targets_are_named(targets, words):
    verdict = find("09-mask-targets").grade(targets)
    assert not verdict.passed
    assert all(word in verdict.message for word in words)


def test_a_loss_cut_off_from_the_logits_is_wrong():
    verdict = find("09-mask-loss").grade(lambda x, t, y: own(x.detach(), y).sum() * 0 + 0.5)
    assert not verdict.passed


def test_every_control_changes_picture_and_numbers():
    changes = {"left": 20, "top": 30, "width": 70, "height": 80, "mask_size": 14,
               "competition": "softmax", "sharpness": 2.0, "aligned": True}  # fmt: skip
    check_controls(explore_target, changes)
    check_quick(explore_target, [{"mask_size": size} for size in [14, 28, 56] * 5])


def test_mask_target_agrees_with_ops_and_loss():
    state = MaskTarget()
    state.sharpness = 0.0
    result = state.compare()
    assert result.loss == pytest.approx(math.log(2), abs=1e-6)
    expected = ops.crop_masks(state.scene.masks, state.box[None], torch.tensor([0]), 28, False)[0]
    torch.testing.assert_close(result.target, expected)
    assert result.iou == pytest.approx(
        ops.box_iou(state.box[None], state.scene.boxes[:1]).item(), abs=1e-6
    )


def test_no_positive_no_loss_no_gradient():
    state = MaskTarget()
    state.left, state.width = 80, 20
    result = state.compare()
    assert result.iou < 0.5
    assert result.loss == 0
    assert result.gradient.abs().sum() == 0
    assert "never reaches" in state.render()[1]


def test_a_proposal_is_clipped_to_the_image():
    state = MaskTarget()
    state.left, state.top, state.width, state.height = 90, 90, 130, 130
    assert state.box.tolist() == [90, 90, 128, 128]


def test_only_softmax_spreads_the_gradient():
    state = MaskTarget()
    touched = state.compare().gradient.abs().sum(dim=(1, 2)) > 0  # [C]
    assert touched.tolist() == [False, False, True, False]
    state.competition = "softmax"
    assert (state.compare().gradient.abs().sum(dim=(1, 2)) > 0).all()


def test_floor_by_hand():
    assert target_floor(torch.tensor([[0.0, 1.0]])) == 0
    assert target_floor(torch.tensor([[0.5]])) == pytest.approx(math.log(2), abs=1e-6)


def test_disc_by_hand():
    assert true_mask("disc", torch.tensor([1.0, 1.0, 3.0, 3.0]), 4).int().tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]
    large = true_mask("disc", torch.tensor([10.0, 10.0, 210.0, 210.0]), 220)
    assert large.sum().item() == pytest.approx(31416, rel=1e-3)


def test_the_scene_keeps_the_conventions():
    scene = cat_scene(96)
    assert scene.image.shape == (3, 96, 96)
    assert scene.image.min() >= 0 and scene.image.max() <= 1
    assert scene.masks.shape == (2, 96, 96) and scene.masks.dtype == torch.uint8
    assert [CLASS_NAMES[i] for i in scene.labels] == ["cat", "ball"]
    for mask, (x1, y1, x2, y2) in zip(scene.masks, scene.boxes.int().tolist()):
        assert mask[y1:y2, x1:x2].sum() == mask.sum()  # the box is half open, and tight:
        assert all(side.any() for side in (mask[y1], mask[y2 - 1], mask[:, x1], mask[:, x2 - 1]))
    assert not (scene.masks[0] & scene.masks[1]).any()


def test_the_figure_can_be_drawn():
    scene = cat_scene(64)
    fig = draw_training(scene, scene.boxes[0], torch.randn(4, 7, 7), torch.rand(7, 7))
    assert figure_png(fig).startswith(b"\x89PNG")
