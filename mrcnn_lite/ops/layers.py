"""The pooling operations as layers, with torchvision's names and arguments."""

from torch import Tensor, nn

from .public import multiscale_roi_align, roi_align, roi_pool
from .rois import Boxes, OutputSize, as_pair


class RoIAlign(nn.Module):
    """`roi_align` as a layer."""

    def __init__(
        self,
        output_size: OutputSize,
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input: Tensor, rois: Boxes) -> Tensor:
        """Return Tensor[K, C, P, P]."""
        settings = (self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)
        return roi_align(input, rois, *settings)  # [K, C, P, P]


class RoIPool(nn.Module):
    """`roi_pool` as a layer."""

    def __init__(self, output_size: OutputSize, spatial_scale: float) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Tensor, rois: Boxes) -> Tensor:
        """Return Tensor[K, C, P, P]."""
        return roi_pool(input, rois, self.output_size, self.spatial_scale)  # [K, C, P, P]


class MultiScaleRoIAlign(nn.Module):
    """`multiscale_roi_align` as a layer that picks its levels by name.

    Unlike torchvision's it takes the scales from the sizes of every call, not of the first one.
    """

    def __init__(
        self,
        featmap_names: list[str],
        output_size: OutputSize,
        sampling_ratio: int,
        *,
        canonical_scale: int = 224,
        canonical_level: int = 4,
    ) -> None:
        super().__init__()
        self.featmap_names, self.output_size = featmap_names, as_pair(output_size)
        self.sampling_ratio = sampling_ratio
        self.canonical_scale, self.canonical_level = canonical_scale, canonical_level

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Return Tensor[K, C, P, P]; `image_shapes` holds (H, W) of each image."""
        size = tuple(max(sides, default=1) for sides in zip(*image_shapes)) or (1, 1)
        maps = [x[name] for name in self.featmap_names]
        fit = {"canonical_scale": self.canonical_scale, "canonical_level": self.canonical_level}
        settings = (self.output_size, self.sampling_ratio)
        return multiscale_roi_align(maps, boxes, size, *settings, aligned=False, **fit)
