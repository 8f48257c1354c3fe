"""Region proposal network: where might objects be? (FR §3)"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import RPNConfig
from ..ops import clip_boxes, decode_boxes, encode_boxes, nms_mask
from .anchors import AnchorGenerator
from .losses import objectness_loss, rpn_box_loss
from .matching import RandomKeys, gather_rows, match, sample
from .neighbourhood import neighbourhoods
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

    def at(self, features: list[Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
        """Return `forward`'s answers for some anchors alone: logits [B, N] and deltas [B, N, 4].

        The loss asks for a few anchors of each image, and no other gets a gradient. To compute
        those again, from the nine pixels around each, takes a small part of the time that the
        gradient of the convolution over whole maps would take (see `at_pays`).

        Args:
            features: see `forward`.
            index: int64 Tensor[B, N], places in the concatenated levels.
        """
        conv, score, move = self.conv[0][0], self.cls_logits, self.bbox_pred
        kinds = score.out_channels  # anchors per cell
        x = neighbourhoods(features, index // kinds)  # [B, N, 9 * C]
        x = F.linear(x, conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias).relu()  # [B, N, C]
        logits = full(F.linear(x, score.weight.flatten(1), score.bias))  # [B, N, kinds]
        deltas = full(F.linear(x, move.weight.flatten(1), move.bias)).unflatten(2, (kinds, 4))
        kind = (index % kinds)[..., None]  # [B, N, 1]
        deltas = deltas.gather(2, kind[..., None].expand(-1, -1, -1, 4))  # [B, N, 1, 4]
        return logits.gather(2, kind)[..., 0], deltas[:, :, 0]  # [B, N], [B, N, 4]

    def at_pays(self, features: list[Tensor], count: int) -> bool:
        """Say whether `at` for `count` anchors of each image gathers fewer pixels than there are.

        It is made for one convolution: with two, an anchor sees 25 pixels.
        """
        pixels = sum(f.shape[-2:].numel() for f in features)
        return len(self.conv) == 1 and 9 * count < pixels


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
        # Where the loss computes its few anchors again, the maps need no gradient.
        again = targets is not None and self.head.at_pays(features, self.config.samples)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not again):
            objectness, deltas = self.head(features)
        anchors = self.anchor_generator(features, padded_size)  # [A, 4]
        per_level = [o.shape[1] for o in objectness]
        logits, delta = torch.cat(objectness, dim=1), torch.cat(deltas, dim=1)  # [B, A], [B, A, 4]
        proposals, valid = self.propose(
            logits.detach(), delta.detach(), anchors, per_level, image_sizes, targets is not None
        )
        if targets is None:
            return proposals, valid, {}
        source = features if again else None
        losses = self.losses(logits, delta, anchors, targets, keys, processes, source)
        return proposals, valid, losses

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
        tops, start = [], 0
        for level in logits.split(per_level, dim=1):  # [B, A_l] each
            tops.append(level.topk(min(before, level.shape[1]), dim=1).indices + start)
            start += level.shape[1]
        top = torch.cat(tops, dim=1)  # [B, N]
        # tv compares probabilities: sure anchors of two levels can tie.
        scores = logits.gather(1, top).sigmoid()  # [B, N]
        boxes = decode_boxes(gather_rows(deltas, top), anchors[top])  # [B, N, 4]
        boxes = clip_boxes(boxes, image_sizes[:, None])
        valid = (boxes[..., 2:] - boxes[..., :2] >= cfg.min_size).all(dim=-1)  # [B, N]
        # Only boxes of one level compete.
        counts = [part.shape[1] for part in tops]
        parts = zip(*(t.split(counts, dim=1) for t in (boxes, scores, valid)), strict=True)
        keep = torch.cat([nms_mask(*part, cfg.nms_iou) for part in parts], dim=1)  # [B, N]
        scores = scores.masked_fill(~keep, -torch.inf)  # [B, N]
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
        features: list[Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compare a balanced sample of anchors with the objects: FR eq. (1).

        With `features` the gradient goes through `RPNHead.at`, not through `logits` and `deltas`.
        """
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
        if features is None:
            scores, moves = logits.gather(1, index), gather_rows(deltas, index)
        else:
            scores, moves = self.head.at(features, index)  # [B, samples], [B, samples, 4]
        return {
            "loss_objectness": objectness_loss(scores, positive, valid, count),
            "loss_rpn_box_reg": rpn_box_loss(moves, wanted, positive, valid, count),
        }
