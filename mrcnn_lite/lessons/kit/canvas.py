"""A canvas paints a figure's background once, and the artists that move for every frame.

Drawing a whole matplotlib figure costs tenths of a second, most of it for axes, labels and grids
that do not change. A canvas keeps those as pixels and draws only what moves, so that a slider feels
direct.
"""

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import style
from .grid import as_array, decimal

Moving = TypeVar("Moving", bound=Artist)


class Canvas:
    """Paints a figure's background once and its moving artists as often as they change."""

    def __init__(self, figure: Figure):
        """Take a figure over; its artists are background until `add` makes them move."""
        self.figure = figure
        self.agg = FigureCanvasAgg(figure)
        self.artists: list[Artist] = []
        self.background = None

    def add(self, artist: Moving) -> Moving:
        """Draw an artist anew in every frame, in the order of adding."""
        artist.set_animated(True)
        self.artists.append(artist)
        self.background = None
        return artist

    def add_all(self, artists: Iterable[Artist]) -> list[Artist]:
        """`add` for several artists."""
        return [self.add(artist) for artist in artists]

    def pixels(self) -> np.ndarray:
        """The figure as it stands now."""
        if self.background is None:
            self.agg.draw()
            self.figure.set_layout_engine("none")  # the axes stay where the first frame put them
            self.background = self.agg.copy_from_bbox(self.figure.bbox)
        self.agg.restore_region(self.background)
        for artist in self.artists:
            if artist.get_visible():
                self.figure.draw_artist(artist)
        return np.asarray(self.agg.buffer_rgba())[..., :3]

    def png(self) -> bytes:
        """The figure as it stands now, quickly encoded."""
        return style.encode_png(np.ascontiguousarray(self.pixels()), level=1)


class LiveTable:
    """An operator's output as a table, for up to `most` x `most` numbers."""

    def __init__(self, canvas: Canvas, ax: Axes, title: str, most: int):
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
