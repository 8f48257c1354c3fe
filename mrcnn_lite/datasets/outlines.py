"""Outlines of the drawn objects, as signed distances in pixels (below 0 inside).

Every outline is an implicit function over a small window, so drawing an object costs a few array
operations on that window. The distances are exact for straight edges and first-order for curves;
within a pixel of the edge, where they matter, they are right to a few hundredths.
"""

import numpy as np

LONG_SIDE = (20.0, 60.0)  # pixels in a picture of 128; uniform
# Per class: the largest long side over short side, and the smallest long side in pixels. A star of
# 12 pixels would have tips thinner than a pixel, and no class could be told from such a drawing.
MAX_ASPECT = {"ellipse": 3.0, "rectangle": 3.0, "triangle": 2.0, "star": 1.4, "crescent": 1.6}
MIN_SIDE = {"ellipse": 20.0, "rectangle": 20.0, "triangle": 22.0, "star": 24.0, "crescent": 24.0}
SHORT_SIDE = 12.0  # pixels; anything thinner has too few inner pixels to be told apart


def draw_outline(
    random: np.random.Generator, name: str, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One object in a window of its own, rotated by any angle.

    Args:
        random: Source of the size, the aspect, the angle and the sub-pixel place.
        name: Class.
        size: Height and width of the picture.

    Returns:
        u, v: Place of the pixel centres along the object's axes, in half sides, ``float32[N, N]``.
        distance: Signed distance from the outline in pixels, below 0 inside (first-order).
    """
    low, high = max(LONG_SIDE[0], MIN_SIDE[name]), LONG_SIDE[1] * size / 128
    long = random.uniform(low, max(low + 1, high))
    short = max(long / random.uniform(1, MAX_ASPECT[name]), min(long, SHORT_SIDE))
    short = max(short, MIN_SIDE[name] / MAX_ASPECT[name])
    a, b = long / 2, short / 2  # half sides
    window = int(np.ceil(np.hypot(a, b))) + 2
    offset_x, offset_y = random.random(2) - 0.5
    line = np.arange(-window, window + 1, dtype=np.float32)
    angle = random.random() * 2 * np.pi
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = line - np.float32(offset_x), line[:, None] - np.float32(offset_y)
    u, v = (cos * x + sin * y) / np.float32(a), (cos * y - sin * x) / np.float32(b)  # [N, N]
    return u, v, OUTLINES[name](u, v, a, b, random)


def _ellipse(u, v, a, b, random) -> np.ndarray:
    return _disc(u, v, a, b)


def _disc(u: np.ndarray, v: np.ndarray, a: float, b: float, radius: float = 1.0) -> np.ndarray:
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
    angles = np.array([0, 2, 4]) * np.pi / 3
    return _half_planes(u, v, a, b, angles, 0.5).max(axis=0)


def _star(u, v, a, b, random) -> np.ndarray:
    """Five lines; a point of the star lies on the inner side of at least four of them."""
    angles = np.arange(5) * 2 * np.pi / 5
    lines = _half_planes(u, v, a, b, angles, np.cos(2 * np.pi / 5))
    return np.partition(lines, 3, axis=0)[3]


def _crescent(u, v, a, b, random) -> np.ndarray:
    """A disc without a second disc that is shifted along u."""
    shift, radius = random.uniform(0.5, 0.65), random.uniform(0.8, 0.9)
    bite = _disc(u - np.float32(shift), v, a, b, radius)
    return np.maximum(_disc(u, v, a, b), -bite)


OUTLINES = {
    "ellipse": _ellipse,
    "rectangle": _rectangle,
    "triangle": _triangle,
    "star": _star,
    "crescent": _crescent,
}
