"""The three explorers of the mask branch, without a browser: every control changes what it says."""

import io
import math
import statistics
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection.roi_heads import paste_masks_in_image

from mrcnn_lite import ops
from mrcnn_lite.lessons.n08_mask_branch.explorer import (
    HeadBuilder,
    explore_head,
    mask_branch_layers,
    mlp_layers,
    totals,
)
from mrcnn_lite.lessons.n09_mask_loss.explorer import MaskTarget, explore_target, target_floor
from mrcnn_lite.lessons.n10_masks_back_to_the_image.explorer import (
    MaskPaste,
    explore_paste,
    true_mask,
    truncated_box,
)
from mrcnn_lite.models.mask_head import MaskHead, MaskRCNNPredictor

MEDIAN_MS = 150


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (HeadBuilder, {"convs": 3, "width": 64, "mask_size": 56, "num_classes": 7}),
        (
            MaskTarget,
            {"left": 20, "top": 30, "width": 70, "height": 80, "mask_size": 14,
             "competition": "softmax", "sharpness": 2.0, "aligned": True},
        ),
        (
            MaskPaste,
            {"left": 9.0, "top": 3.1, "width": 20.2, "height": 18.0, "shape": "cat",
             "target": "aligned", "rule": "pixel_centres", "mask_size": 14, "threshold": 0.3},
        ),
    ],
)  # fmt: skip
def test_every_control_changes_picture_and_numbers(state, changes):
    moving = state()
    png, text = moving.render()
    assert moving.render() == (png, text)
    for name, value in changes.items():
        fresh = state()
        setattr(fresh, name, value)
        new_png, new_text = fresh.render()
        assert new_text != text, name
        assert (pixels(new_png) != pixels(png)).any(), name
        setattr(moving, name, value)
    # Reaching a state by many steps or at once gives the same picture: nothing is left behind.
    direct = state()
    for name, value in changes.items():
        setattr(direct, name, value)
    assert moving.render() == direct.render()


@pytest.mark.parametrize("explore", [explore_head, explore_target, explore_paste])
def test_controls_name_attributes_and_bundle_holds_picture_and_text(explore):
    explorer = explore()
    for name in explorer.controls:
        assert hasattr(explorer.state, name)
    bundle, _ = explorer._repr_mimebundle_()
    assert {"image/png", "text/plain"} <= set(bundle)


@pytest.mark.parametrize("state", [HeadBuilder, MaskTarget, MaskPaste])
def test_a_new_picture_is_quick(state):
    moving, times = state(), []
    moving.render()
    for size in [14, 28, 56] * 5:
        moving.mask_size = size
        start = time.process_time()  # of this process alone: neighbours do not count
        moving.render()
        times.append(1000 * (time.process_time() - start))
    assert statistics.median(times) < MEDIAN_MS


@pytest.mark.parametrize("num_classes", [1, 5])
@pytest.mark.parametrize("convs", [0, 2])
def test_counted_weights_are_the_modules_weights(convs, num_classes):
    head = MaskHead(256, (32,) * convs)
    predictor = MaskRCNNPredictor(head.out_channels, 32, num_classes)
    counted, _ = totals(mask_branch_layers(convs, 32, 28, num_classes))
    assert counted == sum(p.numel() for m in (head, predictor) for p in m.parameters())


def test_counts_of_the_paper():
    assert totals(mask_branch_layers(4, 256, 28, 80))[0] == 2_643_280
    assert totals(mask_branch_layers(4, 256, 28, 91)) == (2_646_107, 532_066_304)
    assert totals(mlp_layers(28, 80))[0] == 116_718_848


def test_mask_target_agrees_with_ops_and_loss():
    state = MaskTarget()
    state.sharpness = 0.0
    lesson = state.lesson()
    assert lesson.loss == pytest.approx(math.log(2), abs=1e-6)
    expected = ops.crop_masks(state.scene.masks, state.box[None], torch.tensor([0]), 28, False)[0]
    torch.testing.assert_close(lesson.target, expected)
    assert lesson.iou == pytest.approx(
        ops.box_iou(state.box[None], state.scene.boxes[:1]).item(), abs=1e-6
    )


def test_no_positive_no_loss_no_gradient():
    state = MaskTarget()
    state.left, state.width = 80, 20
    lesson = state.lesson()
    assert lesson.iou < 0.5
    assert lesson.loss == 0
    assert lesson.gradient.abs().sum() == 0
    assert "never reaches" in state.render()[1]


def test_only_softmax_spreads_the_gradient():
    state = MaskTarget()
    touched = state.lesson().gradient.abs().sum(dim=(1, 2)) > 0  # [C]
    assert touched.tolist() == [False, False, True, False]
    state.competition = "softmax"
    assert (state.lesson().gradient.abs().sum(dim=(1, 2)) > 0).all()


def test_floor_by_hand():
    assert target_floor(torch.tensor([[0.0, 1.0]])) == 0
    assert target_floor(torch.tensor([[0.5]])) == pytest.approx(math.log(2), abs=1e-6)


def test_whole_box_of_28_px_becomes_841():
    state = MaskPaste()
    state.shape, state.target = "whole box", "aligned"
    state.left = state.top = 4.0
    state.width = state.height = 28.0
    assert "784 true, 841 pasted" in state.render()[1]
    state.rule = "pixel_centres"
    assert "784 true, 784 pasted" in state.render()[1]


def test_paste_agrees_with_torchvision():
    state = MaskPaste()
    pasted = state.paste()
    theirs = paste_masks_in_image(pasted.mask[None, None], state.box[None], (36, 36))[0, 0]
    torch.testing.assert_close(pasted.probability, theirs, atol=1e-5, rtol=0)
    x1, y1, x2, y2 = truncated_box(state.box, 28)
    outside = pasted.probability.clone()
    outside[y1:y2, x1:x2] = 0
    assert outside.sum() == 0


def test_true_mask_by_hand():
    assert true_mask("whole box", torch.tensor([1.0, 2.0, 4.0, 4.0])).sum() == 6
    assert true_mask("disc", torch.tensor([0.0, 0.0, 2.0, 2.0])).sum() == 4
