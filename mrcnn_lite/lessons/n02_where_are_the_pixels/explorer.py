"""The ruler: a curve, the map that averages it, and what the map says under both pixel models."""

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider
from ..kit.grid import decimal, pastel
from .pictures import MARKS, NAMES, Reading, read_along, read_at

IMAGE = 192  # px
STRIDES = (32, 16, 8, 4)
FINE = 8  # places per px at which a curve is averaged; the mean of a ramp is exact
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
WORDS = {True: "areas ", False: "points"}


class RulerState:
    """A place on an image of one row, read from a map of a coarser stride."""

    def __init__(self):
        """Start at 64 px of the ramp, stride 32."""
        self.x = 64
        self.stride = 32
        self.curve = "ramp"
        self.model = "both"
        self._board: _Board | None = None

    def values(self) -> np.ndarray:
        """The map: the mean of the curve over each cell, `[w]`."""
        x = (np.arange(IMAGE * FINE) + 0.5) / FINE
        return CURVES[self.curve](x).reshape(-1, self.stride * FINE).mean(1)  # [w]

    def truth(self) -> float:
        """The curve at the place."""
        return float(CURVES[self.curve](np.array(float(self.x))))

    def readings(self) -> dict[bool, Reading]:
        """What the map says there, for aligned=True and aligned=False."""
        return {a: read_at(self.values(), self.x, self.stride, a) for a in (True, False)}

    def render(self) -> tuple[bytes, str]:
        """The picture and the numbers."""
        if self._board is None:
            self._board = _Board()
        readings = self.readings()
        self._board.move(self, readings)
        return self._board.canvas.png(), self.describe(readings)

    def describe(self, readings: dict[bool, Reading]) -> str:
        """Both readings in words and numbers."""
        values = self.values()
        both = ", ".join(f"{WORDS[a].strip()} say {decimal(readings[a].value)}" for a in WORDS)
        lines = [
            f"{self.curve} at x = {self.x} px, stride {self.stride}: {both}; "
            f"the truth is {decimal(self.truth())}"
        ]
        for aligned, got in readings.items():
            half = " - 0.5" if aligned else ""
            weights = ((1 - got.fraction, got.low), (got.fraction, got.high))
            terms = " + ".join(f"{w:.4f} x {decimal(values[i])} (element {i})" for w, i in weights)
            where = f"{self.x} / {self.stride}{half} = {decimal(got.position)}"
            lines.append(f"{WORDS[aligned]}: {where}")
            lines.append(f"        {terms} = {decimal(got.value)}")
        lines.append(f"half an element is {self.stride / 2:g} px")
        return "\n".join(lines)


class _Board:
    """The picture: axes and names are background, everything else moves."""

    def __init__(self):
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
        add, ends = self.canvas.add, {"color": style.GREY, "lw": 1}
        self.here = [add(ax.axvline(0, **ends)) for ax in (top, low)]
        truth = {"color": style.PALE, "lw": 5, "label": "the curve"}
        self.truth = add(top.plot([], [], **truth)[0])
        self.lines = {a: add(top.plot([], [], **NAMES[a])[0]) for a in NAMES}
        self.cells = add(low.add_collection(PolyCollection([], edgecolors="white", linewidths=1)))
        rays = {"colors": style.BLACK, "zorder": 3}
        self.rays = {a: add(low.add_collection(LineCollection([], **rays))) for a in NAMES}
        self.dots = {a: add(self._marks(low, a)) for a in NAMES}
        self.values = {a: add(self._mark(top, a)) for a in NAMES}
        where = {"loc": "upper left", "bbox_to_anchor": (0.0, 1.16), "ncols": 3}
        top.legend(handles=[self.truth, *self.lines.values()], **where)
        fig.draw_without_rendering()

    @staticmethod
    def _marks(ax, aligned: bool):
        look = {"c": "white", "edgecolors": NAMES[aligned]["color"], "zorder": 4}
        return ax.scatter([], [], marker=MARKS[aligned], **look)

    @staticmethod
    def _mark(ax, aligned: bool):
        look = {"color": NAMES[aligned]["color"], "mec": "white", "zorder": 5}
        return ax.plot([], [], MARKS[aligned], ms=10, **look)[0]

    def move(self, state: RulerState, readings: dict[bool, Reading]) -> None:
        """Show another place, stride, curve or model."""
        values, stride = state.values(), state.stride
        along = np.linspace(0, IMAGE, IMAGE * 2 + 1)
        for line in self.here:
            line.set_xdata([state.x, state.x])
        self.truth.set_data(along, CURVES[state.curve](along))
        left, y = np.arange(len(values)) * stride, HEIGHTS[True]
        self.cells.set_verts(
            [
                [(a, y - 0.3), (a + stride, y - 0.3), (a + stride, y + 0.3), (a, y + 0.3)]
                for a in left
            ]
        )
        colours = pastel(values[None])[0]
        self.cells.set_facecolors(colours)
        shown = MODELS[state.model]
        self.cells.set_visible(True in shown)
        for aligned in NAMES:
            self._move_model(state, aligned, readings[aligned], colours, aligned in shown)

    def _move_model(
        self, state: RulerState, aligned: bool, got: Reading, colours: np.ndarray, seen: bool
    ) -> None:
        """One of the two models: its line, its elements, and the two that are mixed."""
        values, stride, y = state.values(), state.stride, HEIGHTS[aligned]
        places = (np.arange(len(values)) + (0.5 if aligned else 0.0)) * stride
        along = np.linspace(0, IMAGE, IMAGE * 2 + 1)
        self.lines[aligned].set_data(along, read_along(values, along, stride, aligned))
        dots = self.dots[aligned]
        dots.set_offsets(np.stack([places, np.full(len(places), y)], 1))
        dots.set_facecolors(colours)
        sizes = np.full(len(places), 16.0 + stride)
        sizes[[got.low, got.high]] = 95
        dots.set_sizes(sizes)
        pair = ((1 - got.fraction, got.low), (got.fraction, got.high))
        self.rays[aligned].set_segments([[(state.x, y), (places[i], y)] for _, i in pair])
        self.rays[aligned].set_linewidths([0.5 + 7 * weight for weight, _ in pair])
        self.values[aligned].set_data([state.x], [got.value])
        for artist in (self.lines, self.dots, self.rays, self.values):
            artist[aligned].set_visible(seen)


def explore_ruler(**settings: int | str) -> Explorer:
    """The ruler: one place of the image, read under both models.

    Args:
        **settings: where to start: x (image px), stride (32, 16, 8 or 4), curve ("ramp", "wave" or
            "edge"), model ("both", "areas (aligned=True)" or "points (aligned=False)").

    Returns:
        An explorer that can be displayed, and moved with `set`.
    """
    controls = [
        slider("x", "place x (px)", 0, IMAGE),
        choice("stride", "stride", STRIDES),
        choice("curve", "curve", list(CURVES)),
        choice("model", "model", list(MODELS)),
    ]
    alt = "A curve over a ruler of cells and a ruler of points, and what each says at one place."
    return Explorer(RulerState(), controls, alt, width=800).set(**settings)
