"""Small feature maps, drawn so that every number can be read: as cells, as points, as tables.

Two ways to draw a map stand side by side in the course. `draw_cells` shows element (row, column) as
an area, the way RoIPool thinks; `draw_points` shows it as a point at whole coordinates, the way
RoIAlign with `aligned=False` thinks. Both use x to the right and y downwards.
"""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from numpy.typing import ArrayLike

from . import style

PASTEL = 0.42  # how much of the colour map is left when lines and numbers stand on it


def as_array(values: ArrayLike) -> np.ndarray:
    """A tensor or a nested list as a float array, without its axes of length one."""
    array = np.asarray(values, dtype=np.float64)
    return array.reshape(array.shape[-2:])


def pastel(values: np.ndarray, low: float | None = None) -> np.ndarray:
    """Pale colours of the map, so that black numbers stay readable on every cell.

    The course's one colour map, in one direction: from purple, the least (or `low`), to yellow.
    """
    low = values.min() if low is None else low
    norm = Normalize(low, max(values.max(), low + 1e-9))
    colours = mpl.colormaps[style.SEQUENTIAL](norm(values))[..., :3]
    return 1 - PASTEL * (1 - colours)


def frame(ax: Axes, width: float, height: float, step: float, label: str) -> None:
    """Axes for a map: x to the right, y downwards, a tick at every cell border."""
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xlabel=f"x ({label})")
    ax.set_ylabel(f"y ({label})")
    ax.set_xticks(np.arange(0, width + step / 2, step))
    ax.set_yticks(np.arange(0, height + step / 2, step))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def frame_cells(ax: Axes, width: int, height: int) -> None:
    """Axes for a map drawn as cells: each row and column carries its index at its middle."""
    frame(ax, width, height, 1, "column")
    ax.set(xlabel="column", ylabel="row")
    ax.set_xticks(np.arange(width) + 0.5, [str(index) for index in range(width)])
    ax.set_yticks(np.arange(height) + 0.5, [str(index) for index in range(height)])


def tinted(weights: ArrayLike) -> np.ndarray:
    """Pale colours for the sizes of weights; white is exactly nothing."""
    array = np.abs(as_array(weights))
    colours = pastel(array, low=0.0)
    colours[array == 0] = 1.0
    return colours


def draw_cells(
    ax: Axes,
    values: ArrayLike,
    cell: float = 1.0,
    numbers: bool = True,
    gradient: bool = False,
    lift: float = 0.0,
) -> None:
    """A map as a board of cells; element (row, column) fills its square.

    In a gradient white is exactly 0, and carries no number; numbers stand `lift` cells below the
    middle.
    """
    array = as_array(values)
    height, width = array.shape
    edges = (0, width * cell, height * cell, 0)
    colours = tinted(array) if gradient else pastel(array)
    ax.imshow(colours, extent=edges, interpolation="nearest", zorder=0)
    lines = {"color": style.PALE if gradient else "white", "linewidth": 1.2, "zorder": 1}
    ax.hlines(np.arange(height + 1) * cell, 0, width * cell, **lines)
    ax.vlines(np.arange(width + 1) * cell, 0, height * cell, **lines)
    solid = withStroke(linewidth=3.8, foreground="white")  # lines end beside the numbers
    for (row, column), value in np.ndenumerate(array):
        if numbers and (value or not gradient):
            at = ((column + 0.5) * cell, (row + 0.5 + lift) * cell)
            number = f"{value:.2f}".replace("-", "−")  # a hyphen drowns in a line behind it
            write(ax, *at, number, fontsize=style.SMALL, path_effects=[solid])


def draw_counts(ax: Axes, counts: np.ndarray, numbers: bool = True) -> None:
    """How many bins look at each cell, where it is more than one: shaded and counted."""
    shade = np.zeros((*counts.shape, 4))
    shade[..., 3] = np.clip(0.07 * (counts - 1), 0, 0.28)  # numbers stand on it
    ax.imshow(shade, extent=(0, counts.shape[1], counts.shape[0], 0), zorder=2)
    for (row, column), count in np.ndenumerate(counts):
        if numbers and count > 1:
            write(ax, column + 0.84, row + 0.84, f"×{count}", fontsize=style.SMALL)


def write(ax: Axes, x: float, y: float, text: str, **settings: Any) -> Text:
    """Centred text with a white rim, readable where lines cross it."""
    rim = [withStroke(linewidth=2.5, foreground="white", alpha=0.85)]
    centred = {"ha": "center", "va": "center", "zorder": 6, "path_effects": rim}
    return ax.text(x, y, text, **{**centred, **settings})


def draw_points(ax: Axes, values: ArrayLike, numbers: bool = True, margin: float = 0.45) -> None:
    """A map as points on a grid; element (row, column) stands at x = column, y = row."""
    array = as_array(values)
    height, width = array.shape
    lines = {"color": style.PALE, "linewidth": 1, "zorder": 0}
    ax.hlines(np.arange(height), 0, width - 1, **lines)
    ax.vlines(np.arange(width), 0, height - 1, **lines)
    rows, columns = np.indices(array.shape)
    colours = pastel(array).reshape(-1, 3)
    ax.scatter(columns, rows, s=52, c=colours, edgecolors=style.GREY, linewidths=1, zorder=3)
    if numbers:
        for (row, column), value in np.ndenumerate(array):
            corner = {"ha": "left", "va": "bottom", "fontsize": style.SMALL - 0.5}
            write(ax, column + 0.09, row - 0.07, f"{value:.2f}", color=style.GREY, **corner)
    frame(ax, width, height, 1, "feature cells")
    ax.set(xticks=range(width), yticks=range(height))
    ax.set(xlim=(-margin, width - 1 + margin), ylim=(height - 1 + margin, -margin))


def draw_box(ax: Axes, box: ArrayLike, colour: str, label: str = "", **line: Any) -> Rectangle:
    """A box as an outline."""
    x1, y1, x2, y2 = (float(number) for number in np.asarray(box))
    settings = {"linewidth": 2.2, "zorder": 4, "fill": False, **line}
    patch = Rectangle((x1, y1), x2 - x1, y2 - y1, edgecolor=colour, label=label, **settings)
    return ax.add_patch(patch)


def move_box(patch: Rectangle, box: ArrayLike) -> None:
    """Put a drawn box somewhere else."""
    x1, y1, x2, y2 = (float(number) for number in np.asarray(box))
    patch.set_bounds(x1, y1, x2 - x1, y2 - y1)


def draw_table(ax: Axes, values: ArrayLike, title: str = "", colours: Any = None) -> list[Text]:
    """The output of an operator as a table of numbers: four decimals, or two where it is wide."""
    array = as_array(values)
    height, width = array.shape
    ax.set(xlim=(-0.04, width + 0.04), ylim=(height + 0.04, -0.04), aspect="equal")
    ax.axis("off")
    ax.set_title(title, fontsize=style.NORMAL)
    texts = []
    for index, ((row, column), value) in enumerate(np.ndenumerate(array)):
        edge = style.GREY if colours is None else colours[index]
        draw_box(ax, (column + 0.04, row + 0.04, column + 0.96, row + 0.96), edge, linewidth=1.6)
        number = decimal(value, 4 if width <= 4 else 2)
        texts.append(ax.text(column + 0.5, row + 0.5, number, ha="center", va="center"))
    return texts


def decimal(value: float, digits: int = 4) -> str:
    """A number with fixed decimals, never a negative zero."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}"


def rows_of(values: ArrayLike, indent: str = "  ") -> str:
    """A map or an output as lines of text, four decimals, for captions and screen readers."""
    lines = ["  ".join(f"{decimal(value):>8}" for value in row) for row in as_array(values)]
    return "\n".join(indent + line for line in lines)
