"""Pictures of any size in, one padded batch out (§3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import ImageConfig
from ..ops.checks import sums_finite
from ..ops.constants import constants_like
from .processes import ALONE, Alone


@dataclass(frozen=True)
class ImageBatch:
    """Resized, normalised images, padded with zeros to one size."""

    pixels: Tensor  # float [B, 3, H, W]
    sizes: Tensor  # float [B, 2]: (height, width) of each image inside the padding
    original_sizes: list[tuple[int, int]]  # (height, width) before resizing
    resized_sizes: list[tuple[int, int]]  # `sizes` as Python's numbers: no GPU is asked for them

    @property
    def padded_size(self) -> tuple[int, int]:
        """(H, W) of the batch."""
        return tuple(self.pixels.shape[-2:])


def resize_factor(size: tuple[int, int], config: ImageConfig) -> float:
    """Return the factor to `min_size`, or less where the longer side would pass `max_size`."""
    return min(config.min_size / min(size), config.max_size / max(size))


def resize_sample(
    image: Tensor, target: dict[str, Tensor] | None, config: ImageConfig
) -> tuple[Tensor, dict[str, Tensor] | None]:
    """Resize an image [3, H, W], and its boxes and masks with it."""
    size = tuple(image.shape[-2:])
    factor = resize_factor(size, config)
    new_size = (int(size[0] * factor), int(size[1] * factor))
    if new_size == size:
        return image, target
    # The exact factor, not new/old: torchvision's interpolation samples with it too.
    image = F.interpolate(
        image[None],
        scale_factor=factor,
        mode="bilinear",
        align_corners=False,
        recompute_scale_factor=True,
    )[0]  # [3, H, W]
    if target is None:
        return image, None
    target = dict(target)
    target["boxes"] = resize_boxes(target["boxes"], size, tuple(image.shape[-2:]))
    masks = F.interpolate(target["masks"][:, None].float(), size=image.shape[-2:], mode="nearest")
    target["masks"] = masks[:, 0].to(torch.uint8)  # [G, H, W]
    return image, target


def resize_boxes(boxes: Tensor, old: tuple[float, float], new: tuple[float, float]) -> Tensor:
    """Scale boxes [N, 4] from an image of size (H, W) `old` to one of size `new`.

    The ratio is rounded to float32 whatever the boxes' precision: torchvision does so, and the
    difference would be 1e-5 pixels.
    """
    ratio = torch.tensor(new, dtype=torch.float32) / torch.tensor(old, dtype=torch.float32)  # [2]
    ratio = ratio.flip(0).repeat(2).to(boxes.device, boxes.dtype, non_blocking=True)  # [4]
    return boxes * ratio  # [N, 4]


def batch_images(
    images: list[Tensor],
    targets: list[dict[str, Tensor]] | None,
    config: ImageConfig,
    processes: Alone = ALONE,
) -> tuple[ImageBatch, list[dict[str, Tensor]] | None]:
    """Resize, normalise and pad images [3, H_b, W_b] in 0..1 and, in training, their targets.

    Args:
        images, targets: see `MaskRCNN.forward`.
        config: sizes, mean and standard deviation.
        processes: those that share the batch; all pad to one size.
    """
    check_images(images)
    images = [image.as_subclass(Tensor) for image in images]  # torchvision's tv_tensors too
    originals = [tuple(image.shape[-2:]) for image in images]
    wanted = targets if targets is not None else [None] * len(images)
    pairs = [
        resize_sample(image, target, config) for image, target in zip(images, wanted, strict=True)
    ]
    mean, std = (constants_like(images[0], v)[:, None, None] for v in (config.mean, config.std))
    shapes = [tuple(image.shape[-2:]) for image, _ in pairs]
    step = config.size_divisible
    height, width = processes.largest((max(h for h, _ in shapes), max(w for _, w in shapes)))
    height, width = -(-height // step) * step, -(-width // step) * step
    pixels = images[0].new_zeros(len(images), 3, height, width)  # [B, 3, H, W]
    for row, ((image, _), (h, w)) in enumerate(zip(pairs, shapes, strict=True)):
        pixels[row, :, :h, :w] = (image - mean).div_(std)
    sizes = torch.tensor(shapes, dtype=torch.float32)  # [B, 2]
    sizes = sizes.to(pixels.device, non_blocking=True)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    batch = ImageBatch(pixels.contiguous(memory_format=layout), sizes, originals, shapes)
    return batch, None if targets is None else [target for _, target in pairs]


def check_images(images: list[Tensor]) -> None:
    """Refuse what is not a list of float RGB images.

    Raises:
        TypeError, ValueError: with the place in the list, what was found and what is asked for.
    """
    if not isinstance(images, list | tuple) or not images:
        raise TypeError("images must be a non-empty list of Tensor[3, H, W]")
    for place, image in enumerate(images):
        if not isinstance(image, Tensor) or not image.is_floating_point():
            found = image.dtype if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(
                f"images[{place}] is {found}; give a float Tensor[3, H, W] in 0..1 "
                "(uint8: divide by 255)"
            )
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(
                f"images[{place}] has shape {tuple(image.shape)}; "
                "give [3, H, W], channels first, RGB"
            )
        if image.device.type != "cpu" or sums_finite(image):
            continue
        if not image.isfinite().all():
            raise ValueError(
                f"images[{place}] holds NaN or infinite pixels; look at how it was read"
            )
