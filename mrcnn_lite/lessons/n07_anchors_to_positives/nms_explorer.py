"""Explorer of notebook 07: non-maximum suppression, one kept box after the other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...datasets import Shapes
from ...ops import box_iou
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, slider
from ..kit.grid import write
from .pictures import draw_boxes, draw_scene

SEED, PICTURE = 5, 25  # a drawn picture with four objects
WAITING, KEPT, NOW, DIES, GONE = range(5)
LOOKS = {  # colour, width and dashes of a box; colour of its line in the list
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


@dataclass(frozen=True)
class Step:
    """One kept box, and the boxes that it suppresses."""

    winner: int
    victims: list[int]


class NMSSteps:
    """Boxes with scores, a threshold, and how far the suppression has come."""

    def __init__(self, image: Tensor, boxes: Tensor, scores: Tensor):
        """Start before the first step."""
        if len(boxes) != len(scores):
            raise ValueError(f"{len(boxes)} boxes but {len(scores)} scores; give one per box")
        self.image, self.boxes, self.scores = image, boxes, scores
        self.iou = box_iou(boxes, boxes)  # [N, N]
        self.order = scores.sort(descending=True, stable=True).indices.tolist()
        self.step, self.threshold = 0, 0.5
        self._board: _Board | None = None

    def steps(self) -> list[Step]:
        """All steps: the best box left is kept and suppresses what overlaps it too much."""
        left, steps = list(self.order), []
        while left:
            winner, rest = left[0], left[1:]
            victims = [j for j in rest if self.iou[winner, j] > self.threshold]
            steps.append(Step(winner, victims))
            left = [j for j in rest if j not in victims]
        return steps

    def look(self) -> tuple[list[int], list[int]]:
        """How far it has come."""
        states, by = [WAITING] * len(self.boxes), [-1] * len(self.boxes)
        done = self.steps()[: self.step]
        for number, step in enumerate(done):
            last = number == len(done) - 1 and self.step <= len(self.steps())
            states[step.winner] = NOW if last else KEPT
            for victim in step.victims:
                states[victim], by[victim] = DIES if last else GONE, step.winner
        return states, by

    def render(self) -> tuple[bytes, str]:
        """The picture and the numbers."""
        if self._board is None:
            self._board = _Board(self.image, self.boxes, self.scores, self.order)
        states, by = self.look()
        self._board.move(self, states, by)
        return self._board.canvas.png(), self.describe()

    def describe(self) -> str:
        """What the picture says: who is kept, who goes, and why."""
        steps, states = self.steps(), self.look()[0]
        kept = [row for row in self.order if states[row] in (KEPT, NOW)]
        tail = f"threshold {self.threshold:.2f}; kept: {', '.join(map(str, kept)) or 'none yet'}"
        if not self.step:
            return f"step 0 of {len(steps)}: {len(self.boxes)} boxes, sorted by score\n{tail}"
        if self.step > len(steps):
            count = f"{len(steps)} of {len(self.boxes)} boxes are kept"
            return f"after {len(steps)} steps nothing is left to decide: {count}\n{tail}"
        step = steps[self.step - 1]
        gone = [] if not step.victims else [f"suppresses {', '.join(map(str, step.victims))}"]
        lines = [
            f"step {self.step} of {len(steps)}: box {step.winner} has the best score left, "
            f"{self.scores[step.winner]:.2f}, and is kept; it "
            + (gone[0] if gone else "suppresses nothing"),
            tail,
        ]
        for row in self.order:
            iou = float(self.iou[step.winner, row])
            if row in step.victims:
                lines.append(f"  box {row} goes: IoU {iou:.4f} > {self.threshold:.2f}")
            elif states[row] == WAITING and iou > 0:
                lines.append(f"  box {row} stays: IoU {iou:.4f}")
        return "\n".join(lines)


class _Board:
    """Left the boxes, right the list sorted by score."""

    def __init__(self, image: Tensor, boxes: Tensor, scores: Tensor, order: list[int]):
        fig, (left, right) = style.figure(1, 2, width=8.0, height=3.9, width_ratios=(1.1, 1))
        draw_scene(left, image)
        right.axis("off")
        right.set(xlim=(0, 1), ylim=(len(boxes) + 0.5, -1.2))
        for x, words in ((0.02, "box"), (0.17, "score")):
            right.text(x, -0.7, words, color=style.GREY, fontsize=style.SMALL)
        for row, box in enumerate(boxes.tolist()):
            (x, y), look = CORNERS[row % len(CORNERS)]
            write(left, box[x], box[y], str(row), fontsize=style.SMALL, **look)
        for line, row in enumerate(order):
            right.text(0.02, line, str(row), va="center")
            right.text(0.17, line, f"{scores[row]:.2f}", va="center")
        self.canvas = Canvas(fig)
        add = self.canvas.add
        self.frames = [add(draw_boxes(left, box[None], style.GREY)) for box in boxes]
        self.words = [add(right.text(0.36, n, "", va="center")) for n in range(len(boxes))]

    def move(self, state: NMSSteps, states: list[int], by: list[int]) -> None:
        """Show how far the suppression has come."""
        for row, frame in enumerate(self.frames):
            colour, width, dashes, _ = LOOKS[states[row]]
            frame.set(color=colour, linewidths=width, linestyles=dashes)
        for text, row in zip(self.words, state.order):
            words = {
                WAITING: "waits",
                KEPT: "kept",
                NOW: "best left: kept",
                DIES: f"suppressed now by {by[row]}, IoU {state.iou[by[row], row]:.2f}",
                GONE: f"suppressed by {by[row]}, IoU {state.iou[by[row], row]:.2f}",
            }[states[row]]
            weight = "bold" if states[row] in (KEPT, NOW) else "normal"
            text.set(text=words, color=LOOKS[states[row]][3], weight=weight)


def crowd(objects: Tensor, copies: int = 3, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Boxes such as a trained network proposes: several around each object, none exact."""
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(-5, 6, (copies, len(objects), 4), generator=generator)
    boxes = (objects + shift).flatten(0, 1)  # [N, 4]
    iou = box_iou(boxes, objects).amax(dim=1)  # [N]
    return boxes, (iou * 100).round() / 100


def explore_nms(
    scene: tuple[Tensor, dict] | None = None,
    boxes: Tensor | None = None,
    scores: Tensor | None = None,
    **settings: float,
) -> Explorer:
    """The stepper through suppression.

    Args:
        scene: image Tensor[3, H, W] in 0..1 and its target; a drawn one if not given.
        boxes: Tensor[N, 4] in px; a crowd around the objects of the scene if not given.
        scores: Tensor[N], one for each box.
        **settings: where to start: step, threshold.

    Returns:
        An explorer that can be displayed, and moved with `set`.
    """
    image, target = Shapes(None, SEED)[PICTURE] if scene is None else scene
    if boxes is None or scores is None:
        boxes, scores = crowd(target["boxes"])
    controls = [
        slider("step", "step", 0, len(boxes) + 1),
        slider("threshold", "IoU threshold", 0.0, 1.0, 0.05),
    ]
    alt = "Boxes over a picture, and beside it their list by score: kept, waiting, suppressed."
    return Explorer(NMSSteps(image, boxes, scores), controls, alt, width=800).set(**settings)
