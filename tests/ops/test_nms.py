"""Non-maximum suppression: the fixed point is the greedy answer."""

import pytest
import torch
import torchvision
from cases import random_boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_lite.ops import batched_nms, box_iou, nms, nms_mask, use_backend
from mrcnn_lite.ops.nms import BLOCK


@st.composite
def problems(draw, distinct=False):
    """Boxes on a coarse grid, so that ties, equal boxes and empty boxes are common."""
    n = draw(st.integers(0, 14))
    grid = st.integers(0, 6)
    rows = []
    for _ in range(n):
        x, y, w, h = (draw(grid) for _ in range(4))
        rows.append([x, y, x + w, y + h])
    scores = draw(st.permutations(range(n))) if distinct else [draw(grid) for _ in range(n)]
    boxes = torch.tensor(rows, dtype=torch.float32).view(-1, 4)
    return boxes, torch.tensor(scores, dtype=torch.float32)


def greedy_loop(boxes, scores, threshold):
    """The loop form of `nms`."""
    with use_backend("reference"):
        return nms(boxes, scores, threshold)


thresholds = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.7, 1.0])


def test_by_hand():
    # b overlaps a, c overlaps b but not a: a suppresses b, and so c is free.
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert nms(boxes, scores, 0.3).tolist() == [0, 2]
    assert nms(boxes, scores, 0.4).tolist() == [0, 1, 2]


def test_a_long_chain_of_suppression():
    """Each box overlaps only its neighbours, so every second one stays: the slowest case."""
    x = torch.arange(60.0)[:, None] * 5
    boxes = torch.cat([x, torch.zeros(60, 1), x + 10, torch.full((60, 1), 10.0)], dim=1)
    assert nms(boxes, torch.linspace(1, 0, 60), 0.3).tolist() == list(range(0, 60, 2))


def test_ties_go_to_the_lower_row():
    boxes = torch.tensor([[0.0, 0, 4, 4]]).repeat(5, 1)
    assert nms(boxes, torch.ones(5), 0.5).tolist() == [0]
    assert nms(boxes + torch.arange(5.0)[:, None] * 10, torch.ones(5), 0.5).tolist() == [*range(5)]


def test_nothing_to_do():
    none = nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert none.tolist() == [] and none.dtype == torch.int64
    groups = torch.zeros(0, dtype=torch.int64)
    assert batched_nms(torch.zeros(0, 4), torch.zeros(0), groups, 0.5).tolist() == []
    empty = nms_mask(torch.zeros(2, 0, 4), torch.zeros(2, 0), torch.zeros(2, 0).bool(), 0.5)
    assert empty.shape == (2, 0)


def test_an_overlap_of_exactly_the_threshold_is_allowed():
    # 3 of 10 unit squares shared: the overlap is 0.3, which float32 can only hold rounded up.
    boxes = torch.tensor([[0.0, 0, 5, 1], [2.0, 0, 10, 1]])
    assert box_iou(boxes[:1], boxes[1:]).item() > 0.3
    ours, peer = (f(boxes, torch.tensor([1.0, 0.5]), 0.3) for f in (nms, torchvision.ops.nms))
    assert ours.tolist() == peer.tolist()
    half = torch.tensor([[0.0, 0, 2, 1], [0.0, 0, 1, 1]])
    assert nms(half, torch.tensor([1.0, 0.5]), 0.5).tolist() == [0, 1]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("count", [7, 60, 200, BLOCK + 44, 2 * BLOCK + 57, 1500])
def test_equals_torchvision(count, threshold):
    boxes = random_boxes(count, 200, count)
    scores = torch.rand(count, generator=torch.Generator().manual_seed(count))
    scores = torch.argsort(scores).float()  # distinct: torchvision leaves the order of ties open
    assert torch.equal(nms(boxes, scores, threshold), torchvision.ops.nms(boxes, scores, threshold))
    for groups in (3, 40, count):
        idxs = torch.randint(groups, (count,), generator=torch.Generator().manual_seed(groups))
        expected = torchvision.ops.batched_nms(boxes, scores, idxs, threshold)
        assert torch.equal(batched_nms(boxes, scores, idxs, threshold), expected)


def test_many_boxes_stay_in_bounded_memory():
    boxes, scores = random_boxes(12_000, 2000, 0), torch.rand(12_000)
    keep = nms(boxes, scores, 0.5)
    assert torch.equal(keep.sort().values, torchvision.ops.nms(boxes, scores, 0.5).sort().values)


def test_far_coordinates_keep_their_digits():
    """The usual offset trick adds a multiple of the largest coordinate, which rounds these away."""
    boxes = torch.tensor([[1e6, 0, 1e6 + 2, 2], [1e6 + 1, 0, 1e6 + 3, 2], [1e6, 0, 1e6 + 2, 2]])
    idxs = torch.tensor([50, 50, 80])
    assert batched_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), idxs, 0.3).tolist() == [0, 2]
    assert batched_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), idxs, 0.34).tolist() == [0, 1, 2]


def test_mask_solves_each_problem_alone_and_ignores_padding():
    boxes = torch.stack([random_boxes(50, 60, s) for s in range(4)]).view(2, 2, 50, 4)
    scores = torch.rand(2, 2, 50)
    valid = torch.rand(2, 2, 50) > 0.3
    boxes[~valid] = float("nan")
    scores[~valid] = float("inf")
    keep = nms_mask(boxes, scores, valid, 0.4)
    assert not (keep & ~valid).any()
    for i in range(2):
        for j in range(2):
            rows = torch.nonzero(valid[i, j])[:, 0]
            expected = rows[greedy_loop(boxes[i, j, rows], scores[i, j, rows], 0.4)]
            assert torch.nonzero(keep[i, j])[:, 0].tolist() == sorted(expected.tolist())


def test_reference_backend():
    boxes, scores = random_boxes(60, 80, 3), torch.rand(60)
    idxs = torch.randint(4, (60,))
    shaped = boxes.view(2, 3, 10, 4), scores.view(2, 3, 10), idxs.view(2, 3, 10) > 0

    def kept():
        return (
            nms(boxes, scores, 0.4),
            batched_nms(boxes, scores, idxs, 0.4),
            nms_mask(*shaped, 0.4),
        )

    fast = kept()
    with use_backend("reference"):
        slow = kept()
    assert all(torch.equal(a, b) for a, b in zip(fast, slow))


@settings(deadline=None, derandomize=True)
@given(problem=problems(), threshold=thresholds)
def test_equals_the_greedy_loop(problem, threshold):
    boxes, scores = problem
    expected = greedy_loop(boxes, scores, threshold)
    assert torch.equal(nms(boxes, scores, threshold), expected)
    keep = nms_mask(boxes, scores, torch.ones_like(scores, dtype=torch.bool), threshold)
    assert torch.nonzero(keep)[:, 0].tolist() == sorted(expected.tolist())


@settings(deadline=None, derandomize=True)
@given(problem=problems(distinct=True), threshold=thresholds, seed=st.integers(0, 99))
def test_order_does_not_matter_and_twice_is_once(problem, threshold, seed):
    boxes, scores = problem
    keep = nms(boxes, scores, threshold)
    order = torch.randperm(len(boxes), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(order[nms(boxes[order], scores[order], threshold)], keep)
    assert nms(boxes[keep], scores[keep], threshold).tolist() == list(range(len(keep)))


@settings(deadline=None, derandomize=True)
@given(problem=problems(distinct=True), threshold=st.sampled_from([0.25, 0.5, 0.75]))
def test_kept_boxes_differ_and_dropped_ones_are_covered(problem, threshold):
    boxes, scores = problem
    keep = nms(boxes, scores, threshold)
    iou = box_iou(boxes, boxes)
    among = iou[keep][:, keep].fill_diagonal_(0)
    assert (among <= threshold).all()
    for row in set(range(len(boxes))) - set(keep.tolist()):
        assert any(iou[k, row] > threshold and scores[k] > scores[row] for k in keep)


def test_float64_and_boxes_with_a_gradient():
    boxes = random_boxes(60, 80, 3).double().requires_grad_()
    scores = torch.rand(60, dtype=torch.float64)
    wanted = nms(boxes.detach().float(), scores.float(), 0.5).tolist()
    assert nms(boxes, scores, 0.5).tolist() == wanted
    assert batched_nms(boxes, scores, torch.zeros(60).long(), 0.5).tolist() == wanted
    valid = torch.ones(60, dtype=torch.bool)
    keep = nms_mask(boxes[None], scores[None], valid[None], 0.5)[0]
    assert sorted(wanted) == keep.nonzero().flatten().tolist()


def greedy(boxes, scores, threshold):
    """The definition in plain Python floats: kept rows, best first, the lower row first in ties."""
    keep = []
    for j in sorted(range(len(boxes)), key=lambda row: (-scores[row], row)):
        if all(overlap(boxes[i], boxes[j]) <= threshold for i in keep):
            keep.append(j)
    return keep


def overlap(a, b):
    """IoU of two boxes, 0 where neither has an area."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


@pytest.mark.slow
def test_ten_thousand_sets_equal_the_definition():
    """Whole coordinates and few scores: ties, equal boxes, boxes without area, empty sets."""
    g = torch.Generator().manual_seed(0)
    for _ in range(10_000):
        count = int(torch.randint(0, 12, (), generator=g))
        corner = torch.randint(0, 6, (count, 2), generator=g)
        size = torch.randint(0, 6, (count, 2), generator=g)
        boxes = torch.cat([corner, corner + size], dim=1).double()
        scores = torch.randint(0, 4, (count,), generator=g).double() / 4
        # Whole areas up to 60: thresholds of the form n / 32 make no IoU a matter of rounding.
        threshold = int(torch.randint(0, 33, (), generator=g)) / 32
        wanted = greedy(boxes.tolist(), scores.tolist(), threshold)
        assert nms(boxes, scores, threshold).tolist() == wanted
