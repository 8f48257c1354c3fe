"""Explorer of notebook 11: follow one object through the network, stage by stage."""

from functools import lru_cache
from itertools import zip_longest

import numpy as np
import torch
from matplotlib.collections import LineCollection
from torch import Tensor

from ...datasets import Shapes
from ...draw import paint_instances
from ...models import maskrcnn_lite
from ...models.intermediate import IntermediateOutputs, intermediate_outputs
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import corners_of
from ..kit.explorer import Explorer, slider

STAGES = ("the image", "finest features", "proposals", "RoIAlign", "mask logits", "the detection")
BEST = 12  # proposals that are drawn


class Journey:
    """One image inside a network; a stage and one of the detections are in view."""

    def __init__(self, outputs: IntermediateOutputs, class_names: list[str]):
        self.outputs, self.class_names = outputs, class_names
        self.stage, self.object = 1, 1
        fig, ax = style.figure(width=4.8, height=4.8)
        fig.set_layout_engine("none")
        ax.set_position([0, 0, 1, 1])  # the map or image fills the figure
        ax.axis("off")
        self.canvas = Canvas(fig)
        self.values = self.canvas.add(ax.imshow(np.zeros((1, 1)), extent=(0, 1, 1, 0)))
        own, others = (LineCollection([], colors=c, lw=2.2) for c in (style.ORANGE, style.SKY))
        self.others = self.canvas.add(ax.add_collection(others))
        self.own = self.canvas.add(ax.add_collection(own))

    def render(self) -> tuple[bytes, str]:
        """The stage as a figure, and what it holds."""
        values, boxes, text = self._in_view()
        title = f"stage {self.stage} of {len(STAGES)}: {STAGES[self.stage - 1]}"
        self.values.set_data(values)
        self.values.autoscale()
        for lines, shown in zip_longest((self.own, self.others), boxes):
            lines.set_segments([] if shown is None else corners_of(shown))
        return self.canvas.png(), f"{title}, object {self.object}\n{text}"

    def _in_view(self) -> tuple[Tensor | np.ndarray, list[Tensor], str]:
        """The stage's map or image, boxes over it, and its text."""
        outputs, row = self.outputs, self.object - 1
        one = {name: values[row : row + 1] for name, values in outputs.detections.items()}
        name, image = self.class_names[int(one["labels"])], outputs.image.permute(1, 2, 0)
        boxes = [self._in_parts(one["boxes"])]
        if self.stage == 1:
            return image, boxes, f"[3, H, W] = {list(outputs.image.shape)}, numbers in 0..1"
        if self.stage == 2:
            level = outputs.features[0]
            return level.norm(dim=0), boxes, f"[C, h, w] = {list(level.shape)}: the length per cell"
        if self.stage == 3:
            boxes += [self._in_parts(outputs.proposals[:BEST])]
            text = f"the best {BEST} boxes of the RPN; orange: what became of one\nmeasured: "
            return image, boxes, text + f"{len(outputs.proposals)} proposals in all"
        if self.stage == 4:
            pooled = outputs.pooled[row]
            return pooled.norm(dim=0), [], f"[C, P, P] = {list(pooled.shape)} of its box"
        if self.stage == 5:
            logits = outputs.mask_logits[row]
            text = f"[C, M, M] = {list(logits.shape)}; the channel of its class\nmeasured: {name}"
            return logits[int(one["labels"])], [], text
        painted = paint_instances(outputs.image, one, self.class_names, score_threshold=0)
        text = f"box, class, score and mask, pasted\nmeasured: {name} {float(one['scores']):.2f}"
        return painted, [], text

    def _in_parts(self, boxes: Tensor) -> Tensor:
        """Boxes in parts of the image's width and height."""
        height, width = self.outputs.image.shape[1:]
        return boxes / boxes.new_tensor([width, height, width, height])


def explore_journey(
    outputs: IntermediateOutputs | None = None, class_names: list[str] | None = None
) -> Explorer:
    """The explorer of what `intermediate_outputs` gave; of an untrained network's if not given."""
    outputs = _untrained() if outputs is None else outputs
    names = list(Shapes.class_names) if class_names is None else class_names
    return Explorer(
        Journey(outputs, names),
        [
            slider("stage", "stage", 1, len(STAGES)),
            slider("object", "object", 1, len(outputs.pooled)),
        ],
        alt="What one stage of the network holds of the chosen object.",
        width=420,
    )


@lru_cache(maxsize=1)
def _untrained() -> IntermediateOutputs:
    """A network that knows nothing still finds something."""
    torch.manual_seed(0)
    model = maskrcnn_lite(len(Shapes.class_names))
    return intermediate_outputs(model, Shapes(3, seed=2)[0][0])
