"""Notebook 12 alive: losses that grow during the training, and a film of it to walk through."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as ipw
import numpy as np
from torch import Tensor

from ...datasets import Shapes
from ...models.intermediate import IntermediateOutputs
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import DetectionImage, stand_in
from ..kit.explorer import Explorer, slider, toggle
from .pictures import FILM_SCORE, MOST_PROPOSALS, LossBoard

SHOWN = FILM_SCORE  # score from which on a detection is drawn
STYLES = ((style.GREEN, "o-"), (style.BLUE, "s--"), (style.VERMILION, "^:"))
PAUSE = 2.0  # seconds between two figures: they should cost the training next to nothing


class LiveLosses:
    """Curves that grow: display it, then call it after every step of training."""

    def __init__(self, steps: int, learning_rate: float, width: int = 760):
        """Draw empty axes."""
        self.steps = steps
        self.history: list[dict[str, float]] = []
        self.board = LossBoard(steps, learning_rate)
        self.image = ipw.Image(format="png", layout={"width": f"{width}px", "max_width": "100%"})
        self.line = ipw.HTML()
        self.box = ipw.VBox([self.image, self.line])
        self._drawn = -PAUSE
        self.draw()

    def __call__(self, step: int, progress: float, report: dict[str, float]) -> None:
        """Take one step's report; the signature is that of `on_step` of `training.train`."""
        self.history.append(report)
        if step == self.steps or time.monotonic() - self._drawn > PAUSE:
            self.draw()

    def draw(self) -> None:
        """Send the present figure to the page."""
        self._drawn = time.monotonic()
        self.board.update(self.history)
        self.image.value = self.board.png()
        now = f", loss {self.history[-1]['loss']:.2f}" if self.history else ""
        self.line.value = f"<pre>step {len(self.history)} of {self.steps}{now}</pre>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
        """The live view, or a sentence where nothing is alive; they are drawn again afterwards."""
        bundle = self.box._repr_mimebundle_() or {}
        bundle["text/plain"] = "(Five curves grow here while the cell runs.)"
        return bundle


@dataclass(frozen=True)
class Moment:
    """A network on its way: what it saw, and how good it was."""

    step: int
    scenes: list[IntermediateOutputs]  # the same images at every moment
    figures: dict[str, float]  # what is drawn as a curve, 0..1


class Film:
    """The moments of a run, one picture of them in view."""

    def __init__(self, moments: Sequence[Moment], class_names: Sequence[str]):
        """Start at the last moment."""
        self.moments, self.class_names = list(moments), list(class_names)
        self.moment, self.picture = len(self.moments), 1
        self.masks, self.proposals = True, False
        self._board: _Board | None = None

    def render(self) -> tuple[bytes, str]:
        """The image at this moment, and how far the network has come."""
        if self._board is None:
            self._board = _Board(self.moments)
        now = self.moments[self.moment - 1]
        scene = now.scenes[self.picture - 1]
        png = self._board.draw(now, scene, self.class_names, (self.masks, self.proposals))
        return png, self.describe(now, scene)

    def describe(self, now: Moment, scene: IntermediateOutputs) -> str:
        """The state in words and numbers."""
        found = scene.detections
        rows = (found["scores"] >= SHOWN).nonzero().flatten().tolist()
        names = [self.class_names[int(found["labels"][row])] for row in rows]
        said = [f"{name} {found['scores'][row]:.2f}" for name, row in zip(names, rows)]
        figures = [f"{name} {value:.2f}" for name, value in now.figures.items()]
        return "\n".join(
            [
                f"after step {now.step} of {self.moments[-1].step}, picture {self.picture}",
                f"measured: {', '.join(figures)}",
                f"measured: {', '.join(said) if self.masks and said else 'no object'}",
                f"measured: {len(scene.proposals)} proposals" if self.proposals else "",
            ]
        ).strip()


class _Board:
    """Left the image, right the figures as curves over the steps."""

    def __init__(self, moments: Sequence[Moment]):
        _, height, width = moments[0].scenes[0].image.shape
        fig, axes = style.figure(1, 2, width=8.0, height=4.4, width_ratios=(1.3, 1))
        steps = [moment.step for moment in moments]
        for name, (colour, line) in zip(moments[0].figures, STYLES):
            values = [moment.figures[name] for moment in moments]
            axes[1].plot(steps, values, line, color=colour, ms=5, label=name)
        axes[1].set(ylim=(-0.02, 1.02), xlabel="step")
        axes[1].legend(loc="upper left", bbox_to_anchor=(0, 1.16))
        self.canvas = Canvas(fig)
        self.picture = DetectionImage(self.canvas, axes[0], height, width)
        self.mark = self.canvas.add(axes[1].axvline(0, color=style.BLACK, lw=1.4))

    def draw(
        self,
        now: Moment,
        scene: IntermediateOutputs,
        names: Sequence[str],
        parts: tuple[bool, bool],
    ) -> bytes:
        """Draw one moment: masks and proposals where `parts` asks for them."""
        masks, proposals = parts
        shown: Tensor | None = scene.proposals[:MOST_PROPOSALS] if proposals else None
        threshold = SHOWN if masks else np.inf
        options = {"show_boxes": True, "score_threshold": threshold}
        self.picture.draw(scene.image, scene.detections, names, shown, **options)
        self.mark.set_xdata([now.step, now.step])
        return self.canvas.png()


def explore_film(
    moments: Sequence[Moment] | None = None, class_names: Sequence[str] = Shapes.class_names
) -> Explorer:
    """The explorer of `Film`, for a notebook cell to end with.

    Args:
        moments: of a run, in order; a stand-in that only grows surer if not given.
        class_names: index 0 is the background.
    """
    moments = _stand_in_moments() if moments is None else list(moments)
    return Explorer(
        Film(moments, class_names),
        [
            slider("moment", "moment", 1, len(moments)),
            slider("picture", "picture", 1, len(moments[0].scenes)),
            toggle("masks", "detections"),
            toggle("proposals", "best proposals"),
        ],
        alt="One image as the network saw it at a moment of its training.",
    )


def _stand_in_moments() -> list[Moment]:
    """Three moments of a network that was never trained."""
    truth = [stand_in(*Shapes(3, seed=2)[index]) for index in range(3)]
    moments = []
    for step, certainty in ((1, 0.2), (10, 0.6), (100, 1.0)):
        scenes = []
        for scene in truth:
            surer = scene.detections["scores"] * certainty
            scenes.append(replace(scene, detections={**scene.detections, "scores": surer}))
        moments.append(Moment(step, scenes, {"mask AP50": certainty, "recall": certainty**0.5}))
    return moments
