"""Figures of the operator zoo: where each definition reads, how errors shrink, what borders do."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import Tensor

from ..kit import style
from ..kit.grid import decimal, draw_box, draw_points, move_box
from ..kit.roi import BINS
from .operators import ZOO, Operator, max_of_cells, mean_of_area

MARKS = ("o", "s", "^", "D")  # the four bins of a 2 x 2 output: a colour and a shape each
LINES = (
    {"color": style.VERMILION, "linestyle": (0, (1, 1.2)), "marker": "^"},
    {"color": style.ORANGE, "linestyle": (0, (4, 1.5)), "marker": "s"},
    {"color": style.GREEN, "linestyle": (0, (6, 1.5, 1, 1.5)), "marker": "D"},
    {"color": style.BLUE, "linestyle": "-", "marker": "o"},
)


class Sampling(NamedTuple):
    """Where an operator reads the map, per bin row and bin column."""

    roi: np.ndarray  # (x1, y1, x2, y2) as the operator sees it
    y: np.ndarray  # [P, S] points, or [P, 2] ends
    x: np.ndarray
    areas: bool  # ends of areas, not points


def sampling_of(operator: Operator, *where: Any) -> Sampling:
    """What `Operator.sampling` says of `where`, in the coordinates of `draw_points`."""
    shift = 0.5 if operator.combine is max_of_cells else 0.0
    parts = ((part - shift).numpy() for part in operator.sampling(*where))
    return Sampling(*parts, operator.combine in (max_of_cells, mean_of_area))


class SamplingArtists:
    """The RoI and what an operator reads in each of its 2 x 2 bins, to be moved over a map."""

    def __init__(self, ax: Axes):
        self.roi = draw_box(ax, (0, 0, 1, 1), style.BLACK, linewidth=1.4)
        area = {"alpha": 0.45, "linewidth": 1.5, "zorder": 2}
        self.areas = [ax.add_patch(Rectangle((0, 0), 1, 1, color=c, **area)) for c in BINS]
        dot = {"mec": "black", "mew": 0.6, "zorder": 6}
        self.points = [ax.plot([], [], m, color=c, **dot)[0] for c, m in zip(BINS, MARKS)]

    def move(self, sampling: Sampling) -> None:
        """Show where one operator reads, each bin drawn a little smaller than the one before."""
        move_box(self.roi, sampling.roi)
        for index, (area, points) in enumerate(zip(self.areas, self.points)):
            row, column = divmod(index, 2)
            area.set_visible(sampling.areas)
            points.set_visible(not sampling.areas)
            inset = 0.07 + 0.05 * index
            y, x = sampling.y[row], sampling.x[column]
            sides = x[-1] - x[0] - 2 * inset, y[-1] - y[0] - 2 * inset
            area.set_bounds(x[0] + inset, y[0] + inset, *sides)
            points.set_data(np.tile(x, len(y)), y.repeat(len(x)))
            crowd = 1 + 0.2 * (len(y) - 1)
            points.set_markersize(8 / crowd * (1 - 0.17 * index))


def zoo_figure(features: Tensor, box: Tensor, scale: float) -> Figure:
    """Ten small maps: where each operator of the zoo reads with ratio 2, and its four numbers."""
    fig, axes = style.figure(2, len(ZOO) // 2, width=8.0, height=4.2)
    for ax, operator in zip(axes.flat, ZOO.values()):
        draw_points(ax, features, numbers=False, margin=0.75)
        shape = (features.shape[-2], features.shape[-1])
        SamplingArtists(ax).move(sampling_of(operator, box, 2, scale, 2, False, shape))
        ax.set_title(operator.name, fontsize=style.NORMAL, fontweight="bold")
        rows = operator(features, box, 2, scale)[0].tolist()
        numbers = "\n".join("  ".join(decimal(value, 2) for value in row) for row in rows)
        ax.set_xlabel(numbers, fontsize=style.NORMAL, color=style.BLACK)
        ax.set(ylabel="", xticks=[], yticks=[])
    return fig


def pairs_figure(rois: Mapping[str, tuple[float, float]], size: int) -> Figure:
    """One axis of a RoI: samples of ratio 2, and how far the pairs of ratio 4 stand apart."""
    fig, axes = style.figure(len(rois), 1, width=7.6, height=0.95 * len(rois) + 0.7, sharex=True)
    whole = np.arange(np.ceil(max(last for _, last in rois.values())) + 1)
    for ax, (name, (first, last)) in zip(axes, rois.items()):
        step = (last - first) / (2 * size)
        samples = first + (np.arange(2 * size) + 0.5) * step
        low, high = samples - step / 4, samples + step / 4
        pairs = np.concatenate([low, high])
        ax.plot([first, last], [0, 0], color=style.BLACK, linewidth=1.2, label="RoI")
        ax.hlines(0 * low, low, high, color=style.ORANGE, linewidth=7, label="pairs")
        ax.plot(pairs, 0 * pairs, "|", color=style.BLACK, ms=9, label="samples, ratio 4")
        ax.plot(samples, 0 * samples, "o", color=style.BLUE, ms=6, label="samples, ratio 2")
        caught = ((whole[:, None] > low) & (whole[:, None] < high)).any(1)
        for here, mark in ((~caught, "^"), (caught, "X")):
            ax.plot(whole[here], 0 * whole[here] - 0.7, mark, color=style.VERMILION, ms=6)
        ax.set(ylim=(-1.1, 0.8), yticks=[])
        ax.set_title(name, fontsize=style.NORMAL)
        ax.spines["left"].set_visible(False)
    ax.set(xticks=whole, xlabel="elements of the map (triangle: outside all pairs, X: within one)")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=4)
    return fig


def _curves(ax: Axes, at: Sequence[float], curves: Mapping[str, ArrayLike], label: str) -> None:
    """Named lines, both axes logarithmic."""
    for line, (name, values) in zip(LINES[-len(curves) :], curves.items()):
        ax.plot(at, values, label=name, ms=4.5, **line)
    ax.set(xscale="log", yscale="log", xlabel=label)
    ax.set_xticks(at, [f"{number:g}" for number in at])
    ax.minorticks_off()


def convergence_figure(ratios: Sequence[int], curves: Mapping[str, ArrayLike]) -> Figure:
    """How the distance from the exact mean shrinks with the sampling ratio."""
    fig, ax = style.figure(width=5.6, height=3.2)
    _curves(ax, ratios, curves, "sampling ratio (per axis)")
    ax.set_ylabel("typical distance\nfrom the exact mean")
    ax.legend(loc="lower left", fontsize=style.NORMAL)
    return fig


def length_figure(
    lengths: Sequence[float], panels: Mapping[str, Mapping[str, ArrayLike]]
) -> Figure:
    """The error over the length of a bin, a curve per sampling ratio, a panel per map."""
    fig, axes = style.figure(1, len(panels), width=8.0, height=3.2, sharey=True)
    for ax, (name, curves) in zip(axes, panels.items()):
        _curves(ax, lengths, curves, "length of a bin (elements)")
        ax.set_title(name)
    axes[0].set_ylabel("typical error, in parts of\nthe exact means' spread")
    axes[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=style.NORMAL)
    return fig


def border_figure(centres: Sequence[float], panels: Mapping[str, ArrayLike], image: int) -> Figure:
    """What a small box reads from a map of ones, for every position of its centre."""
    fig, axes = style.figure(1, len(panels), width=8.0, height=3.0, sharey=True)
    half = float(centres[1] - centres[0]) / 2
    first, last = float(centres[0]) - half, float(centres[-1]) + half
    extent = (first, last, last, first)
    for ax, (title, panel) in zip(axes, panels.items()):
        panel = np.asarray(panel)
        drawn = ax.imshow(panel, cmap=style.SEQUENTIAL, vmin=0, vmax=1, extent=extent)
        frame = draw_box(ax, (0, 0, image, image), style.VERMILION, "the image", linestyle="--")
        ax.set_title(title.replace(", ", "\n"), fontsize=style.NORMAL)
        ax.set(xlabel="centre of the box, x (px)", xticks=range(0, image + 1, 64))
        ax.set_yticks(range(0, image + 1, 64))
    axes[0].set_ylabel("y (px)")
    fig.colorbar(drawn, ax=axes, shrink=0.8, label="value of the bin")
    axes[0].legend(handles=[frame], loc="upper left", bbox_to_anchor=(-0.05, -0.22))
    return fig
