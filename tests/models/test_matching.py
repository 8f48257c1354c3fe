"""Matching and sampling: by hand, against torchvision, and as properties of random cases."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_lite.models.matching import BalancedSampler, match, sample
from mrcnn_lite.ops import best_objects, box_iou, use_backend

# One object, 10 pixels wide; boxes that overlap it by 1, 0.5, 1/3 and 0.
OBJECT = torch.tensor([[[0.0, 0.0, 10.0, 10.0]]])
BOXES = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 5], [5.0, 0, 15, 10], [50.0, 50, 60, 60]])
REAL = torch.tensor([[True]])


def test_match_by_hand():
    matched, labels = match(OBJECT, REAL, BOXES, 0.7, 0.4)
    assert matched.tolist() == [[0, 0, 0, 0]]
    assert labels.tolist() == [[1, -1, 0, 0]]  # IoU 1, 0.5, 1/3, 0


def test_low_quality_match_rescues_an_object():
    weak = BOXES[2:]
    assert match(OBJECT, REAL, weak, 0.7, 0.3)[1].tolist() == [[-1, 0]]
    assert match(OBJECT, REAL, weak, 0.7, 0.3, allow_low_quality=True)[1].tolist() == [[1, 0]]


def test_an_object_out_of_reach_makes_no_positive():
    far = BOXES[3:]
    assert match(OBJECT, REAL, far, 0.7, 0.3, allow_low_quality=True)[1].tolist() == [[0]]


def test_padding_matches_nothing():
    _, labels = match(OBJECT, ~REAL, BOXES, 0.5, 0.5, allow_low_quality=True)
    assert labels.tolist() == [[0, 0, 0, 0]]


def test_best_objects_by_hand():
    objects = torch.cat([OBJECT, OBJECT + 50, OBJECT], dim=1)
    best, index, low_quality = best_objects(objects, torch.ones(1, 3).bool(), BOXES, True)
    assert best.tolist() == [pytest.approx([1, 0.5, 1 / 3, 1])]
    assert index.tolist() == [[0, 0, 0, 1]], "the first of two equal objects"
    assert low_quality.tolist() == [[True, False, False, True]]
    assert best_objects(objects, torch.ones(1, 3).bool(), BOXES).low_quality is None


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_best_objects_loop_equals_the_table(dtype, shared):
    """Small integers, so that overlaps tie and some boxes are empty."""
    corner = torch.randint(12, (3, 30, 2))
    boxes = torch.cat([corner, corner + torch.randint(6, (3, 30, 2))], dim=2).to(dtype)
    valid = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    arguments = boxes[:, :4], valid, boxes[0, 4:] if shared else boxes[:, 4:], True
    fast = best_objects(*arguments)
    with use_backend("reference"):
        slow = best_objects(*arguments)
    assert all(torch.equal(a, b) for a, b in zip(fast, slow))
    assert (fast.iou[1] == -1).all() and not fast.low_quality[1].any()


@pytest.mark.parametrize("low_quality", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_match_equals_torchvision(seed, low_quality):
    matcher = pytest.importorskip("torchvision").models.detection._utils.Matcher
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(1, 5, 2, generator=generator) * 60
    objects = torch.cat([corner, corner + 10 + torch.rand(1, 5, 2, generator=generator) * 30], 2)
    corner = torch.rand(80, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 10 + torch.rand(80, 2, generator=generator) * 30], 1)
    valid = torch.ones(1, 5, dtype=torch.bool)
    matched, labels = match(objects, valid, boxes, 0.6, 0.3, low_quality)
    theirs = matcher(0.6, 0.3, low_quality)(box_iou(objects[0], boxes))
    wanted = torch.where(theirs >= 0, 1, torch.where(theirs == -1, 0, -1))
    assert labels[0].tolist() == wanted.tolist()
    positive = theirs >= 0
    assert matched[0][positive].tolist() == theirs[positive].tolist()


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    labels=st.lists(st.integers(-1, 2), min_size=1, max_size=40),
    count=st.integers(1, 30),
    fraction=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_sample_properties(labels, count, fraction, seed):
    labels = torch.tensor([labels])
    sampler = BalancedSampler(torch.Generator().manual_seed(seed))
    index, valid = sampler(labels, count, fraction)
    chosen = index[0][valid[0]]
    kinds = labels[0][chosen]
    positives, background = int((labels > 0).sum()), int((labels == 0).sum())
    assert len(set(chosen.tolist())) == len(chosen), "no box twice"
    assert (kinds >= 0).all(), "no ignored box"
    assert int((kinds > 0).sum()) == min(positives, int(count * fraction))
    assert int((kinds == 0).sum()) == min(background, count - int((kinds > 0).sum()))
    assert kinds.gt(0).int().diff().le(0).all(), "positives first"
    assert valid.int().diff().le(0).all(), "padding last"


def test_fixed_priorities_fix_the_choice():
    labels = torch.tensor([[1, 1, 0, 0, 0, 1]])
    index, valid = sample(labels, 4, 0.5, torch.arange(6.0)[None] / 6)
    assert index.tolist() == [[0, 1, 2, 3]]
    assert valid.all()
