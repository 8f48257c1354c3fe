"""The second stage: for every proposal a class and a better box; for every object a mask (§3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config import Config
from ..ops import crop_masks, encode_boxes
from ..ops.constants import constants_like
from .backbone import make_norm
from .box_head import FastRCNNPredictor, make_box_head
from .losses import box_loss, class_loss, mask_loss
from .mask_head import MaskHead, MaskRCNNPredictor
from .matching import RandomKeys, gather_rows, match, sample
from .postprocess import select_detections, select_masks, trim
from .processes import ALONE, Alone
from .roi_features import RoIFeatures, full
from .targets import Targets


class RoIHeads(nn.Module):
    """Box branch and mask branch, side by side on the same pyramid."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        self.config = config
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
        keys: RandomKeys,
        processes: Alone = ALONE,
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
        index, chosen = sample(
            labels.masked_fill(~valid, -1), cfg.samples, cfg.positive_fraction, keys
        )
        boxes = gather_rows(proposals, index)  # [B, R, 4]
        matched = matched.gather(1, index)  # [B, R]
        positive = (labels.gather(1, index) > 0) & chosen
        labels = torch.where(positive, targets.labels.gather(1, matched), 0)  # [B, R]

        pooled = self.box_roi_pool(features, list(boxes), padded_size)  # [K, C, P, P]
        logits, deltas = self._predict(pooled)
        # Only positives have a box to reach; the unit box stands in elsewhere, because a
        # padded row without size has no logarithm.
        stand_in = constants_like(boxes, (0.0, 0.0, 1.0, 1.0))
        gt_boxes = torch.where(positive[..., None], gather_rows(targets.boxes, matched), stand_in)
        from_boxes = torch.where(positive[..., None], boxes, stand_in)
        wanted = encode_boxes(gt_boxes, from_boxes, cfg.code_weights)  # [B, R, 4]
        shape, count = labels.shape, processes.mean(chosen.sum())
        losses = {
            "loss_classifier": class_loss(logits.reshape(*shape, -1), labels, chosen, count),
            "loss_box_reg": box_loss(deltas.reshape(*shape, -1, 4), wanted, labels, chosen, count),
        }
        return losses, (boxes, matched, labels)

    def _predict(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits [K, C] and deltas [K, C, 4]; torchvision's predictors give them flat."""
        logits, deltas = self.box_predictor(self.box_head(pooled))
        return full(logits), full(deltas).reshape(*logits.shape, 4)  # [K, C], [K, C, 4]

    def train_masks(
        self,
        features: list[Tensor],
        rois: tuple[Tensor, Tensor, Tensor],
        padded_size: tuple[int, int],
        targets: Targets,
        processes: Alone = ALONE,
    ) -> dict[str, Tensor]:
        """Loss of the mask branch on the positive RoIs, at most `config.mask.rois` per image."""
        cfg = self.config.mask
        boxes, matched, labels = (part[:, : cfg.rois] for part in rois)
        rows = compact(labels.flatten() > 0)
        classes = labels.flatten()[rows]  # [K]
        logits = self._mask_logits(features, list(boxes), padded_size, rows, classes)
        # Masks of all images in one list; G of them belong to each image.
        first = torch.arange(len(boxes), device=boxes.device)[:, None] * targets.masks.shape[1]
        which = (first + matched).flatten()[rows]  # [K]
        wanted = crop_masks(
            targets.masks.flatten(0, 1),
            boxes.flatten(0, 1)[rows],
            which,
            logits.shape[-1],
            aligned=cfg.targets_aligned,
        )  # [K, M, M]
        positive = classes > 0
        count = processes.mean(positive.sum())
        return {"loss_mask": mask_loss(logits, wanted, classes, positive, cfg.competition, count)}

    def _mask_logits(
        self,
        features: list[Tensor],
        boxes: list[Tensor],
        padded_size: tuple[int, int],
        rows: Tensor | slice,
        labels: Tensor,
    ) -> Tensor:
        """Pool, convolve, predict: logits Tensor[K, C, M, M] of the boxes in `rows`.

        Where nothing else is asked for, only the channel of each box's class: Tensor[K, 1, M, M].
        """
        if not isinstance(rows, slice):
            image = rows // len(boxes[0])  # [K]: every image has as many rows
            flat = torch.cat(boxes)[rows]
            boxes = [flat[image == place] for place in range(len(boxes))]
        pooled = self.mask_roi_pool(features, boxes, padded_size)  # [K, C, P, P]
        x, predictor = self.mask_head(pooled), self.mask_predictor  # [K, C, P, P]
        # A user's own predictor need not know labels; in a softmax all channels take part.
        ours = type(predictor) is MaskRCNNPredictor and self.config.mask.competition == "sigmoid"
        if ours and predictor.alone_pays():
            return full(predictor(x, labels))  # [K, 1, M, M]
        return full(predictor(x))  # [K, C, M, M]

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
        if skips_padding(valid.device):
            proposals = [boxes[good] for boxes, good in zip(proposals, valid, strict=True)]
            valid = [None] * len(proposals)
        return trim(self.detect_padded(features, proposals, valid, padded_size, image_sizes))

    def detect_padded(
        self,
        features: list[Tensor],
        proposals: Sequence[Tensor],
        valid: Sequence[Tensor | None],
        padded_size: tuple[int, int],
        image_sizes: Tensor,
    ) -> list[dict[str, Tensor]]:
        """Do the work of `detect`; where `valid` is given no size depends on values.

        Returns:
            See `detect`; where `valid` is given also "count", see `select_detections`.
        """
        pooled = self.box_roi_pool(features, list(proposals), padded_size)  # [K, C, P, P]
        logits, deltas = self._predict(pooled)
        counts = [len(boxes) for boxes in proposals]
        images = zip(
            logits.split(counts), deltas.split(counts), proposals, image_sizes, valid, strict=True
        )
        detections = [
            select_detections(image_logits, image_deltas, boxes, size, self.config.box, good)
            for image_logits, image_deltas, boxes, size, good in images
        ]
        boxes = [found["boxes"] for found in detections]
        labels = torch.cat([found["labels"] for found in detections])  # [K]
        mask_logits = self._mask_logits(features, boxes, padded_size, slice(None), labels)
        one_channel, competition = mask_logits.shape[1] == 1, self.config.mask.competition
        parts = mask_logits.split([len(b) for b in boxes])
        for found, image_logits in zip(detections, parts, strict=True):
            found["mask_probabilities"] = select_masks(
                image_logits, found["labels"], one_channel, competition
            )  # [N, M, M]
        return detections


def skips_padding(device: torch.device) -> bool:
    """Say whether rows that count for nothing are left out: a GPU would wait to learn which."""
    return device.type == "cpu"


def compact(valid: Tensor) -> Tensor | slice:
    """Return the rows worth computing: the valid ones, or all (see `skips_padding`)."""
    return valid.nonzero().flatten() if skips_padding(valid.device) else slice(None)
