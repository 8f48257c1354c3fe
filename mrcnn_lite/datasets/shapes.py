"""Shapes: an endless, seeded set of drawn images for instance segmentation.

Each image has a textured background and 2 to 5 shaded objects that overlap and hide one another;
about one image in 25 has none. Sample i of seed s is always the same image, so nothing is stored:
training reads new images for as long as it runs.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .drawing import DISTANCES, Drawn, draw_image
from .masks import mask_boxes

CLASS_NAMES = ["background", *DISTANCES]
ENDLESS = 2**62  # length of a set that is never read twice


class Shapes:
    """A sequence of drawn images with boxes, classes and masks.

    Args:
        length: Number of samples; None for a set without end (``len`` is then ``ENDLESS``).
        seed: Together with the index it fixes every pixel. Use another seed for held-out data.
        size: Height and width of the images in pixels.

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
        """Draw one sample (see `mrcnn_lite.datasets`); negative indices count from the end.

        Raises:
            IndexError: When the index is outside the set.
        """
        if not -self.length <= index < self.length:
            raise IndexError(f"sample {index} of a set of {self.length}")
        index = int(index) % self.length
        random = np.random.default_rng([self.seed, index])
        return self._draw(random, index)[:2]

    def _draw(
        self, random: np.random.Generator, index: int, **how: Any
    ) -> tuple[Tensor, dict, list[Drawn]]:
        """Image, target, and the objects; ``how`` as of `draw_image`."""
        image, owner, objects = draw_image(random, self.size, **how)
        masks = owner == np.arange(1, len(objects) + 1, dtype=np.uint8)[:, None, None]  # [G, H, W]
        target = {
            "boxes": torch.from_numpy(mask_boxes(masks)),
            "labels": torch.tensor([drawn.label for drawn in objects], dtype=torch.int64),
            "masks": torch.from_numpy(masks.view(np.uint8)),
            "image_id": index,
            "iscrowd": torch.zeros(len(objects), dtype=torch.uint8),
            "area": torch.from_numpy(masks.sum(axis=(1, 2), dtype=np.float32)),
        }
        return torch.from_numpy(image), target, objects
