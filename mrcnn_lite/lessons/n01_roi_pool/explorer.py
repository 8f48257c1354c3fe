"""The RoIPool explorer: move the proposal, watch its window jump from cell to cell."""

import numpy as np
import torch
from matplotlib.collections import LineCollection
from torch import Tensor

from ...ops import box_iou, roi_pool
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider, toggle
from ..kit.grid import draw_box, draw_cells, frame, move_box, rows_of, write
from ..kit.table import LiveTable
from .pictures import BINS, Windows, bin_boxes, maxima_of, usage, windows_of

IMAGE = 192  # px; six cells of 32 px
COARSEST = 32
STRIDES = (4, 8, 16, 32)
LARGEST = 7  # outputs per axis


def article_map() -> Tensor:
    """The 6 x 6 map of the course's first example."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn((1, 1, 6, 6), generator=generator)  # [B, C, h, w]


class RoIPoolState:
    """A proposal on a 192 px image, seen through a map of stride 4, 8, 16 or 32."""

    def __init__(self, features: Tensor | None = None):
        """Start from the article's example."""
        self.features = article_map() if features is None else features
        if self.features.shape != (1, 1, 6, 6):
            raise ValueError(f"features must be [1, 1, 6, 6], got {list(self.features.shape)}")
        self.x1, self.y1, self.x2, self.y2 = 10, 10, 124, 124
        self.size = 2
        self.stride = 32
        self.overlap = True
        self.boards: dict[int, _Board] = {}

    @property
    def box(self) -> list[float]:
        """The proposal (x1, y1, x2, y2) in image px."""
        return [float(self.x1), float(self.y1), float(self.x2), float(self.y2)]

    def map(self) -> Tensor:
        """The map at the present stride, Tensor[1, 1, h, w]."""
        parts = COARSEST // self.stride
        return self.features.repeat_interleave(parts, 2).repeat_interleave(parts, 3)  # [B, C, h, w]

    def output(self) -> Tensor:
        """RoIPool's result, Tensor[P, P]."""
        rois = [torch.tensor([self.box])]
        return roi_pool(self.map(), rois, self.size, 1 / self.stride)[0, 0]  # [P, P]

    def render(self) -> tuple[bytes, str]:
        """The picture and the numbers."""
        cells = IMAGE // self.stride
        windows = windows_of(self.box, self.size, 1 / self.stride, cells, cells)
        output = self.output()
        if self.stride not in self.boards:
            self.boards[self.stride] = _Board(self.map()[0, 0].numpy(), self.stride)
        png = self.boards[self.stride].draw(self.box, windows, output.numpy(), self.overlap)
        return png, self.describe(windows, output)

    def describe(self, windows: Windows, output: Tensor) -> str:
        """What the picture says, in words and numbers."""
        x1, y1, x2, y2 = windows.box
        pixels = torch.tensor([windows.box], dtype=torch.float32) * self.stride
        iou = float(box_iou(torch.tensor([self.box]), pixels))
        counts = usage(windows, IMAGE // self.stride, IMAGE // self.stride)
        box = ", ".join(f"{number:.0f}" for number in self.box)
        return "\n".join(
            [
                f"window {(x2 - x1) * self.stride} x {(y2 - y1) * self.stride} px, "
                f"IoU with the proposal {iou:.4f}",
                f"RoIPool {self.size} x {self.size} at stride {self.stride}, proposal ({box})",
                f"window: columns {_span((x1, x2))}, rows {_span((y1, y2))}",
                "columns of the bins: " + ", ".join(map(_span, windows.columns)),
                "rows of the bins:    " + ", ".join(map(_span, windows.rows)),
                f"cells in more than one bin: {(counts > 1).sum()} of {(counts > 0).sum()}",
                "output:",
                rows_of(output),
            ]
        )


def _span(cells: tuple[int, int]) -> str:
    """A half-open range as people say it."""
    first, end = cells
    if end <= first:
        return "none"
    return f"{first}" if end == first + 1 else f"{first}-{end - 1}"


class _Board:
    """The picture for one stride: the map is background, everything else moves."""

    def __init__(self, array: np.ndarray, stride: int):
        grid = {"width_ratios": (1.45, 1)}
        fig, (left, right) = style.figure(1, 2, width=7.6, height=4.3, **grid)
        self.array, self.stride = array, stride
        draw_cells(left, array, cell=stride, numbers=stride == COARSEST)
        frame(left, IMAGE, IMAGE, 32, "image px")
        fig.draw_without_rendering()  # settles the layout, so that the table knows its width
        self.canvas = Canvas(fig)
        blank = np.zeros((*array.shape, 4))
        shade = left.imshow(blank, extent=(0, IMAGE, IMAGE, 0), interpolation="nearest", zorder=2)
        self.shade = self.canvas.add(shade)
        self.bins = self.canvas.add(left.add_collection(LineCollection([], linewidths=1.8)))
        self.maxima = self.canvas.add(left.plot([], [], "o", mfc="none", mec="black", mew=1.6)[0])
        self.window = self.canvas.add(draw_box(left, (0, 0, 1, 1), style.VERMILION, "window"))
        self.proposal = self.canvas.add(draw_box(left, (0, 0, 1, 1), style.BLUE, "proposal"))
        self.window.set(linestyle=(0, (4, 2)), linewidth=3)
        self.proposal.set_linewidth(2.8)
        self.counts = self.canvas.add_all(
            write(left, (column + 0.84) * stride, (row + 0.84) * stride, "", fontsize=style.SMALL)
            for row, column in (np.ndindex(array.shape) if stride == COARSEST else ())
        )
        below = {"loc": "upper left", "bbox_to_anchor": (0, -0.1), "ncols": 2}
        left.legend(handles=[self.proposal, self.window], **below)
        self.table = LiveTable(self.canvas, right, "output: the maxima", LARGEST)

    def draw(self, box: list, windows: Windows, output: np.ndarray, overlap: bool) -> bytes:
        """Draw box, window, bins and the table of maxima."""
        move_box(self.proposal, box)
        move_box(self.window, np.array(windows.box) * self.stride)
        self._draw_bins(windows)
        counts = usage(windows, *self.array.shape)
        shade = np.zeros((*self.array.shape, 4))
        shade[..., 3] = np.clip(0.13 * (counts - 1), 0, 0.5) * overlap
        self.shade.set_data(shade)
        for text, count in zip(self.counts, counts.flat):
            text.set(text=f"×{count}", visible=bool(overlap and count > 1))
        self.table.write(output)
        return self.canvas.png()

    def _draw_bins(self, windows: Windows) -> None:
        boxes = [b for b in bin_boxes(windows, self.stride) if b[2] > b[0] and b[3] > b[1]]
        outline = [[(a, b), (c, b), (c, d), (a, d), (a, b)] for a, b, c, d in boxes]
        self.bins.set(segments=outline, edgecolors=[BINS[i % 4] for i in range(len(boxes))])
        self.bins.set_linewidth(2 if len(windows.rows) <= 3 else 0.7)
        places = np.array(maxima_of(self.array, windows)).reshape(-1, 2)  # [N, 2] row, column
        self.maxima.set_data((places[:, 1] + 0.5) * self.stride, (places[:, 0] + 0.5) * self.stride)
        self.maxima.set_markersize(min(24.0, 0.8 * self.stride))


def explore_roi_pool(features: Tensor | None = None, **settings: float) -> Explorer:
    """The RoIPool explorer.

    Args:
        features: a stride-32 map Tensor[1, 1, 6, 6]; the article's if not given.
        **settings: where to start: x1, y1, x2, y2 (image px), size, stride, overlap.

    Returns:
        An explorer that can be displayed, and moved with `set`.
    """
    controls = [
        slider("x1", "left x1 (px)", 0, IMAGE),
        slider("x2", "right x2 (px)", 0, IMAGE),
        slider("y1", "top y1 (px)", 0, IMAGE),
        slider("y2", "bottom y2 (px)", 0, IMAGE),
        slider("size", "output size", 1, LARGEST),
        choice("stride", "stride", STRIDES),
        toggle("overlap", "show overlap"),
    ]
    alt = "A 192 px image seen as feature cells, a proposal, the window RoIPool takes, its bins."
    return Explorer(RoIPoolState(features), controls, alt).set(**settings)
