"""Figures of RoIPool: the rounded window, its overlapping bins, the table of maxima."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..kit import style
from ..kit.grid import as_array, draw_box, draw_cells, draw_table, frame, frame_cells, write
from ..kit.roi import BINS, Windows, bin_boxes, windows_of


def draw_proposal(ax: Axes, box: ArrayLike, windows: Windows, stride: int) -> None:
    """The proposal as it is, and the window that RoIPool takes for it, in image px."""
    dashes = (0, (4, 2))
    draw_box(ax, box, style.BLUE, "proposal", linewidth=2.8)
    draw_box(ax, np.array(windows.box) * stride, style.VERMILION, "window", linestyle=dashes)


def proposal_figure(features: ArrayLike, box: ArrayLike, stride: int = 32) -> Figure:
    """First quantization: the proposal and its window on the map."""
    array = as_array(features)
    height, width = array.shape
    fig, ax = style.figure(width=5.6, height=4.2)
    draw_cells(ax, array, cell=stride)
    frame(ax, width * stride, height * stride, stride, "image px")
    draw_proposal(ax, box, windows_of(box, 2, 1 / stride, height, width), stride)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=style.NORMAL)
    return fig


def stride_figure(box: ArrayLike, image: int, strides: Sequence[int], notes: list[str]) -> Figure:
    """The same proposal and its window at several strides."""
    fig, axes = style.figure(1, len(strides), width=8.0, height=2.6, sharey=True)
    for ax, stride, note in zip(axes, strides, notes):
        cells = image // stride
        board = np.indices((cells, cells)).sum(0) % 2  # a faint chess board shows the cell size
        ax.imshow(board, cmap="Greys", extent=(0, image, image, 0), vmin=0, vmax=9)
        frame(ax, image, image, 64, "image px")
        draw_proposal(ax, box, windows_of(box, 2, 1 / stride, cells, cells), stride)
        ax.set_title(f"stride {stride}\n{note}", fontsize=style.NORMAL)
    for ax in axes[1:]:
        ax.set_ylabel("")
    axes[0].legend(loc="lower right", handlelength=1.6, borderpad=0.1)
    return fig


def windows_figure(features: ArrayLike, box: ArrayLike, outputs: ArrayLike, stride: int) -> Figure:
    """Second quantization: the bins, the maximum of each, and the output table."""
    array = as_array(features)
    height, width = array.shape
    windows = windows_of(box, 2, 1 / stride, height, width)
    grid = {"width_ratios": (1.75, 1.05, 0.95)}
    fig, (left, middle, right) = style.figure(1, 3, width=8.0, height=3.6, **grid)
    draw_cells(left, array)
    frame_cells(left, width, height)
    left.set_title("four bins", fontsize=style.NORMAL)
    for edges, colour in zip(bin_boxes(windows), BINS):
        draw_box(left, edges, colour, linewidth=2.4)
    for (row, column), colour in zip(windows.maxima(array), BINS):
        left.plot(column + 0.5, row + 0.5, "o", ms=24, mfc="none", mec=colour, mew=2)
    draw_usage(middle, windows.counts(height, width))
    middle.set_ylabel("")
    draw_table(right, outputs, "output: the maxima", BINS)
    return fig


def draw_usage(ax: Axes, counts: np.ndarray) -> None:
    """How many bins contain each cell."""
    height, width = counts.shape
    ax.imshow(counts, cmap="Greys", vmin=0, vmax=9, extent=(0, width, height, 0))
    frame_cells(ax, width, height)
    ax.set_title("bins per cell", fontsize=style.NORMAL)
    for (row, column), count in np.ndenumerate(counts):
        weight = "bold" if count > 1 else "normal"
        write(ax, column + 0.5, row + 0.5, str(count), fontweight=weight, fontsize=style.SMALL)
