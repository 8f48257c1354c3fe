"""How often the host waits for a GPU, on fake tensors: the counts must not grow."""

import pytest
import torch

from benchmarks.fake_gpu import fake_models, watched
from benchmarks.syncs import _on_fakes, make_batch, places, waits_of_a_look, waits_of_a_step
from mrcnn_lite.config import lite
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.detector import Detector
from mrcnn_lite.models.matching import random_keys
from mrcnn_lite.models.recorded import Recorded
from mrcnn_lite.ops.constants import constant, forget_constants, kept_constants
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
    assert len(watch.found) <= most, places(watch)


def test_a_look_waits_once():
    """To learn how many detections there are; without a `Detector` as with one."""
    watch = waits_of_a_look(lite(), SIZE)
    assert len(watch.found) <= 1, places(watch)


@pytest.fixture
def no_graphs(monkeypatch):
    """On fakes nothing can be recorded; the function that would be is called instead."""
    monkeypatch.setattr(Recorded, "_record", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(fast, "image_keys", lambda *_: random_keys())


def test_nothing_waits_in_what_the_fast_step_records(no_graphs):
    with watched() as watch, _on_fakes():
        with fake_models():
            run = fast.FastRun(lite(), [str(i) for i in range(6)], 0, "cuda")
        batch = make_batch(2, "cuda", SIZE)
        run.step(batch, 0.0)
        watch.found.clear()
        run.step(batch, 0.0)
    assert len(run._steps) == 1
    assert [place.split()[1] for place, _ in watch.found] == ["check_targets:", "step:"]


def test_nothing_waits_in_what_a_detector_records(no_graphs):
    with watched() as watch:
        with fake_models():
            detector = Detector(MaskRCNN(lite()))
        images, _ = make_batch(1, "cuda", SIZE)
        detector(images[0])
        watch.found.clear()
        detector(images[0])
    assert [place.split()[1] for place, _ in watch.found] == ["trim:"]


def test_constants_are_kept_where_they_would_have_to_be_copied():
    forget_constants()
    cpu, meta = torch.device("cpu"), torch.device("meta")
    assert constant((1.0, 2.5), torch.float64, cpu).tolist() == [1.0, 2.5]
    assert not kept_constants()
    with torch.inference_mode():
        one = constant(((1, 2), (3, 4)), torch.int64, meta)
    assert one.shape == (2, 2) and not one.is_inference()
    assert constant(((1, 2), (3, 4)), torch.int64, meta) is one
    assert constant(((1, 2), (3, 4)), torch.float32, meta) is not one
    assert len(kept_constants()) == 2
    forget_constants()
    assert not kept_constants()
