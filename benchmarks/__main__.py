"""Run one benchmark, or all, and print one table.

    python -m benchmarks NAME [--dry] [--quick] [--store [FOLDER]]
    python -m benchmarks all

Of all, those for a GPU come first; each runs in a process of its own, with a limit of its own.

--dry     rehearse the GPU benchmarks on the CPU, in Triton's interpreter, at tiny sizes
--quick   shorter
--store   write what was measured, row by row, to data/results or another folder
--stored  print what is stored in data/results; measure nothing
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from benchmarks import cpu
from benchmarks.table import NO_GPU, RESULTS, Different, Row, lines, store, stored_rows

ON_GPU = (
    "roi_align_gpu",
    "roi_backward_gpu",
    "nms_gpu",
    "masks_gpu",
    "step_gpu",
    "inference_gpu",
    "sweeps_gpu",
)
COUNTED = ("syncs", "launches")  # need no GPU; the first tells more with one
NAMES = (*ON_GPU, *COUNTED, *cpu.COMMANDS)
QUICK_S, FULL_S = 0.5, 3.0  # for each comparison
LIMIT_S, QUICK_LIMIT_S = 2700, 200  # for each benchmark of all
REHEARSED, STOPPED = "rehearsed", f"{cpu.FAILED}: stopped after"


def without_numbers(module: ModuleType, why: str) -> list[Row]:
    """The rows of a benchmark that was not run."""
    return [Row(module.NAME, what, goal=goal, why=why) for what, goal in module.GOALS.items()]


def rehearsed(row: Row) -> Row:
    """A gate keeps its number, a time loses it."""
    told = row.what.startswith("gate") or row.why
    return row if told else replace(row, value=None, why=REHEARSED, details={})


def kept(name: str, options: argparse.Namespace) -> Iterator[Row]:
    """Run or read a benchmark whose rows are stored as they are: on a GPU, or counted."""
    import torch

    from benchmarks.gpu import facts, measure, runner
    from benchmarks.timing import provenance

    module, path = importlib.import_module(f"benchmarks.{name}"), RESULTS / f"{name}.json"
    why = "not stored" if name in COUNTED else NO_GPU
    if options.stored:
        yield from stored_rows(path) if path.exists() else without_numbers(module, why)
    elif name in COUNTED:
        rows = module.run(small=options.dry)
        if options.store:
            store(options.store / path.name, provenance("triton"), rows)
        yield from rows
    elif not options.dry and not torch.cuda.is_available():
        yield from without_numbers(module, why)
    else:
        rows = []
        with runner(options.dry, QUICK_S if options.quick else FULL_S) as here:
            for row in measure(module, here):
                rows.append(rehearsed(row) if options.dry else row)
                if options.store:  # at once: what comes later may fail
                    store(options.store / path.name, facts(here), rows)
                yield rows[-1]


def rows_of(name: str, options: argparse.Namespace) -> Iterator[Row]:
    """The rows of one benchmark, as they come; whatever goes wrong is the last."""
    try:
        if name not in cpu.COMMANDS:
            yield from kept(name, options)
        elif options.stored:
            yield from cpu.stored(name)
        elif not options.dry:  # it needs no rehearsal
            yield from cpu.measured(name, options.quick, options.store)
    except Different as error:
        yield Row(name, "NOT timed", why=f"{cpu.FAILED}: {error}")
    except Exception as error:
        traceback.print_exc()
        yield Row(name, "NOT timed", why=f"{cpu.FAILED}: {type(error).__name__}: {error}")


def alone(name: str, arguments: list[str], limit_s: float) -> int:
    """Run one benchmark of all in a process of its own and return its status; it prints its rows,
    or, where it crashes or takes too long, somebody else does."""
    call = [sys.executable, "-m", "benchmarks", name, "--no-heading", *arguments]
    process = subprocess.Popen(call, cwd=cpu.ROOT, start_new_session=os.name != "nt")
    try:
        status = process.wait(limit_s)
        why = f"{cpu.FAILED}: exit status {status}" if status not in (0, 1) else ""
    except subprocess.TimeoutExpired:
        status, why = 1, f"{STOPPED} {limit_s:g} s"
        stop(process)
    if why:
        say([Row(name, "NOT timed", why=why)], heading=False)
    return int(bool(status))


def stop(process: subprocess.Popen) -> None:
    """End a process and what it has started."""
    if os.name == "nt":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main(arguments: list[str] | None = None) -> int:
    """Print the table; status 1 when one failed or gave other numbers than the reference."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*NAMES, "all"])
    for flag in ("dry", "quick", "stored"):
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--store", nargs="?", type=Path, const=RESULTS, metavar="FOLDER")
    parser.add_argument("--no-heading", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.store == RESULTS and (options.dry or options.quick or options.stored):
        parser.error("only a full measurement is stored there: --store goes with no other flag")
    if options.name == "all" and not options.stored:
        say([], heading=True)
        limit = QUICK_LIMIT_S if options.quick or options.dry else LIMIT_S
        given = sys.argv[1:] if arguments is None else arguments
        given = [argument for argument in given if argument != "all"]
        return max([alone(name, given, limit) for name in NAMES])
    if options.dry:
        os.environ["TRITON_INTERPRET"] = "1"  # before anything loads the kernels
    names = NAMES if options.name == "all" else [options.name]
    rows = itertools.chain.from_iterable(rows_of(name, options) for name in names)
    return say(rows, not options.no_heading)


def say(rows: Iterable[Row], heading: bool) -> int:
    """Print rows as they come, for all takes a while; status 1 when one says that it failed."""
    told, rows = itertools.tee(rows)
    for line in lines(rows, heading):
        print(line, flush=True)
    return int(any(row.why.startswith(cpu.FAILED) for row in told))


if __name__ == "__main__":
    raise SystemExit(main())
