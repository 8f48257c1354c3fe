"""Figures of notebook 06: the pyramid, boxes by level, two rules, and what rounding costs."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon
from numpy.typing import ArrayLike

from ..kit import style
from ..kit.grid import draw_box, write

LEVELS = (2, 3, 4, 5)
COLOURS = {2: style.SKY, 3: style.BLUE, 4: style.ORANGE, 5: style.VERMILION}
LEAN = 0.35  # how far a map leans to the right, as a part of its height
MAP_HEIGHT = 0.62
TICKS = (28, 56, 112, 224, 448, 896)  # px


def pyramid_figure(image: int = 192) -> Figure:
    """The network of maps: up through the body, sideways, down by adding, and out."""
    fig, ax = style.figure(width=7.6, height=3.9)
    ax.set(xlim=(-1.3, 7.6), ylim=(-0.85, 3.8), aspect="equal")
    ax.axis("off")
    for level in LEVELS:
        y, side = level - 2, image // 2**level
        _map(ax, 0.6, y, level, style.PALE, f"C{level}")
        reach = _half(level) + 0.17
        _arrow(ax, (0.6 + reach, y), (2.8, y), "1×1", at=2.25)
        write(ax, 3.0, y, "+", fontsize=13, bbox={"boxstyle": "circle", "fc": "white"})
        _arrow(ax, (3.2, y), (5.2 - reach, y), "3×3", at=3.7)
        _map(ax, 5.2, y, level, COLOURS[level], f"P{level}")
        ax.text(6.45, y, f"stride {2**level}\n{side} × {side}", va="center", fontsize=style.SMALL)
        if level > 2:
            _arrow(ax, (3.0, y - 0.2), (3.0, y - 0.8), "×2")
            _arrow(ax, (0.6, y - 0.67), (0.6, y - 0.36))
    _arrow(ax, (0.6, -0.72), (0.6, -0.36))
    for x, title in ((0.6, "the body: up"), (3.0, "down"), (5.2, "the pyramid")):
        ax.text(x, 3.55, title, ha="center", color=style.GREY)
    ax.text(0.75, -0.72, "image", va="center", fontsize=style.SMALL, color=style.GREY)
    return fig


def _half(level: int) -> float:
    """Half the width of a drawn map."""
    return 0.72 ** (level - 2)


def _map(ax: Axes, x: float, y: float, level: int, colour: str, name: str) -> None:
    """One map, seen from the side; each level is drawn narrower than the one below."""
    half, high = _half(level), MAP_HEIGHT / 2 * 0.9 ** (level - 2)
    lean = LEAN * high
    ends = ((-1, -1), (1, -1), (1, 1), (-1, 1))  # right or left, above or below
    corners = [(x + side * half + end * lean, y + end * high) for side, end in ends]
    ax.add_patch(Polygon(corners, fc=colour, ec=style.GREY, lw=1.0, alpha=0.75))
    write(ax, x, y, name)


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], label: str = "", at: float = 0
) -> None:
    """An arrow, with its label above it at x = `at` or, where it is upright, beside it."""
    line = {"arrowstyle": "-|>", "mutation_scale": 9, "color": style.GREY, "lw": 1.2}
    ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **line))
    if start[0] == end[0]:
        ax.text(start[0] + 0.1, (start[1] + end[1]) / 2, label, va="center", fontsize=style.SMALL)
    else:
        ax.text(at, start[1] + 0.07, label, ha="center", fontsize=style.SMALL)


def levels_figure(boxes: ArrayLike, levels: ArrayLike, width: int, height: int) -> Figure:
    """Boxes in an image, each in the colour and with the name of its level."""
    fig, ax = style.figure(width=7.0, height=4.4)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xlabel="x (px)", ylabel="y (px)")
    ax.spines[:].set_visible(True)
    for box, level in zip(np.asarray(boxes), np.asarray(levels)):
        draw_box(ax, box, COLOURS[int(level)], linewidth=1.2 + 0.5 * (int(level) - 2))
        (x, y), (wide, high) = box[:2], box[2:] - box[:2]
        inside = wide >= 110 and high >= 60  # the name takes two lines of a large box
        name = f"P{level}{chr(10) if inside else '   '}{wide:.0f} × {high:.0f}"
        align = {"ha": "left", "va": "top" if inside else "bottom", "fontsize": style.SMALL}
        write(ax, x + 10 * inside, y + 12 * inside - 3, name, **align)
    return fig


def draw_rules(ax: Axes, sizes: ArrayLike, rules: Mapping[str, Sequence[int]]) -> None:
    """One strip per rule along a logarithmic axis of sizes, coloured and named by level."""
    sizes = np.asarray(sizes, dtype=np.float64)
    for row, levels in enumerate(rules.values()):
        levels = np.asarray(levels)
        for first, end in _runs(levels):
            left, right = sizes[first], sizes[min(end, len(sizes) - 1)]
            level = int(levels[first])
            ax.barh(row, right - left, 0.72, left, color=COLOURS[level], alpha=0.75, ec="white")
            write(ax, np.sqrt(left * right), row, f"P{level}", fontsize=style.NORMAL)
    ax.set_ylim(len(rules) - 0.45, -0.55)
    ax.set_yticks(range(len(rules)), list(rules), fontsize=style.NORMAL)
    _size_axis(ax, sizes, TICKS, "root of the box's area (px)")
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _runs(values: np.ndarray) -> itertools.pairwise:
    """Where runs of equal values start and end."""
    return itertools.pairwise([0, *(np.flatnonzero(np.diff(values)) + 1), len(values)])


def rules_figure(sizes: ArrayLike, rules: Mapping[str, Sequence[int]]) -> Figure:
    """Two rules for the level, and where they disagree."""
    fig, ax = style.figure(width=7.6, height=2.3)
    draw_rules(ax, sizes, rules)
    one, other = (np.asarray(levels) for levels in rules.values())
    for first, end in _runs(one != other):
        if one[first] != other[first]:
            span = {"color": style.BLACK, "alpha": 0.16, "lw": 0, "hatch": "////"}
            ax.axvspan(float(sizes[first]), float(sizes[min(end, len(sizes) - 1)]), **span)
    return fig


def overlap_figure(sizes: ArrayLike, curves: Mapping[str, ArrayLike]) -> Figure:
    """How well RoIPool's window fits the box, against the box's size."""
    fig, ax = style.figure(width=7.0, height=3.3)
    colours, dashes = (style.VERMILION, style.ORANGE, style.BLUE), ((2, 2), (5, 2), (1, 0))
    index = len(sizes) * 2 // 5  # of the point that carries the name
    for (name, values), colour, dash in zip(curves.items(), colours, dashes):
        width = 2.6 if colour == style.BLUE else 1.6
        ax.plot(sizes, values, color=colour, dashes=dash, linewidth=width)
        # The curves rise: the space below to the right is free, and that above to the left.
        shift, ha, va = (
            ((-4, 3), "right", "bottom") if colour != style.VERMILION else ((5, -3), "left", "top")
        )
        point, text = (sizes[index], values[index]), {"color": colour, "ha": ha, "va": va}
        ax.annotate(name, point, shift, textcoords="offset points", **text)
    ax.set(ylim=(0, 1), ylabel="mean IoU")
    _size_axis(ax, sizes, [16, *TICKS], "side of the box (px)")
    return fig


def _size_axis(ax: Axes, sizes: ArrayLike, ticks: Sequence[int], label: str) -> None:
    """A logarithmic axis of sizes, with a tick at every factor of two."""
    ax.set(xscale="log", xlim=(sizes[0], sizes[-1]), xlabel=label)
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.xaxis.minorticks_off()
