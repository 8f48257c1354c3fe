"""How `Shapes` draws an image: a textured background, then shaded objects on top of one another.

Every object is an implicit function over a small window, its signed distance in pixels (below 0
inside), so drawing it costs a few array operations on that window. The distances are exact for
straight edges and first-order for curves; within a pixel of the edge, where they matter, they are
right to a few hundredths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MIN_PIXELS, MIN_SHARE = 80, 0.5  # an object keeps this many pixels, and this share of itself
NEAR_SHARE = 0.15  # of the objects are put near another one, so that more of them overlap
EMPTY_SHARE = 0.04  # of all images
NOISE = 0.05  # standard deviation of the pixel noise
CONTRAST = 0.3  # RGB distance of an object from the background and from the other objects
TRIES = 12  # positions tried for one object before it is dropped

LONG_SIDE = (20.0, 60.0)  # pixels in an image of 128; uniform
# Per class: the largest long side over short side, and the smallest long side in pixels. A star of
# 12 pixels would have tips thinner than a pixel, and no class could be told from such a drawing.
MAX_ASPECT = {"ellipse": 3.0, "rectangle": 3.0, "triangle": 2.0, "star": 1.4, "crescent": 1.6}
MIN_SIDE = {"ellipse": 20.0, "rectangle": 20.0, "triangle": 22.0, "star": 24.0, "crescent": 24.0}
SHORT_SIDE = 12.0  # pixels; anything thinner has too few inner pixels to be told apart

Shape = tuple[np.ndarray, np.ndarray, np.ndarray]  # u, v, distance (`draw_shape`): float32[N, N]


@dataclass(frozen=True)
class Drawn:
    """One object of an image: its class and its shape (`draw_shape`), both windows alike."""

    label: int  # from 1
    shape: Shape
    in_image: tuple[slice, slice]  # rows and columns of the window, as far as it is in the image
    in_shape: tuple[slice, slice]


def draw_image(
    random: np.random.Generator,
    size: int,
    names: Sequence[str] | None = None,
    mark: Callable[[np.ndarray, Drawn], None] | None = None,
    shape: Callable[[np.random.Generator, str, int], Shape] | None = None,
) -> tuple[np.ndarray, np.ndarray, list[Drawn]]:
    """Draw one image.

    Args:
        random: Source of every choice.
        size: Height and width in pixels.
        names: The classes, of `DISTANCES`; None for all.
        mark: Paints something more on an object, before others may hide it.
        shape: Draws an object; None for `draw_shape`.

    Returns:
        The image ``float32[3, H, W]`` in 0..1, the owner of every pixel ``uint8[H, W]`` (0 for the
        background, g + 1 for object g) and the objects.
    """
    names = names or list(DISTANCES)
    image, colours = _draw_background(random, size)
    owner = np.zeros((size, size), dtype=np.uint8)  # [H, W]
    objects: list[Drawn] = []
    needs: list[float] = []  # pixels that each object must keep
    count = 0 if random.random() < EMPTY_SHARE else random.integers(2, 6)
    for _ in range(count):
        label = int(random.integers(1, len(names) + 1))
        drawn = (shape or draw_shape)(random, names[label - 1], size)
        windows = _find_position(random, drawn[-1] < 0, owner, needs)
        if windows is None:
            continue
        objects.append(Drawn(label, drawn, *windows))
        colour = _pick_colour(random, colours)
        colours.append(colour)
        in_image, in_shape = windows
        _paint(random, image[:, *in_image], [part[in_shape] for part in drawn], colour)
        if mark:
            mark(image, objects[-1])
    image += NOISE * random.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 1, out=image), owner, objects


def _draw_background(random: np.random.Generator, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A gradient between two colours, blotches of low frequency, often stripes; the two colours."""
    start, end = random.random((2, 3), dtype=np.float32) * 0.8 + 0.1
    end = start + 0.5 * (end - start)
    line = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    angle = random.random() * 2 * np.pi
    ramp = np.float32(np.cos(angle)) * line + np.float32(np.sin(angle)) * line[:, None]  # [H, W]
    image = ((start + end) / 2)[:, None, None] + (end - start)[:, None, None] * ramp  # [3, H, W]

    cells = int(random.integers(3, 12))
    up = _linear_upsampling(cells, size)
    blotches = random.standard_normal((3, cells, cells), dtype=np.float32)
    image += np.float32(random.uniform(0.02, 0.07)) * (up @ blotches @ up.T)

    if random.random() < 0.6:
        wave = random.uniform(4, 16) * size / 64 * np.pi  # radians over the whole image
        angle = random.random() * 2 * np.pi
        phase_x = np.float32(wave * np.cos(angle)) * line
        phase_y = np.float32(wave * np.sin(angle)) * line[:, None]
        # sin(x + y) by the addition theorem: sines of two lines, not of a whole image
        stripes = np.sin(phase_x) * np.cos(phase_y) + np.cos(phase_x) * np.sin(phase_y)  # [H, W]
        tint = random.uniform(-0.09, 0.09, 3).astype(np.float32)
        image += tint[:, None, None] * stripes
    return image, [start, end]


@lru_cache(maxsize=32)
def _linear_upsampling(cells: int, size: int) -> np.ndarray:
    """The matrix ``float32[size, cells]`` that interpolates linearly from cell centres."""
    position = np.linspace(0, cells - 1, size, dtype=np.float32)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells, dtype=np.float32)))


def _find_position(
    random: np.random.Generator, inside: np.ndarray, owner: np.ndarray, needs: list[float]
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Find a position where the object and all those below it stay visible, and write it down.

    ``inside`` ``bool[N, N]`` is the object in its window. Gives rows and columns in the image and
    in the window, and extends ``owner`` and ``needs``; None without a position.
    """
    size, half = len(owner), len(inside) // 2
    need = max(MIN_PIXELS, MIN_SHARE * int(inside.sum()))
    visible = np.bincount(owner.ravel(), minlength=len(needs) + 1)
    for _ in range(TRIES):
        centre = random.integers(half // 2, size - half // 2, 2)
        if needs and random.random() < NEAR_SHARE:
            other = np.argwhere(owner == random.integers(1, len(needs) + 1))
            centre = other[random.integers(len(other))] + random.integers(-half, half + 1, 2) // 2
        top, left = (int(c) - half for c in centre)
        rows = slice(max(0, top), min(size, top + len(inside)))
        columns = slice(max(0, left), min(size, left + len(inside)))
        part_columns = slice(columns.start - left, columns.stop - left)
        window = slice(rows.start - top, rows.stop - top), part_columns
        seen = inside[window]
        hidden = np.bincount(owner[rows, columns][seen], minlength=len(needs) + 1)
        if hidden.sum() >= need and all((visible - hidden)[1:] >= needs):
            needs.append(need)
            owner[rows, columns][seen] = len(needs)
            return (rows, columns), window
    return None


def _pick_colour(random: np.random.Generator, colours: list[np.ndarray]) -> np.ndarray:
    """The first of some random colours that differs enough from those in use, ``float32[3]``."""
    new = random.random((12, 3), dtype=np.float32) * np.float32(0.9) + np.float32(0.05)
    gaps = np.linalg.norm(new[:, None] - np.stack(colours), axis=2).min(axis=1)  # [12]
    return new[np.argmax(gaps >= CONTRAST) if gaps.max() >= CONTRAST else np.argmax(gaps)]


def _paint(
    random: np.random.Generator, image: np.ndarray, shape: list[np.ndarray], colour: np.ndarray
) -> None:
    """Lay a shaded and textured object over its part of the image, with anti-aliased edges."""
    u, v, distance = shape
    tones = random.uniform(-0.1, 0.1, 2).astype(np.float32)
    shade = tones[0] * u + tones[1] * v
    if random.random() < 0.4:
        frequency = np.float32(random.uniform(3, 8))
        shade += np.float32(random.uniform(0.04, 0.1)) * np.sin(frequency * (u + v * tones[0] * 10))
    cover = np.clip(0.5 - distance, 0, 1)  # share of the pixel that the object covers
    image += cover * (colour[:, None, None] + shade - image)


def draw_shape(random: np.random.Generator, name: str, size: int) -> Shape:
    """One object in a window of its own, rotated by any angle; it is returned as by `shape_of`.

    Args:
        random: Source of the size, the aspect, the angle and the sub-pixel position.
        name: Class.
        size: Height and width of the image.
    """
    low, high = max(LONG_SIDE[0], MIN_SIDE[name]), LONG_SIDE[1] * size / 128
    long = random.uniform(low, max(low + 1, high))
    short = max(long / random.uniform(1, MAX_ASPECT[name]), min(long, SHORT_SIDE))
    return shape_of(random, name, long, max(short, MIN_SIDE[name] / MAX_ASPECT[name]))


def shape_of(
    random: np.random.Generator, name: str, long: float, short: float, angle: float | None = None
) -> Shape:
    """One object of a known size in a window of its own.

    Args:
        random: Source of the sub-pixel position, and of the angle where it is None.
        name: Class.
        long, short: Sides in pixels.
        angle: From the image's x axis to the long side, in radians, clockwise.

    Returns:
        u, v: Positions of the pixel centres along the object's axes, in half sides,
            ``float32[N, N]``.
        distance: Signed distance from the edge in pixels, below 0 inside (first-order).
    """
    a, b = long / 2, short / 2  # half sides
    window = int(np.ceil(np.hypot(a, b))) + 2
    offset_x, offset_y = random.random(2) - 0.5
    line = np.arange(-window, window + 1, dtype=np.float32)
    angle = random.random() * 2 * np.pi if angle is None else angle
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = line - np.float32(offset_x), line[:, None] - np.float32(offset_y)
    u, v = (cos * x + sin * y) / np.float32(a), (cos * y - sin * x) / np.float32(b)  # [N, N]
    return u, v, DISTANCES[name](u, v, a, b, random)


def _ellipse(u, v, a, b, random, radius: float = 1.0) -> np.ndarray:
    """Distance from the ellipse u² + v² = radius²: the function over its gradient's length."""
    length = np.sqrt(u * u + v * v) + np.float32(1e-6)
    slope = np.sqrt(np.square(u / np.float32(a)) + np.square(v / np.float32(b))) + np.float32(1e-6)
    return (length - np.float32(radius)) * length / slope


def _rectangle(u, v, a, b, random) -> np.ndarray:
    return np.maximum((np.abs(u) - 1) * np.float32(a), (np.abs(v) - 1) * np.float32(b))


def _half_planes(u, v, a, b, angles, reach) -> np.ndarray:
    """Distances from the lines cos·u + sin·v = reach, one per angle: ``float32[n, N, N]``."""
    cos = np.cos(angles).astype(np.float32)[:, None, None]
    sin = np.sin(angles).astype(np.float32)[:, None, None]
    scale = 1 / np.hypot(cos / np.float32(a), sin / np.float32(b))
    return (cos * u + sin * v - np.float32(reach)) * scale


def _triangle(u, v, a, b, random) -> np.ndarray:
    return _half_planes(u, v, a, b, np.array([0, 2, 4]) * np.pi / 3, 0.5).max(axis=0)


def _star(u, v, a, b, random) -> np.ndarray:
    """Five lines; a point of the star lies on the inner side of at least four of them."""
    angles = np.arange(5) * 2 * np.pi / 5
    lines = _half_planes(u, v, a, b, angles, np.cos(2 * np.pi / 5))
    return np.partition(lines, 3, axis=0)[3]


def _crescent(u, v, a, b, random) -> np.ndarray:
    """A disc without a second disc that is shifted along u."""
    shift, radius = random.uniform(0.5, 0.65), random.uniform(0.8, 0.9)
    bite = _ellipse(u - np.float32(shift), v, a, b, random, radius)
    return np.maximum(_ellipse(u, v, a, b, random), -bite)


DISTANCES = {
    "ellipse": _ellipse,
    "rectangle": _rectangle,
    "triangle": _triangle,
    "star": _star,
    "crescent": _crescent,
}
