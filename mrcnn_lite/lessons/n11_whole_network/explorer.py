"""Explorer of notebook 11: follow one object through the network, stage by stage."""

from functools import lru_cache

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

from ...datasets import Shapes
from ...models import maskrcnn_lite
from ...models.intermediate import IntermediateOutputs, intermediate_outputs
from ..kit import style
from ..kit.explorer import Explorer, slider

STAGES = ("the picture", "finest features", "proposals", "RoIAlign", "mask logits", "the answer")
SIDE = 512  # pixels of the drawing
BEST = 12  # proposals that are drawn


class Journey:
    """One picture inside a network; a stage and one of the detections are in view."""

    def __init__(self, inside: IntermediateOutputs, class_names: list[str]):
        """Start at the picture."""
        self.inside, self.class_names = inside, class_names
        self.stage, self.object = 1, 1

    def render(self) -> tuple[bytes, str]:
        """The stage as a picture, and what it holds."""
        draw = (self._image, self._features, self._proposals, self._pooled, self._logits,
                self._answer)[self.stage - 1]  # fmt: skip
        pixels, words = draw(self.object - 1)
        title = f"stage {self.stage} of {len(STAGES)}: {STAGES[self.stage - 1]}"
        return style.encode_png(pixels, level=1), f"{title}, object {self.object}\n{words}"

    def _image(self, row: int) -> tuple[np.ndarray, str]:
        canvas, scale = self._canvas()
        outline(canvas, self.inside.detections["boxes"][row] * scale, style.ORANGE)
        return canvas, f"[3, H, W] = {list(self.inside.image.shape)}, numbers in 0..1"

    def _features(self, row: int) -> tuple[np.ndarray, str]:
        level = self.inside.features[0]
        canvas = paint(level.norm(dim=0))
        outline(canvas, self.inside.detections["boxes"][row] * self._scale(), style.ORANGE)
        return canvas, f"[C, h, w] = {list(level.shape)}: the length per place"

    def _proposals(self, row: int) -> tuple[np.ndarray, str]:
        canvas, scale = self._canvas()
        for box in self.inside.proposals[:BEST].flip(0):
            outline(canvas, box * scale, style.SKY)
        outline(canvas, self.inside.detections["boxes"][row] * scale, style.ORANGE)
        words = f"the best {BEST} boxes of the RPN; orange: what became of one\nmeasured: "
        return canvas, words + f"{len(self.inside.proposals)} proposals in all"

    def _pooled(self, row: int) -> tuple[np.ndarray, str]:
        pooled = self.inside.pooled[row]
        return paint(pooled.norm(dim=0)), f"[C, P, P] = {list(pooled.shape)} of its box"

    def _logits(self, row: int) -> tuple[np.ndarray, str]:
        found = self.inside.detections
        logits, label = self.inside.mask_logits[row], int(found["labels"][row])
        words = f"[C, M, M] = {list(logits.shape)}; the channel of its class\nmeasured: "
        return paint(logits[label]), words + self.class_names[label]

    def _answer(self, row: int) -> tuple[np.ndarray, str]:
        canvas, scale = self._canvas()
        found = self.inside.detections
        mask = enlarge(found["masks"][row, 0] >= 0.5).astype(bool)
        tint = np.array(mpl.colors.to_rgb(style.ORANGE)) * 255
        canvas[mask] = (0.5 * canvas[mask] + 0.5 * tint).astype(np.uint8)
        outline(canvas, found["boxes"][row] * scale, style.ORANGE)
        name, score = self.class_names[int(found["labels"][row])], float(found["scores"][row])
        return canvas, f"box, class, score and mask, pasted\nmeasured: {name} {score:.2f}"

    def _canvas(self) -> tuple[np.ndarray, float]:
        """The picture, enlarged, uint8 [H, W, 3], and by how much."""
        image = (self.inside.image.permute(1, 2, 0) * 255).round().to(torch.uint8)
        return enlarge(image), self._scale()

    def _scale(self) -> float:
        """Pixels of the drawing per pixel of the picture."""
        return SIDE / self.inside.image.shape[1]


def enlarge(pixels: Tensor) -> np.ndarray:
    """Repeat every pixel so that the height becomes `SIDE`: [H, W] or [H, W, 3]."""
    rows = np.arange(SIDE) * pixels.shape[0] // SIDE
    width = SIDE * pixels.shape[1] // pixels.shape[0]
    return pixels.numpy()[rows][:, np.arange(width) * pixels.shape[1] // width].copy()


def paint(values: Tensor) -> np.ndarray:
    """Show numbers [h, w] in the course's colours, dark for the smallest: uint8 [H, W, 3]."""
    low, high = values.min(), values.max()
    share = (values - low) / (high - low).clamp(min=1e-9)
    colours = mpl.colormaps[style.SEQUENTIAL](share.numpy(), bytes=True)[..., :3]
    return enlarge(torch.from_numpy(np.ascontiguousarray(colours)))


def outline(canvas: np.ndarray, box: Tensor, colour: str, thick: int = 3) -> None:
    """Draw a box's four sides into a picture, in place."""
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = (int(v) for v in box.round())
    ink = (np.array(mpl.colors.to_rgb(colour)) * 255).astype(np.uint8)
    x1, x2 = (min(max(v, 0), width - thick) for v in (x1, x2))
    y1, y2 = (min(max(v, 0), height - thick) for v in (y1, y2))
    for rows, columns in (
        (slice(y1, y1 + thick), slice(x1, x2 + thick)),
        (slice(y2, y2 + thick), slice(x1, x2 + thick)),
        (slice(y1, y2 + thick), slice(x1, x1 + thick)),
        (slice(y1, y2 + thick), slice(x2, x2 + thick)),
    ):
        canvas[rows, columns] = ink


def explore_journey(
    inside: IntermediateOutputs | None = None, class_names: list[str] | None = None
) -> Explorer:
    """The explorer with its controls, for a notebook cell to end with.

    Args:
        inside: from `intermediate_outputs`; an untrained network's if not given.
        class_names: index 0 is the background.

    Returns:
        An explorer of `Journey`.
    """
    inside = _untrained() if inside is None else inside
    names = list(Shapes.class_names) if class_names is None else class_names
    return Explorer(
        Journey(inside, names),
        [
            slider("stage", "stage", 1, len(STAGES)),
            slider("object", "object", 1, len(inside.pooled)),
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
