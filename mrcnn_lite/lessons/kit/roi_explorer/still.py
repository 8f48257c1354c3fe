"""The RoI explorer as a still figure: RoIPool's window and RoIAlign's samples, side by side."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .. import style
from ..grid import as_array, draw_box, draw_cells, draw_counts, draw_table, frame_cells
from ..roi import BINS, bin_boxes, draw_bins, draw_edge_arrows
from .state import RoIState

NUMBERS = 8  # maps with more cells per axis carry no numbers
DASHES = (0, (4, 2))


def explorer_figure(state: RoIState) -> Figure:
    """Both operators, their outputs below; what is switched on; the slide in a third row."""
    both = state.view == "both"
    plan = [["pool", "align"], ["pool out", "align out"]] if both else [["pool", "pool out"]]
    ratios: dict[str, Any] = {"height_ratios": [2.4, 1]} if both else {"width_ratios": (1.45, 1)}
    if both and state.slide:
        plan.append(["values", "slopes"])
        ratios["height_ratios"].append(1)
    height = (7.6 if state.slide else 5.8) if both else 4.3
    fig, axes = style.mosaic(plan, width=7.6, height=height, **ratios)
    values = as_array(state.features())
    of_pool, of_align, of_box = state.gradients() if both else (None, None, None)
    colours = [BINS[k % len(BINS)] for k in range(state.size**2)]
    panels = (("pool", "RoIPool", of_pool), ("align", "RoIAlign", of_align))
    for (name, title, gradient), output in list(zip(panels, state.outputs()))[: len(plan[0])]:
        if name not in axes:
            continue
        _draw_map(axes[name], values, gradient if state.gradient else None, title)
        roi = [corner / state.stride for corner in state.box]
        draw_box(axes[name], roi, style.BLUE, "the RoI", linewidth=2.8)
        own = colours if name == "pool" else [style.BLUE] * len(colours)  # its bins do not overlap
        draw_table(axes[f"{name} out"], output, colours=own)
    _draw_pool(axes["pool"], state, values, colours)
    if both:
        _draw_align(axes["align"], state, of_box)
    if "values" in axes:
        draw_slide(axes["values"], axes["slopes"], state)
    for name in ("pool", "align")[: 1 + both]:
        axes[name].legend(loc="upper left", bbox_to_anchor=(-0.02, -0.1), ncols=3)
    return fig


def _draw_pool(ax: Axes, state: RoIState, values: np.ndarray, colours: list[str]) -> None:
    windows = state.windows()
    window = draw_box(ax, windows.box, style.VERMILION, "its window, rounded")
    window.set_linestyle(DASHES)
    for box, colour in zip(bin_boxes(windows), colours):
        if box[2] > box[0] and box[3] > box[1]:
            draw_box(ax, box, colour, linewidth=1.8)
    for row, column in windows.maxima(values):
        ax.plot(column + 0.5, row + 0.5, "o", ms=20, mfc="none", mec=style.BLACK)
    if state.overlap:
        draw_counts(ax, windows.counts(*values.shape), max(values.shape) <= NUMBERS)


def _draw_align(ax: Axes, state: RoIState, of_box: Tensor) -> None:
    """Samples count from the middle of element 0, which is at 0.5 here."""
    _, frame, dots = draw_bins(ax, state.samples().shifted(0.5), "where it samples")
    frame.set_linestyle(DASHES)
    dots.set_label("samples")
    if state.arrows:
        draw_edge_arrows(ax, np.array(state.box) / state.stride, of_box)


def draw_slide(above: Axes, below: Axes, state: RoIState) -> None:
    """The chosen output along a slide, its slope, and where the RoI is."""
    x1, pool, align, slope = (numbers.numpy() for numbers in state.slides())
    steps = {"drawstyle": "steps-post"}
    dashed = {"color": style.VERMILION, "linestyle": DASHES, "label": "RoIPool", **steps}
    for ax, curve, look in (
        (above, pool, dashed),
        (above, align, {"color": style.BLUE, "label": "RoIAlign"}),
        (below, slope, {"color": style.BLUE, **steps}),
    ):
        ax.plot(x1[1:], curve[1:], **look)
        ax.plot(x1[0], curve[0], "o", ms=8, mfc=look["color"], mec=style.BLACK, zorder=5)
        ax.set_xlabel("x1 (px)")
    above.set(ylabel=f"output {state.chosen() + 1}")
    above.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
    below.axhline(0, color=style.PALE, linewidth=1, zorder=0)
    below.set_ylabel("RoIAlign's slope per px")


def _draw_map(ax: Axes, values: np.ndarray, gradient: Tensor | None, title: str) -> None:
    """The map, or its gradient, as cells, with room for a RoI that leaves it."""
    height, width = values.shape
    shown = values if gradient is None else as_array(gradient)
    draw_cells(ax, shown, numbers=max(values.shape) <= NUMBERS, gradient=gradient is not None)
    frame_cells(ax, width, height)
    step = max(max(values.shape) // NUMBERS, 1)
    ax.set_xticks(np.arange(0, width, step) + 0.5, [str(i) for i in range(0, width, step)])
    ax.set_yticks(np.arange(0, height, step) + 0.5, [str(i) for i in range(0, height, step)])
    ax.set(xlim=(-0.5, width + 0.5), ylim=(height + 0.5, -0.5), xlabel="", ylabel="")
    ax.set_title(title)
