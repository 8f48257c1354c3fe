"""A table of numbers that an explorer can rewrite without drawing its figure again."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import ArrayLike

from . import style
from .canvas import Canvas
from .grid import as_array, decimal


class LiveTable:
    """An operator's output as a table, for up to `most` x `most` numbers."""

    def __init__(self, canvas: Canvas, ax: Axes, title: str, most: int):
        """Turn axes into a table."""
        ax.set(xlim=(-0.02, 1.02), ylim=(1.02, -0.02), aspect="equal")
        ax.axis("off")
        ax.set_title(title, fontsize=style.NORMAL)
        self.grid = canvas.add(ax.add_collection(LineCollection([], colors=style.GREY)))
        self.mark = canvas.add(ax.plot([], [], color=style.VERMILION, linewidth=2.4)[0])
        centred = {"ha": "center", "va": "center"}
        self.texts = [canvas.add(ax.text(0, 0, "", **centred)) for _ in range(most * most)]
        self.width_pt = ax.get_position().width * ax.figure.get_figwidth() * 72

    def write(self, values: ArrayLike, marked: int | None = None) -> None:
        """Show numbers."""
        array = as_array(values)
        size = len(array)
        at = np.linspace(0, 1, size + 1)
        lines = [[(t, 0), (t, 1)] for t in at] + [[(0, t), (1, t)] for t in at]
        self.grid.set_segments(lines)
        digits = 4 if size <= 3 else 2
        font = min(style.NORMAL, self.width_pt / size / (0.72 * (digits + 3)))
        for text in self.texts:
            text.set_visible(False)
        for text, ((row, column), value) in zip(self.texts, np.ndenumerate(array)):
            text.set(x=(column + 0.5) / size, y=(row + 0.5) / size, visible=True, fontsize=font)
            text.set_text(decimal(value, digits))
        row, column = divmod(marked or 0, size)
        x, y = np.array([0, 1, 1, 0, 0]) + column, np.array([0, 0, 1, 1, 0]) + row
        self.mark.set_data(x / size, y / size)
        self.mark.set_visible(marked is not None)
