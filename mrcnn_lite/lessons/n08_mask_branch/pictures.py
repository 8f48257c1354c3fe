"""The two heads of Mask R-CNN (the paper's figure 4), and the mask branch alone, as blocks."""

from collections.abc import Sequence
from math import log2

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle
from matplotlib.text import Text

from ..kit import style
from ..kit.style import FASTER, LOGITS, MASK

SLANT = 0.45  # how far a block's side leans, height per width


class Block:
    """A feature map as a solid: the face is its resolution, the thickness its channels."""

    def __init__(self, ax: Axes, colour: str):
        shades = (colour, _darker(colour, 0.93), _darker(colour, 0.84))
        faces = [
            ax.add_patch(Polygon([[0, 0]] * 4, fc=shade, ec=style.GREY, lw=0.8, zorder=2))
            for shade in shades
        ]
        self.artists = [*faces, _label(ax, 0, 0, "")]

    def place(self, x: float, y: float, name: str, cells: int, channels: int) -> float:
        """Draw the map with its face's left edge at x and its face's centre at height y.

        Returns the right end.
        """
        side, thick = block_size(cells, channels)
        low, high, rise = y - side / 2, y + side / 2, thick * SLANT
        right = x + side
        front = [(x, low), (right, low), (right, high), (x, high)]
        top = [(x, high), (right, high), (right + thick, high + rise), (x + thick, high + rise)]
        flank = [(right, low), (right + thick, low + rise), (right + thick, high + rise)]
        *faces, label = self.artists
        for face, corners in zip(faces, (front, top, [*flank, (right, high)]), strict=True):
            face.set_xy(corners)
        label.set(x=x + side / 2 + 0.1, y=low - 0.08, text=f"{name}\n{cells}×{cells}×{channels}")
        return right + thick


def block_size(cells: int, channels: int) -> tuple[float, float]:
    """Side of the face and thickness of a block, in the axes' unit."""
    return 0.2 + 0.028 * cells, 0.04 * log2(channels + 1)


def draw_mask_branch() -> Figure:
    """The mask branch of the FPN model, from pooled features to logits."""
    fig, ax = style.figure(width=7.6, height=1.75)
    _bare(ax, (-0.25, 10.0), (-1.05, 0.85))
    convs = [(MASK, f"conv {i}", 14, 256) for i in (1, 2, 3, 4)]
    ends = (MASK, "deconv", 28, 256), (LOGITS, "1×1 conv", 28, 80)
    _chain(ax, 0.0, 0.0, [(MASK, "RoIAlign", 14, 256), *convs, *ends], gap=0.4)
    return fig


def draw_two_heads() -> Figure:
    """Both heads of the paper's figure 4: without a pyramid (C4) and with one (FPN)."""
    fig, axes = style.figure(2, 1, width=7.6, height=5.3)
    _draw_c4(axes[0])
    _draw_fpn(axes[1])
    return fig


def _draw_c4(ax: Axes) -> None:
    _bare(ax, (-0.3, 8.6), (-2.5, 0.9))
    ax.set_title("Without a pyramid (C4): box and mask branch share RoIAlign and res5")
    end = _chain(ax, 0.0, 0.0, [(MASK, "RoIAlign", 7, 1024), (FASTER, "res5", 7, 2048)])
    _arrow(ax, (end + 0.08, 0.1), (3.92, 0.1))
    _vector(ax, 4.0, 0.0, "average\n2048")
    _outputs(ax, 4.2, 0.0)
    _arrow(ax, (end + 0.08, -0.05), (3.52, -1.35))
    _chain(ax, 3.6, -1.5, [(MASK, "deconv", 14, 256), (LOGITS, "1×1 conv", 14, 80)])
    legend = ((FASTER, "Faster R-CNN"), (MASK, "Mask R-CNN adds or changes"), (LOGITS, "logits"))
    for y, (colour, name) in zip((0.75, 0.35, -0.05), legend, strict=True):
        ax.add_patch(Rectangle((5.95, y - 0.1), 0.3, 0.2, fc=colour, ec=style.GREY, lw=0.8))
        ax.text(6.37, y, name, va="center", fontsize=style.SMALL)


def _draw_fpn(ax: Axes) -> None:
    _bare(ax, (-0.3, 8.6), (-2.5, 0.9))
    ax.set_title("With a pyramid (FPN): class and box share one RoIAlign, the mask has its own")
    end = _chain(ax, 0.0, 0.0, [(MASK, "RoIAlign", 7, 256)])
    _arrow(ax, (end + 0.08, 0.1), (2.02, 0.1))
    _vector(ax, 2.1, 0.0, "fc\n1024")
    _arrow(ax, (2.28, 0.1), (3.92, 0.1))
    _vector(ax, 4.0, 0.0, "fc\n1024")
    _outputs(ax, 4.2, 0.0)
    convs = (MASK, "RoIAlign", 14, 256), (MASK, "4 × conv", 14, 256)
    _chain(ax, 0.0, -1.6, [*convs, (MASK, "deconv", 28, 256), (LOGITS, "1×1 conv", 28, 80)])


def _chain(ax: Axes, x: float, y: float, blocks: Sequence[tuple], gap: float = 0.85) -> float:
    """Blocks from left to right with arrows between, each (colour, name, cells, channels).

    Returns the x of the right end.
    """
    end = x
    for i, (colour, *shape) in enumerate(blocks):
        if i:
            _arrow(ax, (end + 0.06, y + 0.05), (x - 0.06, y + 0.05))
        end = Block(ax, colour).place(x, y, *shape)
        x = end + gap
    return end


def _vector(ax: Axes, x: float, y: float, label: str) -> None:
    """A flat vector as a tall thin bar."""
    corners = [(x, y - 0.45), (x + 0.1, y - 0.45), (x + 0.1, y + 0.65), (x, y + 0.65)]
    ax.add_patch(Polygon(corners, fc=FASTER, ec=style.GREY, lw=0.8, zorder=2))
    _label(ax, x + 0.05, y - 0.5, label)


def _outputs(ax: Axes, x: float, y: float) -> None:
    """The two answers of the box branch."""
    for height, word in ((0.42, "class"), (-0.22, "box")):
        _arrow(ax, (x, y + 0.1), (x + 0.85, y + height))
        ax.text(x + 0.93, y + height, word, va="center")


def _label(ax: Axes, x: float, y: float, text: str) -> Text:
    return ax.text(x, y, text, ha="center", va="top", fontsize=style.SMALL, linespacing=1.25)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    line = {"arrowstyle": "-|>", "mutation_scale": 9, "color": style.GREY, "lw": 1.2}
    ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, zorder=3, **line))


def _bare(ax: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    ax.set(xlim=x, ylim=y, aspect="equal")
    ax.axis("off")


def _darker(colour: str, factor: float) -> str:
    channels = (round(int(colour[i : i + 2], 16) * factor) for i in (1, 3, 5))
    return "#" + "".join(f"{channel:02x}" for channel in channels)
