"""Explorer of notebook 20: one score threshold, and what is found, missed and confused there."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ...evaluation.average_precision import overlap
from ...evaluation.confusion import tally
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import DetectionImage
from ..kit.explorer import Explorer, slider
from ..kit.grid import tinted

THRESHOLDS = np.arange(0.05, 0.951, 0.05).round(2)
CURVES = {"precision": (style.BLUE, "-"), "recall": (style.ORANGE, "--"), "F1": (style.GREEN, ":")}


class OneThreshold:
    """Detections on several images, judged at one score and one overlap."""

    def __init__(self, images: Sequence, found: Sequence[dict], names: Sequence[str]) -> None:
        self.images, self.found, self.names = images, found, names
        self.score, self.iou, self.image = 0.5, 0.5, 2
        self.overlaps = [
            overlap(f["masks"], t["masks"], np.zeros(len(t["labels"]), bool))[1]
            for f, (_, t) in zip(found, images, strict=True)
        ]
        self.at = cache(self._at)
        self._draw_axes()

    def _at(self, score: float, iou: float) -> Tensor:
        """The confusion matrix int64[C, C] of all images."""
        matrix = torch.zeros(len(self.names), len(self.names), dtype=torch.int64)
        for found, (_, truth), overlaps in zip(self.found, self.images, self.overlaps):
            kept = found["scores"] >= score  # best first
            crowd = np.zeros(len(truth["labels"]), bool)
            matrix += tally(found["labels"][kept], truth["labels"], overlaps[kept.numpy()], crowd,
                            len(self.names), iou)  # fmt: skip
        return matrix

    def figures(self, score: float) -> dict[str, float]:
        """Precision, recall and F1 of all classes together."""
        matrix = self.at(score, self.iou)
        right, found, objects = (
            int(part.sum()) for part in (matrix.diagonal()[1:], matrix[:, 1:], matrix[1:])
        )
        values = right / max(1, found), right / max(1, objects), 2 * right / (found + objects)
        return dict(zip(CURVES, values))

    def render(self) -> tuple[bytes, str]:
        """The image, the matrix, the three curves, and the numbers."""
        score, matrix = round(self.score, 2), self.at(round(self.score, 2), self.iou)
        image, _ = self.images[self.image]
        self.picture.draw(image, self.found[self.image], self.names, score_threshold=score,
                          show_labels=False)  # fmt: skip
        for name, line in self.lines.items():
            line.set_data(THRESHOLDS, [self.figures(s)[name] for s in THRESHOLDS])
        self.mark.set_xdata([score, score])
        self.cells.set_data(tinted(np.sqrt(matrix)))
        for text, value in zip(self.counts, matrix.flatten().tolist()):
            text.set_text(str(value) if value else "")
        right, missed, extra = matrix.diagonal()[1:].sum(), matrix[1:, 0].sum(), matrix[0, 1:].sum()
        confused = matrix[1:, 1:].sum() - right
        now = self.figures(score)
        found = self.found[self.image]
        shown = [
            f"{self.names[label]} {value:.2f}"
            for label, value in zip(found["labels"].tolist(), found["scores"].tolist())
            if value >= score
        ]
        words = [
            f"score at least {score:.2f}, IoU at least {self.iou:.1f}, image {self.image}",
            "measured: " + ", ".join(f"{name} {now[name]:.3f}" for name in CURVES),
            f"measured: right {right}, wrong class {confused}, missed {missed}, on nothing {extra}",
            f"measured: {', '.join(shown) or 'nothing'}",
        ]
        return self.canvas.png(), "\n".join(words)

    def _draw_axes(self) -> None:
        fig, axes = style.figure(1, 3, width=9.6, height=3.5, width_ratios=(1.25, 1.1, 0.85))
        self.canvas = Canvas(fig)
        height, width = self.images[0][0].shape[1:]
        self.picture = DetectionImage(self.canvas, axes[0], height, width)
        count = len(self.names)
        names = ["nothing", *self.names[1:]]
        axes[1].set(title="true class (rows), class found", xlim=(0, count), ylim=(count, 0))
        axes[1].set_xticks(np.arange(count) + 0.5, names, rotation=40, ha="right")
        axes[1].set_yticks(np.arange(count) + 0.5, names)
        axes[1].tick_params(length=0)
        how = {"extent": (0, count, count, 0), "aspect": "auto"}
        self.cells = self.canvas.add(axes[1].imshow(np.ones((count, count, 3)), **how))
        text = {"ha": "center", "va": "center", "fontsize": style.NORMAL}
        places = [(column + 0.5, row + 0.5) for row in range(count) for column in range(count)]
        self.counts = self.canvas.add_all([axes[1].text(*place, "", **text) for place in places])
        axes[2].set(xlim=(0, 1), ylim=(0, 1.03), xlabel="score threshold")
        self.lines = {
            name: self.canvas.add(axes[2].plot([], [], color=colour, ls=line, label=name)[0])
            for name, (colour, line) in CURVES.items()
        }
        axes[2].legend(loc="lower left")
        dashes = {"color": style.BLACK, "linestyle": (0, (4, 2)), "linewidth": 1.4}
        self.mark = self.canvas.add(axes[2].axvline(0.5, **dashes))


def explore_threshold(
    images: Sequence, found: Sequence[dict], class_names: Sequence[str]
) -> Explorer:
    """The explorer of `OneThreshold`, for a notebook cell to end with.

    Args:
        images: samples of a data set without crowds.
        found: the detections of each, best score first, with pasted masks.
        class_names: index 0 is the background.
    """
    return Explorer(
        OneThreshold(images, found, class_names),
        [
            slider("score", "score threshold", 0.05, 0.95, 0.05),
            slider("iou", "smallest IoU", 0.3, 0.9, 0.1),
            slider("image", "image", 0, len(images) - 1),
        ],
        alt="One image's detections, a confusion matrix, and three curves over the threshold.",
        width=900,
    )
