"""What notebook 20 looks at beside the coins: samples made smaller or grey, and a camera's path."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...datasets.masks import mask_boxes

MIN_SHARE = 0.4  # of a coin that a frame must show for it to be one of the frame's objects


class Changed:
    """A data set with every sample changed: `change` gets image and masks and gives both."""

    def __init__(self, samples: Sequence, change: Callable) -> None:
        self.samples, self.change, self.class_names = samples, change, samples.class_names

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        image, target = self.samples[index]
        image, masks = self.change(image, target["masks"])
        return image, with_masks(target, masks)


def with_masks(target: dict, masks: Tensor) -> dict:
    """A target with other masks [G, H, W]; objects that lost all pixels are left out."""
    kept = (masks != 0).flatten(1).any(dim=1)  # [G]
    masks = masks[kept]
    return {
        "boxes": torch.from_numpy(mask_boxes(masks.numpy())),
        "labels": target["labels"][kept],
        "masks": masks,
        "image_id": target["image_id"],
        "iscrowd": target["iscrowd"][kept],
        "area": masks.sum(dim=(1, 2), dtype=torch.float32),
    }


def halved(image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Half as high and wide: the mean of four pixels, and of four mask pixels one."""
    return F.avg_pool2d(image, 2), masks[:, ::2, ::2].contiguous()


def greyed(image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the three colours, three times."""
    return image.mean(dim=0, keepdim=True).expand(3, -1, -1).contiguous(), masks


def widened(masks: Tensor, pixels: int) -> Tensor:
    """Masks [G, H, W] that reach this many pixels further on every side."""
    size = 2 * pixels + 1
    return F.max_pool2d(masks[:, None].float(), size, 1, pixels)[:, 0].to(masks.dtype)


def frames(
    image: Tensor, target: dict, side: int, step: int, count: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """A camera that moves to the right over a large image.

    Args:
        image: Tensor[3, H, W]. target: its objects.
        side: of a frame. step: pixels from frame to frame. count: how many.

    Returns:
        Of each frame the image [3, side, side], the objects' numbers [G] in the large image, and
        their masks [G, side, side]: those of which enough is seen.
    """
    film = []
    for x in range(0, step * count, step):
        view = slice(0, side), slice(x, x + side)
        masks = target["masks"][:, *view]  # [G, side, side]
        seen = masks.sum(dim=(1, 2)) >= MIN_SHARE * target["area"]
        film.append((image[:, *view].contiguous(), seen.nonzero()[:, 0], masks[seen]))
    return film
