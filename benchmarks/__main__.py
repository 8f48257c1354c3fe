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

from benchmarks import cpu_rows
from benchmarks.table import NO_GPU, RESULTS, Row, show, store, stored_rows

# Modules with NAME, GOALS, gate(stage) and run(stage), all of which need a GPU.
ON_GPU = (
    "roi_align_gpu",
    "roi_backward_gpu",
    "nms_gpu",
    "masks_gpu",
    "step_gpu",
    "inference_gpu",
    "sweeps_gpu",
)
SYNCS = "syncs"  # needs none, and tells more with one
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


def gpu_rows(name: str, options: argparse.Namespace) -> list[Row]:
    """Run one GPU benchmark, or rehearse it, or say that there is no GPU."""
    import torch

    from benchmarks.gpu import facts, stage

    module = importlib.import_module(f"benchmarks.{name}")
    if options.stored:
        path = RESULTS / f"{name}.json"
        return stored_rows(path) if path.exists() else without_numbers(module, NO_GPU)
    if not options.dry and not torch.cuda.is_available():
        return without_numbers(module, NO_GPU)
    with stage(options.dry, QUICK_S if options.quick else FULL_S) as place:
        rows = module.gate(place) + module.run(place)
        if options.store:
            store(RESULTS / f"{name}.json", facts(place), rows)
    return rehearsed(rows) if options.dry else rows


def sync_rows(options: argparse.Namespace) -> list[Row]:
    """Count where the host waits."""
    from benchmarks import syncs
    from benchmarks.timing import provenance

    path = RESULTS / f"{SYNCS}.json"
    if options.stored:
        return stored_rows(path) if path.exists() else without_numbers(syncs, "not stored")
    rows = syncs.run(small=options.dry)
    if options.store:
        store(path, provenance("triton"), rows)
    return rows


def rows_of(name: str, options: argparse.Namespace) -> list[Row]:
    """The rows of one benchmark."""
    if name in ON_GPU:
        return gpu_rows(name, options)
    if name == SYNCS:
        return sync_rows(options)
    if options.stored:
        return cpu_rows.stored(name)
    if options.dry:  # it needs no rehearsal
        return []
    return cpu_rows.measured(name, options.quick, options.store)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; status 1 when one failed or gave other numbers than the reference."""
    names = [*cpu_rows.COMMANDS, SYNCS, *ON_GPU]
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
    from benchmarks.gpu import Different

    status = 0
    for place, name in enumerate(names if options.name == "all" else [options.name]):
        try:
            rows = rows_of(name, options)
        except Different as error:
            rows, status = [Row(name, "NOT timed", why=str(error))], 1
        if any(row.why.startswith(cpu_rows.FAILED) for row in rows):
            status = 1
        if rows or not place:
            print(show(rows, heading=not place), flush=True)  # as they come: all takes a while
    return status


if __name__ == "__main__":
    raise SystemExit(main())
