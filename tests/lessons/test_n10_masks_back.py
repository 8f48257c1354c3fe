"""Notebook 10: a mask on its way back to the image, by two rules."""

import torch
import torch.nn.functional as F
from explorer_tools import check_controls, check_quick
from torchvision.models.detection.roi_heads import paste_masks_in_image

from mrcnn_lite.lessons.kit.cat import cat_scene, true_mask
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.n10_masks_back_to_the_image.explorer import (
    SIDE,
    MaskPaste,
    explore_paste,
    truncated_box,
)
from mrcnn_lite.lessons.n10_masks_back_to_the_image.pictures import draw_prediction


def test_the_right_paste_is_torchvisions():
    grader = find("10-paste").grade
    for mask, box, size in grader.cases():
        theirs = paste_masks_in_image(mask[None, None], box[None], size)[0, 0]
        torch.testing.assert_close(grader.right(mask, box, size), theirs, atol=1e-5, rtol=0)


def test_every_control_changes_picture_and_numbers():
    changes = {"left": 9.0, "top": 3.1, "width": 20.2, "height": 18.0, "shape": "cat",
               "target": "aligned", "rule": "pixel_centres", "mask_size": 14,
               "threshold": 0.3}  # fmt: skip
    check_controls(explore_paste, changes)
    check_quick(explore_paste, [{"mask_size": size} for size in [14, 28, 56] * 5])


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
    theirs = paste_masks_in_image(pasted.mask[None, None], state.box[None], (SIDE, SIDE))[0, 0]
    torch.testing.assert_close(pasted.probability, theirs, atol=1e-5, rtol=0)
    x1, y1, x2, y2 = truncated_box(state.box, 28)
    outside = pasted.probability.clone()
    outside[y1:y2, x1:x2] = 0
    assert outside.sum() == 0


def test_the_object_fills_the_view():
    state = MaskPaste()
    axes = state.compared.axes
    for left, width, view in ((8.3, 12.6, 24), (4.0, 28.0, 36), (20.0, 32.0, 56)):
        state.left, state.width = left, width
        state.render()
        assert axes.get_xlim() == (0, view) and axes.get_ylim() == (view, 0)


def crop(mask, box, image_size):
    """What one writes first: no ring, no enlarged box, no pixel more."""
    x1, y1, x2, y2 = box.int()
    image = torch.zeros(image_size)
    size = (y2 - y1, x2 - x1)
    image[y1:y2, x1:x2] = F.interpolate(mask[None, None], size, mode="bilinear")[0, 0]
    return image


def test_the_first_try_is_named():
    message = find("10-paste").grade(crop).message
    assert "counts the last pixel" in message
    assert "and: neither the ring of zeros nor the enlarged box" in message


def test_true_mask_by_hand():
    assert true_mask("whole box", torch.tensor([1.0, 2.0, 4.0, 4.0]), 36).sum() == 6
    assert true_mask("disc", torch.tensor([0.0, 0.0, 2.0, 2.0]), 36).sum() == 4


def test_the_figure_can_be_drawn():
    scene = cat_scene(64)
    fig = draw_prediction(scene, scene.boxes[0], torch.randn(4, 7, 7), torch.rand(64, 64))
    assert figure_png(fig).startswith(b"\x89PNG")
