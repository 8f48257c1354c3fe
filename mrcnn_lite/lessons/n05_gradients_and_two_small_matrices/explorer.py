"""The gradient explorer: slide a box, see which elements learn and what its first output does."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from torch import Tensor

from ...ops import roi_align, roi_pool
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, slider, toggle
from ..kit.grid import draw_box, move_box, rows_of
from ..n01_roi_pool.explorer import article_map
from ..n03_roi_align.pictures import POINTS, Samples, dot_size, samples_of
from .pictures import draw_board, draw_edge_arrows, edge_arrows, tinted

STRIDE = 32
CORNER = 10  # px; where the article's box begins, left and above
FARTHEST = 64  # px of the slide
SHORTEST, LONGEST = 32, 150  # px, sides of the box
LARGEST = 3  # outputs per axis
FINEST = 4  # largest sampling ratio
EDGES = ("x1", "y1", "x2", "y2")
RING = {"marker": "s", "linestyle": "", "ms": 25, "mfc": "none", "mec": style.VERMILION, "mew": 1.6}


@dataclass(frozen=True)
class Slide:
    """The first output along a slide to the right, one entry per px."""

    align: np.ndarray
    pool: np.ndarray
    slope: np.ndarray  # RoIAlign's derivative per px


class RoIGradientsState:
    """A square box on a small stride-32 map, and the gradients of what RoIAlign makes of it."""

    def __init__(self, features: Tensor | None = None):
        """Start from the article's example."""
        self.features = article_map() if features is None else features
        if self.features.ndim != 4 or self.features.shape[:2] != (1, 1):
            raise ValueError(f"features must be [1, 1, h, w], got {list(self.features.shape)}")
        self.shift_x = self.shift_y = 0
        self.side = 114
        self.sampling_ratio = 1
        self.size = 2
        self.first_only = False
        self.pool_cells = True
        self._board: _Board | None = None
        self._slides: dict[tuple[float, ...], Slide] = {}  # the last one, by what it depends on

    def box(self) -> Tensor:
        """The box (x1, y1, x2, y2) in image px, Tensor[4]."""
        x, y = CORNER + self.shift_x, CORNER + self.shift_y
        return torch.tensor([x, y, x + self.side, y + self.side], dtype=torch.float32)

    def gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """Derivatives of the sum of the outputs, or of the first one."""
        found = []
        for align in (True, False):
            leaf, box = self.features.clone().requires_grad_(), self.box().requires_grad_()
            out = self._align(leaf, box[None]) if align else self._pool(leaf, box[None])
            (out[0, 0, 0, 0] if self.first_only else out.sum()).backward()
            found.append((leaf.grad[0, 0], box.grad))
        return found[0][0], found[0][1], found[1][0]

    def slide(self) -> Slide:
        """The first output wherever `shift_x` can be; computed anew when something else moved."""
        key = (self.shift_y, self.side, self.sampling_ratio, self.size)
        if key not in self._slides:
            self._slides = {key: self._slide()}
        return self._slides[key]

    def _slide(self) -> Slide:
        way = torch.arange(FARTHEST + 1.0)[:, None] - self.shift_x  # [N, 1]
        boxes = self.box() + way * torch.tensor([1.0, 0, 1, 0])  # [N, 4]
        boxes.requires_grad_()
        align = self._align(self.features, boxes)[:, 0, 0, 0]  # [N]
        slope = torch.autograd.grad(align.sum(), boxes)[0][:, [0, 2]].sum(1)  # [N]
        pool = self._pool(self.features, boxes.detach())[:, 0, 0, 0]  # [N]
        return Slide(align.detach().numpy(), pool.numpy(), slope.numpy())

    def _align(self, features: Tensor, boxes: Tensor) -> Tensor:
        args = (self.size, 1 / STRIDE, self.sampling_ratio)
        return roi_align(features, [boxes], *args, aligned=False)

    def _pool(self, features: Tensor, boxes: Tensor) -> Tensor:
        return roi_pool(features, [boxes], self.size, 1 / STRIDE)

    def render(self) -> tuple[bytes, str]:
        """The picture and the numbers."""
        weights, edges, pooled = self.gradients()
        slide = self.slide()
        box = self.box()
        args = (self.size, 1 / STRIDE, self.sampling_ratio, False)
        if self._board is None:
            self._board = _Board(self.features[0, 0].numpy())
        board = self._board
        board.show(weights.numpy(), samples_of(box, *args), edges.numpy())
        board.mark_pool(pooled.numpy() if self.pool_cells else None)
        board.plot(slide, self.shift_x)
        return board.canvas.png(), self.describe(weights, edges, pooled, slide)

    def describe(self, weights: Tensor, edges: Tensor, pooled: Tensor, slide: Slide) -> str:
        """What the picture says, in words and numbers."""
        what = "the first output" if self.first_only else "the sum of the outputs"
        counts = [int((gradient != 0).sum()) for gradient in (weights, pooled)]
        here = self.shift_x
        box = ", ".join(f"{number:.0f}" for number in self.box().tolist())
        slopes = "  ".join(f"{name} {n:.4f}" for name, n in zip(EDGES, edges.tolist()))
        return "\n".join(
            [
                f"{counts[0]} of {weights.numel()} elements learn from {what} "
                f"(RoIPool: {counts[1]})",
                f"box ({box}) px, {self.size} x {self.size} outputs, ratio {self.sampling_ratio}",
                f"first output: RoIAlign {slide.align[here]:.4f}, RoIPool {slide.pool[here]:.4f}; "
                f"RoIAlign's slope to the right {slide.slope[here]:.4f} per px",
                f"gradient of the map, adding up to {weights.sum():.4f}:",
                rows_of(weights),
                f"gradient of the edges, per px: {slopes}",
            ]
        )


class _Board:
    """The picture: squares and curves' axes are background, everything else moves."""

    def __init__(self, array: np.ndarray):
        plan = [["map", "values"], ["map", "slopes"]]
        fig, axes = style.mosaic(plan, width=8.0, height=4.4, width_ratios=(1.25, 1))
        left, above, below = axes["map"], axes["values"], axes["slopes"]
        height, width = array.shape
        draw_board(left, height, width)
        left.set(xlim=(-0.6, width + 0.6), ylim=(height + 0.6, -0.6))  # room to leave the map
        reach = (array.min() - 0.2, array.max() + 0.2)
        above.set(xlim=(0, FARTHEST), ylim=reach, ylabel="first output")
        steepest = max(np.abs(np.diff(array, axis=axis)).max(initial=0) for axis in (0, 1))
        limit = max(steepest, 0.1) * 1.05 / STRIDE
        below.set(xlim=(0, FARTHEST), ylim=(-limit, limit), ylabel="slope per px")
        below.set_xlabel("box moved to the right (px)")
        below.axhline(0, color=style.PALE, linewidth=1, zorder=0)
        self._add_artists(Canvas(fig), left, array.shape)
        add = self.canvas.add
        dashed = {"color": style.VERMILION, "linestyle": (0, (4, 2)), "drawstyle": "steps-post"}
        self.lines = [
            add(above.plot([], [], label="RoIPool", **dashed)[0]),
            add(above.plot([], [], color=style.BLUE, label="RoIAlign")[0]),
            add(below.plot([], [], color=style.BLUE, drawstyle="steps-post")[0]),
        ]
        dot = {"ms": 8, "mec": style.BLACK, "zorder": 5}
        colours = (style.VERMILION, style.BLUE, style.BLUE)
        self.marks = [
            add(line.axes.plot([], [], "o", mfc=colour, **dot)[0])
            for line, colour in zip(self.lines, colours)
        ]
        above.legend(handles=self.lines[:2], loc="lower left", ncols=2, borderaxespad=0)
        below_map = {"loc": "upper left", "bbox_to_anchor": (-0.03, -0.12), "ncols": 3}
        small = Line2D([], [], **{**RING, "ms": 8}, label=self.pool.get_label())
        left.legend(handles=[self.box, self.dots, small], **below_map)

    def _add_artists(self, canvas: Canvas, left: Axes, shape: tuple[int, int]) -> None:
        """Everything on the map that moves, from the bottom up."""
        self.canvas, add = canvas, canvas.add
        corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
        places = [corners + (column, row) for row, column in np.ndindex(*shape)]
        self.squares = add(left.add_collection(PolyCollection(places)))  # faster than imshow
        self.box = add(draw_box(left, (0, 0, 1, 1), style.BLUE, "box"))
        self.pool = add(left.plot([], [], label="RoIPool's maxima", **RING)[0])
        self.dots = add(left.plot([], [], mew=0.6, label="samples", **POINTS)[0])
        font = {"ha": "center", "va": "center", "fontsize": style.SMALL}
        cells = np.ndindex(*shape)
        self.numbers = [add(left.text(column, row, "", **font)) for row, column in cells]
        self.arrows = add(draw_edge_arrows(left, (0, 0, 1, 1), (1, 1, 1, 1)))

    def show(self, weights: np.ndarray, samples: Samples, edges: np.ndarray) -> None:
        """Move the box and say who learns how much."""
        colours = np.dstack([tinted(weights), weights != 0])  # 0 is transparent
        self.squares.set_facecolor(colours.reshape(-1, 4))
        for text, weight in zip(self.numbers, weights.flat):
            text.set_visible(weight != 0)
            text.set_text(f"{weight:.2f}")
        move_box(self.box, samples.box)
        self.dots.set_data(*samples.points())
        self.dots.set_markersize(0.5 * dot_size(samples))
        starts, steps = edge_arrows(samples.box, edges)
        self.arrows.set_offsets(starts)
        self.arrows.set_UVC(*steps.T)

    def mark_pool(self, pooled: np.ndarray | None) -> None:
        """Frame the elements that RoIPool's gradient goes to."""
        self.pool.set_visible(pooled is not None)
        if pooled is not None:
            rows, columns = np.nonzero(pooled)
            self.pool.set_data(columns, rows)

    def plot(self, slide: Slide, here: int) -> None:
        """The curves and where on them the box is."""
        curves = (slide.pool, slide.align, slide.slope)
        for line, mark, curve in zip(self.lines, self.marks, curves):
            line.set_data(np.arange(len(curve)), curve)
            mark.set_data([here], [curve[here]])


def explore_gradients(features: Tensor | None = None, **settings: float) -> Explorer:
    """The gradient explorer.

    Args:
        features: a stride-32 map Tensor[1, 1, h, w]; the article's 6 x 6 if not given.
        **settings: where to start: shift_x, shift_y, side (image px), sampling_ratio, size,
            first_only, pool_cells.

    Returns:
        An explorer that can be displayed, and moved with `set`.
    """
    controls = [
        slider("shift_x", "move right (px)", 0, FARTHEST),
        slider("sampling_ratio", "sampling ratio", 1, FINEST),
        slider("shift_y", "move down (px)", 0, FARTHEST),
        slider("size", "output size", 1, LARGEST),
        slider("side", "side of the box (px)", SHORTEST, LONGEST),
        toggle("first_only", "the first output only"),
        toggle("pool_cells", "RoIPool's maxima"),
    ]
    alt = "Which elements of a map learn from a box, and the first output while the box slides."
    return Explorer(RoIGradientsState(features), controls, alt, width=800).set(**settings)
