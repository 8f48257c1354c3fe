"""How often the host waits for a GPU, on fake tensors: the counts must not grow."""

from pathlib import Path

import pytest
import torch

from mrcnn_lite.config import lite
from mrcnn_lite.lessons.n17_gpu_training.fake_gpu import fake_models, watched
from mrcnn_lite.lessons.n17_gpu_training.waits import (
    locations,
    make_batch,
    on_fakes,
    waits_of_a_step,
    waits_of_inference,
    waits_of_torchvision,
)
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.cuda_graph import GraphedCallable
from mrcnn_lite.models.detector import Detector
from mrcnn_lite.models.matching import random_priorities
from mrcnn_lite.ops.constants import KEPT, constant
from mrcnn_lite.training import fast

pytest.importorskip("triton")
SIZE = (64, 96)


@pytest.mark.parametrize(
    ("batch_on", "most"),
    [
        ("cuda", 2),  # whether the targets make sense, and the losses
        ("cpu", 1),  # the losses; targets are looked at on the host, copies do not wait
    ],
)
def test_a_training_step_waits_no_more_than(batch_on, most):
    watch = waits_of_a_step(lite(), batch_on, SIZE)
    assert len(watch.found) <= most, locations(watch)


def test_inference_waits_once():
    """To learn how many detections there are; without a `Detector` as with one."""
    watch = waits_of_inference(lite(), SIZE)
    assert len(watch.found) <= 1, locations(watch)


@pytest.fixture
def no_graphs(monkeypatch):
    """On fakes nothing can be recorded; the function that would be is called instead."""
    monkeypatch.setattr(GraphedCallable, "_record", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(fast, "image_priorities", lambda *_: random_priorities())


def test_nothing_waits_in_what_the_fast_step_records(no_graphs):
    with watched() as watch, on_fakes():
        with fake_models():
            run = fast.FastRun(lite(), [str(i) for i in range(6)], 0, "cuda")
        batch = make_batch(2, "cuda", SIZE)
        run.step(batch, 0.0)
        watch.found.clear()
        run.step(batch, 0.0)
    assert len(run._steps) == 1
    assert [line.split()[1] for line, _ in watch.found] == ["_check_values:", "step:"]


def test_nothing_waits_in_what_a_detector_records(no_graphs):
    with watched() as watch:
        with fake_models():
            detector = Detector(MaskRCNN(lite()))
        images, _ = make_batch(1, "cuda", SIZE)
        detector(images[0])
        watch.found.clear()
        detector(images[0])
    assert [line.split()[1] for line, _ in watch.found] == ["drop_padding:"]


def test_constants_are_kept_where_they_would_have_to_be_copied():
    KEPT.clear()
    cpu, meta = torch.device("cpu"), torch.device("meta")
    assert constant((1.0, 2.5), torch.float64, cpu).tolist() == [1.0, 2.5]
    assert not KEPT
    with torch.inference_mode():
        one = constant(((1, 2), (3, 4)), torch.int64, meta)
    assert one.shape == (2, 2) and not one.is_inference()
    assert constant(((1, 2), (3, 4)), torch.int64, meta) is one
    assert constant(((1, 2), (3, 4)), torch.float32, meta) is not one
    assert len(KEPT) == 2
    KEPT.clear()
    assert not KEPT


# --- What the watch finds -----------------------------------------------------------------------


def found_in(function) -> list[tuple[str, str]]:
    """What a function of this file waits for."""
    with watched(root=Path(__file__).parent) as watch:
        function(torch.rand(4, 3, device="cuda"))
    return watch.found


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x.sum().item(), "a number is read"),
        (lambda x: bool((x > 0).any()), "a number is read"),
        (lambda x: x.tolist(), "numbers are read"),
        (lambda x: x.nonzero(), "the size of nonzero depends on values"),
        (lambda x: x[x > 0], "the size of a boolean index depends on values"),
        (lambda x: x.masked_select(x > 0), "the size of masked_select depends on values"),
        (lambda x: x.cpu(), "a copy between host and GPU"),
        (lambda x: x.new_tensor([1.0]), "a copy between host and GPU"),
        (lambda x: x[torch.arange(2)], "an index on the host is copied"),
        (lambda x: x.copy_(torch.zeros(4, 3)), "a copy between host and GPU"),
    ],
)
def test_a_planted_wait_is_found(function, why):
    ((line, found),) = found_in(function)
    assert found == why
    assert line.startswith("lessons/test_n17_waits.py:")
    assert "(lambda x: " in line


def test_a_boolean_index_beside_others():
    ((_, why),) = found_in(lambda x: x[x[:, 0] > 0, torch.zeros(4, device="cuda").long()])
    assert why == "the size of a boolean index depends on values"


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[x.argmax(dim=0)] + x.sum(),
        lambda x: torch.where(x > 0, x, 0.0),
        lambda x: torch.zeros(4, 3).to("cuda", non_blocking=True),
        lambda x: torch.full((3,), 0.5, device="cuda") * x,
        lambda x: x.masked_fill_(x > 0, 1.0),
        lambda x: torch.zeros(3).sum().item() + len(torch.zeros(3).nonzero()),  # on the host
    ],
)
def test_what_does_not_wait_is_not_reported(function):
    assert found_in(function) == []


@pytest.mark.slow
def test_waits_of_torchvision():
    found = waits_of_torchvision((128, 192)).found
    lines = " ".join(line for line, _ in found)
    for name in ("poolers.py", "roi_heads.py", "rpn.py", "_utils.py", "boxes.py"):
        assert name in lines
    assert sum("nms" in why for _, why in found) == 2, "one for each image"
