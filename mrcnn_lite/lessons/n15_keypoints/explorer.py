"""Explorer of notebook 15: drag a point over its box, and watch three decoders look for it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.keypoint_head import DECODERS as NAMES
from ...models.keypoint_head import decode_keypoints
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, slider
from .pictures import DECODERS

MAP = 56  # cells along a side of the map
NEAR = 9  # cells along a side of the part that is shown large
MOST = 16.0  # pixels: the end of the errors' axis


def perfect_map(x: float, y: float, width: float) -> Tensor:
    """Logits [M, M] of a network that knows the place (in cells): a bell, or one cell at width 0.

    The bell falls to e^(-1/2) of its height `width` cells from the point.
    """
    if width == 0:
        logits = torch.zeros(MAP, MAP)
        logits[int(y), int(x)] = 10.0
        return logits
    centres = torch.arange(MAP) + 0.5
    return -((centres - x) ** 2 + (centres[:, None] - y) ** 2) / (2 * width**2)


class HeatMap:
    """A point in a square box, a perfect map of it, and what each decoder reads from that map."""

    def __init__(self) -> None:
        """Start where torchvision's decoder loses the peak."""
        self.side, self.x, self.y, self.width = 16.3, 0.47, 0.51, 0.0
        self._draw_axes()

    def look(self) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The map [M, M], what torchvision resizes it to, and each decoder's point in pixels."""
        logits = perfect_map(self.x * MAP, self.y * MAP, self.width)
        pixels = -int(-self.side // 1)  # rounded up
        resized = F.interpolate(logits[None, None], (pixels, pixels), mode="bicubic")[0, 0]
        box = torch.tensor([[0.0, 0, self.side, self.side]])
        found = {n: decode_keypoints(logits[None, None], box, n)[0][0, 0, :2] for n in NAMES}
        return logits, resized, found

    def errors(self, found: dict[str, Tensor]) -> dict[str, float]:
        """How far off each decoder's point is, in pixels."""
        truth = torch.tensor([self.x, self.y]) * self.side
        return {name: float((found[name] - truth).norm()) for name in DECODERS}

    def render(self) -> tuple[bytes, str]:
        """The two maps, and how far off each decoder is."""
        logits, resized, found = self.look()
        errors = self.errors(found)
        told = ", ".join(f"{name} {error:.2f}" for name, error in errors.items())
        pixels, cell = len(resized), self.side / MAP
        shape = f"a bell of {self.width:.1f} cells" if self.width else "one cell"
        text = "\n".join(
            [
                f"off by (px): {told}",
                f"the point at ({self.x * self.side:.2f}, {self.y * self.side:.2f}) px, its peak: "
                f"{shape}",
                f"a cell is {cell:.2f} px wide; {MAP} x {MAP} cells are resized to {pixels} x "
                f"{pixels} pixels",
                f"largest logit {float(logits.max()):.2f}, after resizing "
                f"{float(resized.max()):.2f}",
            ]
        )
        self._move(logits, resized, found, errors)
        return self.canvas.png(), text

    def _draw_axes(self) -> None:
        """Left the map, in the middle the resized one, right the errors."""
        fig, axes = style.figure(1, 3, width=8.4, height=3.3)
        maps, bars = axes[:2], axes[2]
        bars.set(xlim=(0, MOST), ylim=(2.6, -0.6), title="off by", xlabel="px")
        bars.set_yticks(range(3), ["✕ torchvision", "□ centre", "○ quadratic"])
        self.canvas = Canvas(fig)
        look = {"extent": (0, 1, 1, 0), "vmin": 0, "vmax": 1, "cmap": style.SEQUENTIAL}
        self.images = self.canvas.add_all([ax.imshow([[0.0]], **look) for ax in maps])
        for ax, title in zip(maps, ("the map near the point", "resized to the box's pixels")):
            ax.set(title=title, xticks=[], yticks=[], xlim=(0, 1), ylim=(1, 0))
            ax.set_xlabel("white cross: the point")
        plus = {"color": "white", "mec": style.BLACK, "ms": 8, "ls": ""}
        self.truths = self.canvas.add_all([ax.plot([], [], "P", **plus)[0] for ax in maps])
        self.found = {
            name: self.canvas.add_all(
                [ax.plot([], [], s, mfc="none", mec=c, mew=2.2, ms=9, ls="")[0] for ax in maps]
            )
            for name, (s, c) in DECODERS.items()
        }
        colours = [colour for _, colour in DECODERS.values()]
        self.bars = self.canvas.add_all(bars.barh(range(3), [0] * 3, 0.5, color=colours))
        self.numbers = self.canvas.add_all(
            [bars.text(0, row, "", va="center", fontsize=style.SMALL) for row in range(3)]
        )

    def _move(self, logits: Tensor, resized: Tensor, found: dict, errors: dict) -> None:
        """Show the upper ten of the logits in colours, the points, and the errors."""
        left, top = (min(max(int(p * MAP) - NEAR // 2, 0), MAP - NEAR) for p in (self.x, self.y))
        near = logits[top : top + NEAR, left : left + NEAR]
        for image, values in zip(self.images, (near, resized)):
            image.set_data(((values - logits.max()) / 10 + 1).clamp(0, 1))
        points = {name: (point / self.side).tolist() for name, point in found.items()}
        for name, lines in (self.found | {"": self.truths}).items():
            x, y = points.get(name, (self.x, self.y))
            lines[0].set_data([(x * MAP - left) / NEAR], [(y * MAP - top) / NEAR])
            lines[1].set_data([x], [y])
        for bar, number, error in zip(self.bars, self.numbers, errors.values()):
            bar.set_width(min(error, MOST))
            number.set(x=min(error, MOST - 3) + 0.2, text=f"{error:.2f}")


def explore_heat_map() -> Explorer:
    """The explorer of `HeatMap`, for a notebook cell to end with."""
    return Explorer(
        HeatMap(),
        [
            slider("side", "side of the box (px)", 12.3, 120.3, 1.0),
            slider("x", "point: x / side", 0.01, 0.99, 0.02),
            slider("y", "point: y / side", 0.01, 0.99, 0.02),
            slider("width", "width of the bell (cells)", 0.0, 4.0, 0.5),
        ],
        alt="A heat map over its box, the same map resized, and the error of three decoders.",
    )
