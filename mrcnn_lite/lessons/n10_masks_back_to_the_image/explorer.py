"""Explorer of notebook 10: paste a perfect mask into the image, and count the pixels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from torch import Tensor

from ... import ops
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.cat import SHAPES, true_mask
from ..kit.explorer import Explorer, choice, slider
from ..kit.grid import draw_box, move_box

SIDE = 56  # side of the little image in px; the smallest of VIEWS that holds the object is shown
VIEWS = (24, 36, SIDE)
TARGETS = {
    "torchvision's": (False, False),
    "aligned": (True, False),
    "aligned, ≥ 0.5": (True, True),
}
# Kinds of pixels: in neither mask, in both, in the pasted one only, in the true one only.
KINDS = {"neither": "#FFFFFF", "both": "#B9DDF1", "extra": "#F6C667", "missing": "#DDA3C3"}


@dataclass(frozen=True)
class Pasted:
    """A mask that came back to the image, beside the truth."""

    mask: Tensor  # [M, M]
    probability: Tensor  # [H, W]
    pixels: Tensor  # [H, W] bool, after the threshold
    truth: Tensor  # [H, W] bool

    @property
    def iou(self) -> float:
        """Pixels in both over pixels in either; 1 when both are empty."""
        both, either = (self.pixels & self.truth).sum(), (self.pixels | self.truth).sum()
        return (both / either).item() if either else 1.0

    @cached_property
    def kinds(self) -> np.ndarray:
        """Index into KINDS for every pixel, [H, W]."""
        pixels, truth = self.pixels.numpy(), self.truth.numpy()
        return np.select([pixels & truth, pixels, truth], [1, 2, 3], 0)


def truncated_box(box: Tensor, mask_size: int) -> tuple[int, int, int, int]:
    """Torchvision's paste window: enlarged by (M + 2) / M, cut to integers, last pixel included."""
    centre = (box[:2] + box[2:]) / 2
    half = (box[2:] - box[:2]) / 2 * (mask_size + 2) / mask_size
    x1, y1, x2, y2 = (int(value) for value in torch.cat([centre - half, centre + half]))
    return x1, y1, x2 + 1, y2 + 1


class MaskPaste:
    """A perfect mask on its way back into a little image."""

    def __init__(self):
        """Start with the question of the notebook: a disc of 12.6 px, torchvision's rules."""
        self.left, self.top, self.width, self.height = 8.3, 9.7, 12.6, 12.6
        self.shape = "disc"
        self.target = "torchvision's"
        self.rule = "torchvision"
        self.mask_size = 28
        self.threshold = 0.5
        self._draw_axes()

    @property
    def box(self) -> Tensor:
        """The object's exact box, Tensor[4]."""
        corners = (self.left, self.top, self.left + self.width, self.top + self.height)
        return torch.tensor(corners, dtype=torch.float32)

    def paste(self) -> Pasted:
        """Cut the true mask out as training does, and paste it as prediction does."""
        box, truth = self.box[None], true_mask(self.shape, self.box, SIDE)
        aligned, hard = TARGETS[self.target]
        first = torch.tensor([0])
        mask = ops.crop_masks(truth[None], box, first, self.mask_size, aligned=aligned)  # [1, M, M]
        mask = (mask >= 0.5).float() if hard else mask
        probability = ops.paste_masks(mask, box, (SIDE, SIDE), rule=self.rule)[0]  # [H, W]
        return Pasted(mask[0], probability, probability >= self.threshold, truth)

    def render(self) -> tuple[bytes, str]:
        """The mask, its pixels in the image, and how they differ from the truth."""
        pasted = self.paste()
        window = truncated_box(self.box, self.mask_size) if self.rule == "torchvision" else None
        self._move(window, pasted)
        return self.canvas.png(), self._numbers(pasted, window)

    def _numbers(self, pasted: Pasted, window: tuple | None) -> str:
        corners = ", ".join(f"{value:.1f}" for value in self.box.tolist())
        counts = dict(zip(KINDS, np.bincount(pasted.kinds.ravel(), minlength=4), strict=True))
        rounding = "nothing is rounded" if window is None else f"pasted into {list(window)}"
        return "\n".join(
            [
                f"IoU {pasted.iou:.4f} (rule {self.rule}, threshold {self.threshold:.2f})",
                f"box       [{corners}]; {rounding}",
                f"mask      {self.mask_size}×{self.mask_size}, {self.target} target",
                f"pixels    {int(pasted.truth.sum())} true, {int(pasted.pixels.sum())} pasted: "
                f"{counts['both']} in both, {counts['extra']} extra, {counts['missing']} missing",
            ]
        )

    def _draw_axes(self) -> None:
        """The mask, the pasted probabilities, and the pixels compared with the truth."""
        fig = style.blank(7.6, 3.5)
        self.canvas = Canvas(fig)
        self.small = self._image((0.01, 0.4, 0.2, 0.434), "the mask", 1)
        self.probability = self._image((0.245, 0.1, 0.365, 0.793), "pasted: probabilities", SIDE)
        self.compared = self._image((0.625, 0.1, 0.365, 0.793), "after the threshold", SIDE)
        self.compared.set(cmap=ListedColormap([*KINDS.values()]), clim=(0, len(KINDS) - 1))
        right = self.compared.axes
        cross = {"linestyle": "", "color": style.BLACK, "markersize": 5}
        self.extra = self.canvas.add(right.plot([], [], marker="+", **cross)[0])
        self.missing = self.canvas.add(right.plot([], [], marker="_", **cross)[0])
        self.boxes = [
            self.canvas.add(draw_box(image.axes, (0, 0, 1, 1), style.VERMILION))
            for image in (self.probability, self.compared)
        ]
        dashed = {"linestyle": "--", "linewidth": 1.4}
        self.window = self.canvas.add(
            draw_box(self.probability.axes, (0, 0, 1, 1), "white", **dashed)
        )
        lines = (
            ("solid: the object's box", style.VERMILION),
            ("dashed: torchvision's\ninteger window", style.GREY),
            ("+  extra pixel", style.BLACK),
            ("–  missing pixel", style.BLACK),
        )
        for i, (text, colour) in enumerate(lines):
            y = 0.34 - 0.065 * i - (0.05 if i > 1 else 0)
            fig.text(0.01, y, text, color=colour, fontsize=style.SMALL, va="top")

    def _image(self, position: tuple, title: str, side: int):
        ax = self.canvas.figure.add_axes(position)
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=style.NORMAL)
        ax.spines[:].set_visible(True)
        edges = (0, side, side, 0)
        return self.canvas.add(ax.imshow(np.zeros((2, 2)), vmin=0, vmax=1, extent=edges))

    def _move(self, window: tuple | None, pasted: Pasted) -> None:
        end = self.box.max() + 1.5  # and the window of torchvision
        view = next((view for view in VIEWS if view >= end), SIDE)
        for image in (self.probability, self.compared):
            image.axes.set(xlim=(0, view), ylim=(view, 0))
        self.small.set_data(pasted.mask)
        self.probability.set_data(pasted.probability)
        self.compared.set_data(pasted.kinds)
        for line, kind in ((self.extra, 2), (self.missing, 3)):
            rows, columns = np.nonzero(pasted.kinds == kind)
            line.set_data(columns + 0.5, rows + 0.5)
        for patch in self.boxes:
            move_box(patch, self.box)
        self.window.set_visible(window is not None)
        if window is not None:
            move_box(self.window, window)


def explore_paste() -> Explorer:
    """The explorer of `MaskPaste`, for a notebook cell to end with."""
    return Explorer(
        MaskPaste(),
        [
            slider("left", "left edge (px)", 0.0, 20.0, 0.1),
            slider("top", "top edge (px)", 0.0, 20.0, 0.1),
            slider("width", "width (px)", 1.0, 32.0, 0.1),
            slider("height", "height (px)", 1.0, 32.0, 0.1),
            choice("shape", "object", SHAPES),
            choice("target", "target rule", list(TARGETS)),
            choice("rule", "paste rule", ["torchvision", "pixel_centres"]),
            choice("mask_size", "mask size m", [7, 14, 28, 56]),
            slider("threshold", "threshold", 0.05, 0.95, 0.05),
        ],
        alt="A perfect mask, pasted into a little image and compared with the truth.",
    )
