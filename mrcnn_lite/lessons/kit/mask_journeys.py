"""The two journeys of a mask: to the loss in training, and back to the image in prediction."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from . import style
from .cat import Scene
from .grid import draw_box

LEAN = 0.26  # how far each channel of a stack stands behind the one before
VEIL = 0.5  # how much of the object's colour covers the picture


def draw_training(
    scene: Scene, box: Tensor, logits: Tensor, target: Tensor, names: Sequence[str]
) -> Figure:
    """One proposal on its way to the mask loss: logits above, target below."""
    fig, ax = _blank(7.6, 4.0)
    label = int(scene.labels[0])
    _show_scene(ax, scene, box, "a proposal")
    branch = fig.add_axes((0.34, 0.47, 0.25, 0.5))
    draw_stack(branch, logits, names, label)
    words = f"channel {names[label]}"
    chosen = _picture(fig, (0.61, 0.58, 0.16, 0.3), logits[label].sigmoid(), words)
    truth = _picture(fig, (0.61, 0.1, 0.16, 0.3), target, "target")
    size = f"{target.shape[0]}×{target.shape[1]}"
    chosen.set_xlabel(f"sigmoid, {size}", fontsize=style.SMALL)
    truth.set_xlabel(f"{size}, object 1, rest 0", fontsize=style.SMALL)
    _arrow(fig, (0.268, 0.6), (0.335, 0.7), "RoIAlign,\nmask branch", (-0.035, 0.09))
    _arrow(fig, (0.555, 0.76), (0.603, 0.76))
    _arrow(fig, (0.268, 0.34), (0.603, 0.25), "cut out the true mask, scale it", (0.0, 0.05))
    _arrow(fig, (0.785, 0.73), (0.85, 0.53))
    _arrow(fig, (0.785, 0.25), (0.85, 0.45))
    fig.text(0.915, 0.49, "binary\ncross\nentropy", ha="center", va="center", fontsize=style.LARGE)
    return fig


def draw_prediction(
    scene: Scene, box: Tensor, logits: Tensor, pasted: Tensor, names: Sequence[str]
) -> Figure:
    """One detection on its way back to the image: box and class first, the mask last."""
    fig, ax = _blank(7.6, 3.9)
    ax.set_position([0.01, 0.54, 0.25, 0.4])
    label = int(scene.labels[0])
    _show_scene(ax, scene, box, "1  box and class")
    ax.text(float(box[0]), float(box[1]) - 3, names[label], color=style.VERMILION)
    stack = fig.add_axes((0.375, 0.5, 0.24, 0.46))
    stack.set_title("2  logits of this box", fontsize=style.NORMAL)
    draw_stack(stack, logits, names, label)
    _picture(fig, (0.74, 0.58, 0.22, 0.35), logits[label].sigmoid(), f"3  {names[label]}, sigmoid")
    _picture(fig, (0.74, 0.03, 0.22, 0.4), pasted, "4  pasted into the image")
    pixels = pasted >= 0.5
    _picture(fig, (0.385, 0.03, 0.22, 0.4), pixels.float(), "5  at least 0.5")
    last = fig.add_axes((0.01, 0.03, 0.25, 0.4))
    _show_scene(last, scene, box, "6  drawn", painted=veil(scene.image, pixels, style.VERMILION))
    for start, end in (
        ((0.275, 0.74), (0.37, 0.74)),
        ((0.64, 0.74), (0.73, 0.74)),
        ((0.85, 0.555), (0.85, 0.485)),
        ((0.725, 0.23), (0.63, 0.23)),
        ((0.375, 0.23), (0.275, 0.23)),
    ):
        _arrow(fig, start, end)
    return fig


def draw_stack(ax: Axes, maps: Tensor, names: Sequence[str], chosen: int) -> None:
    """The channels of a tensor one behind the other, the chosen one framed."""
    count = len(maps)
    limit = float(maps.abs().max())
    for i in reversed(range(count)):
        x, y = LEAN * i, LEAN * i
        edges = (x, x + 1, y, y + 1)
        ax.imshow(maps[i].numpy(), extent=edges, vmin=-limit, vmax=limit, zorder=2 * (count - i))
        edge = {"ec": style.VERMILION, "lw": 2.2} if i == chosen else {"ec": "white", "lw": 1.0}
        ax.add_patch(Rectangle((x, y), 1, 1, fill=False, zorder=2 * (count - i) + 1, **edge))
        weight = "bold" if i == chosen else "normal"
        ax.text(x + 1.04, y + 0.02, names[i], fontsize=style.SMALL, weight=weight)
    end = 1 + LEAN * (count - 1)
    ax.set(xlim=(-0.03, end + 0.55), ylim=(-0.03, end + 0.03), aspect="equal")
    ax.axis("off")


def veil(image: Tensor, pixels: Tensor, colour: str) -> Tensor:
    """A picture with an object under a transparent colour and a full-strength outline."""
    ink = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])[:, None, None]
    solid = pixels.float()[None]
    # A pixel is inside when its 3x3 neighbours all belong to the object.
    inner = 1 - torch.nn.functional.max_pool2d(1 - solid, 3, stride=1, padding=1)
    strength = VEIL * inner + (solid - inner)
    return image * (1 - strength) + ink * strength


def _blank(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure whose axes are placed by hand; the first one stands at the left."""
    fig, ax = style.figure(width=width, height=height)
    fig.set_layout_engine("none")
    ax.set_position([0.01, 0.24, 0.25, 0.475])
    return fig, ax


def _show_scene(
    ax: Axes, scene: Scene, box: Tensor, title: str, painted: Tensor | None = None
) -> None:
    image = scene.image if painted is None else painted
    ax.imshow(np.asarray(image.permute(1, 2, 0)), extent=(0, image.shape[2], image.shape[1], 0))
    draw_box(ax, box, style.VERMILION, linewidth=1.8)
    ax.set_title(title, fontsize=style.NORMAL)
    ax.axis("off")


def _picture(fig: Figure, place: tuple, values: Tensor, title: str) -> Axes:
    ax = fig.add_axes(place)
    ax.imshow(values.numpy(), vmin=0, vmax=1)
    ax.set_title(title, fontsize=style.NORMAL)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _arrow(
    fig: Figure, start: tuple, end: tuple, words: str = "", lift: tuple = (0.0, 0.0)
) -> None:
    line = {"arrowstyle": "-|>", "mutation_scale": 11, "color": style.GREY, "lw": 1.3}
    fig.add_artist(FancyArrowPatch(start, end, transform=fig.transFigure, **line))
    if words:
        x, y = (start[0] + end[0]) / 2 + lift[0], (start[1] + end[1]) / 2 + lift[1]
        fig.text(x, y, words, ha="center", va="bottom", fontsize=style.SMALL, color=style.GREY)
