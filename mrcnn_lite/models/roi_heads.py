"""The second stage: for every proposal a class and a better box; for every object a mask (§3), and
points where the data has them (§5)."""

from functools import partial

import torch
from torch import Tensor, nn

from ..config import BoxConfig, Config, KeypointConfig, MaskConfig
from ..ops.boxes import encode_boxes
from ..ops.constants import constants_like
from ..ops.masks import crop_masks
from ..ops.multiscale import multiscale_roi_align
from .backbone import make_norm
from .box_head import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from .fpn import NamedMaps
from .keypoint_head import KeypointHead, KeypointRCNNPredictor, keypoint_loss, keypoint_targets
from .losses import Normaliser, box_loss, class_loss, mask_loss, predicted
from .mask_head import MaskHead, MaskRCNNPredictor
from .matching import IGNORED, BalancedSampler, match
from .postprocess import Detection, select_detections, select_masks
from .torchvision_attributes import HeadsAttributes, PoolAttributes
from .transform import Size, Targets

UNIT_BOX = (0.0, 0.0, 1.0, 1.0)


class RoIFeatures(PoolAttributes, nn.Module):
    """Pool every box to P x P, from one pyramid level or from the level that its size asks for
    (FPN, eq. 1). Its attributes and arguments are those of torchvision's `MultiScaleRoIAlign`.

    Args:
        levels: how many levels to read, from the finest; 1 reads everything from P2.
        pooled_size: P. sampling_ratio: samples per bin and axis. aligned: the half-pixel rule.
    """

    def __init__(self, levels: int, pooled_size: int, sampling_ratio: int, aligned: bool) -> None:
        super().__init__()
        self.featmap_names = [str(level) for level in range(levels)]
        self.output_size = (pooled_size, pooled_size)
        self.sampling_ratio, self.aligned = sampling_ratio, aligned
        self.canonical_scale, self.canonical_level = 224, 4

    def forward(self, features: NamedMaps, boxes: list[Tensor], image_shapes: list[Size]) -> Tensor:
        """Return the features of all boxes, Tensor[R_b, 4] per image: Tensor[K, C, P, P]."""
        maps = [x for name, x in features.items() if name in self.featmap_names]
        settings = self.output_size, self.sampling_ratio, self.aligned
        canonical = self.canonical_scale, self.canonical_level
        return multiscale_roi_align(maps, boxes, image_shapes[0], *settings, *canonical)


class RoIHeads(HeadsAttributes, nn.Module):
    """Box branch, mask branch and keypoint branch, side by side on the same pyramid; the last two
    are where the config has them."""

    def __init__(self, channels: int, config: Config, sampler: BalancedSampler) -> None:
        super().__init__(config=config, sampler=sampler, normaliser=Normaliser())
        box, mask, keypoint = config.box, config.mask, config.keypoint

        def pool(cfg: BoxConfig | MaskConfig | KeypointConfig) -> RoIFeatures:
            return RoIFeatures(box.roi_levels, cfg.pooled_size, cfg.sampling_ratio, cfg.aligned)

        box_head = FastRCNNConvFCHead if box.convs else TwoMLPHead
        self.box_roi_pool, self.box_head = pool(box), box_head(channels, box)
        self.box_predictor = FastRCNNPredictor(box.head_channels, config.num_classes)
        if mask:
            norm = None if mask.norm == "none" else partial(make_norm, mask.norm)
            self.mask_roi_pool, self.mask_head = pool(mask), MaskHead(channels, mask.channels, norm)
            kinds = 1 if mask.class_agnostic else config.num_classes
            self.mask_predictor = MaskRCNNPredictor(self.mask_head.out_channels, mask.hidden, kinds)
        if keypoint:
            norm = None if keypoint.norm == "none" else partial(make_norm, keypoint.norm)
            head = KeypointHead(channels, keypoint.channels, norm)
            self.keypoint_roi_pool, self.keypoint_head = pool(keypoint), head
            self.keypoint_predictor = KeypointRCNNPredictor(head.out_channels, keypoint.count)

    def box_losses(
        self, features: NamedMaps, proposals: Tensor, valid: Tensor, size: Size, targets: Targets
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Losses of the box branch, and the sampled RoIs for the other branches.

        Returns:
            loss_classifier and loss_box_reg; (boxes [B, R, 4], matched [B, R], labels [B, R]) with
            positives first.
        """
        cfg = self.config.box
        # The objects themselves join the proposals: early in training they are the only good ones.
        proposals = torch.cat([proposals, targets.boxes], dim=1)  # [B, R + G, 4]
        valid = torch.cat([valid, targets.valid], dim=1)  # [B, R + G]
        limits = cfg.foreground_iou, cfg.background_iou
        matched, match_labels = match(targets.boxes, targets.valid, proposals, *limits)
        match_labels = match_labels.masked_fill(~valid, IGNORED)
        index, chosen = self.sampler(match_labels, cfg.samples, cfg.positive_fraction)  # [B, R]
        boxes = proposals.take_along_dim(index[..., None], dim=1)  # [B, R, 4]
        matched = matched.gather(1, index)  # [B, R]
        positive = (match_labels.gather(1, index) > 0) & chosen
        labels = torch.where(positive, targets.labels.gather(1, matched), 0)  # [B, R]

        logits, deltas = self.predict_boxes(features, list(boxes), size)  # [K, C], [K, C, 4]
        # Only positives have a box to reach; the unit box stands in elsewhere, because a
        # padded row without size has no logarithm.
        stand_in, is_positive = constants_like(boxes, UNIT_BOX), positive[..., None]  # [B, R, 1]
        gt_boxes = targets.boxes.take_along_dim(matched[..., None], dim=1)  # [B, R, 4]
        target = encode_boxes(
            torch.where(is_positive, gt_boxes, stand_in),
            torch.where(is_positive, boxes, stand_in),
            cfg.code_weights,
        )  # [B, R, 4]
        logits = logits.unflatten(0, labels.shape)  # [B, R, C]
        deltas = deltas.unflatten(0, labels.shape)  # [B, R, C, 4]
        count = self.normaliser(chosen)
        losses = {
            "loss_classifier": class_loss(logits, labels, chosen, count),
            "loss_box_reg": box_loss(deltas, target, labels, chosen, count),
        }
        return losses, (boxes, matched, labels)

    def mask_losses(
        self, features: NamedMaps, rois: tuple[Tensor, ...], size: Size, targets: Targets
    ) -> dict[str, Tensor]:
        """Loss of the mask branch on the positive RoIs, at most `config.mask.rois` per image."""
        cfg = self.config.mask
        boxes, matched, labels = (part[:, : cfg.rois] for part in rois)
        # Masks of all images in one list; G of them belong to each image.
        first = torch.arange(len(boxes), device=boxes.device)[:, None] * targets.masks.shape[1]
        boxes, matched, labels = self.drop_invalid(labels > 0, boxes, first + matched, labels)
        matched, labels = torch.cat(matched), torch.cat(labels)  # [K], [K]
        logits = self.predict_masks(features, boxes, size, labels)
        masks, side = targets.masks.flatten(0, 1), logits.shape[-1]
        target = crop_masks(masks, torch.cat(boxes), matched, side, cfg.targets_aligned)
        positive = labels > 0
        count = self.normaliser(positive)
        return {"loss_mask": mask_loss(logits, target, labels, positive, cfg.competition, count)}

    def keypoint_losses(
        self, features: NamedMaps, rois: tuple[Tensor, ...], size: Size, targets: Targets
    ) -> dict[str, Tensor]:
        """Loss of the keypoint branch on the positive RoIs, `config.keypoint.rois` at most."""
        cfg = self.config.keypoint
        boxes, matched, labels = (part[:, : cfg.rois] for part in rois)
        points = targets.keypoints.take_along_dim(matched[..., None, None], dim=1)  # [B, R, N, 3]
        boxes, points, labels = self.drop_invalid(labels > 0, boxes, points, labels)
        logits = self.predict_keypoints(features, boxes, size)  # [K, N, M, M]
        points, boxes, side = torch.cat(points), torch.cat(boxes), logits.shape[-1]
        cells, inside = keypoint_targets(points, boxes, side, cfg.closed_edge)  # [K, N] each
        valid = inside & (torch.cat(labels) > 0)[:, None]
        return {"loss_keypoint": keypoint_loss(logits, cells, valid, self.normaliser(valid))}

    def drop_invalid(self, valid: Tensor, *values: Tensor) -> list[list[Tensor]]:
        """Of every Tensor[B, R, ...] the valid rows, a Tensor[R_b, ...] per image; a variant keeps
        all rows, and the invalid ones count for nothing."""
        return [[row[good] for row, good in zip(v, valid, strict=True)] for v in values]

    def predict_boxes(
        self, features: NamedMaps, boxes: list[Tensor], size: Size
    ) -> tuple[Tensor, Tensor]:
        """Class logits [K, C] and deltas [K, C, 4]; torchvision's predictors give them flat."""
        pooled = self.box_roi_pool(features, boxes, [size] * len(boxes))  # [K, C, P, P]
        logits, deltas = self.box_predictor(self.box_head(pooled))
        logits = predicted(logits, "class logits of the box branch")
        deltas = predicted(deltas, "deltas of the box branch")
        return logits, deltas.reshape(*logits.shape, 4)  # [K, C], [K, C, 4]

    def predict_masks(
        self, features: NamedMaps, boxes: list[Tensor], size: Size, labels: Tensor
    ) -> Tensor:
        """Mask logits Tensor[K, C, M, M]; a variant gives those of the `labels` [K] alone."""
        pooled = self.mask_roi_pool(features, boxes, [size] * len(boxes))  # [K, C, P, P]
        logits = self.mask_predictor(self.mask_head(pooled))  # [K, C, M, M]
        return predicted(logits, "logits of the mask branch")

    def predict_keypoints(self, features: NamedMaps, boxes: list[Tensor], size: Size) -> Tensor:
        """Logits of the keypoint branch, one map for each point: Tensor[K, N, M, M]."""
        pooled = self.keypoint_roi_pool(features, boxes, [size] * len(boxes))  # [K, C, P, P]
        logits = self.keypoint_predictor(self.keypoint_head(pooled))  # [K, N, M, M]
        return predicted(logits, "logits of the keypoint branch")

    def detect(
        self, features: NamedMaps, proposals: Tensor, valid: Tensor, size: Size, image_sizes: Tensor
    ) -> list[Detection]:
        """Box, then class, then the mask of that class and the points inside that box: the order of
        inference (§3.1).

        Returns:
            One dict per image: boxes [N, 4], labels [N], scores [N], and what `add_masks` adds.
        """
        (proposals,) = self.drop_invalid(valid, proposals)
        predictions, counts = self.predict_boxes(features, proposals, size), [*map(len, proposals)]
        logits, deltas = (part.split(counts) for part in predictions)
        images = zip(logits, deltas, proposals, image_sizes, strict=True)
        detections = [select_detections(*image, self.config.box) for image in images]
        return self.add_masks(features, detections, size)

    def add_masks(
        self, features: NamedMaps, detections: list[Detection], size: Size
    ) -> list[Detection]:
        """Give every detection the mask of its class, mask_probabilities Tensor[N, M, M], and the
        maps of its points, keypoint_logits [N, points, M, M], as far as there are branches."""
        boxes, maps = [detection["boxes"] for detection in detections], {}
        if self.config.mask:
            labels = torch.cat([detection["labels"] for detection in detections])  # [K]
            logits = self.predict_masks(features, boxes, size, labels)
            masks = select_masks(logits, labels, self.config.mask.competition)  # [K, M, M]
            maps["mask_probabilities"] = masks.split([*map(len, boxes)])  # [N, M, M] each
        if self.config.keypoint:
            logits = self.predict_keypoints(features, boxes, size)  # [K, points, M, M]
            maps["keypoint_logits"] = logits.split([*map(len, boxes)])
        for name, images in maps.items():
            for detection, of_image in zip(detections, images, strict=True):
                detection[name] = of_image
        return detections
