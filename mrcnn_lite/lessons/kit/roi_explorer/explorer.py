"""The RoI explorer: drag a RoI on a small map, and see RoIPool jump and RoIAlign glide.

All that moves is computed in the browser (`js/`), without asking the kernel, so that a drag is
smooth; the same files run on a page without any kernel.
"""

import base64
from pathlib import Path
from typing import Any

import anywidget

from ..style import figure_png
from .state import RoIState
from .still import explorer_figure

JS = Path(__file__).parent / "js"
PARTS = tuple(  # in the order of their imports
    f"roi_{name}.js"
    for name in ("ops", "store", "panels", "controls", "handles", "chart", "text", "explorer")
)
ALT = "A RoI on a small feature map, as RoIPool rounds it"


def bundle() -> str:
    """The explorer's JavaScript in one module, as a notebook's front end needs it."""
    lines = [line for part in PARTS for line in (JS / part).read_text("utf-8").splitlines()]
    return "\n".join(line for line in lines if not line.startswith("import "))


class RoIExplorer(RoIState, anywidget.AnyWidget):
    """A RoI on a map, seen by RoIPool and by RoIAlign, to be dragged in a browser."""

    _esm = bundle()
    _css = (JS / "roi_explorer.css").read_text("utf-8")

    @property
    def alt(self) -> str:
        """What a reader who cannot see the figure should know."""
        return ALT + (" and as RoIAlign samples it." if self.view == "both" else ".")

    def still(self) -> bytes:
        """The state as a figure that needs no browser."""
        return figure_png(explorer_figure(self))

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The live view where it can live, else the figure, else the numbers."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["image/png"] = base64.b64encode(self.still()).decode("ascii")
        data["text/plain"] = f"{self.alt}\n{self.describe()}"
        return data, {**metadata, "image/png": {"width": 760, "alt": self.alt}}


def explore_roi(**state: Any) -> RoIExplorer:
    """The explorer; `state` are traits of `RoIState`, such as `sampling_ratio=1`."""
    return RoIExplorer(**state)
