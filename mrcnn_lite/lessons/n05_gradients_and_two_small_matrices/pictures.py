"""Figures of gradients: who learns and how much, two small matrices, and where a box should go."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..kit import style
from ..kit.grid import as_array, decimal, draw_box, draw_cells, draw_points, frame_cells, tinted
from ..kit.roi import POINTS, Samples, draw_bins, draw_edge_arrows


def learning_figure(
    maps: Sequence[ArrayLike], titles: Sequence[str], marks: Sequence[Samples | Sequence[float]]
) -> Figure:
    """Gradients of the map side by side: coloured elements learn, the number says how much."""
    fig, axes = style.figure(1, len(maps), width=8.2, height=3.3)
    for ax, weights, title, mark in zip(np.atleast_1d(axes), maps, titles, marks, strict=True):
        height, width = as_array(weights).shape
        lift = _clear_of(mark, height) if isinstance(mark, Samples) else 0.0
        draw_cells(ax, weights, gradient=True, lift=lift)
        frame_cells(ax, width, height)
        ax.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -0.1))
        if isinstance(mark, Samples):
            box = [corner + 0.5 for corner in mark.box]
            x, y = mark.shifted(0.5).points()
            draw_box(ax, box, style.BLUE)
            ax.plot(x, y, **{**POINTS, "ms": 4, "mew": 0.6})
        else:
            draw_box(ax, mark, style.VERMILION, linestyle=(0, (4, 2)))
        ax.set_title(title, fontsize=style.NORMAL)
    return fig


def _clear_of(samples: Samples, height: int) -> float:
    """How far below their element numbers have to stand so that no sample covers them."""
    rows = np.arange(height)[:, None]
    room = {lift: np.abs(rows + lift - samples.y.reshape(-1)).min() for lift in (0, -0.25, 0.25)}
    return max(room, key=room.get)


def product_figure(terms: Mapping[str, ArrayLike]) -> Figure:
    """A product of matrices as heat maps that can be read: result = first x second x third.

    White is exactly 0; each matrix is coloured by the size of its numbers, whatever their sign.
    """
    fig, ax = style.figure(width=8.2, height=3.4)
    arrays = [(name, as_array(matrix)) for name, matrix in terms.items()]
    tallest = max(len(array) for _, array in arrays)
    left = 0.0
    for k, (name, array) in enumerate(arrays):
        height, width = array.shape
        top = (tallest - height) / 2
        extent = (left, left + width, top + height, top)
        ax.imshow(tinted(array), extent=extent, interpolation="nearest")
        draw_box(ax, (left, top, left + width, top + height), style.GREY, linewidth=1)
        ax.text(left + width / 2, top - 0.25, name, ha="center", va="bottom")
        for (row, column), value in np.ndenumerate(array):
            number = decimal(value, 2) if value else "0"
            spot = (left + column + 0.5, top + row + 0.5)
            ink = style.BLACK if value else style.GREY
            ax.text(*spot, number, ha="center", va="center", fontsize=style.SMALL - 0.5, color=ink)
        left += width
        if k + 1 < len(arrays):
            sign = {"ha": "center", "va": "center", "fontsize": style.LARGE + 2}
            ax.text(left + 0.4, tallest / 2, "×" if k else "=", **sign)
            left += 0.8
    ax.set(xlim=(-0.1, left + 0.1), ylim=(tallest + 0.1, -0.9), aspect="equal")
    ax.axis("off")
    return fig


def arrows_figure(
    features: ArrayLike, samples: Samples, panels: Sequence[tuple[str, ArrayLike]]
) -> Figure:
    """Which way each edge of the box has to move so that a number rises."""
    fig, axes = style.figure(1, len(panels), width=8.0, height=4.1)
    for ax, (title, gradient) in zip(np.atleast_1d(axes), panels, strict=True):
        draw_points(ax, features)
        draw_bins(ax, samples)
        draw_edge_arrows(ax, samples.box, gradient)
        ax.set_title(title, fontsize=style.NORMAL)
    return fig


def descent_figure(
    features: ArrayLike, path: ArrayLike, target: ArrayLike, losses: ArrayLike
) -> Figure:
    """A box on its way to a target, and the loss on the way."""
    fig, (left, right) = style.figure(1, 2, width=7.8, height=3.9, width_ratios=(1.25, 1))
    draw_points(left, features, numbers=False)
    boxes, losses = np.asarray(path), np.asarray(losses)
    passed: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.55}
    for box in boxes[1:-1:4]:
        draw_box(left, box, style.BLUE, **passed)
    draw_box(left, target, style.GREEN, "target", linewidth=3.8)
    draw_box(left, boxes[0], style.VERMILION, "start", linestyle=(0, (4, 2)))
    draw_box(left, boxes[-1], style.BLUE, "end, and on the way", linewidth=1.4)
    left.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.13), ncols=3)
    right.semilogy(np.arange(len(losses)), losses)
    right.set(xlabel="step", ylabel="mean squared difference")
    return fig


def slopes_figure(
    shifts: ArrayLike,
    values: Mapping[str, ArrayLike],
    slopes: Mapping[str, ArrayLike],
    kinks: Sequence[float] = (),
) -> Figure:
    """An output while the box slides, above its derivative."""
    fig, (above, below) = style.figure(2, 1, width=6.8, height=4.4, sharex=True)
    colours = (style.VERMILION, style.BLUE, style.GREEN)
    dashes = ((0, (4, 2)), "-", (0, (1, 1)))
    looks = {name: (colour, dash) for name, colour, dash in zip(values, colours, dashes)}
    for ax, lines in ((above, values), (below, slopes)):
        for name, line in lines.items():
            colour, dash = looks[name]
            steps = "steps-post" if ax is below or "Pool" in name else "default"
            ax.plot(shifts, line, color=colour, linestyle=dash, drawstyle=steps, label=name)
        for kink in kinks:
            ax.axvline(kink, color=style.PALE, linewidth=1, zorder=0)
    above.set(ylabel="first output")
    below.set(xlabel="box moved to the right (px)", ylabel="slope per px")
    above.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(values))
    return fig
