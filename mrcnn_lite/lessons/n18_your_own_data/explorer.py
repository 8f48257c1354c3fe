"""Explorer of notebook 18: a curve is the patient, the reader finds the illness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider, toggle
from ..kit.style import LOSSES

OPEN = "(not yet)"
ILLNESSES = {  # what one would see, and what to do
    "classes of another data set": (
        "a class loss that starts far above that of the healthy run",
        "Count your classes, with the background.",
    ),
    "rate too high": (
        "a run that was stopped",
        "Lower the rate; add warm-up and clipping.",
    ),
    "zero_grad forgotten": (
        "a fall that turns into a rise, and all steps",
        "Clear the gradients before backward.",
    ),
    "no objects": (
        "box and mask losses of exactly 0",
        "Count the objects that reach the network.",
    ),
    "head not in the optimiser": (
        "a fall a little behind the healthy run, and nothing else",
        "First replace the heads, then make the optimiser.",
    ),
}
LOWEST, HIGHEST = 3e-3, 300.0  # of the logarithmic axis; what is outside is drawn at its edge


@dataclass(frozen=True)
class Patient:
    """A run: its losses per step, and what was wrong with it."""

    illness: str
    reports: list[dict[str, float]]  # a run that was stopped has fewer than the others
    sign: str  # where to look
    cure: str


class Clinic:
    """Patients without names; one of them in view, with a diagnosis and a moment."""

    def __init__(self, patients: Sequence[Patient], healthy: list[dict[str, float]]):
        """Start with the first patient, at the end of the run, without a diagnosis."""
        self.patients, self.healthy = list(patients), healthy
        self.steps = len(healthy)
        self.patient, self.diagnosis = 1, OPEN
        self.step, self.beside = self.steps, True
        self._board: _Board | None = None

    @property
    def illnesses(self) -> list[str]:
        """What can be chosen, in an order that gives nothing away."""
        return [OPEN, *sorted(patient.illness for patient in self.patients)]

    def render(self) -> tuple[bytes, str]:
        """The curves up to the step, and what the diagnosis is worth."""
        if self._board is None:
            self._board = _Board(self.steps, self.healthy)
        now = self.patients[self.patient - 1]
        png = self._board.draw(now.reports, self.step, self.beside)
        return png, self.describe(now)

    def describe(self, now: Patient) -> str:
        """The state in words."""
        last = min(self.step, len(now.reports))
        seen, well = now.reports[last - 1], self.healthy[self.step - 1]
        stopped = f"; the run was stopped after step {last}" if last < self.step else ""
        return "\n".join(
            [
                f"patient {self.patient} of {len(self.patients)}: {self.verdict(now)}",
                f"step {self.step} of {self.steps}{stopped}",
                f"measured: sum of the losses {seen['loss']:.3g}"
                + (f", of the healthy run {well['loss']:.3g}" if self.beside else ""),
            ]
        )

    def verdict(self, now: Patient) -> str:
        """What the diagnosis is worth."""
        if self.diagnosis == OPEN:
            return "what is your diagnosis?"
        if self.diagnosis == now.illness:
            return f"right, {now.illness}. {now.cure}"
        signs = {patient.illness: patient.sign for patient in self.patients}
        return f"no: you would see {signs[self.diagnosis]}"


class _Board:
    """The five losses of the patient over the steps; pale behind them, those of a healthy run."""

    def __init__(self, steps: int, healthy: list[dict[str, float]]):
        self.figure, axes = style.figure(2, 3, width=8.0, height=4.4, sharex=True)
        self.canvas = Canvas(self.figure)
        self.lines, self.marks, self.pale, self.steps = {}, [], [], steps
        names = {"loss": ("sum of the five", style.BLACK, "-"), **LOSSES}
        for ax, (name, (label, colour, dashes)) in zip(axes.flat, names.items(), strict=True):
            ax.set(yscale="log", ylim=(LOWEST, HIGHEST), xlim=(0, steps + 1), title=label)
            ax.set(yticks=[0.01, 1, 100], yticklabels=["0.01", "1", "100"])
            ax.minorticks_off()
            (pale,) = ax.plot(*_curve(healthy, name), color=style.PALE, linewidth=4)
            self.pale.append(self.canvas.add(pale))
            line = ax.plot([], [], color=colour, linestyle=dashes)[0]
            self.lines[name] = self.canvas.add(line)
            self.marks.append(self.canvas.add(ax.axvline(0, color=style.GREY, lw=0.8)))
        for ax in axes[1]:
            ax.set_xlabel("step")

    def draw(self, reports: list[dict[str, float]], step: int, beside: bool) -> bytes:
        """Draw the first steps; the pale lines only when `beside`."""
        for name, line in self.lines.items():
            line.set_data(*_curve(reports[:step], name))
        for mark in self.marks:
            mark.set_xdata([step, step])
        for pale in self.pale:
            pale.set_visible(beside)
        return self.canvas.png()


def _curve(reports: list[dict[str, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one loss, kept inside the axis."""
    values = np.array([report[name] for report in reports])
    return np.arange(1, len(values) + 1), values.clip(LOWEST * 1.3, HIGHEST / 1.3)


def explore_clinic(
    runs: Mapping[str, list[dict[str, float]]] | None = None,
    healthy: list[dict[str, float]] | None = None,
) -> Explorer:
    """The explorer with its controls, for a notebook cell to end with.

    Args:
        runs: the losses of runs with something wrong, by illness (a key of `ILLNESSES`); invented
            ones if not given.
        healthy: those of a run in which nothing is wrong.

    Returns:
        An explorer of `Clinic`.

    Raises:
        ValueError: an illness is unknown.
    """
    if runs is None or healthy is None:
        runs, healthy = _invented()
    if unknown := sorted(set(runs) - set(ILLNESSES)):
        raise ValueError(f"runs: no illness {unknown[0]!r}; there are {sorted(ILLNESSES)}")
    patients = [Patient(name, reports, *ILLNESSES[name]) for name, reports in runs.items()]
    state = Clinic(patients, healthy)
    return Explorer(
        state,
        [
            slider("patient", "patient", 1, len(state.patients)),
            choice("diagnosis", "your diagnosis", state.illnesses),
            slider("step", "seen up to step", 1, state.steps),
            toggle("beside", "a healthy run behind"),
        ],
        alt="The five losses of a run and their sum over the steps.",
    )


def _invented() -> tuple[dict[str, list[dict[str, float]]], list[dict[str, float]]]:
    """Two patients and a healthy run that no network has ever been through."""
    fall = [float(np.exp(-step / 10)) for step in range(20)]
    healthy = [dict.fromkeys(("loss", *LOSSES), value) for value in fall]
    flat = [dict.fromkeys(report, 1.0) for report in healthy]
    wild = [dict.fromkeys(report, 10.0**step) for step, report in enumerate(healthy[:3])]
    return {"head not in the optimiser": flat, "rate too high": wild}, healthy
