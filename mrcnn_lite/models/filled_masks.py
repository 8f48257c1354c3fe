"""The mask branch on a fixed number of rows that the positives of a whole batch fill.

A recorded step has one size, however many RoIs are positive. With room for `mask.rois` of each
image most rows count for nothing: few images have that many. Here a batch of B images shares
B x `mask.batch_rois` rows. As long as no more RoIs are positive, loss and gradients are those of
the plain form. Of more, a part is taken: images take turns, so those with most lose first, and of
an image its first RoIs stay, which the sampler has put in random order.
"""

import torch
from torch import Tensor, nn

from ..ops.masks import crop_masks
from .fpn import NamedMaps
from .losses import mask_loss
from .roi_heads import RoIFeatures
from .transform import Size, Targets
from .variants import LeanRoIHeads


def fill_masks(model: nn.Module) -> None:
    """Let a network's variant of the RoI heads be the one below; weights and names stay."""
    for module in model.modules():
        if type(module) is LeanRoIHeads:
            module.__class__ = FilledRoIHeads


class FilledRoIHeads(LeanRoIHeads):
    """RoI heads whose mask loss is computed on the rows of `rows_of_batch`."""

    def mask_losses(
        self, features: NamedMaps, rois: tuple[Tensor, ...], size: Size, targets: Targets
    ) -> dict[str, Tensor]:
        """See `RoIHeads.mask_losses`."""
        if type(self.mask_roi_pool) is not RoIFeatures:  # torchvision's takes boxes by image only
            return super().mask_losses(features, rois, size, targets)
        cfg = self.config.mask
        rois = [part[:, : cfg.rois] for part in rois]
        image, row = rows_of_batch(rois[2] > 0, len(rois[2]) * cfg.batch_rois)  # [K] each
        boxes, matched, labels = (part[image, row] for part in rois)  # [K, 4], [K], [K]
        indexed = torch.cat([image[:, None].to(boxes.dtype), boxes], dim=1)  # [K, 5]
        logits = self.predict_masks(features, indexed, size, labels)
        masks, matched = targets.masks.flatten(0, 1), image * targets.masks.shape[1] + matched
        target = crop_masks(masks, boxes, matched, logits.shape[-1], cfg.targets_aligned)
        positive = labels > 0
        count = self.normaliser(positive)
        return {"loss_mask": mask_loss(logits, target, labels, positive, cfg.competition, count)}


def rows_of_batch(positive: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose RoIs of a batch, positives first: the first of each image, the second of each, …

    Args:
        positive: bool Tensor[B, R].
        count: how many to choose; all, where there are no more.

    Returns:
        image, row: int64 Tensor[K] each, K = min(count, B * R).
    """
    turns = positive.T.flatten().to(torch.uint8)  # [R * B]
    order = turns.argsort(descending=True, stable=True)[:count]  # [K]
    return order % len(positive), order // len(positive)
