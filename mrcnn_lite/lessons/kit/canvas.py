"""A canvas paints a figure's background once, and the artists that move for every frame.

Drawing a whole matplotlib figure costs tenths of a second, most of it for axes, labels and grids
that do not change. A canvas keeps those as pixels and draws only what moves, so that a slider feels
direct.
"""

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import style

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
