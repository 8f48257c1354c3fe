"""Shapes: an endless, seeded set of drawn pictures for instance segmentation.

Each picture has a textured background and 2 to 5 shaded objects that overlap and hide one another;
about one picture in 25 has none. Sample i of seed s is always the same picture, so nothing is
stored: training reads new pictures for as long as it runs.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .masks import mask_boxes
from .outlines import draw_outline

CLASS_NAMES = ["background", "ellipse", "rectangle", "triangle", "star", "crescent"]
ENDLESS = 2**62  # length of a set that is never read twice
MIN_PIXELS, MIN_SHARE = 80, 0.5  # an object keeps this many pixels, and this share of itself
NEAR_SHARE = 0.15  # of the objects are put near another one, so that more of them overlap
EMPTY_SHARE = 0.04  # of all pictures
NOISE = 0.05  # standard deviation of the pixel noise
CONTRAST = 0.3  # RGB distance of an object from the background and from the other objects
PLACINGS = 12  # places tried for one object before it is dropped


class Shapes:
    """A sequence of drawn pictures with boxes, classes and masks.

    Args:
        length: Number of samples; None for a set without end (``len`` is then ``ENDLESS``).
        seed: Together with the index it fixes every pixel. Use another seed for held-out data.
        size: Height and width of the pictures in pixels.

    Raises:
        ValueError: When an argument is negative or the size is below 32 pixels.
    """

    class_names = CLASS_NAMES

    def __init__(self, length: int | None, seed: int, size: int = 128) -> None:
        if length is not None and length < 0:
            raise ValueError(f"length must be None or at least 0, got {length}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if size < 32:
            raise ValueError(f"size must be at least 32 pixels, got {size}")
        self.length = ENDLESS if length is None else length
        self.seed = seed
        self.size = size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        """Draw one sample.

        Args:
            index: 0 to length - 1; negative values count from the end.

        Returns:
            The image ``Tensor[3, H, W]`` in 0..1 and the target with ``boxes`` ``Tensor[G, 4]``,
            ``labels`` ``int64[G]``, ``masks`` ``uint8[G, H, W]`` (visible pixels only),
            ``image_id``, ``iscrowd`` ``uint8[G]`` and ``area`` ``Tensor[G]`` in pixels.

        Raises:
            IndexError: When the index is outside the set.
        """
        if not -self.length <= index < self.length:
            raise IndexError(f"sample {index} of a set of {self.length}")
        index = int(index) % self.length
        random = np.random.default_rng([self.seed, index])
        image, owner, labels = draw_picture(random, self.size)
        masks = owner == np.arange(1, len(labels) + 1, dtype=np.uint8)[:, None, None]  # [G, H, W]
        return torch.from_numpy(image), {
            "boxes": torch.from_numpy(mask_boxes(masks)),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "masks": torch.from_numpy(masks.view(np.uint8)),
            "image_id": index,
            "iscrowd": torch.zeros(len(labels), dtype=torch.uint8),
            "area": torch.from_numpy(masks.sum(axis=(1, 2), dtype=np.float32)),
        }


def draw_picture(random: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, list]:
    """Draw one picture.

    Args:
        random: Source of every choice.
        size: Height and width in pixels.

    Returns:
        The image ``float32[3, H, W]`` in 0..1, the owner of every pixel ``uint8[H, W]`` (0 for the
        background, g + 1 for object g) and the class of every object.
    """
    image, palette = draw_background(random, size)
    owner = np.zeros((size, size), dtype=np.uint8)  # [H, W]
    labels: list[int] = []
    needs: list[float] = []  # pixels that each object must keep
    count = 0 if random.random() < EMPTY_SHARE else random.integers(2, 6)
    for _ in range(count):
        label = int(random.integers(1, len(CLASS_NAMES)))
        u, v, distance = draw_outline(random, CLASS_NAMES[label], size)
        place = find_place(random, distance < 0, owner, needs)
        if place is None:
            continue
        labels.append(label)
        colour = pick_colour(random, palette)
        palette.append(colour)
        paint(random, image, place, (u, v, distance), colour)
    image += NOISE * random.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 1, out=image), owner, labels


def draw_background(random: np.random.Generator, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A gradient between two colours, blotches of low frequency, and often stripes.

    Returns:
        ``float32[3, H, W]`` and the two colours, each ``float32[3]``.
    """
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
        wave = random.uniform(4, 16) * size / 64 * np.pi  # radians over the whole picture
        angle = random.random() * 2 * np.pi
        phase_x = np.float32(wave * np.cos(angle)) * line
        phase_y = np.float32(wave * np.sin(angle)) * line[:, None]
        # sin(x + y) by the addition theorem: sines of two lines, not of a whole picture
        stripes = np.sin(phase_x) * np.cos(phase_y) + np.cos(phase_x) * np.sin(phase_y)  # [H, W]
        tint = random.uniform(-0.09, 0.09, 3).astype(np.float32)
        image += tint[:, None, None] * stripes
    return image, [start, end]


@lru_cache(maxsize=32)
def _linear_upsampling(cells: int, size: int) -> np.ndarray:
    """The matrix ``float32[size, cells]`` that interpolates linearly from cell centres."""
    position = np.linspace(0, cells - 1, size, dtype=np.float32)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells, dtype=np.float32)))


def find_place(
    random: np.random.Generator, inside: np.ndarray, owner: np.ndarray, needs: list[float]
) -> tuple[slice, slice, slice, slice] | None:
    """Find a place where the object and all those below it stay visible, and write it down.

    Args:
        random: Source of the places; some are near an object that is already there.
        inside: The object in its window, ``bool[N, N]``.
        owner: Owner of every pixel ``uint8[H, W]``; changed when a place is found.
        needs: Pixels that each earlier object must keep; extended when a place is found.

    Returns:
        Rows and columns in the picture, then rows and columns in the window; None without a place.
    """
    size, half = len(owner), len(inside) // 2
    pixels = int(inside.sum())
    need = max(MIN_PIXELS, MIN_SHARE * pixels)
    visible = np.bincount(owner.ravel(), minlength=len(needs) + 1)
    for _ in range(PLACINGS):
        centre = random.integers(half // 2, size - half // 2, 2)
        if needs and random.random() < NEAR_SHARE:
            other = np.argwhere(owner == random.integers(1, len(needs) + 1))
            centre = other[random.integers(len(other))] + random.integers(-half, half + 1, 2) // 2
        top, left = (int(c) - half for c in centre)
        rows = slice(max(0, top), min(size, top + len(inside)))
        columns = slice(max(0, left), min(size, left + len(inside)))
        part_rows = slice(rows.start - top, rows.stop - top)
        part_columns = slice(columns.start - left, columns.stop - left)
        seen = inside[part_rows, part_columns]
        hidden = np.bincount(owner[rows, columns][seen], minlength=len(needs) + 1)
        if hidden.sum() >= need and all((visible - hidden)[1:] >= needs):
            needs.append(need)
            owner[rows, columns][seen] = len(needs)
            return rows, columns, part_rows, part_columns
    return None


def pick_colour(random: np.random.Generator, palette: list[np.ndarray]) -> np.ndarray:
    """The first of some random colours that differs enough from those in use, ``float32[3]``."""
    colours = random.random((12, 3), dtype=np.float32) * np.float32(0.9) + np.float32(0.05)
    gaps = np.linalg.norm(colours[:, None] - np.stack(palette), axis=2).min(axis=1)  # [12]
    return colours[np.argmax(gaps >= CONTRAST) if gaps.max() >= CONTRAST else np.argmax(gaps)]


def paint(
    random: np.random.Generator,
    image: np.ndarray,
    place: tuple[slice, slice, slice, slice],
    outline: tuple[np.ndarray, np.ndarray, np.ndarray],
    colour: np.ndarray,
) -> None:
    """Lay a shaded and textured object over the picture, with anti-aliased edges."""
    rows, columns, *part = place
    u, v, distance = (field[tuple(part)] for field in outline)
    tones = random.uniform(-0.1, 0.1, 2).astype(np.float32)
    shade = tones[0] * u + tones[1] * v
    if random.random() < 0.4:
        frequency = np.float32(random.uniform(3, 8))
        shade += np.float32(random.uniform(0.04, 0.1)) * np.sin(frequency * (u + v * tones[0] * 10))
    cover = np.clip(0.5 - distance, 0, 1)  # share of the pixel that the object covers
    under = image[:, rows, columns]
    under += cover * (colour[:, None, None] + shade - under)
