"""The ruler: a curve, the map that averages it, and what the map says under both pixel models."""

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider
from ..kit.grid import decimal, pastel
from .pictures import MARKS, NAMES, Reading, read_along, read_at

IMAGE = 192  # px
STRIDES = (32, 16, 8, 4)
FINE = 8  # positions per px at which a curve is averaged; the mean of a ramp is exact
HEIGHTS = {True: 1.45, False: 0.45}  # of the two rulers
CURVES = {
    "ramp": lambda x: x,
    "wave": lambda x: 96 + 80 * np.sin(2 * np.pi * x / 96),
    "edge": lambda x: np.where(x < 90, 24.0, 168.0),
}
MODELS = {
    "both": (True, False),
    "areas (aligned=True)": (True,),
    "points (aligned=False)": (False,),
}


class RulerState:
    """A position on an image of one row, read from a map of a coarser stride."""

    def __init__(self):
        self.x = 64
        self.stride = 32
        self.curve = "ramp"
        self.model = "both"
        self._draw_axes()

    def _draw_axes(self) -> None:
        """Above the curve and what both models read along it, below the two rulers."""
        plan = [["curve"], ["rulers"]]
        settings = {"height_ratios": (1.9, 1), "sharex": True}
        fig, axes = style.mosaic(plan, width=8.0, height=4.6, **settings)
        top, low = axes["curve"], axes["rulers"]
        top.set(xlim=(-8, IMAGE + 8), ylim=(-10, 202), ylabel="value", yticks=range(0, 193, 32))
        top.set_xticks(range(0, IMAGE + 1, 32))
        low.set(ylim=(-0.1, 2.2), yticks=[], xlabel="x (image px)")
        low.spines["left"].set_visible(False)
        low.text(0, 1.78, "areas", color=style.BLUE, va="bottom")
        low.text(0, 0.68, "points", color=style.VERMILION, va="bottom")
        low.plot([0, IMAGE], [HEIGHTS[False]] * 2, color=style.PALE, lw=2, zorder=0)
        self.canvas = Canvas(fig)
        add, colours = self.canvas.add, {a: NAMES[a]["color"] for a in NAMES}
        self.here = [add(ax.axvline(0, color=style.GREY, lw=1)) for ax in (top, low)]
        self.truth = add(top.plot([], [], color=style.PALE, lw=5, label="the curve")[0])
        self.lines = {a: add(top.plot([], [], **NAMES[a])[0]) for a in NAMES}
        self.cells = add(low.add_collection(PolyCollection([], edgecolors="white", linewidths=1)))
        rays = {"colors": style.BLACK, "zorder": 3}
        self.rays = {a: add(low.add_collection(LineCollection([], **rays))) for a in NAMES}
        self.dots, self.marks, self.says = {}, {}, {}
        for a, shift, side in ((True, (10, -10), "left"), (False, (-10, 10), "right")):
            dot = {"marker": MARKS[a], "edgecolors": colours[a], "zorder": 4}
            self.dots[a] = add(low.scatter([], [], c="white", **dot))
            mark = {"color": colours[a], "mec": "white", "ms": 10, "zorder": 5}
            self.marks[a] = add(top.plot([], [], MARKS[a], **mark)[0])
            text = {"color": colours[a], "ha": side, "va": "center"}
            self.says[a] = add(top.annotate("", (0, 0), shift, textcoords="offset points", **text))
        where = {"loc": "upper left", "bbox_to_anchor": (0.0, 1.16), "ncols": 3}
        top.legend(handles=[self.truth, *self.lines.values()], **where)

    def values(self) -> np.ndarray:
        """The map: the mean of the curve over each cell, `[w]`."""
        x = (np.arange(IMAGE * FINE) + 0.5) / FINE
        return CURVES[self.curve](x).reshape(-1, self.stride * FINE).mean(1)  # [w]

    def readings(self) -> dict[bool, Reading]:
        """What the map says there, for aligned=True and aligned=False."""
        return {a: read_at(self.values(), self.x, self.stride, a) for a in (True, False)}

    def render(self) -> tuple[bytes, str]:
        """The figure and the numbers."""
        readings = self.readings()
        self._move(readings)
        return self.canvas.png(), self.describe(readings)

    def describe(self, readings: dict[bool, Reading]) -> str:
        """Both readings in words and numbers."""
        values, truth = self.values(), CURVES[self.curve](np.array(float(self.x)))
        lines = [
            f"{self.curve} at x = {self.x} px, stride {self.stride}: "
            f"areas say {decimal(readings[True].value)}, "
            f"points say {decimal(readings[False].value)}; the truth is {decimal(truth)}"
        ]
        for aligned, got in readings.items():
            name, half = ("areas ", " - 0.5") if aligned else ("points", "")
            terms = [f"{w:.4f} x {decimal(values[i])} (element {i})" for i, w in got.weights]
            lines.append(f"{name}: {self.x} / {self.stride}{half} = {decimal(got.position)}")
            lines.append(f"        {' + '.join(terms)} = {decimal(got.value)}")
        lines.append(f"half an element is {self.stride / 2:g} px")
        return "\n".join(lines)

    def _move(self, readings: dict[bool, Reading]) -> None:
        values, stride, shown = self.values(), self.stride, MODELS[self.model]
        colours, along = pastel(values[None])[0], np.linspace(0, IMAGE, IMAGE * 2 + 1)
        for line in self.here:
            line.set_xdata([self.x, self.x])
        self.truth.set_data(along, CURVES[self.curve](along))
        low, high = HEIGHTS[True] - 0.3, HEIGHTS[True] + 0.3
        ends = [(i * stride, (i + 1) * stride) for i in range(len(values))]
        cells = [[(a, low), (b, low), (b, high), (a, high)] for a, b in ends]
        self.cells.set(verts=cells, facecolors=colours, visible=True in shown)
        for aligned, got in readings.items():
            x = (np.arange(len(values)) + (0.5 if aligned else 0.0)) * stride  # [w]
            y = np.full_like(x, HEIGHTS[aligned])
            sizes = np.full_like(x, 16.0 + stride)
            sizes[[got.low, got.high]] = 95
            self.lines[aligned].set_data(along, read_along(values, along, stride, aligned))
            self.dots[aligned].set(offsets=np.stack([x, y], 1), facecolors=colours, sizes=sizes)
            rays = [[(self.x, y[i]), (x[i], y[i])] for i, _ in got.weights]
            self.rays[aligned].set(segments=rays, linewidths=[0.5 + 7 * w for _, w in got.weights])
            self.marks[aligned].set_data([self.x], [got.value])
            self.says[aligned].set_text(f"says {round(got.value, 1):g}")
            self.says[aligned].xy = (self.x, got.value)
            for artists in (self.lines, self.dots, self.rays, self.marks, self.says):
                artists[aligned].set_visible(aligned in shown)


def reading_figure(x: int) -> Figure:
    """A ramp, read at one position under both models: the explorer as a still."""
    return explore_ruler(x=x).state.canvas.figure


def explore_ruler(**settings: int | str) -> Explorer:
    """The ruler; `settings` are where its controls begin."""
    controls = [
        slider("x", "position x (px)", 0, IMAGE),
        choice("stride", "stride", STRIDES),
        choice("curve", "curve", list(CURVES)),
        choice("model", "model", list(MODELS)),
    ]
    alt = "A curve over a ruler of cells and a ruler of points, and what each says at one position."
    return Explorer(RulerState(), controls, alt, width=800).set(**settings)
