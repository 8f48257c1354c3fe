"""Explorer of notebook 11: follow one object through the network, stage by stage."""

from functools import lru_cache

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from torch import Tensor

from ...datasets import Shapes
from ...draw import paint_instances
from ...models import maskrcnn_lite
from ...models.intermediate import IntermediateOutputs, intermediate_outputs
from ...ops import box_iou
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import corners_of
from ..kit.explorer import Explorer, slider

STAGES = ("the image", "finest features", "proposals", "RoIAlign", "mask logits", "the detection")
BEST = 6  # proposals that are drawn


class Journey:
    """One image inside a network; a stage and one of the detections are in view."""

    def __init__(self, outputs: IntermediateOutputs, class_names: list[str]):
        self.outputs, self.class_names = outputs, class_names
        self.stage, self.object = 1, 1
        fig, (left, right) = style.figure(1, 2, width=7.6, height=4.1)
        height, width = outputs.image.shape[1:]
        for ax in (left, right):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        left.set_title("where: the image", fontsize=style.NORMAL)
        left.imshow(outputs.image.permute(1, 2, 0), extent=(0, width, height, 0))
        self.zoom, self.canvas = right, Canvas(fig)
        self.title = self.canvas.add(right.text(0, 1.02, "", transform=right.transAxes))
        self.values = self.canvas.add(right.imshow(np.zeros((1, 1)), extent=(0, 1, 1, 0)))
        rim = [withStroke(linewidth=3.5, foreground="black", alpha=0.5)]
        self.lines = [
            self.canvas.add(ax.add_collection(LineCollection([], colors=colour, lw=lw, ls=dashes)))
            for colour, lw, dashes in ((style.SKY, 1.2, "-"), (style.ORANGE, 2.4, (0, (5, 1.5))))
            for ax in (left, right)
        ]
        for lines in self.lines[2:]:
            lines.set_path_effects(rim)
        handles = [Line2D([], [], color=style.ORANGE, lw=2.4, ls=(0, (5, 1.5)))]
        handles.append(Line2D([], [], color=style.SKY, lw=1.2))
        names = ("the detection's box", f"stage 3: the {BEST} proposals nearest to it")
        fig.legend(handles, names, loc="outside lower center", ncols=2)

    def render(self) -> tuple[bytes, str]:
        """The stage as a figure, and what it holds."""
        row = self.object - 1
        box = self.outputs.detections["boxes"][row : row + 1]  # [1, 4]
        values, (left, top, right, bottom), text = self._in_view(box)
        self.values.set_data(values)
        self.values.set_extent((left, right, bottom, top))
        self.values.autoscale()
        if self.stage in (1, 3, 6):  # the image: magnified around the box, as far as it goes
            end = torch.tensor([right, bottom])  # px
            reach = (0.8 * (box[0, 2:] - box[0, :2]).max()).clamp(max=end.min() / 2)
            centre = ((box[0, :2] + box[0, 2:]) / 2).clamp(reach, end - reach)
            (left, top), (right, bottom) = (centre - reach).tolist(), (centre + reach).tolist()
        self.zoom.set(xlim=(left, right), ylim=(bottom, top))
        near = self._nearest(box) if self.stage == 3 else box[:0]
        on_map = box if self.stage in (1, 2, 3) else box[:0]
        for lines, boxes in zip(self.lines, (near, near, box, on_map), strict=True):
            lines.set_segments(corners_of(boxes))
        title = f"stage {self.stage} of {len(STAGES)}: {STAGES[self.stage - 1]}"
        self.title.set_text(title)
        return self.canvas.png(), f"{title}, object {self.object}\n{text}"

    def _in_view(self, box: Tensor) -> tuple[Tensor | np.ndarray, tuple[float, ...], str]:
        """The stage's map or image, where it lies in the image (x1, y1, x2, y2), and its text."""
        outputs, row = self.outputs, self.object - 1
        one = {name: values[row : row + 1] for name, values in outputs.detections.items()}
        name = self.class_names[int(one["labels"])]
        image, here = outputs.image.permute(1, 2, 0), tuple(box[0].tolist())
        frame = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        if self.stage == 1:
            return image, frame, f"[3, H, W] = {list(outputs.image.shape)}, numbers in 0..1"
        if self.stage == 2:
            level = outputs.features[0]
            text = f"[C, h, w] = {list(level.shape)}: the length of the channels per cell"
            return level.norm(dim=0), frame, text
        if self.stage == 3:
            overlap = box_iou(self._nearest(box), box)[:, 0]  # [N]
            text = f"measured: {len(outputs.proposals)} proposals; IoU of the nearest with the box "
            return image, frame, text + f"{overlap.max():.2f} to {overlap.min():.2f}"
        if self.stage == 4:
            pooled = outputs.pooled[row]
            text = f"[C, P, P] = {list(pooled.shape)} of its box: the length of the channels"
            return pooled.norm(dim=0), here, text
        if self.stage == 5:
            logits = outputs.mask_logits[row]
            text = f"[C, M, M] = {list(logits.shape)}; the channel of its class\nmeasured: {name}"
            return logits[int(one["labels"])], here, text
        painted = paint_instances(outputs.image, one, self.class_names, score_threshold=0)
        text = f"box, class, score and mask, pasted\nmeasured: {name} {float(one['scores']):.2f}"
        return painted, frame, text

    def _nearest(self, box: Tensor) -> Tensor:
        """The proposals that overlap a box most."""
        overlap = box_iou(self.outputs.proposals, box)[:, 0]  # [R]
        return self.outputs.proposals[overlap.argsort(descending=True, stable=True)[:BEST]]


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
        alt="An object in the image, and what one stage of the network holds of it.",
    )


@lru_cache(maxsize=1)
def _untrained() -> IntermediateOutputs:
    """A network that knows nothing still finds something."""
    torch.manual_seed(0)
    model = maskrcnn_lite(len(Shapes.class_names))
    return intermediate_outputs(model, Shapes(3, seed=2)[0][0])
