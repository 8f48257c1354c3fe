"""The exercises of notebook 07b: mistakes that come together, and what the cases hold.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from test_kit_exercise import broken

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n07b_positives_and_losses import exercises as positives

VARIANTS = {"07b-matcher": positives._matcher_variant, "07b-box-loss": positives._loss_variant}
each = pytest.mark.parametrize("name", VARIANTS)


@each
def test_the_right_variant_is_right(name):
    """The mistakes differ from the truth by their switch only."""
    assert find(name).grade(VARIANTS[name]).passed


@each
def test_an_error_is_no_known_mistake(name):
    words = find(name).grade(broken).message
    assert "ZeroDivisionError" in words and "Likely" not in words


def test_a_loop_over_the_objects_makes_three_mistakes_and_all_are_named():
    def looped(objects, anchors, high, low):
        iou = ops.box_iou(objects, anchors)  # [G, A]
        best, answer = iou.max(dim=0)
        answer = torch.where(best >= high, answer, -2)
        answer = torch.where(best < low, -1, answer)
        for g in range(len(objects)):
            answer[iou[g].argmax()] = g
        return answer

    words = find("07b-matcher").grade(looped).message
    assert "Likely: several anchors can overlap an object equally well" in words
    assert "and: a rescued anchor belongs to the object that *it* overlaps most" in words
    assert "and: an object that no anchor touches has a best IoU of 0" in words


def test_an_answer_of_the_right_shape_is_not_enough():
    verdict = find("07b-matcher").grade(lambda objects, anchors, high, low: anchors[:, 0] * 0 + 3)
    assert not verdict.passed
    assert "Likely" not in verdict.message
    assert "yours 3.0000" in verdict.message


def test_cases_of_matching_hold_what_they_promise():
    """Where every object is within reach, torchvision's matcher gives the right answer."""
    theirs = torchvision.models.detection._utils.Matcher
    reached = exact = 0
    for objects, boxes, high, low in positives._images():
        iou = ops.box_iou(objects, boxes)
        exact += bool((iou.amax(0) == low).any()) and bool((iou.amax(0) == high).any())
        if (iou.amax(1) > 0).all():
            reached += 1
            right = positives._right_matches(objects, boxes, high, low)
            assert torch.equal(right, theirs(high, low, True)(iou))
    assert 0 < reached < positives.IMAGES
    assert exact > 5


@pytest.mark.parametrize("ignored", [-1, -2])
def test_the_wrong_axis_is_named_whatever_the_codes(ignored):
    """One number per object, as `iou.max(dim=1)` gives, is told by its shape."""

    def per_object(objects, anchors, high, low):
        best, matched = ops.box_iou(objects, anchors).max(dim=1)  # [G] both
        answer = torch.where(best >= high, matched, ignored)
        return torch.where(best < low, -1, answer)

    assert "wrong axis" in find("07b-matcher").grade(per_object).message


def test_natural_losses_are_named():
    """As people write them, with PyTorch's own smooth L1."""

    def by_positives(deltas, targets, labels):
        rows = labels > 0
        own = deltas[rows, labels[rows]]
        return F.smooth_l1_loss(own, targets[rows], beta=1 / 9, reduction="sum") / rows.sum()

    def default_beta(deltas, targets, labels):
        rows = labels > 0
        own = deltas[rows, labels[rows]]
        return F.smooth_l1_loss(own, targets[rows], reduction="sum") / len(labels)

    def mean_of_all(deltas, targets, labels):
        rows = labels > 0
        own = deltas[rows, labels[rows]]
        return F.smooth_l1_loss(own, targets[rows], beta=1 / 9)

    def all_pairs(deltas, targets, labels):
        targets = targets.expand(len(labels), -1, -1)
        return F.smooth_l1_loss(deltas[:, labels], targets, beta=1 / 9, reduction="sum") / len(
            labels
        )

    grade = find("07b-box-loss").grade
    words = grade(all_pairs).message
    assert "pairs every RoI with every label" in words and "background RoIs take part" in words
    assert "divided by the number of positives" in grade(by_positives).message
    assert "ends at 1, the default" in grade(default_beta).message
    words = grade(mean_of_all).message
    assert "divided by the number of positives" in words and "mean of the four" in words


def test_a_rule_for_the_left_out_alone_is_named():
    """Whoever asks first whether an object has a positive makes the loop's three mistakes, too."""

    def left_out(objects, anchors, high, low):
        iou = ops.box_iou(objects, anchors)  # [G, A]
        best, answer = iou.max(dim=0)
        answer[best < high] = -2
        answer[best < low] = -1
        for g in range(len(objects)):
            if (answer == g).sum() == 0:
                answer[iou[g].argmax()] = g
        return answer

    assert "takes all of them" in find("07b-matcher").grade(left_out).message.replace("\n", " ")
