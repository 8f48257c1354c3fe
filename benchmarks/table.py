"""What every benchmark ends in: rows with goals, one table of them, one file per subject."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent.parent / "data" / "results"
NO_GPU = "not measured: no GPU here"
WIDTHS = (16, 62, 12, 18)


class Different(Exception):
    """Ours does not give the reference's numbers: times would mean nothing."""


@dataclass(frozen=True)
class Goal:
    """What a number should be: the smallest that will do, or the largest where `at_most`."""

    bound: float
    aim: float | None = None  # what would be good, where that is more than the bound
    at_most: bool = False

    def met(self, value: float) -> bool:
        """Whether a value will do."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        aim = "" if self.aim is None else f", aim {self.aim:g}"
        return f"{'<=' if self.at_most else '>='} {self.bound:g}{aim}"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    benchmark: str  # the module that made it, without its folder
    what: str
    value: float | None = None
    unit: str = "x"  # "x" is times the peer's speed; any other is printed after the number
    goal: Goal | None = None
    why: str = ""  # there is no number, or what a reader must know of it
    details: Mapping[str, Any] = field(default_factory=dict)  # the times behind it

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


def gate(benchmark: str, what: str, value: float, bound: float) -> Row:
    """A difference that may not exceed a bound, nor be NaN, or `Different` is raised."""
    if not value <= bound:
        raise Different(f"{benchmark}: gate: {what}: {value:.2e} exceeds {bound:g}")
    return Row(benchmark, f"gate: {what}", value, "", Goal(bound, at_most=True))


def ratio(benchmark: str, what: str, times: Mapping[str, float], bound: float | None) -> Row:
    """An interleaved comparison (`timing.Comparison` as a dict): times the peer's speed."""
    goal = None if bound is None else Goal(bound)
    return Row(benchmark, what, times["ratio"], "x", goal, details=times)


def number(value: float, unit: str) -> str:
    """A value as the table shows it: three digits, and small differences as powers of ten."""
    if value and abs(value) < 1e-2:
        return f"{value:.1e}"
    return f"{value:.3g}{'' if unit == 'x' else ' '}{unit}".strip()


def show(rows: Iterable[Row]) -> str:
    """The table, as text."""
    return "\n".join(lines(rows))


def lines(rows: Iterable[Row], heading: bool = True) -> Iterator[str]:
    """Its lines, as the rows come; a benchmark's name stands where it changes."""
    if heading:
        yield _line("benchmark", "what", "value", "goal", "")
    before = ""
    for row in rows:
        value = "-" if row.value is None else number(row.value, row.unit)
        goal = "" if row.goal is None else str(row.goal)
        last = "  ".join(filter(None, [row.verdict, row.why]))
        name = row.benchmark if row.benchmark != before else ""
        yield _line(name, row.what, value, goal, last)
        before = row.benchmark


def _line(*cells: str) -> str:
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=False)]
    return "  ".join([*padded, *cells[len(WIDTHS) :]]).rstrip()


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write a results file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read a results file."""
    return json.loads(path.read_text(encoding="utf-8"))


def store(path: Path, facts: Mapping[str, Any], rows: Iterable[Row]) -> None:
    """Write rows with device, versions and date; those without a number are left out."""
    measured = [row.as_dict() for row in rows if row.value is not None]
    write(path, {"provenance": dict(facts), "rows": measured})


def stored_rows(path: Path) -> list[Row]:
    """The rows that `store` wrote."""
    return [row_of(entry) for entry in read(path)["rows"]]
