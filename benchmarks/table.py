"""What the benchmarks share: a goal, a row, the table of all rows, the results file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "data" / "results"
NO_GPU = "not measured: no GPU here"
WIDTHS = (16, 62, 12, 18)


@dataclass(frozen=True)
class Goal:
    """What a number should be.

    Attributes:
        bound: the smallest value that will do, or the largest where `at_most`.
        aim: what would be good, where that is more than the bound.
        at_most: whether less is better.
    """

    bound: float
    aim: float | None = None
    at_most: bool = False

    def met(self, value: float) -> bool:
        """Whether a value will do."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        aim = "" if self.aim is None else f", aim {self.aim:g}"
        return f"{'<=' if self.at_most else '>='} {self.bound:g}{aim}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        benchmark: the module that made it, without its folder.
        what: what the number says.
        value: the number, or None where there is none.
        unit: "x" (times faster than the peer), "%", "waits", "ms" or whatever is printed after it.
        goal: what it should be, if anything.
        why: why there is no number, or what a reader must know of it.
        details: the times behind it.
    """

    benchmark: str
    what: str
    value: float | None = None
    unit: str = "x"
    goal: Goal | None = None
    why: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in a word."""
        if self.value is None or self.goal is None:
            return ""
        return "met" if self.goal.met(self.value) else "NOT met"

    def as_dict(self) -> dict[str, Any]:
        """For a results file."""
        goal = None if self.goal is None else asdict(self.goal)
        return asdict(self) | {"goal": goal, "details": dict(self.details)}


def row_of(entry: Mapping[str, Any]) -> Row:
    """A row as it was written by `Row.as_dict`."""
    goal = None if entry["goal"] is None else Goal(**entry["goal"])
    return Row(**{**entry, "goal": goal})


def number(value: float, unit: str) -> str:
    """A value as the table shows it: three digits, and small differences as powers of ten."""
    if value and abs(value) < 1e-2:
        return f"{value:.1e}"
    return f"{value:.3g}{'' if unit == 'x' else ' '}{unit}".strip()


def show(rows: Iterable[Row], heading: bool = True) -> str:
    """The table, as text.

    Args:
        rows: in printing order; the benchmark's name is printed where it changes.
        heading: whether a line with the columns' names comes first.

    Returns:
        One line per row.
    """
    lines, before = [_line("benchmark", "what", "value", "goal", "")] if heading else [], ""
    for row in rows:
        value = "-" if row.value is None else number(row.value, row.unit)
        goal = "" if row.goal is None else str(row.goal)
        last = "  ".join(filter(None, [row.verdict, row.why]))
        name = row.benchmark if row.benchmark != before else ""
        lines.append(_line(name, row.what, value, goal, last))
        before = row.benchmark
    return "\n".join(lines)


def _line(*cells: str) -> str:
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=False)]
    return "  ".join([*padded, *cells[len(WIDTHS) :]]).rstrip()


def store(path: Path, facts: Mapping[str, Any], rows: Iterable[Row]) -> None:
    """Write what was measured; rows without a number are left out.

    Args:
        path: the results file.
        facts: device, versions, date.
        rows: of one benchmark.
    """
    measured = [row.as_dict() for row in rows if row.value is not None]
    report = {"provenance": dict(facts), "rows": measured}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def stored_rows(path: Path) -> list[Row]:
    """The rows that `store` wrote."""
    return [row_of(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["rows"]]
