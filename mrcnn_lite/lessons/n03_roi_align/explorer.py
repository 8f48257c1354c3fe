"""The RoIAlign explorer: sampling points, the four weights of one of them, and the outputs."""

import numpy as np
import torch
from torch import Tensor

from ...ops import roi_align, roi_pool
from ..kit import style
from ..kit.canvas import Canvas, LiveTable
from ..kit.explorer import Explorer, slider, toggle
from ..kit.grid import draw_box, draw_points, move_box, rows_of
from ..kit.roi import Samples, article_map, draw_bins, move_bins, samples_of, windows_of
from .pictures import Cell, cell_of, draw_sample, draw_weights, move_sample, move_weights

STRIDE = 32
LARGEST = 4  # outputs per axis
FINEST = 8  # largest sampling ratio


class RoIAlignState:
    """A RoI on a small stride-32 map, sampled as RoIAlign does."""

    def __init__(self, features: Tensor | None = None):
        self.features = article_map() if features is None else features
        if self.features.ndim != 4 or self.features.shape[:2] != (1, 1):
            raise ValueError(f"features must be [1, 1, h, w], got {list(self.features.shape)}")
        self.x1, self.y1, self.x2, self.y2 = 10, 10, 124, 124
        self.size = 2
        self.sampling_ratio = 1
        self.aligned = False
        self.pool_window = True
        self.bin = 1
        self.point = 1
        self._board: _Board | None = None

    @property
    def box(self) -> list[float]:
        """The RoI (x1, y1, x2, y2) in image px."""
        return [float(self.x1), float(self.y1), float(self.x2), float(self.y2)]

    def outputs(self) -> tuple[Tensor, Tensor]:
        """RoIAlign's and RoIPool's results, two Tensor[P, P]."""
        rois = [torch.tensor([self.box])]
        options = {"sampling_ratio": self.sampling_ratio, "aligned": self.aligned}
        align = roi_align(self.features, rois, self.size, 1 / STRIDE, **options)[0, 0]  # [P, P]
        pool = roi_pool(self.features, rois, self.size, 1 / STRIDE)[0, 0]  # [P, P]
        return align, pool

    def samples(self) -> Samples:
        """Where the RoI is sampled."""
        return samples_of(self.box, self.size, 1 / STRIDE, self.sampling_ratio, self.aligned)

    def chosen(self, samples: Samples) -> tuple[int, int, float, float]:
        """The sample whose weights are shown."""
        x, y = samples.points()
        per_bin = max(len(x) // self.size**2, 1)
        bin = (self.bin - 1) % self.size**2
        point = (self.point - 1) % per_bin
        if not len(x):
            return bin, point, samples.box[0], samples.box[1]
        index = bin * per_bin + point
        return bin, point, float(x[index]), float(y[index])

    def render(self) -> tuple[bytes, str]:
        """The figure and the numbers."""
        samples, outputs = self.samples(), self.outputs()
        bin, _, x, y = self.chosen(samples)
        cell = cell_of(self.features, x, y)
        if self._board is None:
            self._board = _Board(self.features[0, 0].numpy())
        board = self._board
        board.move(samples, (x, y), cell)
        board.show_window(self.box if self.pool_window else None, self.size)
        board.align.write(outputs[0], bin)
        board.pool.write(outputs[1], bin)
        return board.canvas.png(), self.describe(samples, outputs, cell)

    def describe(self, samples: Samples, outputs: tuple[Tensor, Tensor], cell: Cell) -> str:
        """What the figure says, in words and numbers."""
        bin, point, x, y = self.chosen(samples)
        rows, columns = samples.y.shape[1], samples.x.shape[1]
        ratio = self.sampling_ratio if self.sampling_ratio > 0 else "adaptive"
        box = ", ".join(f"{number:.4f}" for number in samples.box)
        names = [(row, column) for row in cell.rows for column in cell.columns]
        terms = [
            f"  {weight:.4f} x f{name} = {weight:.4f} x {value:.4f}"
            for name, weight, value in zip(names, cell.weights, cell.values)
        ]
        lines = [
            f"RoIAlign {self.size} x {self.size}, sampling_ratio {ratio}, aligned={self.aligned}: "
            f"bin {bin + 1} is {outputs[0].flatten()[bin]:.4f}",
            f"RoI on the map: ({box}), {rows} x {columns} samples per bin",
            f"bin {bin + 1} of {self.size**2}, sample {point + 1} of {rows * columns}: "
            f"x = {x:.4f}, y = {y:.4f}",
            *terms,
            f"  sum = {cell.value:.4f}" + ("" if cell.inside else "  (outside the map: 0)"),
        ]
        tables = ["RoIAlign:", rows_of(outputs[0]), "RoIPool:", rows_of(outputs[1])]
        return "\n".join(lines + tables)


class _Board:
    """The figure: the points of the map are background, everything else moves."""

    def __init__(self, array: np.ndarray):
        self.array = array
        plan = [["map", "weights", "weights"], ["map", "align", "pool"]]
        ratios = {"width_ratios": (2.5, 1, 1), "height_ratios": (1.5, 1)}
        fig, axes = style.mosaic(plan, width=8.0, height=4.5, **ratios)
        left, (height, width) = axes["map"], array.shape
        draw_points(left, array)
        left.set(xlim=(-0.75, width + 0.9), ylim=(height + 0.9, -0.75))  # room to leave the map
        weights = draw_weights(axes["weights"], cell_of(array, 0.5, 0.5))
        axes["weights"].set_title("weights of the chosen sample", fontsize=style.NORMAL)
        fig.draw_without_rendering()  # settles the layout, so that the tables know their width
        self.canvas = Canvas(fig)
        add_all = self.canvas.add_all
        self.weights = [add_all(artists) for artists in weights]
        window = draw_box(left, (0, 0, 1, 1), style.VERMILION, "RoIPool's window")
        self.window = self.canvas.add(window)
        self.window.set_linestyle((0, (4, 2)))
        self.bins = add_all(draw_bins(left, samples_of((0, 0, 1, 1), 1, 1, 1, False)))
        self.sample = add_all(draw_sample(left))
        below = {"loc": "upper left", "bbox_to_anchor": (-0.05, -0.1), "ncols": 3}
        left.legend(handles=[self.bins[1], self.window, self.bins[2]], **below)
        self.align = LiveTable(self.canvas, axes["align"], "RoIAlign", LARGEST)
        self.pool = LiveTable(self.canvas, axes["pool"], "RoIPool", LARGEST)

    def move(self, samples: Samples, at: tuple[float, float], cell: Cell) -> None:
        """Move the box, its bins, the samples and the chosen cell."""
        move_bins(self.bins, samples)
        move_sample(self.sample, cell, *at)
        move_weights(*self.weights, cell)

    def show_window(self, box: list[float] | None, size: int) -> None:
        """RoIPool's cells around their points: cell i reaches from i - 0.5 to i + 0.5."""
        self.window.set_visible(box is not None)
        if box is not None:
            windows = windows_of(box, size, 1 / STRIDE, *self.array.shape)
            move_box(self.window, np.array(windows.box) - 0.5)


def explore_roi_align(features: Tensor | None = None, **settings: float) -> Explorer:
    """The explorer of RoIAlign on a map [1, 1, h, w] of stride 32, or the article's 6 x 6."""
    state = RoIAlignState(features)
    height, width = (side * STRIDE for side in state.features.shape[-2:])
    controls = [
        slider("x1", "left x1 (px)", 0, width + STRIDE),
        slider("x2", "right x2 (px)", 0, width + STRIDE),
        slider("y1", "top y1 (px)", 0, height + STRIDE),
        slider("y2", "bottom y2 (px)", 0, height + STRIDE),
        slider("sampling_ratio", "sampling ratio", 0, FINEST),
        slider("size", "output size", 1, LARGEST),
        slider("bin", "chosen bin", 1, LARGEST**2),
        slider("point", "chosen sample", 1, FINEST**2),
        toggle("aligned", "aligned (half a cell)"),
        toggle("pool_window", "RoIPool's window"),
    ]
    alt = "A map as points, a RoI with its sampling points, one sample's four weights as areas."
    return Explorer(state, controls, alt, width=800).set(**settings)
