"""The GPU benchmarks run to their end without a GPU, and their gates can fail.

A rehearsal takes the same path as a measurement, with the kernels in Triton's interpreter, which
must be chosen before they are loaded: import `kernel_tools` first.
"""

import json
import os
import subprocess
from pathlib import Path

import kernel_tools  # noqa: F401
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import cpu, launches, nms_gpu, roi_input, sweeps_gpu, syncs
from benchmarks.gpu import count_waits
from benchmarks.table import NO_GPU, RESULTS, Goal, Row, show, store, stored_rows
from benchmarks.timing import compare
from mrcnn_lite.config import lite
from mrcnn_lite.lessons.n17_gpu_training import fake_gpu
from mrcnn_lite.lessons.n17_gpu_training.waits import waits_of_a_step
from mrcnn_lite.models import transform
from mrcnn_lite.ops import use_backend
from mrcnn_lite.ops.nms import suppress

LONG = ("inference_gpu", "masks_gpu", "roi_backward_gpu", "step_gpu")  # rehearsed with --all
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")


# --- Rehearsals -----------------------------------------------------------------------------------


@without_gpu
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
        for name in command.ON_GPU
    ],
)
def test_rehearsal(name, capsys):
    """Every gate holds, no time is told, and the kernels are gone afterwards."""
    assert command.main([name, "--dry"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines()[1:] if line]
    gates = [line for line in lines if "gate: " in line]
    assert gates
    assert all(line.endswith("met") and "NOT" not in line for line in gates)
    assert all(command.REHEARSED in line for line in lines if line not in gates)
    assert len(lines) > len(gates)
    assert torch.backends.cuda.matmul.allow_tf32 is False
    with pytest.raises(ValueError, match="no CUDA device"), use_backend("triton"):
        pass


@without_gpu
@pytest.mark.parametrize("name", ["roi_align_gpu", "roi_backward_gpu"])
def test_wrong_numbers_are_not_timed(name, monkeypatch, capsys):
    right = roi_input.ours

    def wrong(maps, boxes, size):
        out = right(maps, boxes, size)
        return out if out.dtype == torch.float64 else out * 1.0001

    monkeypatch.setattr(roi_input, "ours", wrong)
    assert command.main([name, "--dry"]) == 1
    printed = capsys.readouterr().out
    assert "NOT timed" in printed
    assert "exceeds 1e-05" in printed
    assert command.REHEARSED not in printed


@without_gpu
def test_what_goes_wrong_is_a_row_and_the_rows_before_it_are_stored(monkeypatch, capsys, tmp_path):
    def run(runner):
        raise ZeroDivisionError("no time at all")
        yield

    monkeypatch.setattr(nms_gpu, "run", run)
    assert command.main(["nms_gpu", "--dry", "--store", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "failed: ZeroDivisionError: no time at all" in printed.out
    assert "Traceback" in printed.err
    rows = stored_rows(tmp_path / "nms_gpu.json")
    assert len(rows) == 3 and all(row.what.startswith("gate: ") for row in rows)


ALONE = """
import os, signal, sys, time
name = sys.argv[1]
print("row of", name, *sys.argv[2:], flush=True)
if name == "crashes":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(600 * (name == "hangs"))
"""


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
def test_all_go_on_when_one_crashes_or_hangs(monkeypatch, capfd, tmp_path):
    """Each in a process of its own, stopped after a limit of its own."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "__main__.py").write_text(ALONE)
    monkeypatch.setattr(cpu, "ROOT", tmp_path)
    monkeypatch.setattr(command, "NAMES", ("first", "crashes", "hangs", "last"))
    monkeypatch.setattr(command, "QUICK_LIMIT_S", 4)
    assert command.main(["all", "--quick"]) == 1
    lines = [line for line in capfd.readouterr().out.splitlines() if line]
    assert lines[0].startswith("benchmark")
    assert lines[1:3] == [f"row of {n} --no-heading --quick" for n in ("first", "crashes")]
    assert "failed: exit status -9" in lines[3]
    assert "failed: stopped after 4 s" in lines[5]
    assert lines[6] == "row of last --no-heading --quick"


def test_of_all_those_for_a_gpu_come_first():
    assert command.NAMES[: len(command.ON_GPU)] == command.ON_GPU
    assert {*command.NAMES} == {*command.ON_GPU, *command.COUNTED, *cpu.COMMANDS}


@without_gpu
def test_without_a_gpu_all_goals_are_listed(capsys):
    for name in command.ON_GPU:
        assert command.main([name]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line and not line.startswith("benchmark")]
    assert all(NO_GPU in line for line in lines)
    for piece in ("nms_gpu", ">= 5, aim 12", "<= 1.5", "batch 12", "RoIs in all 4096"):
        assert piece in printed


# --- The table and its files ----------------------------------------------------------------------

ROWS = [
    Row("one", "fast enough", 12.345, "x", Goal(10, 25), details={"ours_ms": 1.0}),
    Row("one", "too slow", 3.0, "x", Goal(10, 25)),
    Row("two", "few enough", 3, "waits", Goal(3, at_most=True)),
    Row("two", "unknown", goal=Goal(45), why=NO_GPU),
]


def test_table():
    lines = show(ROWS).splitlines()
    assert lines[0].split() == ["benchmark", "what", "value", "goal"]
    assert lines[1].split() == ["one", "fast", "enough", "12.3x", ">=", "10,", "aim", "25", "met"]
    assert lines[2].split() == ["too", "slow", "3x", ">=", "10,", "aim", "25", "NOT", "met"]
    assert lines[3].split() == ["two", "few", "enough", "3", "waits", "<=", "3", "met"]
    assert lines[4].split() == f"unknown - >= 45 {NO_GPU}".split()


def test_what_is_stored_comes_back_and_nothing_unmeasured_is_stored(tmp_path):
    path = tmp_path / "new" / "one.json"
    store(path, {"date": "today"}, ROWS)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert set(report) == {"provenance", "rows"}
    fields = {"benchmark", "what", "value", "unit", "goal", "why", "details"}
    assert all(set(entry) == fields for entry in report["rows"])
    assert report["rows"][0]["goal"] == {"bound": 10, "aim": 25, "at_most": False}
    assert stored_rows(path) == ROWS[:3]


@pytest.mark.parametrize("flag", ["--dry", "--quick", "--stored"])
def test_only_full_measurements_are_stored(flag, capsys):
    with pytest.raises(SystemExit):
        command.main(["nms_gpu", "--store", flag])
    assert "only a full measurement" in capsys.readouterr().err


def test_the_stored_results_make_a_table(capsys):
    assert command.main(["all", "--stored"]) == 0
    printed = capsys.readouterr().out
    for name, entry in cpu.COMMANDS.items():
        if not (RESULTS / entry.file).exists():
            assert "not stored" in printed
            continue
        rows = cpu.stored(name)
        assert name in printed
        assert rows
        assert all(row.value is not None and row.what in printed for row in rows)


@pytest.mark.parametrize(("load", "words"), [(1.0, ""), (9.5, "busy machine: load 9.5 on 2")])
def test_a_cpu_benchmark_runs_as_a_command(load, words, monkeypatch, capsys):
    """Its report is read; a busy machine, and a failure, are told."""
    report = {"provenance": {"load": load, "threads": 2}, "inference": {"ratio": 1.5}}

    def run(call, **_):
        assert call[1:5] == ["-m", "benchmarks.inference_cpu", "--seconds", "1"]
        Path(call[-1]).write_text(json.dumps(report))
        return subprocess.CompletedProcess(call, 0, "")

    monkeypatch.setattr(cpu.subprocess, "run", run)
    assert command.main(["inference_cpu", "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "1.5x" in printed
    assert words in printed
    assert ("busy" in printed) == bool(words)

    def fail(call, **_):
        return subprocess.CompletedProcess(call, 1, "some words\nthe answers differ")

    monkeypatch.setattr(cpu.subprocess, "run", fail)
    assert command.main(["inference_cpu", "--quick"]) == 1
    assert "failed: the answers differ" in capsys.readouterr().out


def test_a_comparison_without_warm_up():
    calls = []
    result = compare(lambda: calls.append(1), lambda: calls.append(2), 0.0, at_least=2, warm_up=0)
    assert calls == [1, 2, 2, 1]
    assert result.rounds == 2


# --- What the kernels must move -------------------------------------------------------------------


def test_touched_elements_are_those_with_a_gradient():
    size = roi_input.Size(2, 1, (64, 96), 7, 3, 40)
    boxes = roi_input.make_boxes(size, "cpu")
    maps = [m.double().requires_grad_() for m in roi_input.make_maps(size, torch.float32, "cpu")]
    with use_backend("torch"):
        out = roi_input.ours(maps, [b.double() for b in boxes], size)
    grads = torch.autograd.grad(out.sum(), maps)
    count = sum(int((g != 0).sum()) for g in grads)
    assert sum(bool((g != 0).any()) for g in grads) > 1  # RoIs of several levels
    assert roi_input.touched_elements(size, boxes) == count
    assert roi_input.bytes_forward(size, boxes, 4) == 4 * (count + 7 * 9)


def test_the_full_size_is_as_described():
    """Three of four RoIs on the finest level; whole pixels, sides that divide into exact bins."""
    boxes = roi_input.make_boxes(roi_input.FULL, "cpu")
    assert [len(b) for b in boxes] == [500, 500]
    share = (roi_input.level_of_each(boxes, roi_input.FULL) == 0).float().mean()
    assert 0.65 < float(share) < 0.85
    corners = torch.cat(boxes)
    assert (corners == corners.round()).all()
    assert ((corners[:, 2:] - corners[:, :2]) % 14 == 0).all()
    assert (corners[:, :2] >= 0).all()
    assert (corners[:, 2:] <= torch.tensor([1344.0, 800.0])).all()


def test_sweeps_are_drawn(tmp_path):
    rows = [
        Row("sweeps_gpu", sweeps_gpu._what("rois", value, kind), 2.0 + place, details=details)
        for place, value in enumerate((64, 128))
        for kind in sweeps_gpu.KINDS
        for details in [{"low": 1.5, "high": 4.0, "field": "rois", "value": value}]
    ]
    path = tmp_path / "sweeps.png"
    sweeps_gpu.draw(rows, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_operations_are_counted_without_views():
    with fake_gpu.watched():
        x = torch.ones(4, 8, device="cuda")
        assert launches.count(lambda: x[1:].mT.add(1).relu_()) == (2, 4 * (24 + 24 + 24 + 24))
        assert launches.count(lambda: torch.empty(9, device="cuda")) == (0, 0)
        boxes = torch.empty(1, 64, 4, device="cuda")
        operations, _ = launches.count(lambda: suppress(boxes, boxes[..., 0] > 0, None, 0.5))
    assert operations == 4  # the comparison, the limit, two kernels


def test_rounds_of_tiles_by_hand():
    """Three RoIs of the coarsest level; elsewhere nothing is asked."""
    size = roi_input.Size(2, 65, (64, 256), 3, 1, 1)
    asked, rounds = launches.tile_rounds(size)  # every RoI is large: level 3, 2 x 8 elements
    assert (asked, rounds) == (2 * 3, 2 * 2)  # 1 tile, 2 blocks of channels; 2 and 1 RoIs


# --- Waits ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_waits_in_the_network(monkeypatch):
    """Every row's count is that of its locations, and a wait that is added is found."""
    before = {row.what: row for row in syncs.run(small=True)}
    for row in before.values():
        if row.value is not None:
            assert row.value == sum(int(p.split(" x ")[0]) for p in row.details["locations"])
    usual = transform.batch_images

    def waits(images, *arguments):
        float(images[0].sum())
        return usual(images, *arguments)

    monkeypatch.setattr(transform, "batch_images", waits)
    config, size = lite(), (64, 96)
    watch = waits_of_a_step(config, "cuda", size)
    assert len(watch.found) == before["training step, batch on the GPU"].value + 1
    assert any("transform.py" in line and "forward" in line for line, _ in watch.found)


@pytest.mark.gpu
def test_pytorchs_own_count():
    x = torch.rand(9, device="cuda")
    assert count_waits(lambda: x.sum().item() + x.max().item(), dry=False) == 2
    assert count_waits(lambda: x.sum() + x.max(), dry=False) == 0
