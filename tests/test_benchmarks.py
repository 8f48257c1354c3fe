"""The benchmarks run, compare equal things, and write what they print."""

import json
import time

import torch

from benchmarks import roi_align as benchmark
from benchmarks.timing import compare, provenance


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
