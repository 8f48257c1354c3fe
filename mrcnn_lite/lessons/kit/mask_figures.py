"""Parts of the figures that follow a mask from step to step: images, stacked channels, arrows."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from . import style
from .cat import Scene
from .grid import draw_box

LEAN = 0.26  # how far each channel of a stack stands behind the one before


def show_scene(fig: Figure, position: tuple, scene: Scene, box: Tensor, title: str) -> Axes:
    """The image with one box, axes at (left, bottom, width, height) in parts of the figure."""
    ax = fig.add_axes(position)
    _, height, width = scene.image.shape
    ax.imshow(scene.image.permute(1, 2, 0).numpy(), extent=(0, width, height, 0))
    draw_box(ax, box, style.VERMILION, linewidth=1.8)
    ax.set_title(title, fontsize=style.NORMAL)
    ax.axis("off")
    return ax


def show_map(fig: Figure, position: tuple, values: Tensor, title: str) -> Axes:
    """Numbers [h, w] in 0..1 as an image."""
    ax = fig.add_axes(position)
    ax.imshow(values.numpy(), vmin=0, vmax=1)
    ax.set_title(title, fontsize=style.NORMAL)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def draw_stack(ax: Axes, maps: Tensor, names: Sequence[str], chosen: int) -> None:
    """The channels [C, M, M] of a tensor one behind the other, the chosen one framed."""
    count, limit = len(maps), float(maps.abs().max())
    for i in reversed(range(count)):
        x = y = LEAN * i
        edges, layer = (x, x + 1, y, y + 1), 2 * (count - i)
        ax.imshow(maps[i].numpy(), extent=edges, vmin=-limit, vmax=limit, zorder=layer)
        edge = {"ec": style.VERMILION, "lw": 2.2} if i == chosen else {"ec": "white", "lw": 1.0}
        ax.add_patch(Rectangle((x, y), 1, 1, fill=False, zorder=layer + 1, **edge))
        weight = "bold" if i == chosen else "normal"
        ax.text(x + 1.04, y + 0.02, names[i], fontsize=style.SMALL, weight=weight)
    end = 1 + LEAN * (count - 1)
    ax.set(xlim=(-0.03, end + 0.55), ylim=(-0.03, end + 0.03), aspect="equal")
    ax.axis("off")


def arrow(fig: Figure, start: tuple, end: tuple, label: str = "", lift: tuple = (0.0, 0.0)) -> None:
    """An arrow between two points of the figure, its label moved by `lift` from the middle."""
    line = {"arrowstyle": "-|>", "mutation_scale": 11, "color": style.GREY, "lw": 1.3}
    fig.add_artist(FancyArrowPatch(start, end, transform=fig.transFigure, **line))
    x, y = (start[0] + end[0]) / 2 + lift[0], (start[1] + end[1]) / 2 + lift[1]
    fig.text(x, y, label, ha="center", va="bottom", fontsize=style.SMALL, color=style.GREY)
