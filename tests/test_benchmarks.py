"""The benchmarks run, compare equal things, and write what they print."""

import json
import time
from pathlib import Path

import pytest
import torch

from benchmarks import cpu, fit, memory, small_ops, training
from benchmarks import roi_align as benchmark
from benchmarks.table import Different
from benchmarks.timing import compare, provenance
from mrcnn_lite.config import lite
from mrcnn_lite.datasets import open_dataset


def test_the_slower_call_is_found():
    result = compare(lambda: time.sleep(0.004), lambda: time.sleep(0.001), budget_s=0.1)
    assert result.rounds >= 5
    assert 1.5 < result.low <= result.ratio <= result.high
    assert result.best > 1.5
    assert set(result.as_dict()) == {"peer_ms", "ours_ms", "ratio", "low", "high", "best", "rounds"}


def test_provenance_names_machine_threads_and_versions():
    facts = provenance("torchvision", "no-such-package")
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert facts["no-such-package"] == "not installed"


def test_roi_align_benchmark_at_a_small_size(monkeypatch, tmp_path, capsys):
    small = benchmark.Case("small 3x3", 2, 3, 10, 12, 5, 30, 3, (0.0, 0.0))
    monkeypatch.setattr(benchmark, "CASES", (small,))
    path = tmp_path / "result.json"
    threads = str(torch.get_num_threads())
    arguments = ["roi_align", "--seconds", "0.01", "--threads", threads, "--json", str(path)]
    monkeypatch.setattr("sys.argv", arguments)
    benchmark.main()
    printed = capsys.readouterr().out
    assert printed.index("Largest difference") < printed.index("Forward, then")
    assert "Goals (NCHW): met" in printed
    report = json.loads(path.read_text(encoding="utf-8"))
    assert max(report["results"][0]["difference"]) <= benchmark.TOLERANCE
    assert set(report["results"][0]["NCHW"]) == {"forward", "forward+backward"}


def test_answers_that_differ_are_told_and_nothing_is_written(monkeypatch, tmp_path, capsys):
    path, given = tmp_path / "result.json", []

    def measure(seconds, quick):
        given.append((seconds, quick))
        if quick:
            raise Different("the answers differ")
        return {"found": 1}

    for flags, status in (([], 0), (["--quick"], 1)):
        path.unlink(missing_ok=True)
        monkeypatch.setattr("sys.argv", ["name", "--seconds", "3", *flags, "--json", str(path)])
        assert (
            cpu.command("What it does.", measure, seconds=(1.0, "for all"), quick=False) == status
        )
        assert path.exists() == (status == 0)
        assert ("the answers differ" in capsys.readouterr().out) == bool(status)
    assert given == [(3.0, False), (3.0, True)]


def test_row_1_a_report_replaces_reports_only(monkeypatch, tmp_path, capsys):
    data = tmp_path / "instances.json"
    data.write_text('{"images": []}')
    monkeypatch.setattr("sys.argv", ["name", "--json", str(data)])
    with pytest.raises(SystemExit, match="2"):
        cpu.command("What it does.", lambda: pytest.fail("before it is refused"))
    assert "did not write it" in capsys.readouterr().err
    assert data.read_text() == '{"images": []}'
    monkeypatch.setattr("sys.argv", ["name", "--json", str(tmp_path / "report.json")])
    for _ in range(2):
        assert cpu.command("What it does.", dict) == 0


def test_small_operations_are_counted_and_equal_to_torchvisions(monkeypatch, tmp_path, capsys):
    for name, few in (("BOXES", (10,)), ("ROIS", (2,))):
        monkeypatch.setattr(small_ops, name, few)
    path = tmp_path / "result.json"
    monkeypatch.setattr("sys.argv", ["small_ops", "--seconds", "0.01", "--json", str(path)])
    threads = torch.get_num_threads()
    assert small_ops.main() == 0
    torch.set_num_threads(threads)
    found = small_ops.rows(json.loads(path.read_text(encoding="utf-8")))
    assert [row.what.split(",")[0] for row in found] == ["nms", "batched_nms", "roi_pool forward"]
    assert all("operations x" in row.why and row.details["operations"] > 10 for row in found)
    monkeypatch.setattr(small_ops.ops, "nms", lambda boxes, scores, iou: scores.argsort())
    assert small_ops.main() == 1
    torch.set_num_threads(threads)
    assert "the answers differ" in capsys.readouterr().out


def test_operations_and_views_are_counted_by_hand():
    x = torch.ones(2, 3)
    with small_ops.Counted() as counted:
        x.t().add(1).unsqueeze(0)
    assert (counted.operations, counted.views) == (1, 2)
    assert set(counted.us) == {"t", "add", "unsqueeze"}


@pytest.mark.slow
def test_peak_memory_of_a_small_photograph(tmp_path):
    memory.data_set(tmp_path, (300, 400), 6)
    weights, photo = tmp_path / "w.safetensors", tmp_path / "photo.jpg"
    made = memory.python(memory.ROOT, memory.WEIGHTS, "lite", photo, weights)
    assert int(made.stdout.split()[0]) >= memory.AT_LEAST, made.stderr
    words = ["predict", "--weights", weights, photo, "--out", tmp_path / "out"]
    assert 0.05 < memory.peak_gb(memory.ROOT, words) < memory.LIMIT_GB
    assert (tmp_path / "out" / "photo.png").exists()


@pytest.mark.parametrize("name", fit.KINDS)
def test_a_drawn_set_is_of_its_kind(name, tmp_path):
    path, found = fit.draw(name, tmp_path, 24, seed=3)
    dataset = open_dataset(path)
    assert len(dataset) == 24
    assert dataset.class_names == ["background", *fit.KINDS[name].names]
    assert dataset[0][0].shape == (3, fit.KINDS[name].size, fit.KINDS[name].size)
    assert found["classes"] == len(fit.KINDS[name].names)


def test_a_set_of_another_kind_is_not_trained_on(monkeypatch, tmp_path):
    monkeypatch.setitem(fit.KINDS, "tall", fit.KINDS["wide"]._replace(low=1.8, high=3.0))
    with pytest.raises(Different, match=r"tall: height / width 0\.4\d*, not 1\.8 to 3"):
        fit.draw("tall", tmp_path, 8, seed=0)
    with pytest.raises(Different, match=r"'long' is none; choose of tall, wide"):
        fit.measure("tall,long", 1.0, 1)


def test_the_recipe_as_it_stands_is_given_in_full(monkeypatch):
    """Each second seed begins with it; the row is the mean difference."""
    asked = []

    def train(data, length, hold_out, more, out):
        options = dict(zip(more[::2], more[1::2], strict=True))
        path = options.get("--config")
        given = json.loads(Path(path).read_text()) if path else {}
        asked.append((options["--seed"], lite().with_(**given) == lite(), sorted(given)))
        config = lite().with_(image={"min_size": 160}) if not given else lite()
        out.mkdir()
        (out / "config.json").write_text(json.dumps(config.to_dict()))
        assert len(open_dataset(data)) == 10 and hold_out == "6,7,8,9" and length == "5.0s"
        return {"mask": {"AP": 0.5 if given else 0.6 + float(options["--seed"]) / 10}, "steps": 3}

    monkeypatch.setattr(training, "one_run", train)
    monkeypatch.setattr(fit, "IMAGES", 6)
    monkeypatch.setattr(fit, "HELD_OUT", 4)
    report = fit.measure("one class", 5.0, 2)
    parts = ["image", "rpn", "training"]
    first, last = [("0", True, []), ("0", True, parts)], [("1", True, parts), ("1", True, [])]
    assert asked == first + last
    (row,) = fit.rows(json.loads(json.dumps(report)))
    assert row.what == "one class: mask AP 0.650 fitted - 0.500 as it stands"
    assert row.value == pytest.approx(0.15) and row.goal is None
    fitted, stands = (row.details["runs"][0][form]["chosen"] for form in fit.FORMS)
    assert fitted["image"] == {"min_size": 160} and stands["image"] == {"min_size": 128}
