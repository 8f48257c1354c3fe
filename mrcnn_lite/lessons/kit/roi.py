"""One RoI on a small map: what RoIPool and RoIAlign read of it, and how that is drawn."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.quiver import Quiver
from numpy.typing import ArrayLike
from torch import Tensor

from ...ops.roi_align import roi_extent
from ...ops.roi_pool import roi_pool_bins
from . import style
from .grid import draw_box

BINS = (style.SKY, style.ORANGE, style.GREEN, style.PURPLE)  # the four bins of a 2 x 2 output
POINTS = {"marker": "o", "linestyle": "", "mfc": style.YELLOW, "mec": style.BLACK, "zorder": 5}
ARROW = 0.9  # length of the longest arrow, in elements of the map


def article_map() -> Tensor:
    """The 6 x 6 map of the course's first example."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn((1, 1, 6, 6), generator=generator)  # [B, C, h, w]


@dataclass(frozen=True)
class Windows:
    """What RoIPool looks at, in whole cells; every range is half open."""

    rows: list[tuple[int, int]]  # one range per output row
    columns: list[tuple[int, int]]  # one range per output column

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The whole window (x1, y1, x2, y2), clipped to the map."""
        return self.columns[0][0], self.rows[0][0], self.columns[-1][1], self.rows[-1][1]

    def counts(self, height: int, width: int) -> np.ndarray:
        """How many bins look at each cell."""
        rows, columns = np.zeros(height, dtype=int), np.zeros(width, dtype=int)
        for counts, ranges in ((rows, self.rows), (columns, self.columns)):
            for start, end in ranges:
                counts[start:end] += 1
        return np.outer(rows, columns)

    def bins(self) -> list[tuple[int, int, int, int]]:
        """The bins (x1, y1, x2, y2), row by row."""
        return [(x1, y1, x2, y2) for y1, y2 in self.rows for x1, x2 in self.columns]

    def maxima(self, array: np.ndarray) -> list[tuple[int, int]]:
        """Row and column of each bin's maximum; empty bins are left out."""
        cells = []
        for x1, y1, x2, y2 in self.bins():
            part = array[y1:y2, x1:x2]
            if part.size:
                row, column = np.unravel_index(part.argmax(), part.shape)
                cells.append((y1 + int(row), x1 + int(column)))
        return cells


def windows_of(box: ArrayLike, size: int, scale: float, height: int, width: int) -> Windows:
    """The cells behind every output of RoIPool."""
    corners = torch.as_tensor(np.asarray(box), dtype=torch.float32).reshape(1, 4)
    ends = roi_pool_bins(corners, (size, size), scale, height, width)
    top, bottom, left, right = (side[0].tolist() for side in ends)
    return Windows(list(zip(top, bottom)), list(zip(left, right)))


def bin_boxes(windows: Windows, cell: float = 1.0) -> list[tuple[float, float, float, float]]:
    """The bins as boxes, row by row, each a little smaller so that shared edges show twice."""
    boxes = []
    for k, bounds in enumerate(windows.bins()):
        inset = 0.05 + 0.045 * (k % len(BINS))
        boxes.append(tuple((np.array(bounds) + inset * np.array([1, 1, -1, -1])) * cell))
    return boxes


@dataclass(frozen=True)
class Samples:
    """Where RoIAlign samples one RoI, in feature coordinates."""

    box: tuple[float, float, float, float]  # (x1, y1, x2, y2), not rounded
    y: np.ndarray  # [P, S] sample rows of each bin
    x: np.ndarray  # [P, S] sample columns of each bin

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """All points as flat arrays (x, y): bins row by row, samples row by row within a bin."""
        (size, rows), columns = self.y.shape, self.x.shape[1]
        y = np.broadcast_to(self.y[:, None, :, None], (size, size, rows, columns))
        x = np.broadcast_to(self.x[None, :, None, :], (size, size, rows, columns))
        return x.reshape(-1), y.reshape(-1)

    def shifted(self, by: float) -> "Samples":
        """The same, moved right and down."""
        return Samples(tuple(corner + by for corner in self.box), self.y + by, self.x + by)


def samples_of(box: ArrayLike, size: int, scale: float, ratio: int, aligned: bool) -> Samples:
    """The sampling points of one RoI."""
    rois = torch.as_tensor(np.asarray(box), dtype=torch.float32).reshape(1, 4)
    start, extent = roi_extent(rois, scale, aligned)
    (x, y), (width, height) = start[0].tolist(), extent[0].tolist()
    axes = {}
    for name, first, length in (("x", x, width), ("y", y, height)):
        count = ratio if ratio > 0 else max(math.ceil(length / size), 0)
        inside = (np.arange(count) + 0.5) / max(count, 1)  # [S]
        axes[name] = first + (np.arange(size)[:, None] + inside) * length / size  # [P, S]
    return Samples(box=(x, y, x + width, y + height), **axes)


def draw_bins(ax: Axes, samples: Samples, label: str = "RoI, not rounded") -> list[Artist]:
    """The RoI, its bins and its sampling points."""
    x1, y1, x2, y2 = samples.box
    x, y = (np.linspace(a, b, len(samples.y) + 1)[1:-1] for a, b in ((x1, x2), (y1, y2)))
    lines = [[(at, y1), (at, y2)] for at in x] + [[(x1, at), (x2, at)] for at in y]
    inner = LineCollection(lines, colors=style.BLUE, linewidths=1.2, zorder=4)
    inner.set_linestyle((0, (3, 2)))
    finest = max(samples.y.shape[1], samples.x.shape[1], 1)
    size = 8.5 / (1 + 0.35 * (finest - 1))  # so that neighbours do not touch
    points = {"ms": size, "mew": 0.6, "label": "sampling points", **POINTS}
    box = draw_box(ax, samples.box, style.BLUE, label)
    return [ax.add_collection(inner), box, *ax.plot(*samples.points(), **points)]


def edge_arrows(box: ArrayLike, gradient: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Arrows at the middles of a box's edges, along the way in which the value rises."""
    x1, y1, x2, y2 = (float(number) for number in np.asarray(box))
    slope = np.asarray(gradient, dtype=np.float64).reshape(4)
    length = ARROW * slope / max(np.abs(slope).max(), 1e-12)
    middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
    starts = np.array([[x1, middle_y], [middle_x, y1], [x2, middle_y], [middle_x, y2]])
    steps = np.array([[length[0], 0], [0, length[1]], [length[2], 0], [0, length[3]]])
    return starts, steps


def draw_edge_arrows(ax: Axes, box: ArrayLike, gradient: ArrayLike) -> Quiver:
    """Draw `edge_arrows`."""
    starts, steps = edge_arrows(box, gradient)
    unit = {"angles": "xy", "scale_units": "xy", "scale": 1, "units": "inches"}
    look = {"color": style.VERMILION, "width": 0.045, "minlength": 0, "zorder": 7}
    return ax.quiver(*starts.T, *steps.T, **unit, **look)
