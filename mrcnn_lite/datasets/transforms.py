"""Augmentation: an image changed together with its objects, for training on few images.

A transform is called with an image ``[3, H, W]``, its target and a generator, and returns a new
image and target; it never writes into its input. Masks are resampled by pixel centres: a new pixel
belongs to an object when its centre does. Boxes are taken again from the masks wherever pixels can
be lost. Each of the three reflections makes a left hand a right one: pairs of keypoints change
places.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from .masks import mask_boxes

Sample = tuple[Tensor, dict]
Transform = Callable[[Tensor, dict, Generator], Sample]
Pairs = Sequence[tuple[int, int]]  # of keypoints that change places in a mirror
MIN_PIXELS = 24  # of an object in a crop; smaller ones are left out
OBJECTS = {"boxes", "labels", "masks", "iscrowd", "area", "keypoints"}  # have a row for each object


def rows_of(target: dict, rows: Tensor) -> dict:
    """The target with some of its objects, bool Tensor[G]."""
    return {**target, **{key: target[key][rows] for key in OBJECTS & {*target}}}


class Compose:
    """Several transforms in a row, applied in this order."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Tensor, target: dict, generator: Generator) -> Sample:
        """Apply all of them."""
        for transform in self.transforms:
            image, target = transform(image, target, generator)
        return image, target


class RandomDihedral:
    """One of the eight turns and reflections of a square, each equally likely.

    Args:
        flip_x: Allow mirroring left and right.
        flip_y: Allow mirroring top and bottom.
        transpose: Allow exchanging rows and columns.
        pairs: Left and right keypoints.
    """

    def __init__(
        self, flip_x: bool = True, flip_y: bool = True, transpose: bool = True, pairs: Pairs = ()
    ) -> None:
        self.allowed, self.pairs = torch.tensor([flip_x, flip_y, transpose]), pairs

    def __call__(self, image: Tensor, target: dict, generator: Generator) -> Sample:
        """Apply a random one."""
        chosen = (torch.rand(3, generator=generator) < 0.5) & self.allowed
        for change, is_chosen in zip((flip_x, flip_y, transpose), chosen.tolist(), strict=True):
            if is_chosen:
                image, target = change(image, target, self.pairs)
        return image, target


def flip_x(image: Tensor, target: dict, pairs: Pairs = ()) -> Sample:
    """Mirror left and right."""
    x1, y1, x2, y2 = target["boxes"].unbind(1)
    width = image.shape[2]
    boxes = torch.stack([width - x2, y1, width - x1, y2], dim=1)  # [G, 4]
    new = {"boxes": boxes, "masks": target["masks"].flip(2)}
    return image.flip(2), target | new | _points(target, lambda x, y: (width - x, y), pairs)


def flip_y(image: Tensor, target: dict, pairs: Pairs = ()) -> Sample:
    """Mirror top and bottom."""
    x1, y1, x2, y2 = target["boxes"].unbind(1)
    height = image.shape[1]
    boxes = torch.stack([x1, height - y2, x2, height - y1], dim=1)  # [G, 4]
    new = {"boxes": boxes, "masks": target["masks"].flip(1)}
    return image.flip(1), target | new | _points(target, lambda x, y: (x, height - y), pairs)


def transpose(image: Tensor, target: dict, pairs: Pairs = ()) -> Sample:
    """Exchange rows and columns; the new image is ``[3, W, H]``."""
    boxes = target["boxes"][:, [1, 0, 3, 2]]  # [G, 4]
    new = {"boxes": boxes, "masks": target["masks"].transpose(1, 2).contiguous()}  # [G, W, H]
    new |= _points(target, lambda x, y: (y, x), pairs)
    return image.transpose(1, 2).contiguous(), target | new


def _points(target: dict, move: Callable, pairs: Pairs = (), size: tuple[int, ...] = ()) -> dict:
    """The keypoints after `move` of x and y, [G, N] each, with pairs exchanged; outside of a size
    (height, width) they are not labelled any more. Nothing where the target has none."""
    if "keypoints" not in target:
        return {}
    x, y, v = target["keypoints"].unbind(dim=2)
    x, y = move(x, y)
    if size:
        v = v * ((x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0]))
    points = torch.where(v[..., None] > 0, torch.stack([x, y, v], dim=2), 0)  # [G, N, 3]
    order = [*range(points.shape[1])]
    for left, right in pairs:
        order[left], order[right] = right, left
    return {"keypoints": points[:, order]}


class RandomScaleCrop:
    """Scale the image by chance, then cut out a square around a random pixel, inside the image.

    Args:
        size: Side of the square in pixels.
        shorter: Range of the shorter side of the scaled image in pixels, from ``size`` on;
            the logarithm is uniform, so that halving and doubling are as likely.
        min_pixels: Objects that keep fewer pixels are dropped.
        min_share: Objects that keep a smaller share of themselves are dropped: a sliver at the
            border cannot be told from the background, and would only teach noise.
    """

    def __init__(
        self,
        size: int,
        shorter: tuple[float, float],
        min_pixels: int = MIN_PIXELS,
        min_share: float = 0.15,
    ) -> None:
        if not size <= shorter[0] <= shorter[1]:
            raise ValueError(f"shorter must be a range from size = {size} on, got {shorter}")
        self.size, self.shorter = size, shorter
        self.min_pixels, self.min_share = min_pixels, min_share

    def __call__(self, image: Tensor, target: dict, generator: Generator) -> Sample:
        """Apply it by chance."""
        height, width = image.shape[1:]
        random = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        low, high = (math.log(side) for side in self.shorter)
        side = self.size * min(height, width) / math.exp(low + random[0] * (high - low))
        # A centre anywhere in the image, pushed in where the square would reach beyond: of squares
        # that lie anywhere inside hardly one shows a corner, and edges would never be learned.
        left = min(max(random[1] * width - side / 2, 0), width - side)
        top = min(max(random[2] * height - side / 2, 0), height - side)
        window, size = (left, top, left + side, top + side), (self.size, self.size)
        return crop_and_resize(image, target, window, size, self.min_pixels, self.min_share)


class ColourJitter:
    """Change brightness, contrast and saturation by chance.

    Args:
        brightness: Largest shift, as a share of the full range.
        contrast: Largest relative change of the distance from mid-grey.
        saturation: Largest relative change of the distance from the pixel's own grey.
    """

    def __init__(
        self, brightness: float = 0.15, contrast: float = 0.25, saturation: float = 0.25
    ) -> None:
        self.ranges = torch.tensor([brightness, contrast, saturation])

    def __call__(self, image: Tensor, target: dict, generator: Generator) -> Sample:
        """Apply it by chance."""
        draws = (2 * torch.rand(3, generator=generator) - 1) * self.ranges
        brightness, contrast, saturation = draws.tolist()
        grey = image.mean(0, keepdim=True)  # [1, H, W]
        image = torch.lerp(grey, image, 1 + saturation)
        image = image.sub_(0.5).mul_(1 + contrast).add_(0.5 + brightness).clamp_(0, 1)
        return image, target


def crop_and_resize(
    image: Tensor,
    target: dict,
    window: tuple[float, float, float, float],
    size: tuple[int, int],
    min_pixels: int,
    min_share: float,
) -> Sample:
    """Cut a window out and scale it, in one step.

    The image is scaled with an antialiasing filter over the whole pixels of the window; masks take
    the pixel under each new pixel's centre; boxes are those of the new masks; keypoints outside of
    the window are not labelled any more.

    Args:
        image, target: A sample.
        window: x1, y1, x2, y2 inside the image; rounded to whole pixels, at least one.
        size: New height and width.
        min_pixels: Objects with fewer new pixels are dropped.
        min_share: Objects are dropped too when less than this share of them is in the window.

    Returns:
        The new image ``Tensor[3, *size]`` and target.
    """
    height, width = image.shape[1:]
    x1, y1 = min(max(0, round(window[0])), width - 1), min(max(0, round(window[1])), height - 1)
    x2, y2 = max(x1 + 1, min(width, round(window[2]))), max(y1 + 1, min(height, round(window[3])))
    part = image[:, y1:y2, x1:x2]
    if tuple(part.shape[1:]) != tuple(size):
        part = F.interpolate(part[None], size=size, mode="bilinear", antialias=True)[0]  # [C, H, W]
    rows, columns = (
        _pixels_under_centres(*ends) for ends in ((y1, y2, size[0]), (x1, x2, size[1]))
    )
    pixels = (rows[:, None] * width + columns).flatten()  # [H * W]
    boxes = target["boxes"]
    near = (boxes[:, 0] < x2) & (boxes[:, 2] > x1) & (boxes[:, 1] < y2) & (boxes[:, 3] > y1)
    near = near.nonzero()[:, 0]
    # One by one, for one indexing with three tensors is slower.
    masks = [target["masks"][k].flatten().index_select(0, pixels) for k in near.tolist()]
    masks = torch.stack(masks) if masks else target["masks"].new_zeros(0, len(pixels))
    masks = masks.unflatten(1, size)  # [G, H, W]
    area = masks.sum((1, 2)).to(torch.float32)  # [G]
    zoom = size[0] * size[1] / ((y2 - y1) * (x2 - x1))
    keep = (area >= max(1, min_pixels)) & (area >= min_share * zoom * target["area"][near])
    masks = masks[keep]
    kept = {"boxes": torch.from_numpy(mask_boxes(masks.numpy())), "masks": masks}
    for key in {"labels", "iscrowd", "keypoints"} & {*target}:
        kept[key] = target[key][near][keep]
    zoom_x, zoom_y = size[1] / (x2 - x1), size[0] / (y2 - y1)
    kept |= _points(kept, lambda x, y: ((x - x1) * zoom_x, (y - y1) * zoom_y), size=size)
    return part.clamp(0, 1), {**target, **kept, "area": area[keep]}


def _pixels_under_centres(start: int, stop: int, count: int) -> Tensor:
    """The old pixel that holds the centre of each of ``count`` new pixels, ``int64[count]``."""
    centres = (torch.arange(count, dtype=torch.float64) + 0.5) * ((stop - start) / count)
    return start + centres.floor().to(torch.int64)
