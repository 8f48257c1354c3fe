"""Region proposal network: where might objects be? (FR §3)"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import RPNConfig
from ..ops.boxes import clip_boxes, decode_boxes, encode_boxes
from ..ops.checks import check_finite
from ..ops.nms import nms_mask
from .anchors import AnchorGenerator
from .fpn import Pyramid
from .losses import Normaliser, rpn_losses
from .matching import BalancedSampler, match
from .transform import Size, Targets

INITIAL_STD = 0.01  # FR §3.1.3: new layers start from N(0, 0.01)


class RPNHead(nn.Module):
    """A 3 x 3 convolution (or more), then every anchor's objectness and deltas by 1 x 1
    convolutions."""

    def __init__(self, channels: int, anchors_per_location: int, convs: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        for _ in range(convs):
            conv = nn.Conv2d(channels, channels, 3, padding=1)
            self.conv.append(nn.Sequential(conv, nn.ReLU(inplace=True)))
        self.cls_logits = nn.Conv2d(channels, anchors_per_location, 1)
        self.bbox_pred = nn.Conv2d(channels, 4 * anchors_per_location, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=INITIAL_STD)
                nn.init.zeros_(module.bias)

    def forward(self, features: Pyramid) -> tuple[list[Tensor], list[Tensor]]:
        """Return per level, in anchor order, objectness logits [B, A_l] and deltas [B, A_l, 4]."""
        objectness, deltas = [], []
        wide = torch.promote_types(features[0].dtype, torch.float32)  # bf16 holds no coordinate
        for feature in features:
            x = self.conv(feature)  # [B, C, h, w]
            logits, delta = self.cls_logits(x).to(wide), self.bbox_pred(x).to(wide)
            objectness.append(logits.permute(0, 2, 3, 1).flatten(1))  # [B, A]
            # An anchor's 4 numbers are neighbours among the channels: the reshape keeps them.
            delta = delta.permute(0, 2, 3, 1)  # [B, h, w, 4 * N]
            deltas.append(delta.reshape(len(delta), -1, 4))  # [B, A, 4]
        return objectness, deltas


class RegionProposalNetwork(nn.Module):
    """Anchors in, the most promising boxes out; in training also its two losses."""

    def __init__(self, channels: int, config: RPNConfig, sampler: BalancedSampler) -> None:
        super().__init__()
        self.config, self.sampler, self.normaliser = config, sampler, Normaliser()
        self.anchor_generator = AnchorGenerator(config.anchor_sizes, config.aspect_ratios)
        self.head = RPNHead(channels, self.anchor_generator.per_location(), config.convs)

    def forward(
        self, features: Pyramid, size: Size, image_sizes: Tensor, targets: Targets | None = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Propose boxes; `variants.SampledRPN` does the same with less work for the losses.

        Args:
            features: of the batch. size: its (H, W), padding included.
            image_sizes: Tensor[B, 2], each image's own (H, W).
            targets: the objects (training) or None.

        Returns:
            proposals Tensor[B, R, 4], best first; valid bool Tensor[B, R]; the losses (empty
            without targets).
        """
        predicted = logits, deltas, anchors, _ = self.predict(features, size)
        proposals, valid = self.propose(*predicted, image_sizes, targets is not None)
        if targets is None:
            return proposals, valid, {}
        index, *answers = self.sample(anchors, targets)
        logits = logits.gather(1, index)  # [B, samples]
        deltas = deltas.take_along_dim(index[..., None], dim=1)  # [B, samples, 4]
        return proposals, valid, rpn_losses(logits, deltas, *answers, self.normaliser)

    def predict(self, features: Pyramid, size: Size) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """Logits [B, A], deltas [B, A, 4] and boxes [A, 4] of all anchors; how many a level has."""
        objectness, deltas = self.head(features)
        per_level = [level.shape[1] for level in objectness]
        anchors = self.anchor_generator(features, size)  # [A, 4]
        return torch.cat(objectness, dim=1), torch.cat(deltas, dim=1), anchors, per_level

    @torch.no_grad()
    def propose(
        self,
        logits: Tensor,
        deltas: Tensor,
        anchors: Tensor,
        per_level: list[int],
        image_sizes: Tensor,
        for_losses: bool,
    ) -> tuple[Tensor, Tensor]:
        """Keep the best: top-k per level, decode, clip, drop the tiny, NMS, top-k per image.

        How many depends on what they are for, losses or detections, and not on `self.training`:
        so losses on held-out images are those of training.
        """
        cfg = self.config
        before = cfg.pre_nms_train if for_losses else cfg.pre_nms_test
        after = cfg.post_nms_train if for_losses else cfg.post_nms_test
        counts, tops, start = [min(before, count) for count in per_level], [], 0
        for level, count in zip(logits.split(per_level, dim=1), counts, strict=True):  # [B, A_l]
            tops.append(level.topk(count, dim=1).indices + start)
            start += level.shape[1]
        top = torch.cat(tops, dim=1)  # [B, N]
        # tv compares probabilities: sure anchors of two levels can tie.
        scores = logits.gather(1, top).sigmoid()  # [B, N]
        deltas = deltas.take_along_dim(top[..., None], dim=1)  # [B, N, 4]
        if deltas.device.type == "cpu" and not (scores.sum() + deltas.sum()).isfinite():
            check_finite(scores, "scores of the RPN")  # weights that exploded: stop here, say so
            check_finite(deltas, "deltas of the RPN")
        boxes = clip_boxes(decode_boxes(deltas, anchors[top]), image_sizes[:, None])  # [B, N, 4]
        valid = (boxes[..., 2:] - boxes[..., :2] >= cfg.min_size).all(dim=-1)  # [B, N]
        split = boxes.split(counts, dim=1), scores.split(counts, dim=1), valid.split(counts, dim=1)
        keep = []
        for level in zip(*split, strict=True):  # only boxes of one level compete
            keep.append(nms_mask(*level, cfg.nms_iou))
        scores = scores.masked_fill(~torch.cat(keep, dim=1), -torch.inf)  # [B, N]
        # Ties: the finer level first.
        best, index = scores.sort(dim=1, descending=True, stable=True)
        best, index = best[:, :after], index[:, :after]  # [B, R] each
        return boxes.take_along_dim(index[..., None], dim=1), best > -torch.inf

    def sample(self, anchors: Tensor, targets: Targets) -> tuple[Tensor, ...]:
        """Draw a balanced sample of anchors (FR §3.1.3) and say what they should have answered.

        Returns:
            index [B, samples]; target deltas [B, samples, 4]; positive and valid, bool
            [B, samples].
        """
        cfg = self.config
        objects, limits = (targets.boxes, targets.valid), (cfg.foreground_iou, cfg.background_iou)
        matched, match_labels = match(*objects, anchors, *limits, allow_low_quality=True)
        wanted = cfg.samples, cfg.positive_fraction
        index, valid = self.sampler(match_labels, *wanted)  # [B, samples]
        positive = (match_labels.gather(1, index) > 0) & valid
        matched = matched.gather(1, index)[..., None]  # [B, samples, 1]
        gt_boxes = targets.boxes.take_along_dim(matched, dim=1)  # [B, samples, 4]
        # Only positives have a box to reach; the others stand in for themselves, because a
        # padded row without size has no logarithm.
        gt_boxes = torch.where(positive[..., None], gt_boxes, anchors[index])
        return index, encode_boxes(gt_boxes, anchors[index]), positive, valid
