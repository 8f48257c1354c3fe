"""Exercises of notebook 06: the truth is torchvision's, pairs of mistakes, and what may differ.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import functools
import math
from collections import OrderedDict

import pytest
import torch
import torchvision

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n06_feature_pyramids import exercises as pyramid
from mrcnn_lite.ops import roi_align
from tools.exercise_sources import chapter_of


def test_the_right_variants_are_right():
    """The mistakes differ from the truth by their switch only."""
    assert find("06-level").grade(pyramid._level_variant).passed
    assert find("06-pyramid").grade(pyramid._pyramid_variant).passed


def test_the_truth_is_torchvisions():
    for boxes, k_min, k_max in pyramid._level_cases():
        mapper = torchvision.ops.poolers.LevelMapper(k_min, k_max)
        assert torch.equal(pyramid._right_levels(boxes, k_min, k_max), mapper([boxes]) + k_min)
    for features, boxes, size, strides in pyramid._pyramids():
        names = [str(stride) for stride in strides]
        pooler = torchvision.ops.MultiScaleRoIAlign(names, size, sampling_ratio=2)
        maps = OrderedDict((name, feature[None]) for name, feature in zip(names, features))
        theirs = pooler(maps, [boxes], [pyramid.IMAGE])
        assert pooler.scales == [1 / stride for stride in strides]
        torch.testing.assert_close(pyramid._right_pyramid(features, boxes, size, strides), theirs)


def test_the_cases_reach_every_level_and_both_limits():
    reached, beyond = set(), set()
    for boxes, k_min, k_max in pyramid._level_cases():
        assert len(boxes) > 4
        side = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
        free = torch.floor(4 + torch.log2(side / 224))
        reached |= {(k_min, k_max, int(k)) for k in free.clamp(k_min, k_max)}
        beyond |= {(k_min, "low") for k in free if k < k_min}
        beyond |= {(k_max, "high") for k in free if k > k_max}
    assert {(2, 5, k) for k in (2, 3, 4, 5)} | {(3, 5, k) for k in (3, 4, 5)} <= reached
    assert {(2, "low"), (3, "low"), (4, "high")} <= beyond
    for features, boxes, _, strides in pyramid._pyramids():
        assert all(boxes[:, 2] <= pyramid.IMAGE[1]) and all(boxes[:, 3] <= pyramid.IMAGE[0])
        k_min, k_max = (int(math.log2(stride)) for stride in (strides[0], strides[-1]))
        used = pyramid._right_levels(boxes, k_min, k_max).unique()
        assert len(used) == len(features), "every level pools a box"


@pytest.mark.parametrize("form", [lambda k: k, lambda k: k.float(), lambda k: k.tolist()])
def test_levels_without_the_small_number_and_in_any_form_pass(form):
    def levels(boxes, k_min, k_max):
        found = [
            4 + math.log2(math.sqrt((x2 - x1) * (y2 - y1)) / 224)
            for x1, y1, x2, y2 in boxes.tolist()
        ]
        return form(torch.tensor([min(max(math.floor(k), k_min), k_max) for k in found]))

    assert find("06-level").grade(levels).passed


def test_two_mistakes_at_once():
    words = {change: text for text, kwargs in pyramid.LEVEL_MISTAKES.items() for change in kwargs}
    function = functools.partial(pyramid._level_variant, low=False, base=0)
    verdict = find("06-level").grade(function).message
    assert f"Likely: {words['low']}" in verdict and f"and: {words['base']}" in verdict
    both = {
        "scatter": lambda out, rows, pooled: pooled,
        "scale": lambda strides, index: 1 / strides[0],
    }
    verdict = find("06-pyramid").grade(functools.partial(pyramid._pyramid_variant, **both)).message
    assert "Likely: the answers stand in the order of the levels" in verdict
    assert "and: one stride, the finest" in verdict


def test_the_notebooks_loop_that_joins_by_level_is_named():
    """The mistake as section 7 shows it, written without the module's own variants."""
    right = chapter_of("06-pyramid").solution("06-pyramid")

    def joined(features, boxes, size, strides):
        k_min, k_max = round(math.log2(strides[0])), round(math.log2(strides[-1]))
        levels = pyramid._right_levels(boxes, k_min, k_max)
        order = torch.cat([torch.nonzero(levels == k)[:, 0] for k in range(k_min, k_max + 1)])
        return right(features, boxes, size, strides)[order]

    assert (
        "the answers stand in the order of the levels" in find("06-pyramid").grade(joined).message
    )


@pytest.mark.parametrize("own", [True, False])
def test_the_notebooks_function_copied_as_it_is_is_named(own):
    """Section 7's `multiscale_toy` knows P2 to P5 only, and 2**k is the stride there."""

    def copied(features, boxes, size, strides):
        levels = pyramid._right_levels(boxes, 2, 5)
        out = torch.zeros(len(boxes), len(features[0]), size, size)
        for k, feature, stride in zip((2, 3, 4, 5), features, strides):
            rows = torch.nonzero(levels == k)[:, 0]
            args = ([boxes[rows]], size, 1 / stride if own else 1 / 2**k, 2)
            out[rows] = roi_align(feature[None], *args, aligned=False)
        return out

    words = find("06-pyramid").grade(copied).message
    assert "Likely: the levels are held between 2 and 5" in words
    assert ("comes from the list" in words) != own
