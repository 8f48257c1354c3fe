"""Images with boxes over them, and with what a network found in them, drawn anew quickly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from ...draw import colour, paint_instances
from ...models.intermediate import IntermediateOutputs
from ...ops import box_iou
from . import style
from .canvas import Canvas
from .grid import draw_box, write

FADE = 0.5  # how much of the image turns white, so that lines stand out


def stand_in(image: Tensor, target: dict) -> IntermediateOutputs:
    """What a perfect network would find, for trying the explorers out without weights."""
    boxes, count = target["boxes"], len(target["boxes"])
    generator = torch.Generator().manual_seed(0)
    shift = 4 * torch.randn(8 * count, 4, generator=generator)
    scores = torch.linspace(0.98, 0.35, count) if count else torch.zeros(0)
    found = {"boxes": boxes, "labels": target["labels"], "scores": scores}
    found["masks"] = target["masks"][:, None].float()  # [N, 1, H, W]
    empty = torch.zeros(count, 0, 0, 0)
    return IntermediateOutputs(image, [], boxes.repeat(8, 1) + shift, empty, empty, found)


def corners_of(boxes: Tensor) -> np.ndarray:
    """The closed outlines of boxes, for a `LineCollection`."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3, 0, 1]].reshape(-1, 5, 2).cpu().numpy()


def crowd(objects: Tensor, copies: int = 3, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Boxes such as a trained network proposes: several around each object, none exact; scores."""
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(-5, 6, (copies, len(objects), 4), generator=generator)
    boxes = (objects + shift).flatten(0, 1)  # [N, 4]
    iou = box_iou(boxes, objects).amax(dim=1)  # [N]
    return boxes, (iou * 100).round() / 100


def draw_scene(ax: Axes, image: Tensor, objects: Tensor | None = None) -> None:
    """The image as it stands under lines, its objects framed in black and numbered."""
    height, width = image.shape[-2:]
    faded = FADE + (1 - FADE) * image.permute(1, 2, 0).numpy()  # [H, W, 3]
    ax.imshow(faded, extent=(0, width, height, 0), interpolation="antialiased")
    ax.set(xlim=(-6, width + 6), ylim=(height + 6, -6), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    for number, box in enumerate([] if objects is None else objects.tolist()):
        draw_box(ax, box, style.BLACK, linewidth=1.6)
        write(ax, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, str(number), weight="bold")


def draw_boxes(ax: Axes, boxes: Tensor, colour: str, **line: float | str) -> LineCollection:
    """Many boxes as thin outlines."""
    lines = LineCollection(corners_of(boxes), colors=colour, **{"linewidths": 1.4, **line})
    return ax.add_collection(lines)


def draw_instances(
    image: Tensor,
    instances: dict,
    class_names: Sequence[str],
    score_threshold: float = 0.5,
    title: str = "",
    width: float = 5.0,
) -> Figure:
    """Paint objects over an image and put it into a figure."""

    painted = paint_instances(image, instances, class_names, score_threshold)
    height = width * painted.shape[0] / painted.shape[1] + (0.35 if title else 0)
    fig, axes = style.figure(width=width, height=height)
    axes.imshow(painted, interpolation="antialiased")
    axes.set_axis_off()
    if title:
        axes.set_title(title)
    return fig


class DetectionImage:
    """An image on a canvas, with objects painted over it and proposals as thin lines."""

    def __init__(self, canvas: Canvas, ax: Axes, height: int, width: int):
        ax.axis("off")
        ax.set(xlim=(0, width), ylim=(height, 0))
        blank = np.zeros((2, 2, 3), np.uint8)
        frame = {"extent": (0, width, height, 0), "interpolation": "antialiased"}
        self.pixels = canvas.add(ax.imshow(blank, **frame))
        rim = [withStroke(linewidth=1.5, foreground="black", alpha=0.3)]
        lines = LineCollection([], colors="white", linewidths=0.7, path_effects=rim)
        self.lines = canvas.add(ax.add_collection(lines))

    def draw(self, image: Tensor, detections: dict[str, Any], names: Sequence[str],
             proposals: Tensor | None = None, **options: Any) -> None:  # fmt: skip
        """Show one image."""
        self.pixels.set_data(paint_instances(image, detections, names, **options))
        self.lines.set_segments([] if proposals is None else corners_of(proposals))


class ScoreBars:
    """One bar per detection, and the threshold that it has to reach."""

    def __init__(self, canvas: Canvas, ax: Axes, most: int):
        ax.set(xlim=(0, 1), ylim=(most - 0.4, -0.6), yticks=[], xlabel="score")
        ax.spines["left"].set_visible(False)
        self.bars = canvas.add_all(ax.barh(range(most), [0] * most, height=0.62))
        line = {"color": style.BLACK, "linestyle": (0, (4, 2)), "linewidth": 1.6}
        self.threshold = canvas.add(ax.axvline(0.5, **line))
        rim = [withStroke(linewidth=2.5, foreground="white", alpha=0.85)]  # the line stays behind
        text = {"va": "center", "fontsize": style.NORMAL, "path_effects": rim}
        self.labels = canvas.add_all([ax.text(0.02, i, "", **text) for i in range(most)])

    def draw(self, scores: Sequence[float], labels: Sequence[str], threshold: float) -> None:
        """Set the bars."""
        for k, (bar, label) in enumerate(zip(self.bars, self.labels)):
            there = k < len(scores)
            bar.set_visible(there)
            label.set_visible(there)
            if there:
                shown = scores[k] >= threshold
                bar.set_width(scores[k])
                bar.set_facecolor(colour(k) if shown else style.PALE)
                bar.set_alpha(0.55 if shown else 1.0)
                label.set_text(labels[k])
        self.threshold.set_xdata([threshold, threshold])
