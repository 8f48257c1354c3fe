"""The exercise of notebook 07: mistakes that come together, and what the cases hold.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import functools

import torch
import torchvision
from test_kit_exercise import broken

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n07_anchors_to_proposals import exercises as proposals


def test_the_right_variant_is_right():
    """The mistakes differ from the truth by their switch only."""
    assert find("07-nms").grade(proposals._nms_variant).passed


def test_an_error_is_no_known_mistake():
    words = find("07-nms").grade(broken).message
    assert "ZeroDivisionError" in words and "Likely" not in words


def test_two_mistakes_at_once():
    both = functools.partial(
        proposals._nms_variant,
        strikes=torch.ge,
        give=lambda rows, boxes, *_: torch.isin(torch.arange(len(boxes)), rows),
    )
    words = find("07-nms").grade(both).message
    assert "suppress with >" in words
    assert "and: this is a mask" in words


def test_cases_of_suppression_hold_what_they_promise():
    ties = exact = empty = 0
    for boxes, scores, threshold in proposals._crowds():
        right = ops.nms(boxes, scores, threshold)
        assert right.tolist() == torchvision.ops.nms(boxes, scores, threshold).tolist()
        ties += len(scores.unique()) < len(scores)
        exact += bool((ops.box_iou(boxes, boxes) == threshold).any())
        empty += bool((boxes[:, 2:] <= boxes[:, :2]).any())
    assert ties > 40
    assert exact > 10
    assert not empty
