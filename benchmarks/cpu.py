"""What the CPU benchmarks share: a command line, a report in JSON, its rows in the common table.

A benchmark is a module with `measure(**options)`, which prints as it goes and returns its report,
raising `Different` where the answers are not the peer's; `rows(report)` reads a report, new or
stored. In the common table each runs as a command, in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.table import RESULTS, Different, Row, read, write
from benchmarks.timing import provenance
from mrcnn_lite.files import check_output

FAILED = "failed"
OURS = rb'\{\n "provenance": '  # how a report begins
ROOT = Path(__file__).resolve().parent.parent
Report = dict[str, Any]


class Command(NamedTuple):
    """Where a benchmark's report is stored in data/results, and its arguments."""

    file: str
    quick: tuple[str, ...] | None  # None: it has no short form
    full: tuple[str, ...] = ()


COMMANDS = {
    "roi_align": Command("roi_align_cpu.json", ("--seconds", "0.2")),
    "small_ops": Command("small_ops.json", ("--seconds", "0.1")),
    "step_cpu": Command("step_cpu.json", ("--seconds", "2", "--images", "4")),
    "precision_cpu": Command("precision_cpu.json", None),
    "inference_cpu": Command("inference_cpu.json", ("--seconds", "1")),
    "parity": Command("parity.json", ("--quick",)),
    "widgets": Command("widgets.json", ("--moves", "20")),
    "explorer": Command("explorer_frames.json", ("--frames", "40")),
    "live": Command("live_frames.json", ("--frames", "40")),
    "memory": Command("memory.json", ("--quick",)),
    "training": Command("training.json", None),
    "fit": Command("fit.json", None),
}


def command(doc: str, measure: Callable[..., Report], **options: Any) -> int:
    """A benchmark's own command line.

    `options` become the arguments of `measure`, each a default or (default, help); --json is for
    all, --threads for those that have it. The exit status is 1 where the answers differ.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, option in options.items():
        default, text = option if isinstance(option, tuple) else (option, "")
        flag = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(flag, action="store_true", help=text)
        else:
            parser.add_argument(flag, type=type(default), default=default, help=text)
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    given = vars(parser.parse_args())
    path = given.pop("json")
    if path and path.parent != RESULTS:  # those are in git
        try:
            check_output(path, "--json", OURS)
        except ValueError as error:
            parser.error(str(error))
    if "threads" in given:
        torch.set_num_threads(given.pop("threads"))
    facts = provenance("torchvision")
    print("  ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
    try:
        report = measure(**given)
    except Different as error:
        print(error)
        return 1
    if path:
        write(path, {"provenance": facts} | report)
    return int(not report.get("all_hold", True))


def measured(name: str, quick: bool, keep: Path | None) -> list[Row]:
    """Run a benchmark's command in a process of its own and read its report; `keep` is a folder in
    which to store it."""
    settings = COMMANDS[name]
    arguments = settings.quick if quick else settings.full
    if arguments is None:
        return [Row(name, "", why="not measured: it has no short form")]
    with tempfile.TemporaryDirectory() as folder:
        path = keep / settings.file if keep else Path(folder) / "report.json"
        call = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(path)]
        done = subprocess.run(call, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode or not path.exists():
            last = (done.stdout.strip() or "it printed nothing").splitlines()[-1]
            return [Row(name, "", why=f"{FAILED}: {last}")]
        report = read(path)
    busy, found = _busy(report), _rows(name, report)
    return [replace(row, why="  ".join(filter(None, [busy, row.why]))) for row in found]


def _rows(name: str, report: Report) -> list[Row]:
    return importlib.import_module(f"benchmarks.{name}").rows(report)


def _busy(report: Report) -> str:
    """Say so where other programs took the processor: what runs on several threads suffers most."""
    facts = report.get("provenance", report)
    load, threads = facts.get("load"), facts.get("threads")
    if isinstance(load, float) and threads and load > 1.5 * threads:
        return f"busy machine: load {load:g} on {threads} threads"
    return ""


def stored(name: str) -> list[Row]:
    """The rows of the stored report."""
    path = RESULTS / COMMANDS[name].file
    return _rows(name, read(path)) if path.exists() else [Row(name, "", why="not stored")]
