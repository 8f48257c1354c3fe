"""Images of any size and their objects in, one padded batch out (§3.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ImageConfig
from ..ops.constants import constants_like
from .torchvision_attributes import TransformAttributes

Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True)
class ImageBatch:
    """Resized, normalised images, padded with zeros to one size."""

    pixels: Tensor  # float [B, 3, H, W]
    sizes: Tensor  # float [B, 2]: (height, width) of each image inside the padding
    original_sizes: list[Size]  # before resizing
    resized_sizes: list[Size]  # `sizes` as Python's numbers: no GPU is asked for them

    @property
    def padded_size(self) -> Size:
        """(H, W) of the batch."""
        return tuple(self.pixels.shape[-2:])

    # torchvision's names.
    tensors = property(lambda self: self.pixels)
    image_sizes = property(lambda self: self.resized_sizes)


@dataclass(frozen=True)
class Targets:
    """Ground truth of B images, padded to G objects each."""

    boxes: Tensor  # float [B, G, 4]
    labels: Tensor  # int64 [B, G], 0 in padded rows
    masks: Tensor  # uint8 [B, G, H, W]
    valid: Tensor  # bool [B, G], False in padded rows


class Transform(TransformAttributes, nn.Module):
    """`batch_images` as the network's first module, with torchvision's attributes."""

    def forward(
        self,
        images: list[Tensor],
        targets: list[dict[str, Tensor]] | None = None,
        padding: Callable[[Size], Size] | None = None,
    ) -> tuple[ImageBatch, list[dict[str, Tensor]] | None]:
        """See `batch_images`."""
        return batch_images(images, targets, self.config, padding, self.training)


def batch_images(
    images: list[Tensor],
    targets: list[dict[str, Tensor]] | None,
    config: ImageConfig,
    padding: Callable[[Size], Size] | None = None,
    training: bool = False,
) -> tuple[ImageBatch, list[dict[str, Tensor]] | None]:
    """Resize, normalise and pad images [3, H_b, W_b] in 0..1 and, in training, their targets.

    Args:
        images, targets: see `MaskRCNN.forward`.
        config: sizes, mean and standard deviation.
        padding: from the size that holds all images to the one that they are padded to; None: to
            that size. Either is then rounded up to `config.size_divisible`.
        training: whether `train_min_sizes` and `skip_resize` of the config count.
    """
    check_images(images)
    images = [image.as_subclass(Tensor) for image in images]  # torchvision's tv_tensors too
    originals = [tuple(image.shape[-2:]) for image in images]
    pairs = [
        resize_sample(image, target, config, training)
        for image, target in zip(images, targets or [None] * len(images), strict=True)
    ]
    mean, std = (constants_like(images[0], v)[:, None, None] for v in (config.mean, config.std))
    shapes = [tuple(image.shape[-2:]) for image, _ in pairs]
    largest = max(h for h, _ in shapes), max(w for _, w in shapes)
    step = config.size_divisible
    padded = largest if padding is None else padding(largest)
    height, width = (-(-side // step) * step for side in padded)
    pixels = images[0].new_zeros(len(images), 3, height, width)  # [B, 3, H, W]
    for row, ((image, _), (h, w)) in enumerate(zip(pairs, shapes, strict=True)):
        pixels[row, :, :h, :w] = (image - mean).div_(std)
    sizes = torch.tensor(shapes, dtype=torch.float32)  # [B, 2]
    sizes = sizes.to(pixels.device, non_blocking=True)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    batch = ImageBatch(pixels.contiguous(memory_format=layout), sizes, originals, shapes)
    return batch, None if targets is None else [target for _, target in pairs]


def resize_factor(size: Size, config: ImageConfig, training: bool = False) -> float:
    """Return the factor to `min_size`, in training to one of `train_min_sizes` if there are any, or
    less where the longer side would pass `max_size`."""
    shorter, several = config.min_size, config.train_min_sizes
    if training and several:
        shorter = several[int(torch.randint(len(several), ()))]
    return min(shorter / min(size), config.max_size / max(size))


def resize_sample(
    image: Tensor, target: dict[str, Tensor] | None, config: ImageConfig, training: bool = False
) -> tuple[Tensor, dict[str, Tensor] | None]:
    """Resize an image [3, H, W], and its boxes and masks with it."""
    size = tuple(image.shape[-2:])
    factor = resize_factor(size, config, training)
    new = int(size[0] * factor), int(size[1] * factor)
    if new == size or (training and config.skip_resize):
        return image, target
    # The exact factor, not new/old: torchvision's interpolation samples with it too. Of an image of
    # 5000 x 1 no pixel would be left.
    how = {"scale_factor": factor, "recompute_scale_factor": True}
    how = how if min(new) else {"size": tuple(max(1, side) for side in new)}
    image = F.interpolate(image[None], mode="bilinear", align_corners=False, **how)[0]  # [3, H, W]
    if target is None:
        return image, None
    target = dict(target)
    target["boxes"] = resize_boxes(target["boxes"], size, tuple(image.shape[-2:]))
    masks = F.interpolate(target["masks"][:, None].float(), size=image.shape[-2:], mode="nearest")
    target["masks"] = masks[:, 0].to(torch.uint8)  # [G, H, W]
    return image, target


def resize_boxes(boxes: Tensor, old: tuple[float, float], new: tuple[float, float]) -> Tensor:
    """Scale boxes [N, 4] from an image of size (H, W) `old` to one of size `new`.

    The ratio is rounded to float32, as torchvision's is: the difference would be 1e-5 pixels.
    """
    ratio = torch.tensor(new, dtype=torch.float32) / torch.tensor(old, dtype=torch.float32)  # [2]
    ratio = ratio.flip(0).repeat(2).to(boxes.device, boxes.dtype, non_blocking=True)  # [4]
    return boxes * ratio  # [N, 4]


def largest_of_processes(size: Size) -> Size:
    """Return the largest size of any process: all that share a batch pad to one."""
    if not (dist.is_available() and dist.is_initialized()):
        return size
    # NCCL reads a GPU's memory, gloo the CPU's.
    message = torch.tensor(size, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(message, dist.ReduceOp.MAX)
    height, width = message.tolist()
    return height, width


def pad_targets(
    targets: list[dict[str, Tensor]], image_size: Size, like: Tensor, at_least: int = 1
) -> Targets:
    """Stack the objects of a batch, with the dtype and on the device of its images `like`.

    Args:
        targets: one dict per image with boxes [G_b, 4], labels [G_b], masks [G_b, H_b, W_b].
        image_size: (H, W) of the padded batch.
        at_least: smallest G, the largest count; 1, so that no tensor is empty.
    """
    shape = len(targets), max([at_least, *(len(t["boxes"]) for t in targets)])
    boxes = like.new_zeros(*shape, 4)  # [B, G, 4]
    labels = like.new_zeros(shape, dtype=torch.int64)
    masks = like.new_zeros(*shape, *image_size, dtype=torch.uint8)
    valid = like.new_zeros(shape, dtype=torch.bool)
    for row, target in enumerate(targets):
        objects, (height, width) = len(target["boxes"]), target["masks"].shape[-2:]
        boxes[row, :objects] = target["boxes"]
        labels[row, :objects] = target["labels"]
        masks[row, :objects, :height, :width] = target["masks"]
        valid[row, :objects] = True
    return Targets(boxes, labels, masks, valid)


def check_images(images: list[Tensor]) -> None:
    """Refuse what is not a list of float RGB images; the message names index, value and hint."""
    batch = isinstance(images, Tensor) and images.ndim == 4
    if not (batch or isinstance(images, list | tuple)) or not len(images):
        raise TypeError("images must be a non-empty list of Tensor[3, H, W]; give [image] for one")
    for index, image in enumerate(images):
        if not isinstance(image, Tensor) or not image.is_floating_point():
            found = image.dtype if isinstance(image, Tensor) else type(image).__name__
            asked = "give a float Tensor[3, H, W] in 0..1 (uint8: divide by 255)"
            raise TypeError(f"images[{index}] is {found}; {asked}")
        if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
            found, asked = tuple(image.shape), "give [3, H, W], channels first, RGB, with pixels"
            raise ValueError(f"images[{index}] has shape {found}; {asked}")
        # Where the sum is finite all is: one pass. A GPU is not asked.
        asked = image.device.type == "cpu" and not image.sum().isfinite()
        if asked and not image.isfinite().all():
            hint = "check how it was read"
            raise ValueError(f"images[{index}] holds NaN or infinite pixels; {hint}")


def check_targets(
    images: list[Tensor], targets: list[dict[str, Tensor]] | None, num_classes: int
) -> None:
    """Refuse targets that would train nonsense.

    Raises:
        ValueError: a target is missing, malformed or degenerate; the message names image, row,
        field and value.
    """
    if targets is None:
        asked = "in training the model needs one dict per image (boxes, labels, masks)"
        raise ValueError(f"targets is None; {asked}")
    if len(targets) != len(images):
        counts = f"{len(images)} images but {len(targets)} targets"
        raise ValueError(f"{counts}; give one dict per image")
    for index, (image, target) in enumerate(zip(images, targets, strict=True)):
        if missing := sorted({"boxes", "labels", "masks"} - set(target)):
            raise ValueError(f"targets[{index}] lacks {missing}; give boxes, labels and masks")
        boxes, labels, masks = target["boxes"], target["labels"], target["masks"]
        count, expected = len(boxes), (len(boxes), *image.shape[-2:])
        if boxes.shape != (count, 4) or not boxes.is_floating_point():
            found = f"{boxes.dtype} {tuple(boxes.shape)}"
            raise ValueError(f"targets[{index}]['boxes'] is {found}; give float [G, 4]")
        if labels.shape != (count,) or labels.dtype != torch.int64:
            found = f"{labels.dtype} {tuple(labels.shape)}"
            raise ValueError(f"targets[{index}]['labels'] is {found}; give int64 [{count}]")
        if masks.shape != expected:
            found = f"{tuple(masks.shape)}; the image asks for {expected}"
            raise ValueError(f"targets[{index}]['masks'] is {found}")
    _check_values(targets, num_classes)


def _check_values(targets: list[dict[str, Tensor]], num_classes: int) -> None:
    """All images at once; which one it was is asked only when something is wrong."""
    boxes, labels = (torch.cat([t[name] for t in targets]) for name in ("boxes", "labels"))
    degenerate = ~boxes.isfinite().all(dim=1) | (boxes[:, 2:] <= boxes[:, :2]).any(dim=1)  # [N]
    wrong = degenerate | (labels < 1) | (labels >= num_classes)  # [N]
    grey = torch.stack([_is_grey(t["masks"]) for t in targets])  # [B]
    if not (wrong.any() | grey.any()):
        return
    if grey.any():
        _refuse_masks(targets, int(grey.nonzero()[0]))
    rows = [(index, row) for index, t in enumerate(targets) for row in range(len(t["boxes"]))]
    number = int(wrong.nonzero()[0])
    index, row = rows[number]
    if degenerate[number]:
        raise ValueError(
            f"targets[{index}]['boxes'][{row}] is {boxes[number].tolist()}: x2 must exceed x1 and "
            "y2 exceed y1, all finite; drop the object"
        )
    raise ValueError(
        f"targets[{index}]['labels'][{row}] is {int(labels[number])}; labels go from 1 to "
        f"{num_classes - 1} (0 is the background, num_classes is {num_classes})"
    )


def _is_grey(masks: Tensor) -> Tensor:
    """Whether masks hold anything but 0 and 1, Tensor[]; of bytes that is one fast pass."""
    if masks.dtype == torch.bool or not masks.numel():
        return masks.new_zeros((), dtype=torch.bool)
    if masks.dtype == torch.uint8:
        return masks.amax() > 1
    return ((masks != 0) & (masks != 1)).any()


def _refuse_masks(targets: list[dict[str, Tensor]], index: int) -> None:
    target = targets[index]
    masks = target["masks"]
    row, y, x = ((masks != 0) & (masks != 1)).nonzero()[0].tolist()
    known = [f"{name} {target[name]}" for name in ("file_name", "image_id") if name in target]
    image = f" ({', '.join(known)})" if known else ""
    raise ValueError(
        f"targets[{index}]['masks'][{row}]{image} holds {masks[row, y, x].item()}; masks hold 0 "
        "and 1: give (masks > 0) where every other value is the object, and one mask per object, "
        "masks == number, where values are the numbers of objects"
    )
