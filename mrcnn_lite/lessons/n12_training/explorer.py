"""Notebook 12 alive: losses that grow during the training, and a film of it to walk through."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as ipw
import numpy as np
from matplotlib.axes import Axes

from ...datasets import Shapes
from ...models.intermediate import IntermediateOutputs
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.detections import DetectionImage, stand_in
from ..kit.explorer import Explorer, slider, toggle
from .pictures import FILM_SCORE, MOST_PROPOSALS, LossBoard

STYLES = ((style.GREEN, "o-"), (style.BLUE, "s--"), (style.VERMILION, "^:"))
PAUSE = 2.0  # seconds between two figures: they should cost the training next to nothing


class LiveLosses:
    """Curves that grow: display it, then call it after every step of training."""

    def __init__(self, steps: int, learning_rate: float, width: int = 760):
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
        self.image.value = self.board.canvas.png()
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
    """The moments of a run, one image of them in view, and the figures as curves over the steps."""

    def __init__(self, moments: Sequence[Moment], class_names: Sequence[str]):
        self.moments, self.class_names = list(moments), list(class_names)
        self.moment, self.image = len(self.moments), 1
        self.masks, self.proposals = True, False
        fig, (left, right) = style.figure(1, 2, width=8.0, height=4.4, width_ratios=(1.3, 1))
        self._draw_curves(right)
        self.canvas = Canvas(fig)
        self.detections = DetectionImage(self.canvas, left, *moments[0].scenes[0].image.shape[1:])
        self.mark = self.canvas.add(right.axvline(0, color=style.BLACK, lw=1.4))

    def _draw_curves(self, ax: Axes) -> None:
        steps = [moment.step for moment in self.moments]
        for name, (colour, line) in zip(self.moments[0].figures, STYLES):
            values = [moment.figures[name] for moment in self.moments]
            ax.plot(steps, values, line, color=colour, ms=5, label=name)
        ax.set(ylim=(-0.02, 1.02), xlabel="step")
        ax.legend(loc="upper left", bbox_to_anchor=(0, 1.16))

    def render(self) -> tuple[bytes, str]:
        """The image at this moment, and how far the network has come."""
        now = self.moments[self.moment - 1]
        scene = now.scenes[self.image - 1]
        self.detections.draw(
            scene.image,
            scene.detections,
            self.class_names,
            scene.proposals[:MOST_PROPOSALS] if self.proposals else None,
            score_threshold=FILM_SCORE if self.masks else np.inf,
        )
        self.mark.set_xdata([now.step, now.step])
        return self.canvas.png(), self.describe(now, scene)

    def describe(self, now: Moment, scene: IntermediateOutputs) -> str:
        """The state in text and numbers."""
        found = scene.detections
        rows = (found["scores"] >= FILM_SCORE).nonzero().flatten().tolist()
        objects = [
            f"{self.class_names[int(found['labels'][row])]} {found['scores'][row]:.2f}"
            for row in rows
        ]
        figures = [f"{name} {value:.2f}" for name, value in now.figures.items()]
        proposals = f"{len(scene.proposals)} proposals"
        return "\n".join(
            [
                f"after step {now.step} of {self.moments[-1].step}, image {self.image}",
                f"measured: {', '.join(figures)}",
                f"measured: {', '.join(objects) if self.masks and objects else 'no object'}",
                f"measured: {proposals}, the best {MOST_PROPOSALS} drawn" if self.proposals else "",
            ]
        ).strip()


def explore_film(
    moments: Sequence[Moment] | None = None, class_names: Sequence[str] = Shapes.class_names
) -> Explorer:
    """The explorer of a run's moments, in order; of a stand-in's if not given."""
    moments = _stand_in_moments() if moments is None else list(moments)
    return Explorer(
        Film(moments, class_names),
        [
            slider("moment", "moment", 1, len(moments)),
            slider("image", "image", 1, len(moments[0].scenes)),
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
