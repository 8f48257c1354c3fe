"""Explorer of notebook 07: non-maximum suppression, one kept box after the other."""

from torch import Tensor

from ...datasets import Shapes
from ...ops import box_iou
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import crowd, draw_boxes, draw_scene
from ..kit.explorer import Explorer, slider
from ..kit.grid import write

SEED, IMAGE = 5, 25  # a drawn image with four objects
WAITING, KEPT, NOW, DIES, GONE = range(5)
LINES = {  # colour, width and dashes of a box; colour of its line in the list
    WAITING: (style.GREY, 1.2, "-", style.BLACK),
    KEPT: (style.BLUE, 2.2, "-", style.BLUE),
    NOW: (style.BLACK, 3.2, "-", style.BLACK),
    DIES: (style.VERMILION, 1.8, (0, (4, 2)), style.VERMILION),
    GONE: (style.GREY, 0.6, (0, (1, 3)), style.GREY),
}
# Where the number of a box stands: neighbours in the list get different corners.
CORNERS = (
    ((0, 1), {"ha": "left", "va": "bottom"}),
    ((2, 1), {"ha": "right", "va": "bottom"}),
    ((0, 3), {"ha": "left", "va": "top"}),
)


class NMSSteps:
    """Boxes with scores, a threshold, and how far the suppression has come."""

    def __init__(self, image: Tensor, boxes: Tensor, scores: Tensor):
        if len(boxes) != len(scores):
            raise ValueError(f"{len(boxes)} boxes but {len(scores)} scores; give one per box")
        self.boxes, self.scores = boxes, scores
        self.iou = box_iou(boxes, boxes)  # [N, N]
        self.order = scores.sort(descending=True, stable=True).indices.tolist()
        self.step, self.threshold = 0, 0.5
        self._draw_axes(image)

    def steps(self) -> list[tuple[int, list[int]]]:
        """Every step: the best box left, which is kept, and those that it suppresses."""
        left, steps = list(self.order), []
        while left:
            best, rest = left[0], left[1:]
            suppressed = [j for j in rest if self.iou[best, j] > self.threshold]
            steps.append((best, suppressed))
            left = [j for j in rest if j not in suppressed]
        return steps

    def progress(self) -> tuple[list[int], list[int]]:
        """What has become of each box, and which box has suppressed it (-1: none)."""
        states, by = [WAITING] * len(self.boxes), [-1] * len(self.boxes)
        for number, (best, suppressed) in enumerate(self.steps()[: self.step], start=1):
            now = number == self.step
            states[best] = NOW if now else KEPT
            for row in suppressed:
                states[row], by[row] = DIES if now else GONE, best
        return states, by

    def render(self) -> tuple[bytes, str]:
        """The figure and the numbers."""
        self._move()
        return self.canvas.png(), self.describe()

    def describe(self) -> str:
        """What the figure says: which box is kept, which go, and why."""
        steps, states = self.steps(), self.progress()[0]
        kept = [str(row) for row in self.order if states[row] in (KEPT, NOW)]
        tail = f"threshold {self.threshold:.2f}; kept: {', '.join(kept) or 'none yet'}"
        if not self.step:
            return f"step 0 of {len(steps)}: {len(self.boxes)} boxes, sorted by score\n{tail}"
        if self.step > len(steps):
            count = f"{len(steps)} of {len(self.boxes)} boxes are kept"
            return f"after {len(steps)} steps nothing is left to decide: {count}\n{tail}"
        best, suppressed = steps[self.step - 1]
        lines = [
            f"step {self.step} of {len(steps)}: box {best} has the best score left, "
            f"{self.scores[best]:.2f}, and is kept; it suppresses "
            f"{', '.join(map(str, suppressed)) or 'nothing'}",
            tail,
        ]
        for row in self.order:
            iou = float(self.iou[best, row])
            if row in suppressed:
                lines.append(f"  box {row} goes: IoU {iou:.4f} > {self.threshold:.2f}")
            elif states[row] == WAITING and iou > 0:
                lines.append(f"  box {row} stays: IoU {iou:.4f}")
        return "\n".join(lines)

    def _draw_axes(self, image: Tensor) -> None:
        """Left the boxes, right the list sorted by score."""
        boxes = self.boxes
        fig, (left, right) = style.figure(1, 2, width=8.0, height=3.9, width_ratios=(1.1, 1))
        draw_scene(left, image)
        right.axis("off")
        right.set(xlim=(0, 1), ylim=(len(boxes) + 0.5, -1.2))
        for x, text in ((0.02, "box"), (0.17, "score")):
            right.text(x, -0.7, text, color=style.GREY, fontsize=style.SMALL)
        for row, box in enumerate(boxes.tolist()):
            (x, y), align = CORNERS[row % len(CORNERS)]
            write(left, box[x], box[y], str(row), fontsize=style.SMALL, **align)
        for line, row in enumerate(self.order):
            right.text(0.02, line, str(row), va="center")
            right.text(0.17, line, f"{self.scores[row]:.2f}", va="center")
        self.canvas = Canvas(fig)
        add = self.canvas.add
        self.frames = [add(draw_boxes(left, box[None], style.GREY)) for box in boxes]
        self.texts = [add(right.text(0.36, n, "", va="center")) for n in range(len(boxes))]

    def _move(self) -> None:
        states, by = self.progress()
        for row, frame in enumerate(self.frames):
            colour, width, dashes, _ = LINES[states[row]]
            frame.set(color=colour, linewidths=width, linestyles=dashes)
        for text, row in zip(self.texts, self.order):
            reason = f"by {by[row]}, IoU {self.iou[by[row], row]:.2f}"
            message = {
                WAITING: "waits",
                KEPT: "kept",
                NOW: "best left: kept",
                DIES: f"suppressed now {reason}",
                GONE: f"suppressed {reason}",
            }[states[row]]
            weight = "bold" if states[row] in (KEPT, NOW) else "normal"
            text.set(text=message, color=LINES[states[row]][3], weight=weight)


def explore_nms(
    scene: tuple[Tensor, dict] | None = None,
    boxes: Tensor | None = None,
    scores: Tensor | None = None,
    **settings: float,
) -> Explorer:
    """The stepper through suppression; what is not given is drawn.

    Boxes are [N, 4] in px, scores [N]; `settings` are where its controls begin.
    """
    image, target = Shapes(None, SEED)[IMAGE] if scene is None else scene
    if boxes is None or scores is None:
        boxes, scores = crowd(target["boxes"])
    controls = [
        slider("step", "step", 0, len(boxes) + 1),
        slider("threshold", "IoU threshold", 0.0, 1.0, 0.05),
    ]
    alt = "Boxes over an image, and beside it their list by score: kept, waiting, suppressed."
    return Explorer(NMSSteps(image, boxes, scores), controls, alt, width=800).set(**settings)
