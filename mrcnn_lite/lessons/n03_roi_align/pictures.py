"""Figures of RoIAlign: the un-rounded RoI, its sampling points, bilinear weights as areas."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from ...ops.bilinear import corners
from ..kit import style
from ..kit.grid import as_array, draw_points, draw_table, write
from ..kit.roi import POINTS, Samples, draw_bins

CORNERS = (style.SKY, style.ORANGE, style.GREEN, style.PURPLE)  # of a cell, row by row


@dataclass(frozen=True)
class Cell:
    """The cell around one sample: four corners, their weights and values."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    u: float  # how far the sample is to the right of the left corners
    v: float  # how far it is below the upper corners
    values: tuple[float, float, float, float]  # corner values row by row: f1 f2 f3 f4
    inside: bool  # False where the sample counts as 0

    @property
    def weights(self) -> tuple[float, float, float, float]:
        """The bilinear weights in the order of `values`."""
        u, v = self.u, self.v
        return (1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v

    @property
    def value(self) -> float:
        """The sample's value."""
        total = sum(weight * value for weight, value in zip(self.weights, self.values))
        return total if self.inside else 0.0


def cell_of(features: ArrayLike, x: float, y: float) -> Cell:
    """The four corners that a sample is made of."""
    array = as_array(features)
    top, bottom, v, inside_y = corners(torch.tensor(y, dtype=torch.float64), array.shape[0])
    left, right, u, inside_x = corners(torch.tensor(x, dtype=torch.float64), array.shape[1])
    rows, columns = (int(top), int(bottom)), (int(left), int(right))
    values = tuple(float(array[row, column]) for row in rows for column in columns)
    return Cell(rows, columns, float(u), float(v), values, bool(inside_y & inside_x))


def align_figure(features: ArrayLike, samples: Samples, outputs: ArrayLike) -> Figure:
    """The map as points, the RoI, its bins, one sample with its four corners, and the outputs."""
    fig, (left, right) = style.figure(1, 2, width=7.8, height=4.4, width_ratios=(2.4, 1))
    draw_points(left, features)
    draw_bins(left, samples)
    x, y = float(samples.x[0, 0]), float(samples.y[0, 0])
    cell = cell_of(features, x, y)
    points = [(column, row) for row in cell.rows for column in cell.columns]
    rays = [[(x, y), point] for point in points]
    left.add_collection(LineCollection(rays, colors=CORNERS, linewidths=2, zorder=4))
    left.scatter(*zip(*points), s=52, c=CORNERS, ec="black", zorder=5)
    left.plot(x, y, "o", ms=9, mfc="none", mec="black", mew=2, zorder=6)
    draw_table(right, outputs, "output")
    left.legend(loc="upper left", bbox_to_anchor=(0.0, -0.12), ncols=2)
    return fig


def weights_figure(cell: Cell) -> Figure:
    """Bilinear weights as areas: each corner owns the rectangle opposite to it."""
    fig, ax = style.figure(width=4.2, height=3.6)
    ax.set(xlim=(-0.42, 1.42), ylim=(1.3, -0.3), aspect="equal")
    ax.axis("off")
    u, v = cell.u, cell.v
    areas = (((u, v), 1 - u, 1 - v), ((0, v), u, 1 - v), ((u, 0), 1 - u, v), ((0, 0), u, v))
    names = [(row, column) for row in cell.rows for column in cell.columns]
    parts = zip(((0, 0), (1, 0), (0, 1), (1, 1)), CORNERS, areas, names, cell.weights, cell.values)
    for (x, y), colour, area, name, weight, value in parts:
        ax.add_patch(Rectangle(*area, facecolor=colour, edgecolor="white", alpha=0.75))
        ax.plot(x, y, "o", ms=9, color=colour, mec=style.BLACK, zorder=5)
        below = {"va": "bottom" if y == 0 else "top", "fontsize": style.SMALL}
        label = f"f{name} = {value:.4f}\nweight {weight:.4f}"
        write(ax, x, y - 0.06 if y == 0 else y + 0.06, label, **below)
    ax.plot(u, v, ms=9, **POINTS)
    return fig


def ratio_figure(features: ArrayLike, panels: list[Samples], notes: list[str]) -> Figure:
    """The same RoI with several sampling ratios, side by side."""
    fig, axes = style.figure(1, len(panels), width=8.0, height=2.6, sharey=True)
    for ax, samples, note in zip(axes, panels, notes):
        draw_points(ax, features, numbers=False)
        draw_bins(ax, samples)
        ax.set_title(note, fontsize=style.NORMAL)
        ax.set(xlabel="", ylabel="")
    return fig


def slide_figure(shifts: ArrayLike, pooled: ArrayLike, aligned: ArrayLike) -> Figure:
    """The first output of both operators while the box slides."""
    fig, ax = style.figure(width=6.4, height=2.8)
    ax.plot(shifts, pooled, color=style.VERMILION, linestyle=(0, (4, 2)), drawstyle="steps-post")
    ax.plot(shifts, aligned, color=style.BLUE)
    last = np.asarray(shifts)[-1]
    ends = (("RoIPool", pooled, style.VERMILION), ("RoIAlign", aligned, style.BLUE))
    for name, values, colour in ends:
        at = (float(last), float(np.asarray(values)[-1]))
        ax.annotate(name, at, (5, 0), textcoords="offset points", va="center", color=colour)
    ax.set(xlabel="box moved to the right and down (px)", ylabel="first output")
    return fig
