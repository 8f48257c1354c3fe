"""How long an explorer takes from a changed state to the new figure and numbers.

    python -m benchmarks.widgets [--moves 120] [--json FILE]

Every control of every explorer is moved through its values, one at a time and all in turn, as a
reader does; one measurement is one `set`: the state, the drawing, the PNG, the text. The limit is
100 ms, kept by 95 of 100 moves. The RoI explorer asks no kernel; see `benchmarks/explorer.py`.
"""

import importlib
import inspect
import itertools
import pkgutil
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as ipw

from benchmarks.cpu import Report, command
from benchmarks.table import Goal, Row
from mrcnn_lite import lessons
from mrcnn_lite.lessons.kit.explorer import Explorer

LIMIT_MS = 100


def explorers() -> dict[str, Callable[[], Explorer]]:
    """Every `explore_…` function of the lessons that gives an `Explorer`."""
    found = {}
    for entry in pkgutil.walk_packages(lessons.__path__, f"{lessons.__name__}."):
        module = importlib.import_module(entry.name)
        for name, value in vars(module).items():
            if not name.startswith("explore_") or value.__module__ != module.__name__:
                continue
            if inspect.signature(value, eval_str=True).return_annotation is Explorer:
                found[name.removeprefix("explore_")] = value
    return found


def values(control: ipw.ValueWidget) -> list[Any]:
    """Up to nine values of a control, from one end to the other."""
    if isinstance(control, ipw.Checkbox):
        return [True, False]
    if isinstance(control, ipw.Dropdown):
        return [value for _, value in control._options_full]
    span = control.max - control.min
    if isinstance(control, ipw.IntSlider):  # its steps, as the mouse finds them
        steps = [round(span * part / 8 / control.step) for part in range(9)]
        return [control.min + control.step * step for step in steps]
    return [control.min + span * part / 8 for part in range(9)]


def changes(explorer: Explorer) -> Iterator[tuple[str, Any]]:
    """Without end: through all controls, always to another value."""
    endless = {name: itertools.cycle(values(c)) for name, c in explorer.controls.items()}
    for name in itertools.cycle(endless):
        value = next(endless[name])
        yield name, value if value != explorer.controls[name].value else next(endless[name])


def time_one(make: Callable[[], Explorer], count: int) -> dict[str, float]:
    """Times of one explorer in ms: first figure, median and 95th percentile of so many moves."""
    begin = time.perf_counter()
    explorer = make()
    first = time.perf_counter() - begin
    times = []
    for name, value in itertools.islice(changes(explorer), count):
        begin = time.perf_counter()
        explorer.set(**{name: value})
        times.append(time.perf_counter() - begin)
    return {
        "first_ms": 1e3 * first,
        "median_ms": 1e3 * statistics.median(times),
        "p95_ms": 1e3 * statistics.quantiles(times, n=20)[-1],
        "png_bytes": len(explorer.png),
    }


def measure(moves: int) -> Report:
    """Time every explorer and print one line of each."""
    results = {name: time_one(make, moves) for name, make in explorers().items()}
    print(f"{'explorer':20}  first ms  median ms  95 % ms  PNG bytes")
    for name, r in results.items():
        times = f"{r['first_ms']:8.0f}  {r['median_ms']:9.1f}  {r['p95_ms']:7.1f}"
        print(f"{name:20}  {times}  {r['png_bytes']:9,}")
    slow = [name for name, r in results.items() if r["p95_ms"] > LIMIT_MS]
    print(f"95 of 100 moves within {LIMIT_MS} ms: {'no, ' + ', '.join(slow) if slow else 'yes'}")
    return results


def rows(report: Report) -> list[Row]:
    """The slowest explorer."""
    times = {name: entry["median_ms"] for name, entry in report.items() if "median_ms" in entry}
    slowest = max(times, key=times.__getitem__)
    goal = Goal(LIMIT_MS, at_most=True)
    return [Row("widgets", f"slowest explorer: {slowest}", times[slowest], "ms", goal)]


if __name__ == "__main__":
    raise SystemExit(command(__doc__, measure, moves=120))
