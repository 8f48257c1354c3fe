"""The operator zoo to move: ten definitions, their points, and how far they are from the mean."""

from typing import Any

import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch import Tensor

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider, toggle
from ..kit.grid import draw_box, frame, move_box, pastel, rows_of
from ..kit.table import LiveTable
from ..n01_roi_pool.explorer import article_map
from ..n01_roi_pool.pictures import BINS
from .operators import ZOO, Operator
from .pictures import MARKS, Look, dot_size, look_of

STRIDE = 32
PROPOSAL = (10.0, 10.0, 124.0, 124.0)  # the article's, image px
FINEST = 8  # largest sampling ratio
SMOOTHEST = 2.0  # largest width of the blur, in elements
FARTHEST = 64  # px that the box can move
DOTS = 12  # painted dots per element and axis


def smoothed(features: Tensor, sigma: float) -> Tensor:
    """The map blurred, with the mean and the spread that it had."""
    if sigma <= 0:
        return features
    rows, columns = (_blur_matrix(side, sigma) for side in features.shape[-2:])
    blurred = rows @ features @ columns.T  # [B, C, h, w]
    scale = features.std() / blurred.std()
    return (blurred - blurred.mean()) * scale + features.mean()


def _blur_matrix(side: int, sigma: float) -> Tensor:
    """What each element becomes: a weighted mean of its neighbours, Tensor[h, h].

    Beyond the rim stands the last element again, as RoIAlign's border rule has it.
    """
    offsets = torch.arange(-int(3 * sigma) - 1, int(3 * sigma) + 2)  # [N]
    bell = torch.exp(-0.5 * (offsets / sigma) ** 2)  # [N]
    index = (torch.arange(side)[:, None] + offsets).clamp(0, side - 1)  # [h, N]
    weights = (bell / bell.sum()).expand(side, -1)  # [h, N]
    return torch.zeros(side, side).scatter_add(1, index, weights)  # [h, h]


class RoIZooState:
    """One operator on the article's map and box, which can be blurred and moved."""

    def __init__(self, features: Tensor | None = None):
        """Start with RoIAlign as the paper has it."""
        self.features = article_map() if features is None else features
        if self.features.ndim != 4 or self.features.shape[:2] != (1, 1):
            raise ValueError(f"features must be [1, 1, h, w], got {list(self.features.shape)}")
        self.operator = "RoIAlign"
        self.ratio = 2
        self.aligned = False
        self.smoothness = 0.0
        self.shift = 0
        self._board: _Board | None = None

    def map(self) -> Tensor:
        """The map as it is blurred now, Tensor[1, h, w]."""
        return smoothed(self.features, self.smoothness)[0]  # [C, h, w]

    def arguments(self) -> tuple[Tensor, int, float, int, bool]:
        """Box, size, scale, ratio and aligned, as an operator takes them."""
        box = torch.tensor(PROPOSAL) + float(self.shift)  # [4]
        return box, 2, 1 / STRIDE, self.ratio, self.aligned

    def outputs(self) -> tuple[Tensor, Tensor]:
        """The operator's numbers and the exact means, two Tensor[P, P]."""
        features, arguments = self.map(), self.arguments()
        both = [ZOO[name](features, *arguments)[0] for name in (self.operator, "exact mean")]
        return both[0], both[1]

    def render(self) -> tuple[bytes, str]:
        """The picture and the numbers."""
        operator, features = ZOO[self.operator], self.map()
        look = look_of(operator, *self.arguments(), tuple(features.shape[-2:]))
        outputs = self.outputs()
        if self._board is None:
            self._board = _Board(*features.shape[-2:])
        self._board.paint(features, self.smoothness)
        self._board.move(look)
        self._board.output.write(outputs[0])
        self._board.exact.write(outputs[1])
        self._board.difference.write(outputs[0] - outputs[1])
        return self._board.canvas.png(), self.describe(operator, look, outputs)

    def describe(self, operator: Operator, look: Look, outputs: tuple[Tensor, Tensor]) -> str:
        """What the picture says, in words and numbers."""
        far = float((outputs[0] - outputs[1]).abs().max())
        ratio = self.ratio if self.ratio > 0 else "adaptive"
        roi = ", ".join(f"{number:.4f}" for number in look.roi)
        what = "ends of the bins" if look.areas else "points"
        rows = " | ".join(" ".join(f"{y:.4f}" for y in part) for part in look.y)
        return "\n".join(
            [
                f"{operator.name}: at most {far:.4f} away from the exact mean",
                f"ratio {ratio}, aligned={self.aligned}, smoothness {self.smoothness:g}, "
                f"box moved by {self.shift} px; found in {operator.source}",
                f"RoI on the map: ({roi})",
                f"{what} along y: {rows}",
                "output:",
                rows_of(outputs[0]),
                "exact mean:",
                rows_of(outputs[1]),
            ]
        )


def _between(side: int) -> np.ndarray:
    """Bilinear weights of all elements at each painted dot, [N, h]."""
    places = (np.arange(side * DOTS) + 0.5) / DOTS - 0.5
    places = places.clip(0, side - 1)[:, None]
    return (1 - np.abs(places - np.arange(side))).clip(0)


class _Board:
    """The picture: axes and map are background, one per smoothness; the RoI and the bins move."""

    def __init__(self, height: int, width: int):
        plan = [["map", "output"], ["map", "exact"], ["map", "difference"]]
        fig, axes = style.mosaic(plan, width=7.2, height=5.0, width_ratios=(2.5, 1))
        left = axes["map"]
        frame(left, width, height, 1, "elements")
        left.set_title("the map, also between its elements", fontsize=style.NORMAL)
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        self.image = left.imshow(np.ones((height * DOTS, width * DOTS, 3)), extent=extent)
        rows, columns = np.indices((height, width))
        dots = left.plot(columns.ravel(), rows.ravel(), ".", color=style.GREY, ms=3)
        self.layers = [self.image, *dots]
        for layer in self.layers:
            layer.set_animated(True)  # no part of the bare axes
        left.set(xlim=(-1.05, width + 0.05), ylim=(height + 0.05, -1.05))
        left.set(xticks=range(width), yticks=range(height))
        fig.draw_without_rendering()  # settles the layout, so that the tables know their width
        self.canvas = Canvas(fig)
        self.areas = self.canvas.add_all(self._area(left, colour) for colour in BINS)
        self.roi = self.canvas.add(draw_box(left, (0, 0, 1, 1), style.BLACK, linewidth=1.6))
        self.points = self.canvas.add_all(
            left.plot([], [], mark, color=colour, mec="black", mew=0.7)[0]
            for colour, mark in zip(BINS, MARKS)
        )
        self.output = LiveTable(self.canvas, axes["output"], "output", 2)
        self.exact = LiveTable(self.canvas, axes["exact"], "exact mean", 2)
        self.difference = LiveTable(self.canvas, axes["difference"], "output - exact mean", 2)
        self.canvas.pixels()
        self.bare = self.canvas.background
        self.painted: dict[float, Any] = {}

    @staticmethod
    def _area(ax, colour: str) -> Rectangle:
        patch = Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor="black", linewidth=1.2)
        patch.set_alpha(0.35)
        return ax.add_patch(patch)

    def paint(self, features: Tensor, smoothness: float) -> None:
        """Colour the map everywhere, by the same bilinear rule that the operators use."""
        if smoothness not in self.painted:
            values = features[0].double().numpy()  # [h, w]
            rows, columns = (_between(side) for side in values.shape)
            values = rows @ values @ columns.T  # [N, N]
            self.image.set_data(pastel(values))
            canvas = self.canvas.agg
            canvas.restore_region(self.bare)
            for layer in self.layers:
                canvas.figure.draw_artist(layer)
            self.painted[smoothness] = canvas.copy_from_bbox(canvas.figure.bbox)
        self.canvas.background = self.painted[smoothness]

    def move(self, look: Look) -> None:
        """Show where the operator looks."""
        move_box(self.roi, look.roi)
        for index, (area, points) in enumerate(zip(self.areas, self.points)):
            row, column = divmod(index, 2)
            area.set_visible(look.areas)
            points.set_visible(not look.areas)
            if look.areas:
                x, y, width, height = look.area(row, column, 0.06 + 0.05 * index)
                area.set_bounds(x, y, width, height)
            else:
                points.set_data(*look.points(row, column))
                points.set_markersize(dot_size(look, index))


def explore_roi_zoo(features: Tensor | None = None, **settings: float | str) -> Explorer:
    """The explorer of the operator zoo.

    Args:
        features: a stride-32 map Tensor[1, 1, h, w]; the article's 6 x 6 if not given.
        **settings: where to start: operator, ratio, aligned, smoothness, shift.

    Returns:
        An explorer that can be displayed, and moved with `set`.
    """
    controls = [
        choice("operator", "operator", list(ZOO)),
        slider("ratio", "sampling ratio", 0, FINEST),
        toggle("aligned", "aligned (half an element)"),
        slider("smoothness", "smoothness of the map", 0.0, SMOOTHEST, 0.25),
        slider("shift", "box moved by (px)", 0, FARTHEST),
    ]
    alt = "A map in colours, a RoI, what an operator looks at in each bin, its output, the truth."
    return Explorer(RoIZooState(features), controls, alt, width=760).set(**settings)
