"""Mask R-CNN: Faster R-CNN with a mask branch beside the box branch (Figure 1)."""

from collections import OrderedDict
from dataclasses import replace

from torch import Tensor, nn

from ..config import Config, lite
from .backbone import make_body
from .fpn import FeaturePyramid, NamedMaps
from .matching import BalancedSampler
from .postprocess import Detection, to_original_size
from .pretrained import rename_old_keys
from .roi_heads import RoIHeads
from .rpn import RegionProposalNetwork
from .torchvision_attributes import ModelAttributes
from .transform import Targets, Transform, check_targets, largest_of_processes, pad_targets
from .variants import use_variants


class MaskRCNN(ModelAttributes, nn.Module):
    """The whole network; parameters and attributes are named as in torchvision's detection models.

    Args:
        config: every number of the network, `mrcnn_lite.config`.
        variants: whether its modules are the faster ones of `variants`; the function is the same.
        backbone: a user's own, instead of that of the config: from Tensor[B, 3, H, W] to one map
            Tensor[B, C, h, w], a list or a dict of them, finest first; C is its `out_channels`.
    """

    def __init__(
        self, config: Config, variants: bool = True, backbone: nn.Module | None = None
    ) -> None:
        check_config(config)
        # `padding` of the images in training, see `batch_images`.
        super().__init__(sampler=BalancedSampler(), padding=largest_of_processes)
        cfg, anchors = config.backbone, config.rpn.anchor_sizes
        if backbone is None:
            body = make_body(cfg)
            fpn = FeaturePyramid(body.out_channels, cfg.fpn_channels, cfg.extra_level, cfg.fpn_norm)
            if len(anchors) != fpn.num_levels:
                raise ValueError(
                    f"config.rpn.anchor_sizes has {len(anchors)} levels, the pyramid "
                    f"{fpn.num_levels}; give one tuple of sizes per level"
                )
            backbone = nn.Sequential(OrderedDict(body=body, fpn=fpn))
            backbone.out_channels = cfg.fpn_channels  # torchvision's name for it
        self.backbone, channels = backbone, getattr(backbone, "out_channels", None)
        self.transform = Transform(config=config.image)
        self.rpn = RegionProposalNetwork(channels, config.rpn, self.sampler)
        self.roi_heads = RoIHeads(channels, config, self.sampler)
        self.register_load_state_dict_pre_hook(rename_old_keys)
        if variants:
            use_variants(self)

    def forward(
        self,
        images: list[Tensor],
        targets: list[dict[str, Tensor]] | None = None,
        lazy_masks: bool = False,
    ) -> dict[str, Tensor] | list[Detection]:
        """Train on, or find the objects of, a list of images of any size.

        Args:
            images: Tensor[3, H_b, W_b] each, RGB in 0..1.
            targets: in training one dict per image: boxes float [G, 4], labels int64 [G], masks
                uint8 [G, H_b, W_b], keypoints float [G, N, 3], as far as there are branches.
            lazy_masks: whether masks are pasted only when asked for, see `PastedMasks`.

        Returns:
            In training the losses by name, five with a mask branch. In evaluation one dict per
            image, best detection first: boxes [N, 4], labels [N], scores [N], and of the branches
            masks [N, 1, H_b, W_b] in 0..1, keypoints [N, points, 3] and keypoints_scores.
        """
        if self.training:
            return self.losses(images, targets)
        batch, _ = self.transform(images)
        size = batch.padded_size
        features = self.features(batch.pixels)
        proposals, valid, _ = self.rpn([*features.values()], size, batch.sizes)
        detections = self.roi_heads.detect(features, proposals, valid, size, batch.sizes)
        config = self.roi_heads.config
        return [
            to_original_size(detection, size, original, config, lazy_masks)
            for detection, size, original in zip(
                detections, batch.resized_sizes, batch.original_sizes, strict=True
            )
        ]

    def losses(
        self, images: list[Tensor], targets: list[dict[str, Tensor]], check: bool = True
    ) -> dict[str, Tensor]:
        """Return the losses by name, in training and in evaluation mode.

        In evaluation mode (validation losses) batch norms use their running statistics; everything
        else, the number of proposals included, is as in training.

        Args:
            images, targets: see `forward`.
            check: whether to refuse targets that would train nonsense.
        """
        if check:
            check_targets(images, targets, self.num_classes, self.roi_heads.config)
        padding = self.padding if self.training else None
        batch, targets = self.transform(images, targets, padding)
        keypoint = self.roi_heads.config.keypoint
        points = keypoint.count if keypoint else 0
        objects = pad_targets(targets, batch.padded_size, batch.pixels, points=points)
        return self.losses_of_batch(batch.pixels, batch.sizes, objects)

    def losses_of_batch(self, pixels: Tensor, sizes: Tensor, objects: Targets) -> dict[str, Tensor]:
        """Return the losses of images that are one tensor already.

        Nothing here asks a GPU for a value: a CUDA graph can record it.

        Args:
            pixels: Tensor[B, 3, H, W], normalised and padded. sizes: Tensor[B, 2], (height, width)
                of each image inside the padding. objects: what is in them.
        """
        size, heads = tuple(pixels.shape[-2:]), self.roi_heads
        features = self.features(pixels)
        proposals, valid, rpn_losses = self.rpn([*features.values()], size, sizes, objects)
        losses, rois = heads.box_losses(features, proposals, valid, size, objects)
        if heads.config.mask:
            losses |= heads.mask_losses(features, rois, size, objects)
        if heads.config.keypoint:
            losses |= heads.keypoint_losses(features, rois, size, objects)
        return losses | rpn_losses

    def features(self, pixels: Tensor) -> NamedMaps:
        """Return the backbone's maps, finest first, under torchvision's names."""
        has_pool = self.config.backbone.extra_level and hasattr(self.backbone, "fpn")
        maps = self.backbone(pixels)
        if isinstance(maps, dict):
            return maps
        maps = [maps] if isinstance(maps, Tensor) else maps
        names = [*map(str, range(len(maps) - has_pool)), *["pool"] * has_pool]
        return dict(zip(names, maps, strict=True))

    @property
    def config(self) -> Config:
        """All numbers of the network, as its modules have them now."""
        heads, image, rpn = self.roi_heads, self.transform.config, self.rpn.config
        if heads.config.image is not image or heads.config.rpn is not rpn:
            heads.config = replace(heads.config, image=image, rpn=rpn)
        return heads.config

    @property
    def num_classes(self) -> int:
        """Classes that the box predictor tells apart, background included; it may be replaced."""
        last = getattr(self.roi_heads.box_predictor, "cls_score", None)
        return getattr(last, "out_features", self.roi_heads.config.num_classes)


def check_config(config: Config) -> None:
    """Refuse fields that do not fit together; each by itself was checked where it was written."""
    backbone, rpn, box = config.backbone, config.rpn, config.box
    widths, levels = len(backbone.widths), len(rpn.anchor_sizes)
    fits = backbone.kind != "small" or 0 < widths == len(backbone.blocks)
    _require(fits, "backbone.blocks", backbone.blocks, f"one for each of {widths} widths")
    for name, part in (("rpn", rpn), ("box", box)):
        asked, low = f"at most foreground_iou, {part.foreground_iou}", part.background_iou
        _require(low <= part.foreground_iou, f"{name}.background_iou", low, asked)
    fits = box.roi_levels <= levels
    _require(fits, "box.roi_levels", box.roi_levels, f"at most {levels}, the pyramid's levels")


def _require(allowed: bool, name: str, value: object, asked: str) -> None:
    if not allowed:
        raise ValueError(f"config.{name} is {value!r}; give {asked}")


def maskrcnn_lite(num_classes: int = 6) -> MaskRCNN:
    """Return the laptop's network; `num_classes` counts the background."""
    return MaskRCNN(lite(num_classes))
