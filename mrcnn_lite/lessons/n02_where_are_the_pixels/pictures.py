"""Figures of one axis: elements of a map as areas or as points, and what is read between them."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ...ops.bilinear import bilinear, corners
from ..kit import style
from ..kit.grid import draw_box, draw_cells, draw_table, frame_cells, pastel, write

AREAS = {"color": style.BLUE, "linestyle": "-", "label": "areas, aligned=True"}
POINTS = {"color": style.VERMILION, "linestyle": (0, (4, 2)), "label": "points, aligned=False"}
NAMES = {True: AREAS, False: POINTS}
MARKS = {True: "o", False: "D"}
BAR = 0.5  # height of a strip of cells, in units of the ruler's axis


@dataclass(frozen=True)
class Reading:
    """What a map of one axis says at one position of the image."""

    position: float  # on the map, in elements; before it is moved onto the map
    low: int  # the element at or before it
    high: int  # the next one; the same at the far edge
    fraction: float  # the weight of `high`
    value: float

    @property
    def weights(self) -> tuple[tuple[int, float], tuple[int, float]]:
        """The two elements that are mixed, each with its weight."""
        return (self.low, 1 - self.fraction), (self.high, self.fraction)


def read_at(values: ArrayLike, x: float, stride: float, aligned: bool) -> Reading:
    """Read a map between its elements."""
    position = torch.tensor(x / stride - (0.5 if aligned else 0.0), dtype=torch.float64)
    low, high, fraction, _ = corners(position, len(np.asarray(values)))
    value = float(read_along(values, x, stride, aligned))
    return Reading(float(position), int(low), int(high), float(fraction), value)


def read_along(values: ArrayLike, x: ArrayLike, stride: float, aligned: bool) -> np.ndarray:
    """What the map says at many positions."""
    row = torch.as_tensor(np.asarray(values, dtype=np.float64))[None, None]  # [C, h, w]
    position = np.asarray(x, dtype=np.float64) / stride - (0.5 if aligned else 0.0)
    position = torch.as_tensor(position)
    return bilinear(row, torch.zeros_like(position), position)[0].numpy()


def frame_ruler(ax: Axes, width: float, stride: float, low: float, high: float) -> None:
    """Axes for rulers: image px to the right, no vertical scale."""
    ax.set(xlim=(-0.06 * width, 1.06 * width), ylim=(low, high), yticks=[], xlabel="x (image px)")
    ax.set_xticks(np.arange(0, width + stride / 2, stride))
    ax.spines["left"].set_visible(False)


def draw_areas(ax: Axes, values: ArrayLike, stride: float, y: float) -> None:
    """The elements as areas: element i fills its cell, its value stands in the middle."""
    for i, colour in enumerate(pastel(np.asarray(values)[None])[0]):
        x = (i + 0.5) * stride
        ax.bar(x, BAR, stride, y - BAR / 2, color=colour, edgecolor="white", lw=1.5)
        ax.plot(x, y, MARKS[True], ms=6, color=style.BLUE, zorder=4)
        write(ax, x, y + BAR / 2 + 0.02, str(i), va="bottom")


def draw_points_1d(ax: Axes, values: ArrayLike, stride: float, y: float) -> None:
    """The elements as points: element i stands at i times the stride."""
    last = (len(values) - 1) * stride
    ax.plot([0, last], [y, y], color=style.PALE, lw=2, zorder=1)
    ax.plot([last, last + stride], [y, y], color=style.PALE, lw=2, ls=":", zorder=1)
    for i, colour in enumerate(pastel(np.asarray(values)[None])[0]):
        dot = {"mfc": colour, "mec": style.VERMILION, "mew": 1.8, "zorder": 4}
        ax.plot(i * stride, y, MARKS[False], ms=8, **dot)
        write(ax, i * stride, y + 0.16, str(i), va="bottom")


def ruler_figure(values: ArrayLike, stride: float) -> Figure:
    """Both models of a pixel on one ruler."""
    fig, ax = style.figure(width=7.6, height=2.6)
    frame_ruler(ax, len(values) * stride, stride, -0.35, 2.0)
    draw_areas(ax, values, stride, 1.3)
    draw_points_1d(ax, values, stride, 0.0)
    left = {"ha": "left", "va": "bottom", "fontsize": style.NORMAL}
    ax.text(0, 1.82, "areas: element i fills its cell, its middle is at i + 0.5", **left)
    ax.text(0, 0.42, "points: element i stands at i; nothing stands beyond the last", **left)
    return fig


def offset_figure(box: ArrayLike, strides: list[int], image: float) -> Figure:
    """A box, and the box that is read in its place when half an element is forgotten."""
    fig, axes = style.figure(1, len(strides), width=8.0, height=2.5, sharey=True)
    corner = np.asarray(box, dtype=np.float64)
    for ax, stride in zip(axes, strides):
        ticks, lines = np.arange(0, image + 1, stride), {"color": style.PALE, "linewidth": 0.6}
        ax.hlines(ticks, 0, image, zorder=0, **lines)
        ax.vlines(ticks, 0, image, zorder=0, **lines)
        draw_box(ax, corner, style.BLUE, "the box")
        dashed = {"linestyle": (0, (4, 2)), "linewidth": 1.8}
        draw_box(ax, corner + stride / 2, style.VERMILION, "what is read", **dashed)
        ax.set(xlim=(-2, image + 2), ylim=(image + 2, -2), aspect="equal", xticks=[], yticks=[])
        ax.set_title(f"stride {stride}: {stride / 2:g} px", fontsize=style.NORMAL)
        ax.spines[:].set_visible(False)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return fig


def check_figure(features: ArrayLike, box: ArrayLike, tables: list[ArrayLike]) -> Figure:
    """A map of areas, a box on it, what is read with and without the half, and both outputs."""
    fig, (left, *right) = style.figure(1, 3, width=8.0, height=3.6, width_ratios=(1.5, 1, 1))
    draw_cells(left, features, numbers=False)
    frame_cells(left, *features.shape[::-1])
    for (row, column), value in np.ndenumerate(features):
        write(left, column + 0.5, row + 0.5, f"{value:g}", fontsize=style.SMALL)
    corner, size = np.asarray(box, dtype=np.float64), len(np.asarray(tables[0]))
    for ax, table, aligned in zip(right, tables, (False, True)):
        colour, dashes = NAMES[aligned]["color"], NAMES[aligned]["linestyle"]
        read = corner + (0.0 if aligned else 0.5)
        x, y = read[:2, None] + (np.arange(size) + 0.5) / size * (read[2:] - read[:2])[:, None]
        dots = {"ms": 3.2 if aligned else 5.5, "color": colour, "ls": "", "zorder": 5}
        left.plot(np.tile(x, size), y.repeat(size), MARKS[aligned], **dots)
        draw_box(left, read, colour, f"read, aligned={aligned}", ls=dashes)
        draw_table(ax, table, f"aligned={aligned}", [colour] * size**2)
        for text in ax.texts:
            text.set(fontsize=style.SMALL, text=f"{float(text.get_text()):g}")
    left.legend(loc="upper left", bbox_to_anchor=(-0.05, -0.14), ncols=2)
    return fig


def resize_figure(values: ArrayLike, positions: dict[str, ArrayLike]) -> Figure:
    """Where a resize reads: the old elements as areas, the new ones as marks under them."""
    fig, ax = style.figure(width=7.6, height=2.5)
    frame_ruler(ax, len(values), 1, -0.35, len(positions) + 0.9)
    ax.set(xlabel="x (elements of the old map)")
    y = len(positions) + 0.2
    draw_areas(ax, values, 1, y)
    for aligned, (name, x) in zip((True, False), positions.items()):
        y -= 0.95
        line, mark = NAMES[aligned], {"marker": MARKS[aligned], "ms": 6, "mec": "white"}
        ax.plot(np.asarray(x) + 0.5, np.full(len(x), y), lw=1.2, **line, **mark)
        ax.text(0, y + 0.2, name, color=line["color"], va="bottom", fontsize=style.SMALL)
    return fig


def span_figure(values: ArrayLike, stride: float, spans: dict[str, tuple[float, float]]) -> Figure:
    """Stretches of the image under a ruler of areas."""
    fig, ax = style.figure(width=7.6, height=2.4)
    frame_ruler(ax, len(values) * stride, stride, -0.3, len(spans) * 0.6 + 0.9)
    draw_areas(ax, values, stride, len(spans) * 0.6 + 0.25)
    colours = (style.BLACK, style.BLUE, style.VERMILION)
    for row, (colour, (name, (low, high))) in enumerate(zip(colours, spans.items())):
        y = len(spans) * 0.6 - 0.4 - 0.55 * row
        middle, text = (low + high) / 2, {"textcoords": "offset points", "va": "center"}
        ax.plot([low, high], [y, y], color=colour, lw=5, solid_capstyle="butt")
        ax.plot(middle, y, "|", ms=14, color=colour, mew=1.5)
        title = f"{name}: {low:g} to {high:g} px, middle {middle:g}"
        ax.annotate(title, (high, y), (8, 0), color=colour, **text)
    return fig
