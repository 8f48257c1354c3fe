"""Coins on a table, drawn by code: plain discs, or what a photograph has beside them."""

import numpy as np
import torch
from torch import Tensor

from ...config import Config, lite
from ...datasets.masks import mask_boxes

CLASS_NAMES = ["background", "coin"]
DIAMETERS = (20.0, 66.0)  # pixels
COUNT = (2, 7)  # coins in an image of 128 x 128, the last excluded; more in a larger one
GAP = 1.0  # pixels between two coins, at least
TRIES = 20  # positions tried for one coin before it is dropped
WAVES = np.arange(2, 7)  # of an uneven edge, around the coin
NOISE = 0.02  # standard deviation of the pixel noise
# What a drawing has beside bright discs on a dark table, by the name of its network.
DRAWINGS = {
    "plain": (),
    "background": ("background",),
    "relief": ("relief",),
    "both": ("background", "relief"),
}


class DrawnCoins:
    """An endless, seeded set of grey images of coins that touch at most.

    Args:
        length: number of samples.
        seed: together with the index it fixes every pixel.
        drawing: one of `DRAWINGS`: a background that is not even, a relief on the coins.
        size: height and width in pixels.
    """

    class_names = CLASS_NAMES

    def __init__(self, length: int, seed: int, drawing: str = "both", size: int = 128) -> None:
        self.length, self.seed, self.size = length, seed, size
        self.has = DRAWINGS[drawing]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        """Draw one sample, see `mrcnn_lite.datasets`."""
        if not 0 <= index < self.length:
            raise IndexError(f"sample {index} of a set of {self.length}")
        random = np.random.default_rng([self.seed, index])
        grey, table = _draw_table(random, self.size, "background" in self.has)  # [H, W], float
        masks, circles = [], []
        for _ in range(int(random.integers(*COUNT) * (self.size / 128) ** 2)):
            coin = _place(random, circles, self.size, "relief" in self.has)
            if coin is not None:
                window, u, v, distance = coin
                face = _draw_face(random, u, v, distance, table, "relief" in self.has)
                grey[window] += np.clip(0.5 - distance, 0, 1) * (face - grey[window])
                masks.append(np.zeros(grey.shape, bool))
                masks[-1][window] = distance < 0
        return as_sample(grey + NOISE * random.standard_normal(grey.shape), masks, index)


def as_sample(grey: np.ndarray, masks: list[np.ndarray], index: int) -> tuple[Tensor, dict]:
    """A grey image [H, W] and its masks as a sample of a data set."""
    image = torch.from_numpy(np.clip(grey, 0, 1).astype(np.float32)).expand(3, -1, -1).clone()
    stack = np.array(masks, dtype=np.uint8).reshape(-1, *grey.shape)  # [G, H, W]
    return image, {
        "boxes": torch.from_numpy(mask_boxes(stack)),
        "labels": torch.ones(len(stack), dtype=torch.int64),
        "masks": torch.from_numpy(stack),
        "image_id": index,
        "iscrowd": torch.zeros(len(stack), dtype=torch.uint8),
        "area": torch.from_numpy(stack.sum(axis=(1, 2), dtype=np.float32)),
    }


def coin_config() -> Config:
    """The lite network with half its channels: one class, and no colours, need fewer."""
    return lite(len(CLASS_NAMES)).with_(
        backbone={"widths": (16, 24, 32, 48), "fpn_channels": 24},
        rpn={"post_nms_test": 200},
        box={"convs": (24, 24), "head_channels": 64},
        mask={"channels": (16, 16, 16, 16), "hidden": 16},
        training={"warmup_steps": 50, "optimizer": "adamw"},
    )


def _draw_table(random: np.random.Generator, size: int, uneven: bool) -> tuple[np.ndarray, float]:
    """The table [H, W], and its mean brightness: one grey, or light that falls off, with spots."""
    grey = random.uniform(0.1, 0.45)
    table = np.full((size, size), grey)
    if uneven:
        angle = random.random() * 2 * np.pi
        y, x = np.mgrid[:size, :size] / size - 0.5
        table += random.uniform(0, 0.35) * (np.cos(angle) * x + np.sin(angle) * y)
        table += random.uniform(0.01, 0.04) * _smooth_noise(random, size, size, size // 12)
    return table, grey


def _place(
    random: np.random.Generator, circles: list[tuple], size: int, uneven: bool
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray, np.ndarray] | None:
    """A free place for a coin; `circles` holds centre and reach of those that lie there.

    Gives its window of the image, the pixels' places in it from the centre, in radii, and their
    signed distances from the edge in pixels: [h, w] each.
    """
    radius = random.uniform(*DIAMETERS) / 2
    heights = (0.035 if uneven else 0.0) * random.standard_normal(len(WAVES)) / WAVES**0.5
    phases = random.random(len(WAVES)) * 2 * np.pi
    turn = np.linspace(-np.pi, np.pi, 120)
    edge = radius * (1 + (heights * np.cos(WAVES * turn[:, None] + phases)).sum(axis=1))  # [120]
    reach = edge.max()
    for _ in range(TRIES):
        centre = random.uniform(0.1 * radius, size - 0.1 * radius, 2)
        gaps = [np.hypot(*(centre - other)) - reach - far for other, far in circles]
        if min(gaps, default=GAP) >= GAP:
            circles.append((centre, reach))
            low = np.maximum(0, np.floor(centre - reach - 2)).astype(int)
            high = np.minimum(size, np.ceil(centre + reach + 2)).astype(int)
            window = slice(low[1], high[1]), slice(low[0], high[0])
            y, x = np.mgrid[window] + 0.5
            u, v = x - centre[0], y - centre[1]
            distance = np.hypot(u, v) - np.interp(np.arctan2(v, u), turn, edge)
            return window, u / radius, v / radius, distance
    return None


def _draw_face(
    random: np.random.Generator,
    u: np.ndarray,
    v: np.ndarray,
    distance: np.ndarray,
    table: float,
    relief: bool,
) -> np.ndarray:
    """The coin's brightness [h, w]: even, or with a relief that goes from dark to bright."""
    face = np.full(distance.shape, table + random.uniform(0.15, 0.45))
    if relief:
        for cells, amplitude in ((3, 0.08), (6, 0.07), (12, 0.05)):  # across the coin
            face += random.uniform(0.5, 1.5) * amplitude * _smooth_noise(random, *face.shape, cells)
        angle = random.random() * 2 * np.pi
        face += random.uniform(0, 0.1) * (np.cos(angle) * u + np.sin(angle) * v)
        face += random.uniform(-0.05, 0.15) * np.exp(-(((distance + 2.5) / 1.5) ** 2))  # the rim
    return face


def _smooth_noise(random: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Random values at cell centres, interpolated linearly: [height, width]."""
    up, across = (
        np.maximum(0, 1 - np.abs(np.linspace(0, cells - 1, side)[:, None] - np.arange(cells)))
        for side in (height, width)
    )
    return up @ random.standard_normal((cells, cells)) @ across.T
