"""Explorer of notebook 13: move one detection, and watch what average precision makes of it."""

import numpy as np
import torch
from matplotlib.patches import Rectangle

from ...evaluation.average_precision import RECALLS, THRESHOLDS, match, overlap, sample_precision
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, slider

OBJECTS = torch.tensor([[10.0, 12, 50, 52], [60, 20, 96, 44], [66, 60, 90, 94]])
# The first one is moved by the reader; its score too. The third lies on no object.
FIXED = torch.tensor([[61.0, 22, 95, 46], [8, 66, 40, 92], [68, 63, 91, 95]])
FIXED_SCORES = (0.8, 0.6, 0.4)
SIZE = 104  # pixels of the scene
SHOWN = {0.5: "-", 0.75: "--", 0.9: ":"}  # thresholds whose curves are drawn, with their lines


class MovedDetection:
    """Three objects, four detections, of which one can be moved."""

    def __init__(self) -> None:
        """Begin with a detection that fits well and is surest."""
        self.dx, self.dy, self.grow, self.score = 2.0, 1.0, 0.0, 0.9
        self._board: _Board | None = None

    def boxes(self) -> torch.Tensor:
        """All detections, the moved one first: Tensor[4, 4]."""
        x1, y1, x2, y2 = OBJECTS[0].tolist()
        g = self.grow
        moved = [x1 + self.dx - g, y1 + self.dy - g, x2 + self.dx + g, y2 + self.dy + g]
        return torch.cat([torch.tensor([moved]), FIXED])  # [4, 4]

    def judge(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The order of the detections, which are right at each threshold, and the best overlaps."""
        scores = np.array([self.score, *FIXED_SCORES])
        order = np.argsort(-scores, kind="stable")
        nothing = np.zeros(len(OBJECTS), dtype=bool)
        _, iou = overlap(self.boxes()[order.copy()], OBJECTS, nothing)
        return order, match(iou, nothing, nothing) >= 0, iou.max(axis=1)

    def render(self) -> tuple[bytes, str]:
        """The scene, the curves, and the numbers."""
        if self._board is None:
            self._board = _Board()
        order, right, iou = self.judge()
        curves = np.stack([sample_precision(row, len(OBJECTS)) for row in right])  # [10, 101]
        ap = curves.mean(axis=1)  # [10]
        place = int(np.flatnonzero(order == 0)[0])
        words = "".join("+" if hit else "-" for hit in right[0])
        text = "\n".join(
            [
                f"AP {ap.mean():.4f}, AP50 {ap[0]:.4f}, AP75 {ap[5]:.4f}",
                f"the moved detection: IoU {iou[place]:.4f}, number {place + 1} of 4 by score",
                f"it is right at {int(right[:, place].sum())} of 10 thresholds",
                f"in order of score, at IoU 0.50: {words} (+ right, - wrong)",
            ]
        )
        return self._board.draw(self.boxes(), right[0][np.argsort(order)], curves), text


class _Board:
    """Left the scene, in the middle the curves, right AP over the threshold."""

    def __init__(self) -> None:
        fig, axes = style.figure(1, 3, width=8.4, height=3.1)
        scene, curve, bars = axes
        scene.set(xlim=(0, SIZE), ylim=(SIZE, 0), xticks=[], yticks=[], title="objects (grey)")
        scene.set_aspect("equal")
        for x1, y1, x2, y2 in OBJECTS.tolist():
            scene.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, color=style.PALE))
        curve.set(xlim=(0, 1), ylim=(-0.03, 1.05), xlabel="recall", title="precision")
        bars.set(xlim=(0.47, 0.98), ylim=(-0.03, 1.05), xlabel="IoU threshold", title="AP")
        self.canvas = Canvas(fig)
        self.boxes = self.canvas.add_all(
            [scene.add_patch(Rectangle((0, 0), 1, 1, fill=False, lw=2)) for _ in range(4)]
        )
        self.names = self.canvas.add_all(
            [scene.text(0, 0, str(k + 1), fontsize=style.SMALL, va="bottom") for k in range(4)]
        )
        looks = zip(SHOWN.items(), (style.BLUE, style.ORANGE, style.VERMILION), strict=True)
        self.lines = {
            threshold: self.canvas.add(
                curve.plot([], [], line, color=colour, label=f"IoU {threshold:.2f}")[0]
            )
            for (threshold, line), colour in looks
        }
        curve.legend(loc="lower left")
        self.dots = self.canvas.add(bars.plot([], [], "o-", color=style.BLUE, ms=4)[0])

    def draw(self, boxes: torch.Tensor, right: np.ndarray, curves: np.ndarray) -> bytes:
        """Draw one state: boxes [4, 4], whether each is right at 0.50, curves [10, 101]."""
        for patch, name, box, good in zip(self.boxes, self.names, boxes.tolist(), right):
            x1, y1, x2, y2 = box
            patch.set(x=x1, y=y1, width=x2 - x1, height=y2 - y1)
            patch.set(edgecolor=style.BLUE if good else style.VERMILION, ls="-" if good else "--")
            name.set(x=x1, y=y1)
        for threshold, line in self.lines.items():
            line.set_data(RECALLS, curves[int(np.argmin(abs(THRESHOLDS - threshold)))])
        self.dots.set_data(THRESHOLDS, curves.mean(axis=1))
        return self.canvas.png()


def explore_average_precision() -> Explorer:
    """The explorer with its controls, for a notebook cell to end with.

    Returns:
        An explorer of `MovedDetection`.
    """
    return Explorer(
        MovedDetection(),
        [
            slider("dx", "move right (px)", -20.0, 20.0, 1.0),
            slider("dy", "move down (px)", -20.0, 20.0, 1.0),
            slider("grow", "grow each side (px)", -10.0, 10.0, 1.0),
            slider("score", "score", 0.05, 0.95, 0.1),
        ],
        alt="Objects and detections, precision over recall, and AP over the threshold.",
    )
