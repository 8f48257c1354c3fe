"""The losses of a run while it runs: a picture that the training itself draws anew."""

import time
from typing import Any

import ipywidgets as ipw

from .pictures import LossBoard

PAUSE = 2.0  # seconds between two pictures: they should cost the training next to nothing


class LiveLosses:
    """Curves that grow: display it, then call it after every step of training."""

    def __init__(self, steps: int, learning_rate: float, width: int = 760):
        """Draw empty axes."""
        self.steps = steps
        self.history: list[dict[str, float]] = []
        self.board = LossBoard(steps, learning_rate)
        self.image = ipw.Image(format="png", layout={"width": f"{width}px", "max_width": "100%"})
        self.words = ipw.HTML()
        self.box = ipw.VBox([self.image, self.words])
        self._drawn = -PAUSE
        self.draw()

    def __call__(self, step: int, progress: float, report: dict[str, float]) -> None:
        """Take one step's report; the signature is that of `on_step` of `training.train`."""
        self.history.append(report)
        if step == self.steps or time.monotonic() - self._drawn > PAUSE:
            self.draw()

    def draw(self) -> None:
        """Send the present picture to the page."""
        self._drawn = time.monotonic()
        self.board.update(self.history)
        self.image.value = self.board.png()
        now = f", loss {self.history[-1]['loss']:.2f}" if self.history else ""
        self.words.value = f"<pre>step {len(self.history)} of {self.steps}{now}</pre>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
        """The live view, or words where nothing is alive: the last picture is shown afterwards."""
        bundle = self.box._repr_mimebundle_() or {}
        bundle["text/plain"] = "(Five curves grow here while the cell runs.)"
        return bundle
