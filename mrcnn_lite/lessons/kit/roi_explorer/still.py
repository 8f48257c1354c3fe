"""The RoI explorer as a still picture: RoIPool's window and RoIAlign's samples on one map."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ...n01_roi_pool.pictures import BINS, Windows, bin_boxes, maxima_of
from ...n03_roi_align.pictures import POINTS, Samples, dot_size
from .. import style
from ..grid import as_array, draw_box, draw_cells, draw_table, frame_cells

NUMBERS = 8  # maps with more cells per axis carry no numbers
DASHES = (0, (4, 2))


def explorer_picture(
    features: ArrayLike,
    roi: ArrayLike,
    windows: Windows,
    samples: Samples,
    outputs: tuple[ArrayLike, ArrayLike],
) -> Figure:
    """Both operators side by side, their outputs below.

    Element 0 is the area from 0 to 1, so its middle is at 0.5: samples, whose coordinates count
    from the middle of element 0, are drawn half a cell further to the right and down.
    """
    array = as_array(features)
    plan = [["pool", "align"], ["pool out", "align out"]]
    fig, axes = style.mosaic(plan, width=7.6, height=5.8, height_ratios=(2.4, 1))
    for name, title in (("pool", "RoIPool"), ("align", "RoIAlign")):
        _draw_map(axes[name], array, title)
        draw_box(axes[name], roi, style.BLUE, "the RoI", linewidth=2.8)
    colours = [BINS[k % len(BINS)] for k in range(len(windows.rows) ** 2)]
    window = draw_box(axes["pool"], windows.box, style.VERMILION, "its window, rounded")
    window.set_linestyle(DASHES)
    for box, colour in zip(bin_boxes(windows), colours):
        draw_box(axes["pool"], box, colour, linewidth=1.8)
    for row, column in maxima_of(array, windows):
        axes["pool"].plot(column + 0.5, row + 0.5, "o", ms=20, mfc="none", mec=style.BLACK)
    sampled = draw_box(axes["align"], np.array(samples.box) + 0.5, style.BLUE, "where it samples")
    sampled.set_linestyle(DASHES)
    x1, y1, x2, y2 = np.array(samples.box) + 0.5
    inner = {"color": style.BLUE, "linewidth": 1.2, "linestyle": (0, (3, 2)), "zorder": 4}
    axes["align"].hlines(np.linspace(y1, y2, len(samples.y) + 1)[1:-1], x1, x2, **inner)
    axes["align"].vlines(np.linspace(x1, x2, len(samples.x) + 1)[1:-1], y1, y2, **inner)
    x, y = samples.points()
    axes["align"].plot(x + 0.5, y + 0.5, ms=dot_size(samples), mew=0.6, label="samples", **POINTS)
    for name, values in zip(("pool", "align"), outputs):
        axes[name].legend(loc="upper left", bbox_to_anchor=(-0.02, -0.1), ncols=3)
        draw_table(axes[f"{name} out"], values, colours=colours)
    return fig


def _draw_map(ax: Axes, array: np.ndarray, title: str) -> None:
    """The map as cells, with room for a RoI that leaves it."""
    height, width = array.shape
    draw_cells(ax, array, numbers=max(array.shape) <= NUMBERS)
    frame_cells(ax, width, height)
    step = max(max(array.shape) // NUMBERS, 1)
    ax.set_xticks(np.arange(0, width, step) + 0.5, [str(i) for i in range(0, width, step)])
    ax.set_yticks(np.arange(0, height, step) + 0.5, [str(i) for i in range(0, height, step)])
    ax.set(xlim=(-0.5, width + 0.5), ylim=(height + 0.5, -0.5), xlabel="", ylabel="")
    ax.set_title(title)
