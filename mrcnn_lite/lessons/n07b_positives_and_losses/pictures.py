"""Which anchors are positive, and which object each positive RoI learns from."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from ..kit import style
from ..kit.detections import draw_boxes, draw_scene
from ..kit.grid import draw_box, write

OBJECT_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
OBJECT_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1, 1.5, 1)))
SHOWN = 300  # of thousands of background anchors, so that single ones can be seen


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
        ax.imshow(targets[index].numpy(), vmin=0, vmax=1, cmap=style.SEQUENTIAL)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(visible=True, color=colour, linewidth=3, linestyle=line)
        ax.set_title(titles[index], fontsize=style.SMALL)
    return fig


def box_losses_figure(
    d: Tensor, curves: Mapping[str, Tensor], slopes: Mapping[str, Tensor], beta: float
) -> Figure:
    """Losses of a difference d and their slopes; `beta` is where the smooth one turns straight."""
    fig, axes = style.figure(1, 2, width=8.0, height=3.2)
    looks = zip((style.VERMILION, style.ORANGE, style.BLUE), ((0, (4, 1.5)), (0, (1, 1)), "-"))
    for name, (colour, dashes) in zip(curves, looks, strict=True):
        for ax, values in zip(axes, (curves[name], slopes[name]), strict=True):
            ax.plot(d, values.detach(), color=colour, linestyle=dashes, label=name)
    for ax, title in zip(axes, ("loss", "slope"), strict=True):
        ax.set_title(title, fontsize=style.NORMAL)
        ax.set(xlabel="d, prediction - target")
        ax.axvspan(-beta, beta, color=style.PALE, zorder=0, linewidth=0)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return fig
