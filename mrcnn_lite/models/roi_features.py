"""From boxes to features of one size: RoIAlign on the level that fits each box (FPN, eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..ops import multiscale_roi_align, roi_align


def full(x: Tensor) -> Tensor:
    """Return at least float32: eight bits of bf16 hold no coordinate and no small loss."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class RoIFeatures(nn.Module):
    """Pool every box to P x P, from one pyramid level or from the level that its size asks for.

    Args:
        levels: how many levels to read, from the finest; 1 reads everything from P2.
        pooled_size: P. sampling_ratio: samples per bin and axis. aligned: the half-pixel rule.
    """

    def __init__(self, levels: int, pooled_size: int, sampling_ratio: int, aligned: bool) -> None:
        super().__init__()
        self.levels, self.pooled_size = levels, pooled_size
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(
        self, features: list[Tensor], boxes: list[Tensor], padded_size: tuple[int, int]
    ) -> Tensor:
        """Return the features of all boxes, image by image: Tensor[K, C, P, P].

        Args:
            features: the pyramid, finest level first. boxes: one Tensor[R_b, 4] per image.
                padded_size: (H, W).
        """
        if self.levels == 1:
            scale = features[0].shape[-2] / padded_size[0]
            return roi_align(
                features[0],
                boxes,
                self.pooled_size,
                scale,
                self.sampling_ratio,
                aligned=self.aligned,
            )  # [K, C, P, P]
        return multiscale_roi_align(
            features[: self.levels],
            boxes,
            padded_size,
            self.pooled_size,
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
        )  # [K, C, P, P]
