"""Boxes over a faded image: anchors, who learns from whom, what suppression leaves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from ..kit import style
from ..kit.detections import corners_of
from ..kit.grid import draw_box, write

FADE = 0.5  # how much of the image turns white, so that lines stand out
OBJECT_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
OBJECT_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1, 1.5, 1)))
SHOWN = 300  # of thousands of background anchors, so that single ones can be seen


def faded(image: Tensor) -> np.ndarray:
    """The image as it stands under lines."""
    return FADE + (1 - FADE) * image.permute(1, 2, 0).numpy()  # [H, W, 3]


def draw_scene(ax: Axes, image: Tensor, objects: Tensor | None = None) -> None:
    """The faded image, its objects framed in black and numbered."""
    height, width = image.shape[-2:]
    ax.imshow(faded(image), extent=(0, width, height, 0), interpolation="antialiased")
    ax.set(xlim=(-6, width + 6), ylim=(height + 6, -6), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    for number, box in enumerate([] if objects is None else objects.tolist()):
        draw_box(ax, box, style.BLACK, linewidth=1.6)
        write(ax, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, str(number), weight="bold")


def draw_boxes(ax: Axes, boxes: Tensor, colour: str, **line: float | str) -> LineCollection:
    """Many boxes as thin outlines."""
    lines = LineCollection(corners_of(boxes), colors=colour, **{"linewidths": 1.4, **line})
    return ax.add_collection(lines)


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


def matching_figure(image: Tensor, objects: Tensor, anchors: Tensor, labels: Tensor) -> Figure:
    """Positive, ignored and background anchors in three panels."""
    fig, axes = style.figure(1, 3, width=8.0, height=3.0)
    kinds = (
        ("positive", labels > 0, {"colour": style.BLUE, "linewidths": 1.8}),
        ("ignored", labels < 0, {"colour": style.ORANGE, "linewidths": 0.8, "alpha": 0.7}),
        ("background", labels == 0, {"colour": style.GREY, "linewidths": 0.4, "alpha": 0.6}),
    )
    for ax, (name, chosen, line) in zip(axes, kinds, strict=True):
        draw_scene(ax, image, objects)
        boxes = anchors[chosen]
        draw_boxes(ax, boxes[:: max(1, len(boxes) // SHOWN)], **line)
        ax.set_title(f"{len(boxes):,} {name}", fontsize=style.NORMAL)
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


def owners_figure(
    image: Tensor, boxes: Tensor, owners: Sequence[int], targets: Tensor, titles: Sequence[str]
) -> Figure:
    """RoIs in the colour of the object that each learns from, and the mask target of each."""
    half = len(boxes) // 2
    plan = [["scene", *range(half)], ["scene", *range(half, len(boxes))]]
    ratios = {"width_ratios": (2.2, *[1] * half)}
    fig, axes = style.mosaic(plan, width=8.0, height=3.5, **ratios)
    draw_scene(axes["scene"], image)
    for index, (box, owner) in enumerate(zip(boxes, owners, strict=True)):
        colour = OBJECT_COLOURS[owner % len(OBJECT_COLOURS)]
        line = OBJECT_LINES[owner % len(OBJECT_LINES)]
        draw_box(axes["scene"], box, colour, linestyle=line, linewidth=2.2)
        if owner not in owners[:index]:
            middle = ((box[:2] + box[2:]) / 2).tolist()
            write(axes["scene"], *middle, str(owner), weight="bold")
        ax = axes[index]
        ax.imshow(targets[index].numpy(), vmin=0, vmax=1, cmap=style.CALM)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(visible=True, color=colour, linewidth=3, linestyle=line)
        ax.set_title(titles[index], fontsize=style.SMALL)
    return fig
