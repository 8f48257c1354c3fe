"""An image with what a network found in it, drawn anew quickly: for explorers and film strips."""

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
from . import style
from .canvas import Canvas


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
        text = {"va": "center", "fontsize": style.NORMAL}
        self.labels = canvas.add_all([ax.text(0.02, i, "", **text) for i in range(most)])
        line = {"color": style.BLACK, "linestyle": (0, (4, 2)), "linewidth": 1.6}
        self.threshold = canvas.add(ax.axvline(0.5, **line))

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
