"""Anchors: the boxes the RPN starts from (FR §3.1.1), one grid per level (FPN §4.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .torchvision_attributes import AnchorAttributes

Numbers = Sequence[float]


def cell_anchors(sizes: Numbers, aspect_ratios: Numbers) -> Tensor:
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


class AnchorGenerator(AnchorAttributes, nn.Module):
    """Lay the anchors of one element over each level's grid.

    The grid of stride s starts at (0, 0), not at (s/2, s/2): torchvision's choice, which its
    weights learned.

    Args:
        sizes: of each level, in pixels, one number or several.
        aspect_ratios: height / width, the same for all levels or a tuple for each.
    """

    def __init__(
        self, sizes: Sequence[Numbers] | Numbers, aspect_ratios: Sequence[Numbers] | Numbers
    ) -> None:
        super().__init__()
        self.sizes = [s if isinstance(s, Sequence) else (s,) for s in sizes]
        same = not isinstance(aspect_ratios[0], Sequence)
        self.aspect_ratios = [aspect_ratios] * len(sizes) if same else aspect_ratios
        self._cache: dict[tuple, Tensor] = {}

    def num_anchors_per_location(self) -> list[int]:
        """Return how many anchors an element of each level has."""
        return [len(s) * len(r) for s, r in zip(self.sizes, self.aspect_ratios, strict=True)]

    def forward(self, features: list[Tensor], image_size: tuple[int, int]) -> Tensor:
        """Return all anchors of an image of the (padded) `image_size` (H, W), finest level first:
        Tensor[A, 4].

        Anchors depend on sizes alone, so they are kept: a training run asks for the same ones at
        every step.
        """
        if len(features) != len(self.sizes):
            raise ValueError(
                f"{len(features)} feature maps for {len(self.sizes)} anchor_sizes; give one tuple "
                "of sizes per level: replace model.rpn.anchor_generator, or set config.rpn"
            )
        shapes = *(f.shape[-2:] for f in features), image_size
        key = shapes, features[0].device, str(self.sizes), str(self.aspect_ratios)
        if key not in self._cache:
            if len(self._cache) > 16:  # images of ever new sizes must not fill the memory
                self._cache.clear()
            levels = zip(features, self.sizes, self.aspect_ratios, strict=True)
            self._cache[key] = torch.cat([self._level(*level, image_size) for level in levels])
        return self._cache[key]

    def kept(self) -> list[Tensor]:
        """Return all anchors that are kept; a recorded graph reads them and must hold on."""
        return list(self._cache.values())

    def _level(
        self, feature: Tensor, sizes: Numbers, aspect_ratios: Numbers, image_size: tuple[int, int]
    ) -> Tensor:
        """Return one level's anchors, element by element in row order: Tensor[h * w * N, 4]."""
        h, w = feature.shape[-2:]
        ys = torch.arange(h, device=feature.device) * (image_size[0] // h)
        xs = torch.arange(w, device=feature.device) * (image_size[1] // w)
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        corners = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)  # [h * w, 1, 4]
        cell = cell_anchors(sizes, aspect_ratios).to(feature.device)  # [N, 4]
        return (corners + cell).reshape(-1, 4)  # [h * w * N, 4]
