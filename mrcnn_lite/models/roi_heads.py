"""The second stage: for every proposal a class and a better box; for every object a mask (§3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import Config
from ..ops import crop_masks, encode_boxes
from .backbone import make_norm
from .box_head import FastRCNNPredictor, make_box_head
from .losses import box_loss, class_loss, mask_loss
from .mask_head import MaskHead, MaskRCNNPredictor
from .matching import RandomKeys, gather_rows, match, sample
from .postprocess import select_detections, select_masks
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
        stand_in = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
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
        logits = self._mask_logits(features, list(boxes), padded_size, rows)  # [K, C, M, M]
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
        labels = labels.flatten()[rows]
        positive = labels > 0
        count = processes.mean(positive.sum())
        return {"loss_mask": mask_loss(logits, wanted, labels, positive, cfg.competition, count)}

    def _mask_logits(
        self,
        features: list[Tensor],
        boxes: list[Tensor],
        padded_size: tuple[int, int],
        rows: Tensor | slice,
    ) -> Tensor:
        """Pool, convolve, predict: logits Tensor[K, C, M, M] of the boxes in `rows`."""
        if not isinstance(rows, slice):
            image = rows // len(boxes[0])  # [K]: every image has as many rows
            flat = torch.cat(boxes)[rows]
            boxes = [flat[image == place] for place in range(len(boxes))]
        pooled = self.mask_roi_pool(features, boxes, padded_size)  # [K, C, P, P]
        return full(self.mask_predictor(self.mask_head(pooled)))  # [K, C, M, M]

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
        kept = [boxes[good] for boxes, good in zip(proposals, valid, strict=True)]
        pooled = self.box_roi_pool(features, kept, padded_size)  # [K, C, P, P]
        logits, deltas = self._predict(pooled)
        counts = [len(boxes) for boxes in kept]
        detections = [
            select_detections(image_logits, image_deltas, boxes, tuple(size), self.config.box)
            for image_logits, image_deltas, boxes, size in zip(
                logits.split(counts), deltas.split(counts), kept, image_sizes.tolist(), strict=True
            )
        ]
        mask_logits = self._mask_logits(
            features, [d["boxes"] for d in detections], padded_size, slice(None)
        )
        counts = [len(d["boxes"]) for d in detections]
        mask = self.config.mask
        for detection, image_logits in zip(detections, mask_logits.split(counts), strict=True):
            detection["mask_probabilities"] = select_masks(
                image_logits, detection["labels"], mask.class_agnostic, mask.competition
            )  # [N, M, M]
        return detections


def compact(valid: Tensor) -> Tensor | slice:
    """Return the rows worth computing: the valid ones; on a GPU all, because asking would wait."""
    return valid.nonzero().flatten() if valid.device.type == "cpu" else slice(None)
