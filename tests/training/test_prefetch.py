"""Batches made ahead by threads: the same ones, and an end without a thread left over."""

import contextlib
import threading
import time
import warnings
from pathlib import Path
from unittest import mock

import pytest
import torch

from mrcnn_lite.config import lite
from mrcnn_lite.datasets import Shapes, open_dataset, transforms
from mrcnn_lite.datasets.batches import Batches
from mrcnn_lite.datasets.transforms import Compose, RandomDihedral
from mrcnn_lite.training import TrainingRun, train, training_batches
from mrcnn_lite.training.distributed import free_cores
from mrcnn_lite.training.prefetch import MOST, ToDevice, default_threads, prefetch
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
    return [t for t in threading.enumerate() if t.name.startswith("prefetch")]


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
@pytest.mark.parametrize(("start", "workers"), [(0, 1), (3, 1), (3, 4)])
def test_the_same_batches_in_the_same_order(start, workers, device):
    device = torch.device(device)
    flips = Compose([ToDevice(device), RandomDihedral()])
    plain = Batches(SHAPES, 3, seed=5, transform=RandomDihedral()).steps(start)
    ahead = prefetch(Batches(SHAPES, 3, seed=5, transform=flips), start, device, workers)
    for _ in range(8):
        batch = next(ahead)
        assert batch[0][0].device.type == device.type
        assert equal(next(plain), to_device(batch, CPU))
    assert 1 <= len(threads()) <= workers
    ahead.close()
    assert not threads()


def test_threads_work_at_once_and_the_order_stays():
    """Step 0 is done last of the first three: it waits until the two others have begun."""
    begun, done = threading.Barrier(3), []

    def make(step):
        if step < 3:
            begun.wait(10)
        if step == 0:
            deadline = time.monotonic() + 10
            while not {1, 2} <= {*done} and time.monotonic() < deadline:
                time.sleep(0.001)
        done.append(step)
        return step

    ahead = prefetch(make, workers=3, ahead=0)
    assert [next(ahead) for _ in range(6)] == [0, 1, 2, 3, 4, 5]
    assert done.index(0) > max(done.index(1), done.index(2))
    ahead.close()
    assert not threads()


@pytest.mark.parametrize("workers", [1, 3])
def test_the_threads_work_ahead_but_not_further_than_asked(workers):
    made, there = [], 3 + workers  # one taken, two ready, one in each hand
    ahead = prefetch(lambda step: made.append(step) or step, workers=workers, ahead=2)
    assert next(ahead) == 0
    deadline = time.monotonic() + 10
    while len(made) < there and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert sorted(made) == [*range(there)]
    ahead.close()
    assert not threads()


def test_each_thread_works_alone_and_torch_keeps_its_threads():
    """Threads of torch for each of them would be many more than cores."""
    torch.set_num_threads(2)
    ahead, later = prefetch(lambda step: torch.get_num_threads(), workers=2), []
    assert [next(ahead) for _ in range(4)] == [1, 1, 1, 1]
    assert torch.get_num_threads() == 2
    ahead.close()
    other = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert torch.get_num_threads() == 2 and later == [2]


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (6, 5), (64, MOST)])
def test_one_thread_for_each_core_but_one(cores, threads, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(cores), raising=False)
    assert default_threads() == threads
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert default_threads() == threads
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert default_threads() == free_cores() == 1


def test_an_error_arrives_at_its_place_with_its_words_and_its_traceback():
    def broken(step):
        if step == 1:
            raise ValueError("photo 7 cannot be read")
        return step

    ahead = prefetch(broken, workers=3)
    assert next(ahead) == 0
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

    def make(step):
        made_on.extend(inside)
        return [image], [{"boxes": boxes.as_subclass(OnGPU), "file_name": "a", "here": boxes}]

    ahead = prefetch(make, 0, torch.device("cuda"), workers=1, ahead=0)
    images, targets = next(ahead)
    ahead.close()
    assert {*made_on} == {side}
    current.wait_event.assert_called_once_with(side.record_event.return_value)
    assert images[0].streams == targets[0]["boxes"].streams == [current]


def test_threads_share_a_data_set_of_files(tmp_path):
    """The cache stays within its limit, and Pillow's silence ends when the last thread is done."""
    plain = open_dataset(SAMPLE)
    sizes = [4 * image.numel() + target["masks"].numel() for image, target in plain]
    shared = open_dataset(SAMPLE, cache_bytes=sum(sizes[:4]))
    before = [*warnings.filters]
    ahead = prefetch(Batches(shared, 4, seed=2), workers=4)
    for batch in map(Batches(plain, 4, seed=2), range(12)):
        assert equal(batch, next(ahead))
    ahead.close()
    assert shared._room >= 0 and warnings.filters == before
    assert shared._room == sum(sizes[:4]) - sum(sizes[index] for index in shared._cache)


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
