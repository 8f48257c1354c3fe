"""The suppression kernels against `ops`: the same boxes are kept, down to the last bit of an IoU.

Without a GPU the kernels run in Triton's interpreter, some milliseconds per program; the large
numbers are for GPUs.
"""

import pytest
import torch
from kernel_tools import DEVICE, kernels_run

from mrcnn_lite.ops import batched_nms, nms, nms_mask, use_backend

THRESHOLDS = (0.0, 0.3, 0.5, 1.0)


def crowd(problems: int, count: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple:
    """Boxes, scores and validity: thirds of small integers, so that IoUs and scores tie, boxes
    repeat, some are empty, and no coordinate is exact."""
    g = torch.Generator().manual_seed(1000 * seed + count)
    side = 6 + int(count**0.5) * 3
    corner = torch.randint(side, (problems, count, 2), generator=g)
    size = torch.randint(10, (problems, count, 2), generator=g)
    boxes = torch.cat([corner, corner + size], dim=-1) / torch.tensor(3, dtype=dtype)
    scores = torch.randint(3 * count, (problems, count), generator=g) / (3 * count)
    valid = torch.rand(problems, count, generator=g) < 0.8
    return boxes.to(DEVICE), scores.to(DEVICE), valid.to(DEVICE)


def islands(problems: int, seed: int) -> tuple:
    """Eight problems of eight boxes inside each: eight far corners where boxes crowd."""
    g = torch.Generator().manual_seed(seed)
    corner = torch.randint(5, (problems, 64, 2), generator=g) / 3
    size = torch.randint(1, 6, (problems, 64, 2), generator=g) / 3
    boxes = torch.cat([corner, corner + size], dim=-1)
    boxes += 100 * torch.randint(8, (problems, 64, 1), generator=g)
    scores = torch.randint(40, (problems, 64), generator=g).float()
    return boxes.to(DEVICE), scores.to(DEVICE), torch.ones_like(scores, dtype=bool, device=DEVICE)


def both(function, *args):
    """What the tensor form and the kernel make of the same call."""
    with use_backend("torch"):
        expected = function(*args)
    with kernels_run():
        return function(*args), expected


def assert_same(function, *args):
    found, expected = both(function, *args)
    assert torch.equal(found, expected)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("count", [1, 63, 64, 65])
def test_mask(count, dtype):
    boxes, scores, valid = crowd(2, count, dtype)
    for threshold in THRESHOLDS:
        keep = assert_same(nms_mask, boxes, scores, valid, threshold)
        assert not (keep & ~valid).any()


@pytest.mark.parametrize("count", [200, 330])  # four blocks; more than the kernel reads at a time
def test_many_blocks(count):
    assert_same(nms_mask, *crowd(1, count), 0.4)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7])
def test_many_small_problems(threshold):
    assert_same(nms_mask, *islands(24, seed=int(10 * threshold)), threshold)


def test_a_chain_through_blocks():
    """Each box overlaps only its neighbours: every second one stays, after the most rounds."""
    x = torch.arange(130.0, device=DEVICE)[:, None] * 5
    low, high = torch.zeros_like(x), torch.full_like(x, 10)
    boxes = torch.cat([x, low, x + 10, high], dim=1)
    with kernels_run():
        kept = nms(boxes, torch.linspace(1, 0, 130, device=DEVICE), 0.3)
    assert kept.tolist() == list(range(0, 130, 2))


def test_an_overlap_of_exactly_the_threshold_is_allowed():
    boxes = torch.tensor([[0.0, 0, 5, 1], [2.0, 0, 10, 1]], device=DEVICE)  # 3 of 10 squares
    scores = torch.tensor([1.0, 0.5], device=DEVICE)
    for dtype in (torch.float32, torch.float64, torch.float16):
        with kernels_run():
            kept = [nms(boxes.to(dtype), scores, t).tolist() for t in (0.299, 0.3)]
        assert_same(nms, boxes.to(dtype), scores, 0.3)
        assert kept[0] == [0]
        assert kept[1] == ([0] if dtype != torch.float64 else [0, 1])


def test_equal_boxes_and_equal_scores():
    boxes = torch.tensor([[0.0, 0, 4, 4], [9, 9, 9, 12]], device=DEVICE).repeat(3, 1)
    with kernels_run():  # the lowest row of the equal ones; boxes without area overlap nothing
        assert nms(boxes, torch.ones(6, device=DEVICE), 0.5).tolist() == [0, 1, 3, 5]


def test_groups():
    boxes, scores, _ = crowd(1, 150)
    idxs = torch.arange(150, device=DEVICE) % 7 - 3
    assert_same(nms, boxes[0], scores[0], 0.3)
    assert_same(batched_nms, boxes[0], scores[0], idxs, 0.3)


def test_padding_and_leading_dimensions():
    boxes, scores, valid = crowd(6, 20)
    valid[0] = False
    boxes[~valid], scores[~valid] = float("nan"), float("inf")
    shaped = boxes.view(2, 3, 20, 4), scores.view(2, 3, 20), valid.view(2, 3, 20)
    keep = assert_same(nms_mask, *shaped, 0.3)
    assert not keep[0, 0].any()
    assert_same(nms_mask, boxes[1], scores[1], valid[1], 0.3)


def test_nothing_to_do():
    for shape in ((0,), (2, 0), (0, 5)):
        boxes, scores = torch.zeros(*shape, 4, device=DEVICE), torch.zeros(shape, device=DEVICE)
        assert assert_same(nms_mask, boxes, scores, scores > 0, 0.5).shape == shape
    none = torch.zeros(0, 4, device=DEVICE), torch.zeros(0, device=DEVICE)
    assert assert_same(nms, *none, 0.5).dtype == torch.int64
    assert assert_same(batched_nms, *none, none[1].long(), 0.5).dtype == torch.int64


def test_the_operator_is_registered_rightly():
    boxes, _, valid = crowd(2, 5)
    suppress = torch.ops.mrcnn_lite.suppress
    with kernels_run():
        torch.library.opcheck(suppress, (boxes, valid, None, 0.5))
        torch.library.opcheck(suppress, (boxes, valid, valid.long(), 0.5))


@pytest.mark.gpu
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("count", [64, 1000, 2000, 5000])
def test_gpu_equals_the_cpu(count, threshold):
    """Coordinates with all their digits: a fused product and sum would decide otherwise."""
    corner = torch.rand(4, count, 2) * 300
    boxes = torch.cat([corner, corner + torch.rand(4, count, 2) * 60], dim=-1)
    scores, valid = torch.rand(4, count), torch.rand(4, count) < 0.9
    idxs = torch.randint(80, (count,))
    expected = nms_mask(boxes, scores, valid, threshold)
    groups = batched_nms(boxes[0], scores[0], idxs, threshold)
    with kernels_run():
        found = nms_mask(boxes.to(DEVICE), scores.to(DEVICE), valid.to(DEVICE), threshold)
        of_groups = batched_nms(
            boxes[0].to(DEVICE), scores[0].to(DEVICE), idxs.to(DEVICE), threshold
        )
    assert torch.equal(found.cpu(), expected)
    assert torch.equal(of_groups.cpu(), groups)


@pytest.mark.gpu
def test_thousands_of_problems():
    for seed in range(5):
        for threshold in (0.1, 0.3, 0.5, 0.7):
            assert_same(nms_mask, *islands(500, seed), threshold)


@pytest.mark.gpu
def test_nothing_waits_for_the_gpu():
    arguments = crowd(10, 500)
    with kernels_run():
        nms_mask(*arguments, 0.7)  # compiles
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            nms_mask(*arguments, 0.7)
        finally:
            torch.cuda.set_sync_debug_mode("default")
