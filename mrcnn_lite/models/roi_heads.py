"""The second stage: for every proposal a class and a better box; for every object a mask (§3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import Config
from ..ops.boxes import encode_boxes
from ..ops.constants import constants_like
from ..ops.masks import crop_masks
from ..ops.multiscale import multiscale_roi_align
from .backbone import make_norm
from .box_head import FastRCNNPredictor, make_box_head
from .losses import Normaliser, at_least_float32, box_loss, class_loss, mask_loss
from .mask_head import MaskHead, MaskRCNNPredictor
from .matching import BalancedSampler, gather_rows, match
from .postprocess import select_detections, select_masks
from .transform import Targets

UNIT_BOX = (0.0, 0.0, 1.0, 1.0)


class RoIFeatures(nn.Module):
    """Pool every box to P x P, from one pyramid level or from the level that its size asks for
    (FPN, eq. 1).

    Args:
        levels: how many levels to read, from the finest; 1 reads everything from P2.
        pooled_size: P. sampling_ratio: samples per bin and axis. aligned: the half-pixel rule.
    """

    def __init__(self, levels: int, pooled_size: int, sampling_ratio: int, aligned: bool) -> None:
        super().__init__()
        self.levels, self.pooled_size = levels, pooled_size
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(
        self, features: list[Tensor], boxes: list[Tensor], padded_size: tuple[int, int]
    ) -> Tensor:
        """Return the features of all boxes, image by image: Tensor[K, C, P, P].

        Args:
            features: the pyramid, finest level first. boxes: one Tensor[R_b, 4] per image.
                padded_size: (H, W).
        """
        levels, sampling = features[: self.levels], self.sampling_ratio
        return multiscale_roi_align(
            levels, boxes, padded_size, self.pooled_size, sampling, self.aligned
        )  # [K, C, P, P]


class RoIHeads(nn.Module):
    """Box branch and mask branch, side by side on the same pyramid."""

    def __init__(self, channels: int, config: Config, sampler: BalancedSampler) -> None:
        super().__init__()
        self.config, self.sampler, self.normaliser = config, sampler, Normaliser()
        box, mask = config.box, config.mask
        self.box_roi_pool = RoIFeatures(
            box.roi_levels, box.pooled_size, box.sampling_ratio, box.aligned
        )
        self.box_head = make_box_head(channels, box)
        self.box_predictor = FastRCNNPredictor(box.head_channels, config.num_classes)
        self.mask_roi_pool = RoIFeatures(
            box.roi_levels, mask.pooled_size, mask.sampling_ratio, mask.aligned
        )
        norm = None if mask.norm == "none" else lambda c: make_norm(mask.norm, c)
        self.mask_head = MaskHead(channels, mask.channels, norm)
        kinds = 1 if mask.class_agnostic else config.num_classes
        self.mask_predictor = MaskRCNNPredictor(self.mask_head.out_channels, mask.hidden, kinds)

    def train_boxes(
        self,
        features: list[Tensor],
        proposals: Tensor,
        valid: Tensor,
        padded_size: tuple[int, int],
        targets: Targets,
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor, Tensor]]:
        """Losses of the box branch, and the sampled RoIs for the mask branch.

        Returns:
            loss_classifier and loss_box_reg; (boxes [B, R, 4], matched [B, R], labels [B, R]) with
            positives first.
        """
        cfg = self.config.box
        # The objects themselves join the proposals: early in training they are the only good ones.
        proposals = torch.cat([proposals, targets.boxes], dim=1)  # [B, R + G, 4]
        valid = torch.cat([valid, targets.valid], dim=1)  # [B, R + G]
        matched, labels = match(
            targets.boxes, targets.valid, proposals, cfg.foreground_iou, cfg.foreground_iou
        )
        labels = labels.masked_fill(~valid, -1)
        index, chosen = self.sampler(labels, cfg.samples, cfg.positive_fraction)
        boxes = gather_rows(proposals, index)  # [B, R, 4]
        matched = matched.gather(1, index)  # [B, R]
        positive = (labels.gather(1, index) > 0) & chosen
        labels = torch.where(positive, targets.labels.gather(1, matched), 0)  # [B, R]

        pooled = self.box_roi_pool(features, list(boxes), padded_size)  # [K, C, P, P]
        logits, deltas = self.predict_boxes(pooled)
        # Only positives have a box to reach; the unit box stands in elsewhere, because a
        # padded row without size has no logarithm.
        stand_in = constants_like(boxes, UNIT_BOX)
        gt_boxes = torch.where(positive[..., None], gather_rows(targets.boxes, matched), stand_in)
        from_boxes = torch.where(positive[..., None], boxes, stand_in)
        target = encode_boxes(gt_boxes, from_boxes, cfg.code_weights)  # [B, R, 4]
        shape, count = labels.shape, self.normaliser(chosen)
        losses = {
            "loss_classifier": class_loss(logits.reshape(*shape, -1), labels, chosen, count),
            "loss_box_reg": box_loss(deltas.reshape(*shape, -1, 4), target, labels, chosen, count),
        }
        return losses, (boxes, matched, labels)

    def train_masks(
        self,
        features: list[Tensor],
        rois: tuple[Tensor, Tensor, Tensor],
        padded_size: tuple[int, int],
        targets: Targets,
    ) -> dict[str, Tensor]:
        """Loss of the mask branch on the positive RoIs, at most `config.mask.rois` per image."""
        cfg = self.config.mask
        boxes, matched, labels = (part[:, : cfg.rois] for part in rois)
        # Masks of all images in one list; G of them belong to each image.
        first = torch.arange(len(boxes), device=boxes.device)[:, None] * targets.masks.shape[1]
        boxes, matched, labels = self.drop_invalid(labels > 0, boxes, first + matched, labels)
        labels = torch.cat(labels)  # [K]
        logits = self.predict_masks(features, boxes, padded_size, labels)
        masks, size = targets.masks.flatten(0, 1), logits.shape[-1]
        target = crop_masks(masks, torch.cat(boxes), torch.cat(matched), size, cfg.targets_aligned)
        positive = labels > 0
        count = self.normaliser(positive)
        return {"loss_mask": mask_loss(logits, target, labels, positive, cfg.competition, count)}

    def drop_invalid(self, valid: Tensor, *values: Tensor) -> list[list[Tensor]]:
        """The valid rows of each image: for every Tensor[B, R, ...] one Tensor[R_b, ...] per
        image."""
        return [[row[good] for row, good in zip(v, valid, strict=True)] for v in values]

    def predict_boxes(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits [K, C] and deltas [K, C, 4]; torchvision's predictors give them flat."""
        logits, deltas = map(at_least_float32, self.box_predictor(self.box_head(pooled)))
        return logits, deltas.reshape(*logits.shape, 4)  # [K, C], [K, C, 4]

    def predict_masks(
        self, features: list[Tensor], boxes: list[Tensor], size: tuple[int, int], labels: Tensor
    ) -> Tensor:
        """Mask logits Tensor[K, C, M, M]; a variant gives those of the `labels` [K] alone."""
        pooled = self.mask_roi_pool(features, boxes, size)  # [K, C, P, P]
        return at_least_float32(self.mask_predictor(self.mask_head(pooled)))  # [K, C, M, M]

    def detect(
        self,
        features: list[Tensor],
        proposals: Tensor,
        valid: Tensor,
        padded_size: tuple[int, int],
        image_sizes: Tensor,
    ) -> list[dict[str, Tensor]]:
        """Box, then class, then the mask of that class inside that box: the order of inference
        (§3.1).

        Returns:
            One dict per image: boxes [N, 4], labels [N], scores [N], mask_probabilities [N, M, M].
        """
        (proposals,) = self.drop_invalid(valid, proposals)
        pooled = self.box_roi_pool(features, proposals, padded_size)  # [K, C, P, P]
        counts = [*map(len, proposals)]
        logits, deltas = (part.split(counts) for part in self.predict_boxes(pooled))
        images = zip(logits, deltas, proposals, image_sizes, strict=True)
        detections = [select_detections(*image, self.config.box) for image in images]
        return self.add_masks(features, detections, padded_size)

    def add_masks(
        self,
        features: list[Tensor],
        detections: list[dict[str, Tensor]],
        padded_size: tuple[int, int],
    ) -> list[dict[str, Tensor]]:
        """Give every detection the mask of its class: mask_probabilities Tensor[N, M, M]."""
        boxes = [detection["boxes"] for detection in detections]
        labels = torch.cat([detection["labels"] for detection in detections])  # [K]
        logits = self.predict_masks(features, boxes, padded_size, labels)
        masks = select_masks(logits, labels, self.config.mask.competition)  # [K, M, M]
        masks = masks.split([*map(len, boxes)])  # [N, M, M] each
        for detection, of_image in zip(detections, masks, strict=True):
            detection["mask_probabilities"] = of_image
        return detections
