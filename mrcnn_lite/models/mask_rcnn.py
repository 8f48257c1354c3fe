"""Mask R-CNN: Faster R-CNN with a mask branch beside the box branch (Figure 1)."""

from __future__ import annotations

from torch import Tensor, nn

from ..config import Config, lite
from .fpn import BackboneWithFPN
from .matching import RandomKeys, random_keys
from .postprocess import to_original_size
from .processes import ALONE
from .roi_heads import RoIHeads
from .rpn import RegionProposalNetwork
from .targets import Targets, check_targets, pad_targets
from .transform import batch_images


class MaskRCNN(nn.Module):
    """The whole network; parameters are named as in torchvision's detection models.

    Args:
        config: every number of the network, `mrcnn_lite.config`.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = BackboneWithFPN(config.backbone)
        if len(config.rpn.anchor_sizes) != self.backbone.num_levels:
            raise ValueError(
                f"config.rpn.anchor_sizes has {len(config.rpn.anchor_sizes)} levels, the pyramid "
                f"{self.backbone.num_levels}; give one tuple of sizes per level"
            )
        self.rpn = RegionProposalNetwork(self.backbone.out_channels, config.rpn)
        self.roi_heads = RoIHeads(self.backbone.out_channels, config)
        # Replace it to fix which anchors and RoIs are sampled.
        self.keys: RandomKeys = random_keys()
        self.processes = ALONE  # replaced where several processes share a batch

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Train on, or look at, a list of pictures of any size.

        Args:
            images: Tensor[3, H_b, W_b] each, RGB in 0..1.
            targets: in training one dict per image: boxes float [G, 4], labels int64 [G], masks
                uint8 [G, H_b, W_b].

        Returns:
            In training the five losses by name. In evaluation one dict per image, best detection
            first: boxes [N, 4], labels [N], scores [N], masks [N, 1, H_b, W_b] in 0..1.
        """
        if self.training:
            return self.losses(images, targets)
        batch, _ = batch_images(images, None, self.config.image)
        size = batch.padded_size
        features = self.backbone(batch.pixels)
        proposals, valid, _ = self.rpn(features, size, batch.sizes, None, self.keys)
        detections = self.roi_heads.detect(features, proposals, valid, size, batch.sizes)
        return [
            to_original_size(found, size, original, self.config.mask.paste)
            for found, size, original in zip(
                detections, batch.resized_sizes, batch.original_sizes, strict=True
            )
        ]

    def losses(
        self, images: list[Tensor], targets: list[dict[str, Tensor]], check: bool = True
    ) -> dict[str, Tensor]:
        """Return the five losses by name, in training and in evaluation mode.

        In evaluation mode (validation losses) batch norms use their running statistics; everything
        else, the number of proposals included, is as in training. The samplers draw from
        `self.keys` there too.

        Args:
            images, targets: see `forward`.
            check: whether to look for targets that would train nonsense.
        """
        if check:
            check_targets(images, targets, self.num_classes)
        batch, targets = batch_images(images, targets, self.config.image, self.processes)
        objects = pad_targets(targets, batch.padded_size, batch.pixels)
        return self.losses_of_batch(batch.pixels, batch.sizes, objects)

    def losses_of_batch(self, pixels: Tensor, sizes: Tensor, objects: Targets) -> dict[str, Tensor]:
        """Return the five losses of pictures that are one tensor already.

        Nothing here asks a GPU for a value: a CUDA graph can record it.

        Args:
            pixels: Tensor[B, 3, H, W], normalised and padded. sizes: Tensor[B, 2], (height, width)
                of each picture inside the padding. objects: what is in them.
        """
        together, size = self.processes, tuple(pixels.shape[-2:])
        features = self.backbone(pixels)
        proposals, valid, rpn_losses = self.rpn(features, size, sizes, objects, self.keys, together)
        box_losses, rois = self.roi_heads.train_boxes(
            features, proposals, valid, size, objects, self.keys, together
        )
        mask_losses = self.roi_heads.train_masks(features, rois, size, objects, together)
        return box_losses | mask_losses | rpn_losses

    @property
    def num_classes(self) -> int:
        """Classes that the box predictor tells apart, background included; it may be replaced."""
        return self.roi_heads.box_predictor.cls_score.out_features


def maskrcnn_lite(num_classes: int = 6) -> MaskRCNN:
    """Return the laptop's network; `num_classes` counts the background."""
    return MaskRCNN(lite(num_classes))
