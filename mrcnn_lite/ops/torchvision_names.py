"""The rest of what users of torchvision's `ops` write around Mask R-CNN: small boxes and layers.

Names, arguments and results are torchvision's; the work is done by the files beside this one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mrcnn_lite.ops.boxes import clip_boxes
from mrcnn_lite.ops.checks import check_boxes, check_finite, check_positive, check_tensor
from mrcnn_lite.ops.multiscale import multiscale_roi_align
from mrcnn_lite.ops.roi_align import roi_align
from mrcnn_lite.ops.roi_pool import roi_pool


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Move corners that lie outside an image of size (H, W) onto its border: Tensor[N, 4]."""
    return clip_boxes(boxes, size)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Return the rows of boxes [N, 4] whose sides both measure at least `min_size` pixels."""
    check_boxes(boxes)
    check_positive(min_size, "min_size")
    return (boxes[:, 2:] - boxes[:, :2] >= min_size).all(dim=1).nonzero()[:, 0]  # [N]


def masks_to_boxes(masks: Tensor) -> Tensor:
    """Return torchvision's boxes of masks [N, H, W]: the first and the *last* pixel, Tensor[N, 4].

    The last pixel is not included: a mask of one pixel has a box of size 0. The half-open boxes of
    this package, one larger, come from `mrcnn_lite.datasets.masks.mask_boxes`. An empty mask gives
    zeros.
    """
    check_tensor(masks, "masks", "[N, H, W]", floating=False)
    if masks.is_floating_point():
        check_finite(masks, "masks")
    boxes = torch.zeros(len(masks), 4, device=masks.device)  # [N, 4]
    for row, mask in enumerate(masks):
        y, x = mask.nonzero(as_tuple=True)
        if len(x):
            boxes[row] = torch.stack([x.min(), y.min(), x.max(), y.max()])
    return boxes


class RoIAlign(nn.Module):
    """`roi_align` as a layer."""

    def __init__(
        self,
        output_size: int | tuple[int, int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        """Return Tensor[K, C, P, P]."""
        return roi_align(
            input,
            rois,
            self.output_size,
            self.spatial_scale,
            self.sampling_ratio,
            aligned=self.aligned,
        )  # [K, C, P, P]


class RoIPool(nn.Module):
    """`roi_pool` as a layer."""

    def __init__(self, output_size: int | tuple[int, int], spatial_scale: float) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        """Return Tensor[K, C, P, P]."""
        return roi_pool(input, rois, self.output_size, self.spatial_scale)  # [K, C, P, P]


class MultiScaleRoIAlign(nn.Module):
    """`multiscale_roi_align` as a layer that picks its levels by name.

    Unlike torchvision's it takes the scales from the sizes of every call, not of the first one.
    """

    def __init__(
        self,
        featmap_names: list[str],
        output_size: int | tuple[int, int],
        sampling_ratio: int,
        *,
        canonical_scale: int = 224,
        canonical_level: int = 4,
    ) -> None:
        super().__init__()
        self.featmap_names, self.output_size = featmap_names, output_size
        self.sampling_ratio = sampling_ratio
        self.canonical_scale, self.canonical_level = canonical_scale, canonical_level

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Return Tensor[K, C, P, P]; `image_shapes` holds (H, W) of each image."""
        size = (max(h for h, _ in image_shapes), max(w for _, w in image_shapes))
        return multiscale_roi_align(
            [x[name] for name in self.featmap_names],
            boxes,
            size,
            self.output_size,
            self.sampling_ratio,
            aligned=False,
            canonical_scale=self.canonical_scale,
            canonical_level=self.canonical_level,
        )  # [K, C, P, P]
