"""Explorer of notebook 00: switch the branches of a trained network off and on."""

from collections.abc import Sequence

import torch

from ...datasets import Shapes
from ...models.intermediate import IntermediateOutputs
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import DetectionImage, ScoreBars, stand_in
from ..kit.explorer import Explorer, slider, toggle

MOST = 20  # bars in the diagram, and lines of text


class Branches:
    """An image, and which branches of the network may speak."""

    def __init__(self, scenes: Sequence[IntermediateOutputs], class_names: Sequence[str]):
        self.scenes, self.class_names = list(scenes), list(class_names)
        self.image = 1
        self.boxes, self.classes, self.masks, self.proposals = True, True, True, False
        self.threshold = 0.5
        fig, axes = style.figure(1, 2, width=8.0, height=4.7, width_ratios=(1.75, 1))
        self.canvas = Canvas(fig)
        self.view = DetectionImage(self.canvas, axes[0], *self.scene.image.shape[1:])
        self.most = min(max(len(scene.detections["scores"]) for scene in scenes), MOST)
        self.bars = ScoreBars(self.canvas, axes[1], self.most)

    @property
    def scene(self) -> IntermediateOutputs:
        """What the network computed for the chosen image."""
        return self.scenes[self.image - 1]

    def render(self) -> tuple[bytes, str]:
        """The image with what the branches say, and the same as text."""
        result = self.scene.detections
        masks = result["masks"] if self.masks else torch.zeros_like(result["masks"])
        self.view.draw(
            self.scene.image,
            {**result, "masks": masks},
            self.class_names,
            self.scene.proposals if self.proposals else None,
            show_boxes=self.boxes,
            show_labels=self.classes,
            score_threshold=self.threshold,
        )
        scores = result["scores"][: self.most].tolist()
        names = [self.class_names[label] for label in result["labels"][: self.most].tolist()]
        labels = [f"{n} {s:.2f}" if self.classes else "?" for n, s in zip(names, scores)]
        self.bars.draw(scores, labels, self.threshold)
        return self.canvas.png(), self.describe()

    def describe(self) -> str:
        """The state as text."""
        scores = self.scene.detections["scores"]
        shown = int((scores >= self.threshold).sum())
        lines = [
            f"{self.network()}; image {self.image}",
            f"score at least {self.threshold:.2f}: {shown} of {len(scores)} detections",
        ]
        lines += [f"  {self.detection(row)}" for row in range(min(shown, self.most))]
        lines += [f"  and {shown - self.most} more"] * (shown > self.most)
        if self.proposals:
            lines.append(f"{len(self.scene.proposals)} proposals, without class")
        return "\n".join(lines)

    def detection(self, row: int) -> str:
        """What the branches that are on say about one detection."""
        result, parts = self.scene.detections, []
        if self.classes:
            name = self.class_names[int(result["labels"][row])]
            parts.append(f"{name:9} {result['scores'][row]:.2f}")
        if self.boxes:
            parts.append(f"box ({', '.join(f'{v:.0f}' for v in result['boxes'][row].tolist())})")
        if self.masks:
            parts.append(f"{int((result['masks'][row] >= 0.5).sum())} pixels")
        return "  ".join(parts) or "an object, and nothing is known about it"

    def network(self) -> str:
        """Which of the papers' networks this would be."""
        if self.boxes and self.classes:
            return "Mask R-CNN" if self.masks else "Faster R-CNN"
        if self.boxes or self.classes or self.masks:
            return "a part of Mask R-CNN"
        return "the first stage alone (RPN)" if self.proposals else "no branch is on"


def explore_branches(
    scenes: Sequence[IntermediateOutputs] | None = None,
    class_names: Sequence[str] = Shapes.class_names,
) -> Explorer:
    """The explorer of what a network saw in images of one size; without any, of a stand-in."""
    if scenes is None:
        scenes = [stand_in(*Shapes(3, seed=2)[index]) for index in range(3)]
    return Explorer(
        Branches(scenes, class_names),
        [
            slider("image", "image", 1, len(scenes)),
            slider("threshold", "score threshold", 0.05, 0.95, 0.05),
            toggle("boxes", "box branch: boxes"),
            toggle("classes", "box branch: classes"),
            toggle("masks", "mask branch"),
            toggle("proposals", "proposals of the RPN"),
        ],
        alt="An image with boxes, classes and masks, and a bar for every detection's score.",
        width=800,
    )
