"""The pyramid explorer: a box, the level that fits it, and what rounding it there would cost."""

import math

import numpy as np
import torch
from matplotlib.collections import LineCollection
from torch import Tensor

from ...ops import assign_levels, box_iou
from ...ops.roi_pool import round_half_away
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider
from ..kit.grid import draw_box, move_box
from .pictures import COLOURS, LEVELS, draw_rules

STRIDES = tuple(2**level for level in LEVELS)
RULES = ("floor", "round")
SIZES = np.geomspace(16, 1024, 1200)  # px, the axis of the strips


def levels_of(sizes: Tensor, rule: str) -> Tensor:
    """The levels of boxes by one of two rules."""
    if rule == "floor":
        zeros = torch.zeros_like(sizes)
        squares = torch.stack([zeros, zeros, sizes, sizes], dim=1)  # [N, 4]
        return LEVELS[0] + assign_levels(squares, LEVELS[0], LEVELS[-1])
    nearest = (4 + torch.log2(sizes / 224)).round()  # [N]
    return nearest.clamp(LEVELS[0], LEVELS[-1]).long()


class PyramidState:
    """One box whose size and position can be changed, and the rule that chooses its level."""

    def __init__(self) -> None:
        self.width, self.height, self.left, self.top = 114, 114, 10, 10
        self.rule = RULES[0]
        self._draw_axes()

    def _draw_axes(self) -> None:
        """Above left the box on its grid, right the overlap on each level; below the two rules."""
        plan = [["near", "bars"], ["rules", "rules"]]
        ratios = {"height_ratios": (2.5, 1), "width_ratios": (1, 1.5)}
        fig, axes = style.mosaic(plan, width=8.0, height=4.9, **ratios)
        near, bars, rules = axes["near"], axes["bars"], axes["rules"]
        near.set(xticks=[], yticks=[], aspect="equal", xlim=(0, 1), ylim=(1, 0))
        near.spines[:].set_visible(True)
        near.set_title("The box on its map", fontsize=style.NORMAL)
        bars.set(ylim=(0, 1.12), xlim=(-0.6, len(STRIDES) - 0.4))
        bars.set_title("IoU of the box with RoIPool's window", fontsize=style.NORMAL)
        bars.set_xticks(range(4), [f"P{level}\nstride {2**level}" for level in LEVELS])
        sizes = torch.tensor(SIZES, dtype=torch.float32)
        draw_rules(rules, SIZES, {rule: levels_of(sizes, rule).tolist() for rule in RULES})
        self.canvas = Canvas(fig)
        add = self.canvas.add
        self.grid = add(near.add_collection(LineCollection([], colors=style.PALE)))
        dashed = {"linestyle": (0, (4, 2)), "linewidth": 1.4}
        self.window = add(draw_box(near, (0, 0, 1, 1), style.BLACK, "RoIPool's window", **dashed))
        self.frame = add(draw_box(near, (0, 0, 1, 1), style.BLUE, "box"))
        self.bars = self.canvas.add_all(bars.bar(range(4), [0] * 4, width=0.7))
        label = {"ha": "center", "va": "bottom"}
        self.values = self.canvas.add_all([bars.text(k, 0, "", **label) for k in range(4)])
        self.line = add(rules.axvline(100, color=style.BLACK, linewidth=1, alpha=0.7))
        self.dot = add(rules.plot([], [], "o", color=style.BLACK, mec="white", ms=9)[0])
        where = {"loc": "upper left", "bbox_to_anchor": (-0.05, -0.01), "ncols": 2}
        near.legend(handles=[self.frame, self.window], **where)

    @property
    def box(self) -> Tensor:
        """The box: Tensor[4], px."""
        right, bottom = self.left + self.width, self.top + self.height
        return torch.tensor([self.left, self.top, right, bottom], dtype=torch.float32)

    @property
    def size(self) -> float:
        """The root of the box's area, px."""
        return math.sqrt(self.width * self.height)

    def rounding(self) -> tuple[Tensor, list[float], list[float]]:
        """RoIPool's window on each level, its IoU with the box, how far a corner moves."""
        stride = torch.tensor(STRIDES)[:, None]  # [L, 1]
        corners = round_half_away(self.box / stride)  # [L, 4]
        shift = (corners * stride - self.box).abs().amax(1)  # [L]
        windows = (corners + torch.tensor([0, 0, 1, 1])) * stride  # [L, 4]
        return windows, box_iou(self.box[None], windows)[0].tolist(), shift.tolist()

    def render(self) -> tuple[bytes, str]:
        """The box on its level's grid, the rules, and the rounding's cost on every level."""
        level = int(levels_of(torch.tensor([self.size]), self.rule))
        windows, iou, shift = self.rounding()
        self._move(level, windows[LEVELS.index(level)], iou)
        return self.canvas.png(), self.describe(level, iou, shift)

    def describe(self, level: int, iou: list[float], shift: list[float]) -> str:
        """What the figure says, in words and numbers."""
        stride, exact = 2**level, 4 + math.log2(self.size / 224)
        across, down = self.width / stride, self.height / stride
        costs = [
            f"  stride {s:2}: IoU {overlap:.4f}, a corner moves by up to {far:.0f} px"
            + ("  <- its level" if s == stride else "")
            for s, overlap, far in zip(STRIDES, iou, shift)
        ]
        lines = [
            f"box {self.width} x {self.height} px, root of the area {self.size:.1f} px: "
            f"P{level}, stride {stride}",
            f"4 + log2({self.size:.1f} / 224) = {exact:.4f}, then {self.rule}, then 2 to 5",
            f"on P{level} the box is {across:.2f} x {down:.2f} elements; "
            f"a bin of 7 x 7 has {across / 7:.2f} x {down / 7:.2f}, "
            f"of 14 x 14 {across / 14:.2f} x {down / 14:.2f}",
            "if RoIPool rounded it:",
            *costs,
        ]
        return "\n".join(lines)

    def _move(self, level: int, window: Tensor, iou: list[float]) -> None:
        """Show one state; the view is half as large again as the box, so that the grid tells."""
        stride, box = 2**level, self.box.numpy()
        side = 1.5 * max(self.width, self.height)
        origin = (box[:2] + box[2:] - side) / 2
        view = np.concatenate([origin, origin])
        self.frame.set_edgecolor(COLOURS[level])
        move_box(self.frame, (box - view) / side)
        move_box(self.window, (window.numpy() - view) / side)
        x, y = ((np.arange(-(-o // stride) * stride, o + side, stride) - o) / side for o in origin)
        lines = [[(t, 0), (t, 1)] for t in x] + [[(0, t), (1, t)] for t in y]
        self.grid.set_segments(lines)
        self.grid.set_linewidth(min(1.0, 40 / len(lines)))  # a dense grid would be a grey board
        for k, (bar, value) in enumerate(zip(self.bars, self.values)):
            chosen = LEVELS[k] == level
            bar.set(height=iou[k], facecolor=COLOURS[LEVELS[k]] if chosen else style.PALE)
            weight = "bold" if chosen else "normal"
            value.set(y=iou[k] + 0.02, text=f"{iou[k]:.4f}", fontweight=weight)
        shown = min(max(self.size, SIZES[0]), SIZES[-1])
        self.line.set_xdata([shown, shown])
        self.dot.set_data([shown], [RULES.index(self.rule)])


def explore_pyramid(**settings: float) -> Explorer:
    """The explorer of boxes and levels; it starts at width, height, left, top (px), and rule."""
    controls = [
        slider("width", "width (px)", 16, 900),
        slider("height", "height (px)", 16, 900),
        slider("left", "left edge (px)", 0, 64),
        slider("top", "upper edge (px)", 0, 64),
        choice("rule", "rule for the level", RULES),
    ]
    alt = "A box on the grid of its level, RoIPool's overlap per level, and two rules for levels."
    return Explorer(PyramidState(), controls, alt, width=800).set(**settings)
