"""A small toy data set: coins and nuts on a table, as a folder of label maps.

Unlike `Shapes` it lies in files, as one's own images would: `images/`, `masks/`, `classes.json`. A
nut has a hole, which a label map keeps and a single polygon could not say.
"""

import json
from pathlib import Path

import numpy as np

from ...datasets.label_maps import CLASSES

RULES = {"1-99": "coin", "100-199": "nut"}  # which values of a map are which class
HEIGHT, WIDTH = 96, 128  # pixels
FIRST_NUT = 100  # value of the first nut in a map
TRIES = 30  # positions tried for one object


def write_toy_dataset(folder: str | Path, count: int, seed: int, empty: int = 0) -> Path:
    """Draw images and write them with their label maps."""
    from PIL import Image

    if not 0 <= empty <= count:
        raise ValueError(f"empty must be from 0 to count = {count}, got {empty}")
    folder = Path(folder)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        random = np.random.default_rng([seed, index])
        pixels, values = draw_toy_image(random, 0 if index >= count - empty else 4)
        Image.fromarray(pixels).save(folder / "images" / f"{index:03d}.png")
        Image.fromarray(values).save(folder / "masks" / f"{index:03d}.png")
    (folder / CLASSES).write_text(json.dumps(RULES) + "\n", encoding="utf-8")
    return folder


def draw_toy_image(random: np.random.Generator, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image; objects do not overlap."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5  # centres of the pixels
    table = np.array([0.45, 0.36, 0.28]) + 0.03 * np.sin(y / 5 + random.uniform(0, 6))[..., None]
    image, values = table.copy(), np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for number in range(1, objects + 1):
        nut, radius = bool(random.integers(2)), random.uniform(10, 17)
        for _ in range(TRIES):
            cx, cy = random.uniform(radius, WIDTH - radius), random.uniform(radius, HEIGHT - radius)
            u, v = x - cx, y - cy
            if not values[np.hypot(u, v) < radius + 3].any():
                break
        else:
            continue
        inside = _nut(u, v, radius, random.uniform(0, 1)) if nut else np.hypot(u, v) < radius
        values[inside] = number + (FIRST_NUT - 1 if nut else 0)
        metal = np.array([0.62, 0.66, 0.7] if nut else [0.85, 0.62, 0.3])
        shade = 1 + 0.25 * (u + v)[inside, None] / radius
        image[inside] = metal * random.uniform(0.85, 1.1) * shade
    image += 0.02 * random.standard_normal(image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8), values


def _nut(u: np.ndarray, v: np.ndarray, radius: float, turn: float) -> np.ndarray:
    """A hexagon without its bore, ``bool[H, W]``."""
    angle = np.arctan2(v, u) + turn
    sector = np.mod(angle, np.pi / 3) - np.pi / 6
    distance = np.hypot(u, v)
    flat = radius * np.cos(np.pi / 6)  # from the middle to a side
    return (distance * np.cos(sector) < flat) & (distance > 0.42 * radius)
