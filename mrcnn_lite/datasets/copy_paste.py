"""Objects of one image pasted into another: more training images than were taken (Ghiasi et al.
2021, Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation, §3)."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from .masks import mask_boxes
from .transforms import MIN_PIXELS, OBJECTS, Sample, Transform, rows_of


class CopyPaste:
    """Take another image by chance, and put some of its objects where they are there.

    Edges stay sharp: the paper found that blending them gains nothing. Keypoints that are covered
    stay labelled, as those are that an object in a photograph hides.

    Args:
        dataset: of (image, target); several threads may read it.
        view: how the other image is changed first, to the size of the images.
        chance: for an image to be pasted into; then each object of the other has chance 1/2.
        min_pixels, min_share: of an object in the image that stay free; else it is dropped.
    """

    def __init__(
        self,
        dataset: Sequence,
        view: Transform,
        chance: float = 0.5,
        min_pixels: int = MIN_PIXELS,
        min_share: float = 0.15,
    ) -> None:
        self.dataset, self.view, self.chance = dataset, view, chance
        self.min_pixels, self.min_share = min_pixels, min_share

    def __call__(self, image: Tensor, target: dict, generator: Generator) -> Sample:
        """Apply it by chance."""
        if float(torch.rand(1, generator=generator)) >= self.chance:
            return image, target
        index = int(torch.randint(len(self.dataset), (1,), generator=generator))
        other, objects = self.view(*self.dataset[index], generator)
        pasted = torch.rand(len(objects["boxes"]), generator=generator) < 0.5
        pasted &= objects["iscrowd"] == 0
        return self.paste(image, target, other, rows_of(objects, pasted))

    def paste(self, image: Tensor, target: dict, other: Tensor, objects: dict) -> Sample:
        """Put all objects of another image of the same size in front of the image's own."""
        cover = objects["masks"].bool().any(0)  # [H, W]
        masks = target["masks"].masked_fill(cover, 0)  # [G, H, W]
        before, area = (m.sum((1, 2)).float() for m in (target["masks"], masks))  # [G]
        keep = (area >= self.min_pixels) & (area >= self.min_share * before)
        own = rows_of({**target, "masks": masks, "area": area.to(target["area"].dtype)}, keep)
        own["boxes"] = torch.from_numpy(mask_boxes(own["masks"].numpy()))  # [G, 4]
        joined = {key: torch.cat([own[key], objects[key]]) for key in OBJECTS & {*target}}
        return torch.where(cover, other, image), target | joined
