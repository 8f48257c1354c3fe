"""A stage: a figure whose scenery is painted once, while its actors are painted for every picture.

Drawing a whole matplotlib figure costs tenths of a second, most of it for axes, labels and grids
that do not change. A stage keeps those as pixels and draws only the artists that move, so that a
slider feels direct.
"""

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .style import encode_png

Actor = TypeVar("Actor", bound=Artist)


class Stage:
    """Paints a figure's background once and its moving artists as often as they change."""

    def __init__(self, fig: Figure):
        """Take a figure over; its artists are background until `add` makes them actors."""
        self.canvas = FigureCanvasAgg(fig)
        self.actors: list[Artist] = []
        self.background = None

    def add(self, artist: Actor) -> Actor:
        """Make an artist an actor: drawn at every picture, in the order of adding."""
        artist.set_animated(True)
        self.actors.append(artist)
        self.background = None
        return artist

    def add_all(self, artists: Iterable[Artist]) -> list[Artist]:
        """`add` for several artists."""
        return [self.add(artist) for artist in artists]

    def repaint(self) -> None:
        """Forget the stored background, after something that is not an actor was changed."""
        self.background = None

    def pixels(self) -> np.ndarray:
        """The picture as it stands now."""
        figure = self.canvas.figure
        if self.background is None:
            self.canvas.draw()
            figure.set_layout_engine("none")  # the axes stay where the first picture put them
            self.background = self.canvas.copy_from_bbox(figure.bbox)
        self.canvas.restore_region(self.background)
        for artist in self.actors:
            if artist.get_visible():
                figure.draw_artist(artist)
        return np.asarray(self.canvas.buffer_rgba())[..., :3]

    def png(self) -> bytes:
        """The picture as it stands now, quickly encoded."""
        return encode_png(np.ascontiguousarray(self.pixels()), level=1)
