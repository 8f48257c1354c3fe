"""The matching kernels against `ops`: the same bits."""

import importlib

import pytest
import torch
from kernel_tools import DEVICE, kernels_run

from mrcnn_lite.models.matching import match
from mrcnn_lite.ops import best_objects, nms, use_backend


def boxes_of(*shape: int, seed: int = 0) -> torch.Tensor:
    """Thirds of small integers: overlaps tie, some boxes are empty, no coordinate is exact."""
    g = torch.Generator().manual_seed(seed)
    corner = torch.randint(40, (*shape, 2), generator=g)
    return torch.cat([corner, corner + torch.randint(16, (*shape, 2), generator=g)], dim=-1) / 3


def problem(count: int, shared: bool, dtype: torch.dtype = torch.float32) -> tuple:
    """Two images with up to six objects, two of them equal, and boxes."""
    objects = boxes_of(2, 6, seed=count)
    objects[:, 4] = objects[:, 1]
    valid = torch.tensor(
        [[True, True, False, True, True, True], [True, True, True, False] + [False] * 2]
    )
    boxes = boxes_of(count, seed=1) if shared else boxes_of(2, count, seed=1)
    return objects.to(DEVICE, dtype), valid.to(DEVICE), boxes.to(DEVICE, dtype)


def assert_same(*args):
    with use_backend("torch"):
        expected = best_objects(*args)
    with kernels_run():
        found = best_objects(*args)
    for a, b in zip(found, expected):
        assert (a is None) == (b is None)
        assert a is None or (a.dtype == b.dtype and torch.equal(a, b))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
def test_best_objects(count, shared, dtype):
    found = assert_same(*problem(count, shared, dtype), True)
    assert found.low_quality.any() or count == 1


def test_without_low_quality():
    assert assert_same(*problem(30, True)).low_quality is None


def test_padding_matches_nothing():
    objects, valid, boxes = problem(30, True)
    valid[1] = False
    objects[~valid] = float("nan")
    found = assert_same(objects, valid, boxes, True)
    assert (
        (found.iou[1] == -1).all() and not found.index[1].any() and not found.low_quality[1].any()
    )


def test_ties_go_to_the_lower_row():
    objects = torch.tensor([[[0.0, 0, 4, 4], [8, 8, 9, 9], [0, 0, 4, 4]]], device=DEVICE)
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [20, 20, 30, 30]], device=DEVICE)
    found = assert_same(objects, torch.ones(1, 3, dtype=torch.bool, device=DEVICE), boxes, True)
    assert found.index.tolist() == [[0, 0, 0]] and found.iou.tolist() == [[1, 1, 0]]
    assert found.low_quality.tolist() == [[True, True, False]]  # the middle object has none


def test_no_boxes_and_other_types():
    objects, valid, boxes = problem(20, True)
    assert assert_same(objects, valid, boxes[:0], True).iou.shape == (2, 0)
    assert_same((objects * 3).long(), valid, (boxes * 3).long(), True)
    assert assert_same(objects.half(), valid, boxes.half(), True).iou.dtype == torch.float32
    assert assert_same(objects.double(), valid, boxes, True).iou.dtype == torch.float64
    assert_same(objects[:, ::2], valid[:, ::2], boxes.flip(0), True)


def test_match_takes_the_kernel():
    objects, valid, boxes = problem(200, True)
    for low_quality in (False, True):
        with use_backend("torch"):
            expected = match(objects, valid, boxes, 0.6, 0.3, low_quality)
        with kernels_run():
            found = match(objects, valid, boxes, 0.6, 0.3, low_quality)
        assert all(torch.equal(a, b) for a, b in zip(found, expected))


def test_the_operators_are_registered_rightly():
    objects, valid, boxes = problem(20, False)
    with kernels_run():
        torch.library.opcheck(torch.ops.mrcnn_lite.best_objects, (objects, valid, boxes))
        top = torch.ops.mrcnn_lite.best_objects(objects, valid, boxes)[2]
        torch.library.opcheck(torch.ops.mrcnn_lite.low_quality, (objects, top, boxes))


def test_overlaps_are_launched_without_fused_products(monkeypatch):
    """In the interpreter nothing is ever fused; on a GPU this option alone prevents it."""
    launched = {}

    class Listener:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            def launch(*args, **options):
                launched[self.kernel.__name__] = options.get("enable_fp_fusion")
                self.kernel[grid](*args, **options)

            return launch

    names = {
        "_best_kernel": "matching",
        "_low_quality_kernel": "matching",
        "_conflict_kernel": "nms",
    }
    for name, file in names.items():
        module = importlib.import_module(f"mrcnn_lite.kernels.{file}")
        monkeypatch.setattr(module, name, Listener(getattr(module, name)))
    objects, valid, boxes = problem(20, True)
    with kernels_run():
        best_objects(objects, valid, boxes, True)
        nms(boxes, torch.ones(20, device=DEVICE), 0.5)
    assert launched == dict.fromkeys(names, False)


@pytest.mark.gpu
@pytest.mark.parametrize(("count", "objects"), [(1000, 3), (65_472, 20), (268_569, 50)])
def test_gpu_equals_the_cpu(count, objects):
    """Coordinates with all their digits, as many anchors as a photograph has."""
    corner = torch.rand(2, objects, 2) * 600
    gt = torch.cat([corner, corner + 5 + torch.rand(2, objects, 2) * 200], dim=-1)
    corner = torch.rand(count, 2) * 700 - 50
    boxes = torch.cat([corner, corner + 5 + torch.rand(count, 2) * 300], dim=-1)
    valid = torch.rand(2, objects) < 0.8
    expected = best_objects(gt, valid, boxes, True)
    with kernels_run():
        found = best_objects(gt.to(DEVICE), valid.to(DEVICE), boxes.to(DEVICE), True)
    assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected))


@pytest.mark.gpu
def test_nothing_waits_for_the_gpu():
    arguments = problem(5000, True)
    with kernels_run():
        best_objects(*arguments, True)  # compiles
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            best_objects(*arguments, True)
        finally:
            torch.cuda.set_sync_debug_mode("default")
