"""The RoI explorer: drag a RoI on a small map, and see RoIPool jump and RoIAlign glide.

All that moves is computed in the browser (`js/`), without asking the kernel, so that a drag is
smooth; the same files run on a page without any kernel. Here are the state as traits, which can be
set, read and observed, the same numbers from `mrcnn_lite.ops`, and a still picture.
"""

import base64
import math
from pathlib import Path
from typing import Any

import anywidget
import torch
import traitlets as t
from torch import Tensor

from ....ops import roi_align, roi_pool
from ...n01_roi_pool.pictures import windows_of
from ...n03_roi_align.pictures import samples_of
from ..grid import rows_of
from ..style import figure_png
from .maps import named_maps
from .still import explorer_picture

JS = Path(__file__).parent / "js"
PARTS = tuple(  # in the order of their imports
    f"roi_{name}.js" for name in ("ops", "panels", "controls", "chart", "words", "explorer")
)
STRIDES = (4, 8, 16, 32)
LARGEST_MAP = 32
ALT = "A RoI on a small feature map, as RoIPool rounds it and as RoIAlign samples it."


def bundle() -> str:
    """The explorer's JavaScript in one module, as a notebook's front end needs it."""
    lines = [line for part in PARTS for line in (JS / part).read_text("utf-8").splitlines()]
    return "\n".join(line for line in lines if not line.startswith("import "))


class RoIExplorer(anywidget.AnyWidget):
    """A RoI on a map, seen by RoIPool and by RoIAlign; every trait can be set, read and observed.

    Attributes:
        map: "article", "ramp", "smooth", "channel" (a trained network's), or "own".
        own: the numbers of the map "own", a list of rows.
        box: the RoI (x1, y1, x2, y2), image px.
        stride: image px per element of the map.
        size: P, bins per axis.
        sampling_ratio: samples per bin and axis; 0 is adaptive.
        aligned: whether element 0 of the map lies at 0.5 instead of 0.
        gradient: whether the cells show what the sum of all outputs sends back to them.
        arrows: whether the edges show how the chosen output changes with them.
        bin, sample: which bin, and which of its samples, is explained; counted from 1.
    """

    _esm = bundle()
    _css = (JS / "roi_explorer.css").read_text("utf-8")

    maps = t.List(t.Dict()).tag(sync=True)
    map = t.Unicode("article").tag(sync=True)
    own = t.List(t.List(t.Float())).tag(sync=True)
    box = t.List(t.Float(), default_value=[10.0, 10.0, 124.0, 124.0]).tag(sync=True)
    stride = t.Float(32).tag(sync=True)
    size = t.Int(2, min=1, max=7).tag(sync=True)
    sampling_ratio = t.Int(2, min=0, max=8).tag(sync=True)
    aligned = t.Bool(False).tag(sync=True)
    gradient = t.Bool(False).tag(sync=True)
    arrows = t.Bool(False).tag(sync=True)
    bin = t.Int(1, min=1, max=49).tag(sync=True)
    sample = t.Int(1, min=1).tag(sync=True)

    def __init__(self, **state: Any):
        """Begin with the article's example, or with some traits set."""
        maps = [dict(entry) for entry in named_maps()]
        state = {"maps": maps, "own": maps[1]["rows"], **state}
        unknown = sorted(set(state) - set(STATE))
        if unknown:
            raise ValueError(f"no trait named {unknown[0]!r}; there are {sorted(STATE)}")
        super().__init__(**state)

    @t.validate("box")
    def _check_box(self, proposal: t.Bunch) -> list[float]:
        box = [float(corner) for corner in proposal["value"]]
        if len(box) != 4 or not all(finite(box)) or box[2] <= box[0] or box[3] <= box[1]:
            raise t.TraitError(f"box must be (x1, y1, x2, y2) with x1 < x2 and y1 < y2, got {box}")
        return box

    @t.validate("own")
    def _check_own(self, proposal: t.Bunch) -> list[list[float]]:
        rows = [[float(number) for number in row] for row in proposal["value"]]
        if not rows or not rows[0] or len({len(row) for row in rows}) > 1:
            raise t.TraitError("own must be rows of numbers, all of the same length")
        if max(len(rows), len(rows[0])) > LARGEST_MAP:
            raise t.TraitError(f"own must be at most {LARGEST_MAP} x {LARGEST_MAP}")
        for place, row in enumerate(rows):
            if not all(finite(row)):
                raise t.TraitError(f"own: row {place} holds a number that is not finite")
        return rows

    @t.validate("map")
    def _check_map(self, proposal: t.Bunch) -> str:
        names = [entry["key"] for entry in named_maps()] + ["own"]
        if proposal["value"] not in names:
            raise t.TraitError(f"map must be one of {names}, got {proposal['value']!r}")
        return proposal["value"]

    @t.validate("stride")
    def _check_stride(self, proposal: t.Bunch) -> float:
        if proposal["value"] not in STRIDES:
            raise t.TraitError(f"stride must be one of {STRIDES}, got {proposal['value']}")
        return proposal["value"]

    def features(self) -> Tensor:
        """The map that is shown."""
        rows = self.own
        if self.map != "own":
            rows = next(entry["rows"] for entry in self.maps if entry["key"] == self.map)
        return torch.tensor(rows, dtype=torch.float64)[None, None]  # [B, C, h, w]

    def outputs(self) -> tuple[Tensor, Tensor]:
        """What `mrcnn_lite.ops` gives for the state: the explorer must show the same."""
        args = (self.features(), [torch.tensor([self.box], dtype=torch.float64)], self.size)
        scale = 1 / self.stride
        pool = roi_pool(*args, scale)[0, 0]  # [P, P]
        return pool, roi_align(*args, scale, self.sampling_ratio, aligned=self.aligned)[0, 0]

    def describe(self) -> str:
        """The state and the outputs in words."""
        pool, align = self.outputs()
        corners = ", ".join(f"{corner:g}" for corner in self.box)
        ratio = self.sampling_ratio or "adaptive"
        return "\n".join(
            [
                f"map {self.map!r}, RoI ({corners}) px, stride {self.stride:g}, "
                f"{self.size} x {self.size} bins,",
                f"sampling_ratio {ratio}, aligned={self.aligned}",
                "RoIPool:",
                rows_of(pool),
                "RoIAlign:",
                rows_of(align),
            ]
        )

    def still(self) -> bytes:
        """The state as a picture that needs no browser."""
        features, scale = self.features()[0, 0], 1 / self.stride  # [h, w]
        windows = windows_of(self.box, self.size, scale, *features.shape)
        samples = samples_of(self.box, self.size, scale, self.sampling_ratio, self.aligned)
        roi = [corner * scale for corner in self.box]
        return figure_png(explorer_picture(features, roi, windows, samples, self.outputs()))

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The live view where it can live, else the picture, else the numbers."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["image/png"] = base64.b64encode(self.still()).decode("ascii")
        data["text/plain"] = f"{ALT}\n{self.describe()}"
        return data, {**metadata, "image/png": {"width": 760, "alt": ALT}}


STATE = (
    *("maps", "map", "own", "box", "stride", "size", "sampling_ratio", "aligned"),
    *("gradient", "arrows", "bin", "sample"),
)


def finite(numbers: list[float]) -> list[bool]:
    """Which numbers are finite."""
    return [math.isfinite(number) for number in numbers]


def explore_roi(**state: Any) -> RoIExplorer:
    """The explorer, for a notebook cell to end with.

    Args:
        **state: traits of `RoIExplorer` and their values.

    Returns:
        The explorer.
    """
    return RoIExplorer(**state)
