"""Explorer of notebook 13: move one detection, and watch what average precision makes of it."""

import numpy as np
import torch
from matplotlib.patches import Patch

from ...evaluation.average_precision import RECALLS, THRESHOLDS, match, overlap, sample_precision
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, slider
from ..kit.grid import draw_box, move_box

OBJECTS = torch.tensor([[10.0, 12, 50, 52], [60, 20, 96, 44], [66, 60, 90, 94]])
# The first one is moved by the reader; its score too. The third lies on no object.
FIXED = torch.tensor([[61.0, 22, 95, 46], [8, 66, 40, 92], [68, 63, 91, 95]])
FIXED_SCORES = (0.8, 0.6, 0.4)
SIZE = 104  # pixels of the scene
# Thresholds whose curves are drawn, with their lines.
SHOWN = {0.5: ("-", style.GREEN), 0.75: ("--", style.ORANGE), 0.9: (":", style.PURPLE)}
RIGHT, WRONG = {"ec": style.BLUE, "ls": "-"}, {"ec": style.VERMILION, "ls": "--"}


class MovedDetection:
    """Three objects, four detections, of which one can be moved."""

    def __init__(self) -> None:
        self.dx, self.dy, self.grow, self.score = 2.0, 1.0, 0.0, 0.9
        self._draw_axes()

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
        order, right, iou = self.judge()
        curves = np.stack([sample_precision(row, len(OBJECTS)) for row in right])  # [10, 101]
        ap = curves.mean(axis=1)  # [10]
        rank = int(np.flatnonzero(order == 0)[0])
        signs = "".join("+" if hit else "-" for hit in right[0])
        text = "\n".join(
            [
                f"AP {ap.mean():.4f}, AP50 {ap[0]:.4f}, AP75 {ap[5]:.4f}",
                f"the moved detection: IoU {iou[rank]:.4f}, number {rank + 1} of 4 by score",
                f"it is right at {int(right[:, rank].sum())} of 10 thresholds",
                f"in order of score, at IoU 0.50: {signs} (+ right, - wrong)",
            ]
        )
        self._move(right[0][np.argsort(order)], curves)
        return self.canvas.png(), text

    def _draw_axes(self) -> None:
        """Left the scene, in the middle the curves, right AP over the threshold."""
        fig, axes = style.figure(1, 3, width=8.4, height=3.5)
        scene, curve, bars = axes
        scene.set(xlim=(0, SIZE), ylim=(SIZE, 0), xticks=[], yticks=[], aspect="equal")
        scene.set_title("detections 1 to 4")
        for box in OBJECTS:
            draw_box(scene, box, style.PALE, linewidth=1, fill=True, facecolor=style.PALE)
        meaning = (("an object", {"fc": style.PALE, "ec": style.PALE}),
                   ("right at IoU 0.50", {"fc": "none", **RIGHT}),
                   ("wrong at IoU 0.50", {"fc": "none", **WRONG}))  # fmt: skip
        keys = [Patch(label=name, lw=1.6, **look) for name, look in meaning]
        scene.legend(handles=keys, loc="upper left", bbox_to_anchor=(-0.05, -0.01))
        curve.set(xlim=(0, 1), ylim=(-0.03, 1.05), xlabel="recall", title="precision")
        bars.set(xlim=(0.47, 0.98), ylim=(-0.03, 1.05), xlabel="IoU threshold")
        bars.set_title("AP at each threshold")
        self.canvas = Canvas(fig)
        self.frames = self.canvas.add_all(
            [draw_box(scene, (0, 0, 1, 1), style.BLUE, linewidth=2) for _ in range(4)]
        )
        self.names = self.canvas.add_all(
            [scene.text(0, 0, str(k + 1), fontsize=style.SMALL, va="bottom") for k in range(4)]
        )
        self.lines = {
            t: self.canvas.add(curve.plot([], [], line, color=c, label=f"IoU {t:.2f}")[0])
            for t, (line, c) in SHOWN.items()
        }
        curve.legend(loc="lower left")
        self.dots = self.canvas.add(bars.plot([], [], "o", color=style.BLACK, ms=4)[0])
        mean = bars.axhline(0, color=style.BLACK, ls="--", lw=1.2, label="their mean: AP")
        self.mean = self.canvas.add(mean)
        bars.legend(loc="lower left")

    def _move(self, right: np.ndarray, curves: np.ndarray) -> None:
        """Show whether each box is right at 0.50, and the curves [10, 101]."""
        for patch, name, box, good in zip(self.frames, self.names, self.boxes().tolist(), right):
            move_box(patch, box)
            patch.set(**(RIGHT if good else WRONG))
            name.set(x=box[0], y=box[1])
        for threshold, line in self.lines.items():
            line.set_data(RECALLS, curves[int(np.argmin(abs(THRESHOLDS - threshold)))])
        self.dots.set_data(THRESHOLDS, curves.mean(axis=1))
        self.mean.set_ydata([curves.mean()] * 2)


def explore_average_precision() -> Explorer:
    """The explorer of `MovedDetection`, for a notebook cell to end with."""
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
