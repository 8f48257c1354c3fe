"""Images of any height and width: what an exporter can follow where the sizes are not known.

The resized size is computed in the graph, from the shape of the image that comes, by the same
float64 numbers as in Python. From there on sizes are unknown multiples of `size_divisible`.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.export import Dim

from ..models import MaskRCNN
from ..models.anchors import AnchorGenerator
from ..models.transform import ImageBatch, Size, Transform
from ..ops.constants import constants_like
from .network import FixedNetwork

Dims = tuple[dict[int, Dim], ...]  # of each input: the axes whose size is left open
ANY_SIZE = ({2: Dim("height", min=2, max=1 << 16), 3: Dim("width", min=2, max=1 << 16)},)
EXAMPLE = (160, 192)  # two different sizes, to be traced with


class AnySizeNetwork(FixedNetwork):
    """A `FixedNetwork` for images of any size, to be exported; it keeps a copy of the network."""

    def __init__(self, model: MaskRCNN) -> None:
        super().__init__(copy.deepcopy(model))
        self.model.transform = AnySize(config=model.transform.config)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `FixedNetwork.forward`."""
        with unknown_sizes():
            return super().forward(images)


class AnySize(Transform):
    """`Transform` in evaluation, of images that all have one size, whichever that is."""

    def forward(self, images: Sequence[Tensor]) -> tuple[ImageBatch, None]:
        """See `models.transform.batch_images`."""
        config, step, image = self.config, self.config.size_divisible, torch.stack([*images])
        original = tuple(image.shape[-2:])
        old = torch.tensor(original, dtype=torch.float64)  # [2]
        limits = old.new_tensor([config.min_size, config.max_size])  # [2]
        factor = (limits / torch.stack([old.min(), old.max()])).min()
        new = (old * factor).long().clamp(min=1)  # [2]
        blocks = (new + step - 1) // step  # [2]
        (height, width), (rows, columns) = new.tolist(), blocks.tolist()
        for side, count in ((height, rows), (width, columns)):
            # What the exporter may rely on. (Sizes of 1 it treats apart; the graph is right there.)
            torch._check(side >= 1)
            torch._check(count >= 2)
            torch._check(side <= step * count)
        image = F.interpolate(image, size=(height, width), mode="bilinear", align_corners=False)
        mean, std = (constants_like(image, v)[:, None, None] for v in (config.mean, config.std))
        beyond = 0, step * columns - width, 0, step * rows - height
        pixels = F.pad((image - mean) / std, beyond)  # [B, 3, H, W]
        sizes = new.to(pixels.dtype).expand(len(images), 2)  # [B, 2]
        resized, originals = [(height, width)] * len(images), [original] * len(images)
        return ImageBatch(pixels, sizes, originals, resized), None


@contextmanager
def unknown_sizes() -> Iterator[None]:
    """Inside the ``with`` nothing asks for a size as a plain number."""
    scales = "mrcnn_lite.ops.multiscale.pyramid_scales"
    fresh = patch.object(AnchorGenerator, "forward", lay_anchors)
    gather = patch.object(Tensor, "take_along_dim", take_along_dim)
    with fresh, gather, patch(scales, pyramid_scales):
        yield


def lay_anchors(generator: AnchorGenerator, features: Sequence[Tensor], size: Size) -> Tensor:
    """`AnchorGenerator.forward` without its cache: Tensor[A, 4]."""
    levels = zip(features, generator.sizes, generator.aspect_ratios, strict=True)
    return torch.cat([generator._level(*level, size) for level in levels])  # [A, 4]


def pyramid_scales(features: Sequence[Tensor], image_size: Size) -> list[float]:
    """`ops.multiscale.pyramid_scales` where every stride divides the size."""
    return [1 / int(image_size[0] // feature.shape[-2]) for feature in features]


def take_along_dim(values: Tensor, index: Tensor, dim: int) -> Tensor:
    """`torch.take_along_dim`, which wants plain numbers."""
    shape = [*values.shape]
    shape[dim] = index.shape[dim]
    return values.gather(dim, index.expand(shape))
