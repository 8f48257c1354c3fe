"""Run one benchmark, or all, and print one table.

    python -m benchmarks NAME [--dry] [--quick] [--store]
    python -m benchmarks all

--dry     rehearse the GPU benchmarks on the CPU, in Triton's interpreter, at tiny sizes
--quick   shorter
--store   write what was measured to data/results
--stored  print what is stored there; measure nothing
"""

from __future__ import annotations

import argparse
import importlib
import os
from dataclasses import replace
from types import ModuleType

from benchmarks import cpu
from benchmarks.table import NO_GPU, RESULTS, Different, Row, show, store, stored_rows

ON_GPU = (
    "roi_align_gpu",
    "roi_backward_gpu",
    "nms_gpu",
    "masks_gpu",
    "step_gpu",
    "inference_gpu",
    "sweeps_gpu",
)
SYNCS = "syncs"  # needs no GPU, and tells more with one
QUICK_S, FULL_S = 0.5, 3.0  # for each comparison
REHEARSED = "rehearsed"


def without_numbers(module: ModuleType, why: str) -> list[Row]:
    """The rows of a benchmark that was not run."""
    return [Row(module.NAME, what, goal=goal, why=why) for what, goal in module.GOALS.items()]


def rehearsed(rows: list[Row]) -> list[Row]:
    """Gates keep their numbers, times lose them."""
    return [
        row if row.what.startswith("gate") else replace(row, value=None, why=REHEARSED, details={})
        for row in rows
    ]


def kept(name: str, options: argparse.Namespace) -> list[Row]:
    """Run or read a benchmark whose rows are stored as they are: on a GPU, or `syncs`."""
    import torch

    from benchmarks.gpu import facts, measure, runner
    from benchmarks.timing import provenance

    module, path = importlib.import_module(f"benchmarks.{name}"), RESULTS / f"{name}.json"
    why = "not stored" if name == SYNCS else NO_GPU
    if options.stored:
        return stored_rows(path) if path.exists() else without_numbers(module, why)
    if name == SYNCS:
        rows, known = module.run(small=options.dry), provenance("triton")
    elif not options.dry and not torch.cuda.is_available():
        return without_numbers(module, why)
    else:
        with runner(options.dry, QUICK_S if options.quick else FULL_S) as here:
            rows, known = measure(module, here), facts(here)
        rows = rehearsed(rows) if options.dry else rows
    if options.store:
        store(path, known, rows)
    return rows


def rows_of(name: str, options: argparse.Namespace) -> list[Row]:
    """The rows of one benchmark."""
    if name not in cpu.COMMANDS:
        return kept(name, options)
    if options.stored:
        return cpu.stored(name)
    if options.dry:  # it needs no rehearsal
        return []
    return cpu.measured(name, options.quick, options.store)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; status 1 when one failed or gave other numbers than the reference."""
    names = [*cpu.COMMANDS, SYNCS, *ON_GPU]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*names, "all"])
    for flag in ("dry", "quick", "store", "stored"):
        parser.add_argument(f"--{flag}", action="store_true")
    options = parser.parse_args(arguments)
    if options.store and (options.dry or options.quick or options.stored):
        parser.error("only a full measurement is stored: --store goes with no other flag")
    if options.dry:
        os.environ["TRITON_INTERPRET"] = "1"  # before anything loads the kernels
    status = 0
    for index, name in enumerate(names if options.name == "all" else [options.name]):
        try:
            rows = rows_of(name, options)
        except Different as error:
            rows, status = [Row(name, "NOT timed", why=str(error))], 1
        if any(row.why.startswith(cpu.FAILED) for row in rows):
            status = 1
        if rows or not index:
            print(show(rows, heading=not index), flush=True)  # as they come: all takes a while
    return status


if __name__ == "__main__":
    raise SystemExit(main())
