"""The CPU benchmarks in the common table: each runs by its own command, and its report is read."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.table import RESULTS, Goal, Row

FAILED = "failed"
ROOT = Path(__file__).resolve().parent.parent


def roi_align(report: dict[str, Any]) -> list[Row]:
    """Ratios at every size, with features as torchvision likes them."""
    from benchmarks.roi_align import CASES

    goals, rows = {case.name: case.goals for case in CASES}, []
    for result in report["results"]:
        passes = ("forward", "forward+backward")
        for name, bound in zip(passes, goals.get(result["case"]) or (None, None), strict=True):
            what = f"RoIAlign {result['case']}, {name}"
            goal = None if bound is None else Goal(bound)
            rows.append(_ratio("roi_align", what, result["NCHW"][name], goal))
    return rows


def step_cpu(report: dict[str, Any]) -> list[Row]:
    """The ratio of a training step against the faster layout."""
    from benchmarks.step_cpu import GOAL

    rows = []
    for function, goal in (("equal function", Goal(GOAL)), ("with the cap of 4 masks", None)):
        both = [r for name, r in report["results"].items() if name.startswith(function)]
        slower = min(both, key=lambda entry: entry["ratio"])
        rows.append(_ratio("step_cpu", f"training step, lite, {function}", slower, goal))
    return rows


def inference_cpu(report: dict[str, Any]) -> list[Row]:
    """The ratio of one picture through R50-FPN."""
    from benchmarks.inference_cpu import GOAL

    what = "inference, R50-FPN, 480 x 640 at 800 pixels"
    return [_ratio("inference_cpu", what, report["inference"], Goal(GOAL))]


def parity(report: dict[str, Any]) -> list[Row]:
    """The largest difference from torchvision's networks in each precision."""
    rows = []
    for name, stages in report["table"].items():
        stage, worst = max(
            stages.items(), key=lambda item: item[1]["difference"] / item[1]["bound"]
        )
        what = f"{name}, nearest to its bound: {stage}"
        goal = Goal(worst["bound"], at_most=True)
        rows.append(Row("parity", what, worst["difference"], "", goal))
    return rows


def widgets(report: dict[str, Any]) -> list[Row]:
    """The slowest explorer."""
    from benchmarks.widgets import LIMIT_MS

    times = {name: entry["median_ms"] for name, entry in report.items() if "median_ms" in entry}
    slowest = max(times, key=times.__getitem__)
    goal = Goal(LIMIT_MS, at_most=True)
    return [Row("widgets", f"slowest explorer: {slowest}", times[slowest], "ms", goal)]


def explorer(report: dict[str, Any]) -> list[Row]:
    """The slowest setting of the RoI explorer in a browser."""
    from benchmarks.explorer import LIMIT_MS

    times = {name: entry["p95_ms"] for name, entry in report["settings"].items()}
    slowest = max(times, key=times.__getitem__)
    what = f"a frame of the RoI explorer, 95 of 100: {slowest}"
    return [Row("explorer", what, times[slowest], "ms", Goal(LIMIT_MS, at_most=True))]


def training(report: dict[str, Any]) -> list[Row]:
    """How good the network got."""
    length = f"{report['seconds']:.0f} s of training on {report['data']}"
    return [
        Row("training", f"{length}, mask {name}", report["mask"][name], "")
        for name in ("AP", "AP50")
    ]


def _ratio(benchmark: str, what: str, entry: dict[str, float], goal: Goal | None) -> Row:
    return Row(benchmark, what, entry["ratio"], "x", goal, details=entry)


@dataclass(frozen=True)
class Command:
    """How a benchmark is run and read.

    Attributes:
        rows: reads its report.
        file: where it is stored, in data/results.
        full, quick: arguments; None where a benchmark has no short form.
    """

    rows: Callable[[dict[str, Any]], list[Row]]
    file: str
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = ()


COMMANDS = {
    "roi_align": Command(roi_align, "roi_align_cpu.json", (), ("--seconds", "0.2")),
    "step_cpu": Command(step_cpu, "step_cpu.json", (), ("--seconds", "2", "--images", "4")),
    "inference_cpu": Command(inference_cpu, "inference_cpu.json", (), ("--seconds", "1")),
    "parity": Command(parity, "parity.json", (), ("--quick",)),
    "widgets": Command(widgets, "widgets.json", (), ("--moves", "20")),
    "explorer": Command(explorer, "explorer.json", (), ("--frames", "40")),
    "training": Command(training, "training_shapes_300s.json", ("--seconds", "300"), None),
}


def measured(name: str, quick: bool, keep: bool) -> list[Row]:
    """Run a benchmark's command in a process of its own and read its report.

    Args:
        name: one of COMMANDS.
        quick: whether to take its short form.
        keep: whether to store the report.
    """
    command = COMMANDS[name]
    arguments = command.quick if quick else command.full
    if arguments is None:
        return [Row(name, "", why="not measured: it has no short form")]
    with tempfile.TemporaryDirectory() as folder:
        path = RESULTS / command.file if keep else Path(folder) / "report.json"
        call = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(path)]
        done = subprocess.run(call, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode or not path.exists():
            last = (done.stdout.strip() or "it printed nothing").splitlines()[-1]
            return [Row(name, "", why=f"{FAILED}: {last}")]
        report = json.loads(path.read_text(encoding="utf-8"))
    return [replace(row, why=_busy(report)) for row in command.rows(report)]


def _busy(report: dict[str, Any]) -> str:
    """Say so where other programs took the processor: what runs on several threads suffers most."""
    facts = report.get("provenance", report)
    load, threads = facts.get("load"), facts.get("threads")
    if isinstance(load, float) and threads and load > 1.5 * threads:
        return f"busy machine: load {load:g} on {threads} threads"
    return ""


def stored(name: str) -> list[Row]:
    """The rows of the stored report."""
    command = COMMANDS[name]
    path = RESULTS / command.file
    if not path.exists():
        return [Row(name, "", why="not stored")]
    return command.rows(json.loads(path.read_text(encoding="utf-8")))
