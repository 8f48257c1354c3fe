"""Batches made ahead by a thread: the same ones, and an end without a thread left over."""

import contextlib
import threading
import time
from pathlib import Path
from unittest import mock

import pytest
import torch

from mrcnn_lite.config import lite
from mrcnn_lite.datasets import Shapes, open_dataset, transforms
from mrcnn_lite.datasets.batches import loader
from mrcnn_lite.datasets.transforms import Compose, RandomDihedral
from mrcnn_lite.training import TrainingRun, train, training_batches
from mrcnn_lite.training.prefetch import ToDevice, prefetch
from mrcnn_lite.training.run import to_device

SHAPES = Shapes(8, seed=1)
CPU = torch.device("cpu")
SMALL = lite(6).with_(
    image={"min_size": 64, "max_size": 96},
    rpn={"pre_nms_train": 40, "post_nms_train": 20},
    training={"batch_size": 2, "warmup_steps": 3},
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def threads():
    return [t for t in threading.enumerate() if t.name == "prefetch"]


def equal(a, b):
    """Whether two batches are equal, bit by bit and in all fields."""
    assert [t.keys() for t in a[1]] == [t.keys() for t in b[1]]
    same = [torch.equal(x, y) for x, y in zip(a[0], b[0], strict=True)]
    for one, other in zip(a[1], b[1], strict=True):
        for name, value in one.items():
            tensor = isinstance(value, torch.Tensor)
            same.append(torch.equal(value, other[name]) if tensor else value == other[name])
    return all(same)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("start", [0, 3])
def test_the_same_batches_in_the_same_order(start, device):
    device = torch.device(device)
    flips = Compose([ToDevice(device), RandomDihedral()])
    plain = loader(SHAPES, 3, seed=5, transform=RandomDihedral(), start=start)
    ahead = prefetch(loader(SHAPES, 3, seed=5, transform=flips, start=start), device)
    for _ in range(5):
        batch = next(ahead)
        assert batch[0][0].device.type == device.type
        assert equal(next(plain), to_device(batch, CPU))
    assert len(threads()) == 1
    ahead.close()
    assert not threads()


def test_a_finite_iterator_ends_and_so_does_the_thread():
    assert list(prefetch(iter([1, 2, 3]), ahead=1)) == [1, 2, 3]
    assert not threads()


def test_the_thread_works_ahead_but_not_further_than_asked():
    made = []

    def count():
        for number in range(100):
            made.append(number)
            yield number

    ahead = prefetch(count(), ahead=2)
    assert next(ahead) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert made == [0, 1, 2, 3]  # one taken, two ready, one in hand
    ahead.close()
    assert not threads()


def test_an_error_arrives_at_its_place_with_its_words_and_its_traceback():
    def broken():
        yield 1
        raise ValueError("photo 7 cannot be read")

    ahead = prefetch(broken())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="photo 7 cannot be read") as caught:
        next(ahead)
    assert any(entry.name == "broken" for entry in caught.traceback)
    assert not threads()


SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "instances.json"


@pytest.mark.parametrize("crop_size", [0, 64])
def test_photographs_too_whole_or_cut(crop_size):
    dataset = open_dataset(SAMPLE)
    config = SMALL.with_(training={"crop_size": crop_size})
    plain, ahead = (training_batches(config, dataset, 3, on)(1) for on in (None, CPU))
    for _ in range(6):
        assert equal(next(plain), next(ahead))
    ahead.close()
    assert not threads()


@pytest.mark.parametrize(("crop_size", "flipped_there"), [(0, True), (64, False)])
def test_whole_pictures_are_flipped_on_the_device(crop_size, flipped_there, monkeypatch):
    """On "meta", a device without numbers, in place of a GPU."""
    there = []
    for change in ("flip_x", "flip_y", "transpose"):
        before = getattr(transforms, change)

        def noted(image, target, *pairs, change=before):
            there.append(image.device.type == "meta" and target["masks"].device.type == "meta")
            return change(image, target, *pairs)

        monkeypatch.setattr(transforms, change, noted)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    config = SMALL.with_(training={"crop_size": crop_size})
    ahead = training_batches(config, open_dataset(SAMPLE), 3, torch.device("meta"))(0)
    for _ in range(6):
        images, targets = next(ahead)
        assert {value.device.type for value in [*images, targets[0]["boxes"]]} == {"meta"}
    ahead.close()
    assert there and all(there) == any(there) == flipped_there


class OnGPU(torch.Tensor):
    """A tensor that says it lies on a GPU and remembers which streams use it."""

    is_cuda = True

    def record_stream(self, stream):
        self.streams = [*getattr(self, "streams", []), stream]


def test_the_protocol_of_streams(monkeypatch):
    """Made on the side stream, waited for by the current one, kept until that is done."""
    side, current, inside = mock.Mock(), mock.Mock(), []

    @contextlib.contextmanager
    def stream(which):
        inside.append(which)
        yield
        inside.remove(which)

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current)
    image, boxes, made_on = torch.zeros(3).as_subclass(OnGPU), torch.zeros(1, 4), []

    def batches():
        made_on.extend(inside)
        yield [image], [{"boxes": boxes.as_subclass(OnGPU), "file_name": "a", "here": boxes}]

    ((images, targets),) = prefetch(batches(), torch.device("cuda"))
    assert made_on == [side]
    current.wait_event.assert_called_once_with(side.record_event.return_value)
    assert images[0].streams == targets[0]["boxes"].streams == [current]


def test_an_interrupted_loop_leaves_no_thread(tmp_path):
    run = TrainingRun(SMALL, SHAPES.class_names)
    batches = training_batches(SMALL, SHAPES, 0, CPU)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, batches, tmp_path, steps=3, on_step=stop)
    assert not threads()


def test_a_resumed_run_sees_what_it_would_have_seen(tmp_path):
    plain, ahead = training_batches(SMALL, SHAPES, 0), training_batches(SMALL, SHAPES, 0, CPU)
    whole, first, second = (TrainingRun(SMALL, SHAPES.class_names) for _ in range(3))
    for step, batch in zip(range(3), plain(0), strict=False):
        whole.step(batch, step / 3)
    source = ahead(0)
    for step in range(2):
        first.step(next(source), step / 3)
    source.close()
    first.save(tmp_path)
    second.load(tmp_path)
    source = ahead(second.steps)
    second.step(next(source), 2 / 3)
    source.close()
    pairs = zip(whole.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not threads()
