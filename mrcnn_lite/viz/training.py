"""Training in pictures: the five losses over the steps, and the same images at several moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from mrcnn_lite.viz import style
from mrcnn_lite.viz.detections import corners_of
from mrcnn_lite.viz.instances import paint_instances
from mrcnn_lite.viz.stage import Stage

# What a loss is called here, and its line: colour and dashes tell it apart.
LOSSES = {
    "loss_objectness": ("RPN: object?", style.BLUE, "-"),
    "loss_rpn_box_reg": ("RPN: box", style.SKY, (0, (1, 1))),
    "loss_classifier": ("class", style.VERMILION, "-"),
    "loss_box_reg": ("box", style.ORANGE, (0, (4, 1.5))),
    "loss_mask": ("mask", style.GREEN, (0, (6, 1.5, 1, 1.5))),
}
LOWEST, HIGHEST = 0.008, 4.0  # of the losses' logarithmic axis
SMOOTHING = 0.9  # of the running mean that is drawn
FILM_SCORE = 0.4  # weaker detections are not drawn in the film strip
MOST_PROPOSALS = 20  # drawn in a small picture


def smooth(values: Sequence[float], keep: float = SMOOTHING) -> np.ndarray:
    """A running mean that forgets: `keep` of the old mean, the rest from the new value.

    Args:
        values: one per step.
        keep: 0 gives the values themselves.

    Returns:
        `[N]`; the first means are of few values, and not drawn towards 0.
    """
    out, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = keep * mean + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        out.append(mean / weight)
    return np.array(out)


class LossBoard:
    """The five losses (running means) and the learning rate; drawn anew as they grow longer."""

    def __init__(self, steps: int, rate: float):
        """Draw axes for a whole run.

        Args:
            steps: of the run.
            rate: the highest learning rate.
        """
        self.figure, axes = style.figure(1, 2, width=8.0, height=3.5, width_ratios=(2.4, 1))
        left, right = axes
        left.set(yscale="log", ylim=(LOWEST, HIGHEST), xlim=(0, steps), xlabel="step")
        left.set(yticks=[0.01, 0.1, 1], yticklabels=["0.01", "0.1", "1"], title="losses")
        left.grid(axis="y", color=style.PALE, linewidth=0.6)
        right.set(xlim=(0, steps), ylim=(0, 1.05 * rate), xlabel="step", title="learning rate")
        right.set(yticks=[0, rate], yticklabels=["0", f"{rate:.2g}"])
        for label, colour, dashes in LOSSES.values():  # the actors themselves are not in the legend
            left.plot([], [], color=colour, linestyle=dashes, label=label)
        left.legend(loc="upper right", ncols=2, handlelength=3)
        self.stage = Stage(self.figure)
        self.lines = {
            name: self.stage.add(left.plot([], [], color=colour, linestyle=dashes)[0])
            for name, (_, colour, dashes) in LOSSES.items()
        }
        self.rate = self.stage.add(right.plot([], [], color=style.BLACK)[0])

    def update(self, history: Sequence[dict[str, float]]) -> None:
        """Set the lines.

        Args:
            history: one report of `TrainingRun.step` per step, from the first on.
        """
        steps = np.arange(1, len(history) + 1)
        for name, line in self.lines.items():
            line.set_data(steps, smooth([report[name] for report in history]))
        self.rate.set_data(steps, [report["learning_rate"] for report in history])

    def png(self) -> bytes:
        """The picture as it stands now, for a page that is live.

        Returns:
            The bytes of a PNG file.
        """
        return self.stage.png()


def draw_losses(history: Sequence[dict[str, float]]) -> Figure:
    """The five losses and the learning rate of a whole run.

    Args:
        history: one report of `TrainingRun.step` per step.

    Returns:
        The figure.
    """
    board = LossBoard(len(history), max(report["learning_rate"] for report in history))
    board.update(history)
    return board.figure


def draw_film(columns: Sequence[Sequence[Any]], titles: Sequence[str], names: Sequence[str],
              proposals: bool = False, width: float = 8.0) -> Figure:  # fmt: skip
    """The same images at several moments, one column each.

    Args:
        columns: per moment what `look_inside` returned for each image.
        titles: one per moment.
        names: the classes; index 0 is the background.
        proposals: show the best proposals instead of the masks.
        width: of the figure in inches.

    Returns:
        The figure.
    """
    rows = len(columns[0])
    side = width / len(columns)
    size = {"width": width, "height": rows * side + 0.25}
    fig, axes = style.figure(rows, len(columns), squeeze=False, **size)
    fig.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    options = {"show_boxes": False, "show_labels": False, "score_threshold": FILM_SCORE}
    for place, (column, title) in enumerate(zip(columns, titles, strict=True)):
        axes[0, place].set_title(title, fontsize=style.NORMAL)
        for ax, inside in zip(axes[:, place], column, strict=True):
            bottom, right = inside.image.shape[1:]
            ax.axis("off")
            frame = {"extent": (0, right, bottom, 0), "interpolation": "antialiased"}
            grey = _backdrop(inside.image)
            if proposals:
                ax.imshow(grey.permute(1, 2, 0).numpy(), **frame)
                lines = corners_of(inside.proposals[:MOST_PROPOSALS])
                ax.add_collection(LineCollection(lines, colors=style.BLUE, linewidths=0.8))
                ax.set(xlim=(0, right), ylim=(bottom, 0))
            else:
                ax.imshow(paint_instances(grey, inside.detections, names, **options), **frame)
    return fig


def _backdrop(image: Tensor) -> Tensor:
    """A pale, grey, smoother image: masks stand out on it, even as small as a stamp."""
    grey = F.avg_pool2d(image.mean(0, keepdim=True), 3, 1, 1, count_include_pad=False)  # [1, H, W]
    return 0.5 + 0.45 * grey.expand(3, -1, -1)
