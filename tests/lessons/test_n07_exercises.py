"""The exercises of notebook 07: mistakes that come together, and what the cases hold.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import functools

import pytest
import torch
import torchvision
from test_kit_exercise import broken

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n07_anchors_to_positives import exercises as anchors

VARIANTS = {"07-nms": anchors._nms_variant, "07-matcher": anchors._matcher_variant}
each = pytest.mark.parametrize("name", VARIANTS)


@each
def test_the_right_variant_is_right(name):
    """The mistakes differ from the truth by their switch only."""
    assert find(name).grade(VARIANTS[name]).passed


@each
def test_there_is_enough(name):
    assert len(find(name).known) >= 4
    assert 2 <= len(find(name).hints) <= 4


def test_two_mistakes_at_once():
    both = functools.partial(
        anchors._nms_variant,
        strikes=torch.ge,
        give=lambda rows, boxes, *_: torch.isin(torch.arange(len(boxes)), rows),
    )
    words = find("07-nms").grade(both).message
    assert "suppress with >" in words
    assert "and: this is a mask" in words


def test_a_loop_over_the_objects_makes_three_mistakes_and_all_are_named():
    def looped(objects, anchors, high, low):
        iou = ops.box_iou(objects, anchors)  # [G, A]
        best, answer = iou.max(dim=0)
        answer = torch.where(best >= high, answer, -2)
        answer = torch.where(best < low, -1, answer)
        for g in range(len(objects)):
            answer[iou[g].argmax()] = g
        return answer

    words = find("07-matcher").grade(looped).message
    assert "Likely: several anchors can overlap an object equally well" in words
    assert "and: a rescued anchor belongs to the object that *it* overlaps most" in words
    assert "and: an object that no anchor touches has a best IoU of 0" in words


@each
def test_an_error_is_no_known_mistake(name):
    words = find(name).grade(broken).message
    assert "ZeroDivisionError" in words and "Likely" not in words


def test_an_answer_of_the_right_shape_is_not_enough():
    verdict = find("07-matcher").grade(lambda objects, anchors, high, low: anchors[:, 0] * 0 + 3)
    assert not verdict.passed
    assert "Likely" not in verdict.message
    assert "yours 3.0000" in verdict.message


def test_cases_of_suppression_hold_what_they_promise():
    ties = exact = empty = 0
    for boxes, scores, threshold in anchors._crowds():
        right = ops.nms(boxes, scores, threshold)
        assert right.tolist() == torchvision.ops.nms(boxes, scores, threshold).tolist()
        ties += len(scores.unique()) < len(scores)
        exact += bool((ops.box_iou(boxes, boxes) == threshold).any())
        empty += bool((boxes[:, 2:] <= boxes[:, :2]).any())
    assert ties > 40
    assert exact > 10
    assert not empty


def test_cases_of_matching_hold_what_they_promise():
    """Where every object is within reach, torchvision's matcher gives the right answer."""
    theirs = torchvision.models.detection._utils.Matcher
    reached = exact = 0
    for objects, boxes, high, low in anchors._images():
        iou = ops.box_iou(objects, boxes)
        exact += bool((iou.amax(0) == low).any()) and bool((iou.amax(0) == high).any())
        if (iou.amax(1) > 0).all():
            reached += 1
            right = anchors._right_matches(objects, boxes, high, low)
            assert torch.equal(right, theirs(high, low, True)(iou))
    assert 0 < reached < anchors.IMAGES
    assert exact > 5
