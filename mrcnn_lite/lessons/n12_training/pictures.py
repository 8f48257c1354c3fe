"""Training in figures: the five losses over the steps, and the same images at several moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from torch import Tensor

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import corners_of
from ..kit.style import LOSSES

LOWEST, HIGHEST = 0.008, 4.0  # of the losses' logarithmic axis
SMOOTHING = 0.9  # of the running mean that is drawn
CLASS_COLOURS = (style.BLUE, style.VERMILION, style.BLACK, style.GREEN, style.PURPLE)
FILM_SCORE = 0.4  # weaker detections are not drawn in the film strip
MOST_PROPOSALS = 20  # drawn in a small image
PER_ROW = 3  # moments of one image


def smooth(values: Sequence[float], keep: float = SMOOTHING) -> np.ndarray:
    """A running mean that forgets: `keep` of the old mean, the rest from the new value."""
    out, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = keep * mean + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        out.append(mean / weight)
    return np.array(out)


class LossBoard:
    """The five losses (running means) and the learning rate; drawn anew as they grow longer."""

    def __init__(self, steps: int, rate: float):
        self.figure, axes = style.figure(1, 2, width=8.0, height=3.5, width_ratios=(2.4, 1))
        left, right = axes
        left.set(yscale="log", ylim=(LOWEST, HIGHEST), xlim=(0, steps), xlabel="step")
        left.set(yticks=[0.01, 0.1, 1], yticklabels=["0.01", "0.1", "1"], title="losses")
        left.grid(axis="y", color=style.PALE, linewidth=0.6)
        right.set(xlim=(0, steps), ylim=(0, 1.05 * rate), xlabel="step", title="learning rate")
        right.set(yticks=[0, rate], yticklabels=["0", f"{rate:.2g}"])
        for label, colour, dashes in LOSSES.values():  # the moving artists are not in the legend
            left.plot([], [], color=colour, linestyle=dashes, label=label)
        left.legend(loc="upper right", ncols=2, handlelength=3)
        self.canvas = Canvas(self.figure)
        self.lines = {
            name: self.canvas.add(left.plot([], [], color=colour, linestyle=dashes)[0])
            for name, (_, colour, dashes) in LOSSES.items()
        }
        self.rate = self.canvas.add(right.plot([], [], color=style.BLACK)[0])

    def update(self, history: Sequence[dict[str, float]]) -> None:
        """Set the lines."""
        steps = np.arange(1, len(history) + 1)
        for name, line in self.lines.items():
            line.set_data(steps, smooth([report[name] for report in history]))
        self.rate.set_data(steps, [report["learning_rate"] for report in history])


def draw_losses(history: Sequence[dict[str, float]]) -> Figure:
    """The five losses and the learning rate of a whole run."""
    board = LossBoard(len(history), max(report["learning_rate"] for report in history))
    board.update(history)
    return board.figure


def draw_film(columns: Sequence[Sequence[Any]], titles: Sequence[str], names: Sequence[str],
              proposals: bool = False, width: float = 8.0) -> Figure:  # fmt: skip
    """The same images at several moments, one column each; a single image wraps after three."""
    rows, across = len(columns[0]), len(columns)
    if rows == 1 and across > PER_ROW:
        rows, across = -(-across // PER_ROW), PER_ROW
    lines = rows if len(columns[0]) == 1 else 1  # of titles
    height = rows * width / across + 0.3 * lines + (0 if proposals else 0.4)
    fig, axes = style.figure(rows, across, squeeze=False, width=width, height=height)
    fig.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    strips = axes.reshape(-1, 1) if lines > 1 else axes.T
    for strip in strips[len(columns) :]:
        strip[0].axis("off")
    for strip, column, title in zip(strips, columns, titles):
        strip[0].set_title(title, fontsize=style.NORMAL)
        for ax, outputs in zip(strip, column, strict=True):
            _draw_pale(ax, outputs.image)
            if proposals:
                lines = corners_of(outputs.proposals[:MOST_PROPOSALS])
                ax.add_collection(LineCollection(lines, colors=style.BLUE, linewidths=0.8))
            else:
                _draw_outlines(ax, outputs.detections)
    if not proposals:
        lines = [Line2D([], [], label=name, **_line_of(k)) for k, name in enumerate(names) if k]
        fig.legend(
            handles=lines, loc="outside lower center", ncols=5 if width > 6 else 3, handlelength=3
        )
    return fig


def _line_of(label: int) -> dict[str, Any]:
    """How the outline of a class is drawn."""
    dashes = ("-", (0, (3, 1)), "-", (0, (1, 0.8)), "-")[(label - 1) % 5]
    return {"color": CLASS_COLOURS[(label - 1) % len(CLASS_COLOURS)], "linestyle": dashes}


def _draw_pale(ax: Axes, image: Tensor) -> None:
    """A small image without its noise and paler, so that thin lines stand out on it."""
    bottom, right = image.shape[1:]
    for _ in range(2):  # noise would make the figure restless, and its file large
        image = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)  # [3, H, W]
    pixels = (0.5 + 0.5 * image).permute(1, 2, 0).numpy()  # [H, W, 3]
    ax.imshow(pixels, extent=(0, right, bottom, 0), interpolation="antialiased")
    ax.set(xlim=(0, right), ylim=(bottom, 0))
    ax.axis("off")


def _draw_outlines(ax: Axes, found: dict[str, Tensor]) -> None:
    """The outlines of the masks that are sure enough; contours at one half, between the pixels."""
    rim = [withStroke(linewidth=3.2, foreground="white", alpha=0.8)]
    for mask, label, score in zip(found["masks"], found["labels"], found["scores"], strict=True):
        if score < FILM_SCORE or not (mask >= 0.5).any():
            continue
        line = _line_of(int(label))
        values = F.pad(mask[0], (1, 1, 1, 1)).numpy()  # closes outlines at the image's edge
        x, y = (np.arange(length) - 0.5 for length in values.shape[::-1])  # pixels' centres
        contour = ax.contour(x, y, values, [0.5], colors=line["color"], linewidths=1.7)
        contour.set(linestyle=line["linestyle"], path_effects=rim)
