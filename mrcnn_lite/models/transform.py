"""Images of any size and their objects in, one padded batch out (§3.1)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Config, ImageConfig
from ..ops.constants import constants_like
from .target_faults import check_keypoints, refuse_masks, refuse_object
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
    masks: Tensor  # uint8 [B, G, H, W]; [B, G, 0, 0] where there is no mask branch
    valid: Tensor  # bool [B, G], False in padded rows
    keypoints: Tensor  # float [B, G, N, 3]; N is 0 where there is no keypoint branch


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
    """Resize an image [3, H, W], and its boxes, masks and keypoints with it."""
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
    target, new = dict(target), tuple(image.shape[-2:])
    target["boxes"] = resize_boxes(target["boxes"], size, new)
    if "masks" in target:
        masks = F.interpolate(target["masks"][:, None].float(), size=new, mode="nearest")
        target["masks"] = masks[:, 0].to(torch.uint8)  # [G, H, W]
    if "keypoints" in target:
        target["keypoints"] = resize_keypoints(target["keypoints"], size, new)
    return image, target


def resize_boxes(boxes: Tensor, old: tuple[float, float], new: tuple[float, float]) -> Tensor:
    """Scale boxes [N, 4], or points [..., 2], from an image of size (H, W) `old` to one of `new`.

    The ratio is rounded to float32, as torchvision's is: the difference would be 1e-5 pixels.
    """
    ratio = torch.tensor(new, dtype=torch.float32) / torch.tensor(old, dtype=torch.float32)  # [2]
    ratio = ratio.flip(0).repeat(boxes.shape[-1] // 2)  # [4] or [2]
    return boxes * ratio.to(boxes.device, boxes.dtype, non_blocking=True)


def resize_keypoints(points: Tensor, old: tuple[float, float], new: tuple[float, float]) -> Tensor:
    """Scale keypoints [N, points, 3] as `resize_boxes` does; the third number stays."""
    return torch.cat([resize_boxes(points[..., :2], old, new), points[..., 2:]], dim=-1)


def largest_of_processes(size: Size) -> Size:
    """Return the largest size of any process: all that share a batch pad to one."""
    if not (dist.is_available() and dist.is_initialized()):
        return size
    # NCCL reads a GPU's memory, gloo the CPU's.
    message = torch.tensor(size, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(message, dist.ReduceOp.MAX)
    return tuple(message.tolist())


def pad_targets(
    targets: list[dict], image_size: Size, like: Tensor, at_least: int = 1, points: int = 0
) -> Targets:
    """Stack the objects of a batch, with the dtype and on the device of its images `like`.

    Args:
        targets: one dict per image with boxes [G_b, 4], labels [G_b], masks [G_b, H_b, W_b] and,
            where `points` is not 0, keypoints [G_b, points, 3].
        image_size: (H, W) of the padded batch.
        at_least: smallest G, the largest count; 1, so that no tensor is empty.
    """
    has_masks = all("masks" in target for target in targets)
    shape = len(targets), max([at_least, *(len(t["boxes"]) for t in targets)])
    boxes = like.new_zeros(*shape, 4)  # [B, G, 4]
    labels = like.new_zeros(shape, dtype=torch.int64)
    masks = like.new_zeros(*shape, *(image_size if has_masks else (0, 0)), dtype=torch.uint8)
    keypoints = like.new_zeros(*shape, points, 3)  # [B, G, N, 3]
    valid = like.new_zeros(shape, dtype=torch.bool)
    for row, target in enumerate(targets):
        objects = len(target["boxes"])
        boxes[row, :objects] = target["boxes"]
        labels[row, :objects] = target["labels"]
        valid[row, :objects] = True
        if has_masks:
            height, width = target["masks"].shape[-2:]
            masks[row, :objects, :height, :width] = target["masks"]
        if points:
            keypoints[row, :objects] = target["keypoints"]
    return Targets(boxes, labels, masks, valid, keypoints)


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
        looked_at = image.device.type == "cpu" and not torch.compiler.is_exporting()
        if looked_at and not image.sum().isfinite() and not image.isfinite().all():
            raise ValueError(f"images[{index}] holds NaN or infinite pixels; check how it is read")


def check_targets(
    images: list[Tensor], targets: list[dict] | None, num_classes: int, config: Config | None = None
) -> None:
    """Refuse targets that would train nonsense; `config` says for which branches.

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
    asked = ["boxes", "labels"] + (["masks"] if config is None or config.mask else [])
    for index, (image, target) in enumerate(zip(images, targets, strict=True)):
        if missing := sorted({*asked} - {*target}):
            raise ValueError(f"targets[{index}] lacks {missing}; give {', '.join(asked)}")
        boxes, labels = target["boxes"], target["labels"]
        count, expected = len(boxes), (len(boxes), *image.shape[-2:])
        if boxes.shape != (count, 4) or not boxes.is_floating_point():
            found = f"{boxes.dtype} {tuple(boxes.shape)}"
            raise ValueError(f"targets[{index}]['boxes'] is {found}; give float [G, 4]")
        if labels.shape != (count,) or labels.dtype != torch.int64:
            found = f"{labels.dtype} {tuple(labels.shape)}"
            raise ValueError(f"targets[{index}]['labels'] is {found}; give int64 [{count}]")
        if "masks" in asked and target["masks"].shape != expected:
            found = f"{tuple(target['masks'].shape)}; the image asks for {expected}"
            raise ValueError(f"targets[{index}]['masks'] is {found}")
    _check_values(targets, num_classes)
    if config and config.keypoint:
        check_keypoints(targets, config.keypoint.count)


def _check_values(targets: list[dict[str, Tensor]], num_classes: int) -> None:
    """All images at once; which one it was is asked only when something is wrong."""
    boxes, labels = (torch.cat([t[name] for t in targets]) for name in ("boxes", "labels"))
    degenerate = ~boxes.isfinite().all(dim=1) | (boxes[:, 2:] <= boxes[:, :2]).any(dim=1)  # [N]
    wrong = degenerate | (labels < 1) | (labels >= num_classes)  # [N]
    grey = torch.stack([_is_grey(t.get("masks", boxes[:0])) for t in targets])  # [B]
    if not (wrong.any() | grey.any()):
        return
    if grey.any():
        refuse_masks(targets, int(grey.nonzero()[0]))
    refuse_object(targets, int(wrong.nonzero()[0]), num_classes)


def _is_grey(masks: Tensor) -> Tensor:
    """Whether masks hold anything but 0 and 1, Tensor[]; of bytes that is one fast pass."""
    if masks.dtype == torch.bool or not masks.numel():
        return masks.new_zeros((), dtype=torch.bool)
    if masks.dtype == torch.uint8:
        return masks.amax() > 1
    return ((masks != 0) & (masks != 1)).any()
