"""Region proposal network: where might objects be? (FR §3)"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import RPNConfig
from ..ops import clip_boxes, decode_boxes, encode_boxes, nms_mask
from .anchors import AnchorGenerator
from .losses import objectness_loss, rpn_box_loss
from .matching import RandomKeys, gather_rows, match, sample
from .processes import ALONE, Alone
from .roi_features import full
from .targets import Targets

INITIAL_STD = 0.01  # FR §3.1.3: new layers start from N(0, 0.01)


class RPNHead(nn.Module):
    """A 3 x 3 convolution (or more), then every anchor's objectness and deltas by 1 x 1
    convolutions."""

    def __init__(self, channels: int, anchors_per_location: int, convs: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True))
                for _ in range(convs)
            )
        )
        self.cls_logits = nn.Conv2d(channels, anchors_per_location, 1)
        self.bbox_pred = nn.Conv2d(channels, 4 * anchors_per_location, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=INITIAL_STD)
                nn.init.zeros_(module.bias)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return per level, in anchor order, objectness logits [B, A_l] and deltas [B, A_l, 4]."""
        objectness, deltas = [], []
        for feature in features:
            x = self.conv(feature)  # [B, C, h, w]
            objectness.append(full(self.cls_logits(x)).permute(0, 2, 3, 1).flatten(1))  # [B, A]
            # An anchor's 4 numbers are neighbours among the channels: the reshape keeps them.
            delta = full(self.bbox_pred(x)).permute(0, 2, 3, 1)  # [B, h, w, 4 * N]
            deltas.append(delta.reshape(len(delta), -1, 4))  # [B, A, 4]
        return objectness, deltas


class RegionProposalNetwork(nn.Module):
    """Anchors in, the most promising boxes out; in training also its two losses."""

    def __init__(self, channels: int, config: RPNConfig) -> None:
        super().__init__()
        self.config = config
        self.anchor_generator = AnchorGenerator(config.anchor_sizes, config.aspect_ratios)
        self.head = RPNHead(channels, self.anchor_generator.per_location(), config.convs)

    def forward(
        self,
        features: list[Tensor],
        padded_size: tuple[int, int],
        image_sizes: Tensor,
        targets: Targets | None,
        keys: RandomKeys,
        processes: Alone = ALONE,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Propose boxes.

        Args:
            features: the pyramid, finest level first: Tensor[B, C, h_l, w_l] each.
            padded_size: (H, W) of the batch. image_sizes: Tensor[B, 2], each image's own (H, W).
            targets: the objects (training) or None.
            keys: source of random numbers for the loss's sample.
            processes: those that share the batch.

        Returns:
            proposals Tensor[B, R, 4], best first; valid bool Tensor[B, R]; the losses (empty
            without targets).
        """
        objectness, deltas = self.head(features)
        anchors = self.anchor_generator(features, padded_size)  # [A, 4]
        per_level = [o.shape[1] for o in objectness]
        logits, delta = torch.cat(objectness, dim=1), torch.cat(deltas, dim=1)  # [B, A], [B, A, 4]
        proposals, valid = self.propose(
            logits.detach(), delta.detach(), anchors, per_level, image_sizes, targets is not None
        )
        if targets is None:
            return proposals, valid, {}
        return proposals, valid, self.losses(logits, delta, anchors, targets, keys, processes)

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
        kept_boxes, kept_scores, start = [], [], 0
        for count in per_level:
            level = slice(start, start + count)
            start += count
            score, top = logits[:, level].topk(min(before, count), dim=1)  # [B, N]
            score = score.sigmoid()  # tv compares probabilities: sure anchors of two levels can tie
            boxes = decode_boxes(
                gather_rows(deltas[:, level], top), anchors[level][top]
            )  # [B, N, 4]
            boxes = clip_boxes(boxes, image_sizes[:, None])
            valid = (boxes[..., 2:] - boxes[..., :2] >= cfg.min_size).all(dim=-1)  # [B, N]
            keep = nms_mask(boxes, score, valid, cfg.nms_iou)  # [B, N]
            kept_boxes.append(boxes)
            kept_scores.append(score.masked_fill(~keep, -torch.inf))
        boxes, scores = (
            torch.cat(kept_boxes, dim=1),
            torch.cat(kept_scores, dim=1),
        )  # [B, N, 4], [B, N]
        best, index = scores.sort(
            dim=1, descending=True, stable=True
        )  # ties: the finer level first
        best, index = best[:, :after], index[:, :after]  # [B, R] each
        return gather_rows(boxes, index), best > -torch.inf  # [B, R, 4], [B, R]

    def losses(
        self,
        logits: Tensor,
        deltas: Tensor,
        anchors: Tensor,
        targets: Targets,
        keys: RandomKeys,
        processes: Alone,
    ) -> dict[str, Tensor]:
        """Compare a balanced sample of anchors with the objects: FR eq. (1)."""
        cfg = self.config
        matched, labels = match(
            targets.boxes,
            targets.valid,
            anchors,
            cfg.foreground_iou,
            cfg.background_iou,
            allow_low_quality=True,
        )
        index, valid = sample(labels, cfg.samples, cfg.positive_fraction, keys)  # [B, samples]
        positive = (labels.gather(1, index) > 0) & valid
        gt_boxes = gather_rows(targets.boxes, matched.gather(1, index))  # [B, samples, 4]
        # Only positives have a box to reach; the others stand in for themselves, because a
        # padded row without size has no logarithm.
        gt_boxes = torch.where(positive[..., None], gt_boxes, anchors[index])
        wanted = encode_boxes(gt_boxes, anchors[index])
        count = processes.mean(valid.sum())
        scores, moves = logits.gather(1, index), gather_rows(deltas, index)
        return {
            "loss_objectness": objectness_loss(scores, positive, valid, count),
            "loss_rpn_box_reg": rpn_box_loss(moves, wanted, positive, valid, count),
        }
