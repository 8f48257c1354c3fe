"""Anchors: the boxes the RPN starts from (FR §3.1.1), one grid per level (FPN §4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def cell_anchors(sizes: tuple[int, ...], aspect_ratios: tuple[float, ...]) -> Tensor:
    """Return the anchors of one element, centred on (0, 0) and rounded to whole pixels as in
    torchvision.

    Args:
        sizes: square roots of the anchors' areas, in pixels.
        aspect_ratios: height / width.

    Returns:
        Tensor[len(aspect_ratios) * len(sizes), 4].
    """
    scale = torch.tensor(sizes, dtype=torch.float32)
    stretch = torch.tensor(aspect_ratios, dtype=torch.float32).sqrt()
    widths = (1 / stretch[:, None] * scale).flatten()  # [N]
    heights = (stretch[:, None] * scale).flatten()  # [N]
    return (torch.stack([-widths, -heights, widths, heights], dim=1) / 2).round()  # [N, 4]


class AnchorGenerator(nn.Module):
    """Lay the anchors of one element over each level's grid.

    The grid of stride s starts at (0, 0), not at (s/2, s/2): torchvision's choice, which its
    weights learned.
    """

    def __init__(
        self, sizes: tuple[tuple[int, ...], ...], aspect_ratios: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.sizes, self.aspect_ratios = sizes, aspect_ratios
        self._cache: dict[tuple, Tensor] = {}

    def per_location(self) -> int:
        """Return how many anchors each element has (the same on all levels)."""
        counts = {len(sizes) for sizes in self.sizes}
        if len(counts) != 1:
            raise ValueError(
                f"anchor_sizes must have the same number of sizes on every level, not {self.sizes}"
            )
        return counts.pop() * len(self.aspect_ratios)

    def forward(self, features: list[Tensor], image_size: tuple[int, int]) -> Tensor:
        """Return all anchors of an image of the (padded) `image_size` (H, W), finest level first:
        Tensor[A, 4].

        Anchors depend on sizes alone, so they are kept: a training run asks for the same ones at
        every step.
        """
        if len(features) != len(self.sizes):
            raise ValueError(
                f"{len(features)} feature maps for {len(self.sizes)} anchor_sizes; "
                "give one tuple of sizes per level"
            )
        key = (*(f.shape[-2:] for f in features), image_size, features[0].device)
        if key not in self._cache:
            if len(self._cache) > 16:  # images of ever new sizes must not fill the memory
                self._cache.clear()
            levels = map(self._level, features, self.sizes, [image_size] * len(features))
            self._cache[key] = torch.cat([*levels])
        return self._cache[key]

    def kept(self) -> list[Tensor]:
        """Return all anchors that are kept; a recorded graph reads them and must hold on."""
        return list(self._cache.values())

    def _level(
        self, feature: Tensor, sizes: tuple[int, ...], image_size: tuple[int, int]
    ) -> Tensor:
        """Return one level's anchors, element by element in row order: Tensor[h * w * N, 4]."""
        h, w = feature.shape[-2:]
        ys = torch.arange(h, device=feature.device) * (image_size[0] // h)
        xs = torch.arange(w, device=feature.device) * (image_size[1] // w)
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        corners = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)  # [h * w, 1, 4]
        cell = cell_anchors(sizes, self.aspect_ratios).to(feature.device)  # [N, 4]
        return (corners + cell).reshape(-1, 4)  # [h * w * N, 4]
