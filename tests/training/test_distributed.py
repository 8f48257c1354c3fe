"""Several processes compute what one does: training, evaluation, and what happens when one dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mrcnn_lite.config import lite
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.datasets.batches import Batches
from mrcnn_lite.models import load_weights
from mrcnn_lite.training import TrainingRun, launch
from mrcnn_lite.training.checkpoint import load_checkpoint
from mrcnn_lite.training.distributed import image_priorities, rank, world_size
from mrcnn_lite.training.recipe import images_per_process

SHAPES = Shapes(None, seed=1)
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo needs a POSIX system")
TRAIN = ["-m", "mrcnn_lite", "train", "--data", "shapes", "--batch-size", "4"]


def start(arguments: list, processes: int = 1) -> subprocess.Popen:
    """Start a command with one process, or with several under torchrun."""
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    command = [sys.executable, *(torchrun if processes > 1 else []), *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen, seconds: float = 120) -> str:
    """Wait for a command and return what it printed."""
    printed, _ = process.communicate(timeout=seconds)
    return printed


def difference(a: dict, b: dict) -> float:
    """Largest difference of two networks' weights, relative to each tensor's largest value."""
    return max(
        float((a[name] - b[name]).abs().max() / b[name].abs().max().clamp(min=1e-12)) for name in b
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The same four steps by one process and by two under torchrun."""
    folder = tmp_path_factory.mktemp("runs")
    for name, processes in (("one", 1), ("two", 2)):
        arguments = [*TRAIN, "--out", folder / name, "--steps", 4, "--workers", 1]
        arguments += ["--validate-every", 4]
        process = start(arguments, processes)
        printed = finish(process)
        assert process.returncode == 0, printed
    return folder


def test_two_processes_train_what_one_does(runs):
    one, two = (load_checkpoint(runs / name) for name in ("one", "two"))
    assert one["steps"] == two["steps"] == 4
    # AdamW divides by a gradient's size, so that where it is 0 but for rounding, rounding counts:
    # at most a few times the learning rate. The test below shows equality without that.
    apart = sum(float((two["model"][n] - w).norm()) ** 2 for n, w in one["model"].items())
    assert apart < (1e-4) ** 2 * sum(float(w.norm()) ** 2 for w in one["model"].values())
    logs = [(runs / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    for line, near in ((0, 1e-5), (1, 1e-3)):  # of the first step, and its end validated
        found, other = (json.loads(log[line]) for log in logs)
        assert {*found} == {*other} and any("validation" in name for name in found) == bool(line)
        for name, value in found.items():
            if name != "seconds":
                assert other[name] == pytest.approx(value, rel=near, abs=1e-6), name


def _float64_steps(folder: str) -> None:
    """Three steps of SGD on pictures of different sizes, in every process of the test below."""
    torch.set_num_threads(1)
    small = Shapes(None, seed=1, size=64)

    class Mixed:
        class_names = SHAPES.class_names

        def __len__(self) -> int:
            return 40

        def __getitem__(self, index: int):
            image, target = (small if index % 3 else SHAPES)[index]
            return image.double(), target

    config = lite(6).with_(training={"batch_size": 4, "optimizer": "sgd", "warmup_steps": 1})
    run = TrainingRun(config.with_(image={"min_size": 64}), SHAPES.class_names)
    run.model.double()
    run.average = {name: value.double() for name, value in run.average.items()}
    count = images_per_process(config)
    batches = Batches(Mixed(), count, 0, rank=rank(), world_size=world_size()).steps()
    for _ in range(3):
        run.step(next(batches), 0.0)
    if rank() == 0:
        Path(folder).mkdir()
        run.save(folder)


@pytest.mark.slow
def test_in_float64_the_weights_are_equal_to_nine_digits(tmp_path):
    """Whole pictures of different sizes, objects and positives: counts and padding are shared."""
    launch(_float64_steps, 2, str(tmp_path / "two"))
    launch(_float64_steps, 1, str(tmp_path / "one"))
    one, two = (load_checkpoint(tmp_path / name)["model"] for name in ("one", "two"))
    assert next(iter(one.values())).dtype == torch.float64
    assert difference(two, one) < 1e-9


@pytest.mark.slow
def test_two_processes_evaluate_what_one_does(runs, tmp_path):
    figures = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}.json"
        weights = ROOT / "data" / "weights" / "shapes_lite.safetensors"
        arguments = ["-m", "mrcnn_lite", "evaluate", "--weights", weights, "--data", "shapes"]
        process = start([*arguments, "--images", 19, "--json", out], processes)
        printed = finish(process)
        assert process.returncode == 0, printed
        assert printed.count("mask ") == 1
        figures.append(json.loads(out.read_text()))
    assert figures[0] == figures[1]
    assert figures[0]["images"] == 19


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2])
def test_a_dead_process_ends_the_run_and_resume_goes_on(tmp_path, processes):
    out = tmp_path / "run"
    arguments = [*TRAIN, "--out", out, "--workers", processes]
    process = start([*arguments, "--steps", 400, "--save-every", 1])
    while not (out / "last.checkpoint").exists():
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    children = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)],
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    workers = [int(line.split()[0]) for line in children if "spawn import" in line]
    assert len(workers) == processes, children
    os.kill(workers[-1], signal.SIGKILL)
    printed = finish(process, 60)
    assert process.returncode == 2
    (words,) = [line for line in printed.splitlines() if line.startswith("mrcnn_lite train:")]
    assert "go on with --resume" in words
    assert "Traceback" not in printed
    done = load_checkpoint(out)["steps"]
    process = start([*arguments, "--steps", done + 2, "--resume"])
    printed = finish(process)
    assert process.returncode == 0, printed
    assert "Warning" not in printed
    assert load_checkpoint(out)["steps"] == done + 2
    assert load_weights(out / "last.safetensors")[1][0] == "background"


def test_priorities_belong_to_the_image_and_not_to_its_batch():
    """An image draws the same numbers in any process and with any padding."""
    cpu = torch.device("cpu")
    whole = image_priorities(3, 5, 0)
    first, second = whole((4, 50), cpu), whole((4, 9), cpu)
    part = image_priorities(3, 5, 2)
    assert torch.equal(part((2, 70), cpu)[:, :50], first[2:])
    assert torch.equal(part((2, 9), cpu), second[2:])
    assert len({round(float(v), 6) for v in torch.cat([first, second], 1)[:, 0]}) == 4
    assert not torch.equal(first[:, :9], second)
    assert not torch.equal(image_priorities(3, 6, 0)((4, 50), cpu), first)
