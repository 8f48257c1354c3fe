"""Anchors on the levels of a pyramid, one box that moves onto another, what suppression leaves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ..kit import style
from ..kit.detections import draw_boxes, draw_scene
from ..kit.grid import draw_box, write


def anchors_figure(image: Tensor, levels: Sequence[Tensor], strides: Sequence[int]) -> Figure:
    """One panel per pyramid level: the grid, and all anchors of one cell."""
    fig, axes = style.figure(1, len(levels), width=8.0, height=2.35)
    height, width = image.shape[-2:]
    for number, (ax, anchors, stride) in enumerate(zip(axes, levels, strides, strict=True)):
        rows, columns = height // stride, width // stride
        cells = anchors.reshape(rows, columns, -1, 4)  # [h, w, N, 4]
        draw_scene(ax, image)
        x, y = np.meshgrid(np.arange(columns) * stride, np.arange(rows) * stride)
        ax.plot(x.flatten(), y.flatten(), ".", color=style.BLACK, markersize=1.6)
        chosen = cells[rows // 2, columns // 2]  # [N, 4]
        draw_boxes(ax, chosen, style.BLUE, linewidths=1.8)
        ax.plot(columns // 2 * stride, rows // 2 * stride, "o", color=style.VERMILION, ms=4)
        ax.set_title(f"P{number + 2}: stride {stride}", fontsize=style.NORMAL)
        ax.set_xlabel(f"{len(anchors):,} anchors", fontsize=style.SMALL)
    return fig


def coder_figure(anchor: Tensor, box: Tensor) -> Figure:
    """A box to start from, a box to reach, and the arrow from centre to centre."""
    fig, ax = style.figure(width=4.6, height=3.2)
    pair = (("anchor", anchor, style.BLUE, "-"), ("object", box, style.VERMILION, "--"))
    for name, corners, colour, dashes in pair:
        draw_box(ax, corners, colour, linestyle=dashes)
        x1, y1, x2, y2 = corners.tolist()
        y, va = (y1 - 0.7, "bottom") if name == "anchor" else (y2 + 0.9, "top")
        ax.text(x1, y, f"{name} {x2 - x1:g} × {y2 - y1:g}", color=colour, va=va)
    start, end = (((b[:2] + b[2:]) / 2).tolist() for b in (anchor, box))
    arrow = {"arrowstyle": "->", "color": style.BLACK, "linewidth": 1.6}
    ax.annotate("", end, start, arrowprops=arrow)
    ax.plot(*start, "o", color=style.BLUE)
    (left, top), (right, low) = (anchor.minimum(box)[:2] - 4, anchor.maximum(box)[2:] + 4)
    ax.set(xlim=(left, right), ylim=(low, top), aspect="equal")
    ax.set(xlabel="x (image px)", ylabel="y (image px)")
    return fig


def scores_figure(scores: Sequence[Tensor], objects: Tensor, strides: Sequence[int]) -> Figure:
    """Per pyramid level the score of each position's anchor, and the objects."""
    fig, axes = style.figure(1, len(scores), width=8.0, height=2.3)
    side = strides[0] * scores[0].shape[0]
    for number, (ax, level, stride) in enumerate(zip(axes, scores, strides, strict=True)):
        # A position stands at the corner of its cell: the square around it is drawn.
        extent = (-stride / 2, side - stride / 2, side - stride / 2, -stride / 2)
        drawn = ax.imshow(level.numpy(), vmin=0, vmax=1, cmap=style.SEQUENTIAL, extent=extent)
        for box in objects.tolist():
            draw_box(ax, box, "white", linewidth=1.4)
        ax.set(xlim=(0, side), ylim=(side, 0), xticks=[], yticks=[], facecolor=style.PALE)
        ax.spines[:].set_visible(False)
        ax.set_title(f"P{number + 2}: {level.shape[0]} × {level.shape[1]}", fontsize=style.NORMAL)
    fig.colorbar(drawn, ax=axes, shrink=0.8, label="score")
    return fig


def suppression_figure(image: Tensor, boxes: Tensor, scores: Tensor, kept: Sequence[int]) -> Figure:
    """All boxes, and those that are left; the line is thicker the better the score."""
    fig, axes = style.figure(1, 2, width=7.0, height=3.6)
    rows = (range(len(boxes)), kept)
    for ax, chosen, name in zip(axes, rows, ("before", "after"), strict=True):
        draw_scene(ax, image)
        for row in chosen:
            draw_box(ax, boxes[row], style.BLUE, linewidth=0.6 + 2 * float(scores[row]))
            if name == "after":
                x, y = boxes[row, 0].item(), boxes[row, 1].item()
                align = {"ha": "left", "va": "bottom", "fontsize": style.SMALL}
                write(ax, x, y - 1, f"{row}: {scores[row]:.2f}", **align)
        ax.set_title(f"{name}: {len(chosen)} boxes", fontsize=style.NORMAL)
    return fig
