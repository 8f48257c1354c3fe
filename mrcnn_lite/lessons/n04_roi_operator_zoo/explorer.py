"""The operator zoo to move: ten definitions, their points, and how far they are from the mean."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider, toggle
from ..kit.grid import decimal, draw_table, frame, pastel, rows_of
from ..kit.roi import article_map
from .operators import ZOO, Operator
from .pictures import Sampling, SamplingArtists, sampling_of

STRIDE = 32
PROPOSAL = (10.0, 10.0, 124.0, 124.0)  # the article's, image px
DOTS = 12  # painted dots per element and axis


def smoothed(features: Tensor, sigma: float) -> Tensor:
    """The map blurred, with the mean and the spread that it had.

    Beyond the rim stands the last element again, as RoIAlign's border rule has it.
    """
    if sigma <= 0:
        return features
    reach = int(3 * sigma) + 1
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)  # [N]
    kernel = torch.outer(bell, bell) / bell.sum() ** 2  # [N, N]
    padded = F.pad(features, (reach,) * 4, mode="replicate").flatten(0, 1)  # [B * C, h, w]
    blurred = F.conv2d(padded[:, None], kernel[None, None]).view_as(features)  # [B, C, h, w]
    scale = features.std() / blurred.std()
    return (blurred - blurred.mean()) * scale + features.mean()


class RoIZooState:
    """One operator on the article's map and box, which can be blurred and moved."""

    def __init__(self, features: Tensor | None = None):
        self.features = article_map() if features is None else features
        if self.features.ndim != 4 or self.features.shape[:2] != (1, 1):
            raise ValueError(f"features must be [1, 1, h, w], got {list(self.features.shape)}")
        self.operator = "RoIAlign"
        self.ratio = 2
        self.aligned = False
        self.smoothness = 0.0
        self.shift = 0
        self._draw_axes()

    def _draw_axes(self) -> None:
        """Left the map, the RoI and the bins; right the output, the exact mean, the difference."""
        height, width = self.features.shape[-2:]
        plan = [["map", "output"], ["map", "exact"], ["map", "difference"]]
        fig, axes = style.mosaic(plan, width=7.2, height=5.0, width_ratios=(2.5, 1))
        left = axes["map"]
        frame(left, width, height, 1, "elements")
        left.set_title("the map, also between its elements", fontsize=style.NORMAL)
        left.set(xlim=(-1.05, width + 0.05), ylim=(height + 0.05, -1.05))
        left.set(xticks=range(width), yticks=range(height))
        self.canvas = Canvas(fig)
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        self.image = self.canvas.add(left.imshow(np.ones((height, width, 3)), extent=extent))
        left.set(xlim=(-1.05, width + 0.05), ylim=(height + 0.05, -1.05))
        rows, columns = np.indices((height, width))
        elements = left.plot(columns.ravel(), rows.ravel(), ".", color=style.GREY, ms=3)
        self.canvas.add_all(elements)
        self.read = SamplingArtists(left)
        self.canvas.add_all([*self.read.areas, self.read.roi, *self.read.points])
        titles = {"output": "output", "exact": "exact mean", "difference": "output - exact mean"}
        tables = [draw_table(axes[key], np.zeros((2, 2)), titles[key]) for key in titles]
        self.numbers = self.canvas.add_all(itertools.chain(*tables))
        for text in self.numbers:
            text.set_fontsize(style.SMALL)

    def render(self) -> tuple[bytes, str]:
        """The figure and the numbers: the operator's output beside the exact mean."""
        operator, features = ZOO[self.operator], smoothed(self.features, self.smoothness)[0]
        box = torch.tensor(PROPOSAL) + float(self.shift)  # [4]
        where = (box, 2, 1 / STRIDE, self.ratio, self.aligned)
        sampling = sampling_of(operator, *where, tuple(features.shape[-2:]))
        outputs = [ZOO[name](features, *where)[0] for name in (self.operator, "exact mean")]
        self._move(features, sampling, outputs)
        return self.canvas.png(), self.describe(operator, sampling, outputs)

    def describe(self, operator: Operator, sampling: Sampling, outputs: list[Tensor]) -> str:
        """What the figure says, in words and numbers."""
        far = float((outputs[0] - outputs[1]).abs().max())
        roi = ", ".join(f"{number:.4f}" for number in sampling.roi)
        what = "ends of the bins" if sampling.areas else "points"
        rows = " | ".join(" ".join(f"{y:.4f}" for y in part) for part in sampling.y)
        lines = [
            f"{operator.name}: at most {far:.4f} away from the exact mean",
            f"ratio {self.ratio or 'adaptive'}, aligned={self.aligned}, smoothness "
            f"{self.smoothness:g}, box moved by {self.shift} px; found in {operator.source}",
            f"RoI on the map: ({roi})",
            f"{what} along y: {rows}",
            *("output:", rows_of(outputs[0]), "exact mean:", rows_of(outputs[1])),
        ]
        return "\n".join(lines)

    def _move(self, features: Tensor, sampling: Sampling, outputs: list[Tensor]) -> None:
        # The map between its elements, by the same bilinear rule that the operators use.
        fine = F.interpolate(features[None], scale_factor=DOTS, mode="bilinear")[0, 0]  # [N, N]
        self.image.set_data((255 * pastel(fine.numpy())).astype(np.uint8))
        self.read.move(sampling)
        output, exact = outputs
        values = torch.stack([output, exact, output - exact]).flatten().tolist()
        for text, value in zip(self.numbers, values):
            text.set_text(decimal(value))


def explore_roi_zoo(features: Tensor | None = None, **settings: float | str) -> Explorer:
    """The explorer of the operators on a map [1, 1, h, w] of stride 32, or the article's 6 x 6."""
    controls = [
        choice("operator", "operator", list(ZOO)),
        slider("ratio", "sampling ratio", 0, 8),
        toggle("aligned", "aligned"),
        slider("smoothness", "smoothness", 0.0, 2.0, 0.25),
        slider("shift", "box moved by (px)", 0, 64),
    ]
    alt = "A map in colours, a RoI, what an operator reads in each bin, its output, the truth."
    return Explorer(RoIZooState(features), controls, alt, width=760).set(**settings)
