"""Explorer of notebook 18: the losses of a failed run, and the reader finds its failure mode."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider, toggle
from ..kit.style import LOSSES

Reports = Sequence[dict[str, float]]  # the losses of each step
OPEN = "(not yet)"
FAILURE_MODES = {  # what one would see, and what to do
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


class Diagnosis:
    """Failed runs by failure mode, untold; one in view, with a diagnosis and a moment."""

    def __init__(self, runs: Mapping[str, Reports], healthy: Reports):
        self.runs, self.healthy, self.steps = dict(runs), healthy, len(healthy)
        self.run, self.diagnosis = 1, OPEN
        self.step, self.beside = self.steps, True
        self._draw_axes()

    def _draw_axes(self) -> None:
        """The five losses and their sum over the steps; pale behind, those of a healthy run."""
        figure, axes = style.figure(2, 3, width=8.0, height=4.4, sharex=True)
        self.canvas = Canvas(figure)
        self.lines, self.marks, self.pale = {}, [], []
        names = {"loss": ("sum of the five", style.BLACK, "-"), **LOSSES}
        for ax, (name, (label, colour, dashes)) in zip(axes.flat, names.items(), strict=True):
            ax.set(yscale="log", ylim=(LOWEST, HIGHEST), xlim=(0, self.steps + 1), title=label)
            ax.set(yticks=[0.01, 1, 100], yticklabels=["0.01", "1", "100"])
            ax.minorticks_off()
            self.pale += ax.plot(*_curve(self.healthy, name), color=style.PALE, linewidth=4)
            self.lines[name] = ax.plot([], [], color=colour, linestyle=dashes)[0]
            self.marks.append(ax.axvline(0, color=style.GREY, lw=0.8))
            self.canvas.add_all([self.pale[-1], self.lines[name], self.marks[-1]])
        for ax in axes[1]:
            ax.set_xlabel("step")

    @property
    def choices(self) -> list[str]:
        """What can be chosen, in an order that gives nothing away."""
        return [OPEN, *sorted(self.runs)]

    def render(self) -> tuple[bytes, str]:
        """The curves up to the step, and what the diagnosis is worth."""
        mode, reports = list(self.runs.items())[self.run - 1]
        for name, line in self.lines.items():
            line.set_data(*_curve(reports[: self.step], name))
        for mark, pale in zip(self.marks, self.pale, strict=True):
            mark.set_xdata([self.step, self.step])
            pale.set_visible(self.beside)
        return self.canvas.png(), self.describe(mode, reports)

    def describe(self, mode: str, reports: Reports) -> str:
        """The diagnosis, the step and the sum of the losses."""
        last = min(self.step, len(reports))
        seen, well = reports[last - 1], self.healthy[self.step - 1]
        stopped = f"; the run was stopped after step {last}" if last < self.step else ""
        beside = f", of the healthy run {well['loss']:.3g}" if self.beside else ""
        return (
            f"run {self.run} of {len(self.runs)}: {self.verdict(mode)}\n"
            f"step {self.step} of {self.steps}{stopped}\n"
            f"measured: sum of the losses {seen['loss']:.3g}{beside}"
        )

    def verdict(self, mode: str) -> str:
        """What the diagnosis is worth."""
        if self.diagnosis == OPEN:
            return "what is your diagnosis?"
        symptom, fix = FAILURE_MODES[self.diagnosis]
        return f"right, {mode}. {fix}" if mode == self.diagnosis else f"no: you would see {symptom}"


def _curve(reports: Reports, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one loss, kept inside the axis."""
    values = np.array([report[name] for report in reports])
    return np.arange(1, len(values) + 1), values.clip(LOWEST * 1.3, HIGHEST / 1.3)


def explore_failed_runs(
    runs: Mapping[str, Reports] | None = None, healthy: Reports | None = None
) -> Explorer:
    """The explorer of failed runs, by failure mode (`FAILURE_MODES`), beside a healthy one."""
    if runs is None or healthy is None:
        runs, healthy = _invented()
    if unknown := sorted(set(runs) - set(FAILURE_MODES)):
        known = sorted(FAILURE_MODES)
        raise ValueError(f"runs: no failure mode {unknown[0]!r}; there are {known}")
    state = Diagnosis(runs, healthy)
    controls = [
        slider("run", "run", 1, len(runs)),
        choice("diagnosis", "your diagnosis", state.choices),
        slider("step", "seen up to step", 1, state.steps),
        toggle("beside", "a healthy run behind"),
    ]
    return Explorer(state, controls, alt="The five losses of a run and their sum over the steps.")


def _invented() -> tuple[dict[str, Reports], Reports]:
    """Two failed runs and a healthy one that no network has ever been through."""
    healthy = [dict.fromkeys(("loss", *LOSSES), float(np.exp(-step / 10))) for step in range(20)]
    flat = [dict.fromkeys(report, 1.0) for report in healthy]
    wild = [dict.fromkeys(report, 10.0**step) for step, report in enumerate(healthy[:3])]
    return {"head not in the optimiser": flat, "rate too high": wild}, healthy
