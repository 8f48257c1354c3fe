"""The rules of two libraries, one beside the other: what torchvision does, and what detectron2 does
as its sources describe it. Both are written with this package's operations."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import ops


@dataclass(frozen=True)
class Library:
    """Three operations of a library, each with its rule."""

    name: str
    aligned: bool  # whether RoIAlign takes half an element off
    hard: bool  # whether mask targets are cut at 0.5
    paste_rule: str

    def roi_align(self, features: Tensor, boxes: Tensor, size: int, scale: float) -> Tensor:
        """RoIAlign of boxes [K, 4] on one image's features [1, C, h, w], ratio 2."""
        return ops.roi_align(features, [boxes], size, scale, 2, aligned=self.aligned)

    def targets(self, masks: Tensor, boxes: Tensor, size: int) -> Tensor:
        """The mask targets [K, M, M] of boxes [K, 4], each with a mask of its own [K, H, W]."""
        own = torch.arange(len(boxes))
        soft = ops.crop_masks(masks, boxes, own, size, aligned=self.aligned)  # [K, M, M]
        return (soft >= 0.5).to(soft) if self.hard else soft

    def paste(self, masks: Tensor, boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Masks [K, M, M] in the image, [K, H, W]."""
        return ops.paste_masks(masks, boxes, image_size, self.paste_rule)


TORCHVISION = Library("torchvision", aligned=False, hard=False, paste_rule="torchvision")
DETECTRON2 = Library("detectron2", aligned=True, hard=True, paste_rule="pixel_centres")
