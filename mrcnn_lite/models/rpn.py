"""Region proposal network: where might objects be? (FR §3)"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..config import RPNConfig
from ..ops.boxes import clip_boxes, decode_boxes, encode_boxes
from ..ops.nms import nms_mask
from .anchors import AnchorGenerator
from .fpn import Pyramid
from .losses import Normaliser, predicted, rpn_losses
from .matching import BalancedSampler, match
from .torchvision_attributes import RPNAttributes, anchors_of
from .transform import Size, Targets

INITIAL_STD = 0.01  # FR §3.1.3: new layers start from N(0, 0.01)


class RPNHead(nn.Module):
    """A 3 x 3 convolution (or more), then every anchor's objectness and deltas by 1 x 1
    convolutions."""

    def __init__(self, in_channels: int, num_anchors: int, conv_depth: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        for _ in range(conv_depth):
            conv = nn.Conv2d(in_channels, in_channels, 3, padding=1)
            self.conv.append(nn.Sequential(conv, nn.ReLU(inplace=True)))
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, 4 * num_anchors, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=INITIAL_STD)
                nn.init.zeros_(module.bias)

    def forward(self, features: Pyramid) -> tuple[list[Tensor], list[Tensor]]:
        """Return per level the objectness logits [B, N, h, w] and deltas [B, 4 * N, h, w]."""
        objectness, deltas = [], []
        for feature in features:
            x = self.conv(feature)  # [B, C, h, w]
            objectness.append(self.cls_logits(x))
            deltas.append(self.bbox_pred(x))
        return objectness, deltas


def by_anchor(level: Tensor, count: int) -> Tensor:
    """From `count` numbers an anchor, neighbours among the channels, to rows in anchor order:
    Tensor[B, N * count, h, w] to Tensor[B, A, count]."""
    wide = torch.promote_types(level.dtype, torch.float32)  # bf16 holds no coordinate
    return level.to(wide).permute(0, 2, 3, 1).reshape(len(level), -1, count)


class RegionProposalNetwork(RPNAttributes, nn.Module):
    """Anchors in, the most promising boxes out; in training also its two losses."""

    def __init__(self, channels: int, config: RPNConfig, sampler: BalancedSampler) -> None:
        super().__init__(config=config, sampler=sampler, normaliser=Normaliser())
        self.anchor_generator = AnchorGenerator(config.anchor_sizes, config.aspect_ratios)
        anchors = self.anchor_generator.num_anchors_per_location()
        if len({*anchors}) != 1:
            sizes = config.anchor_sizes
            raise ValueError(f"anchor_sizes must be as many on every level, not {sizes}")
        self.head = RPNHead(channels, anchors[0], config.convs)

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
        predictions = logits, deltas, anchors, _ = self.predict(features, size)
        proposals, valid = self.propose(*predictions, image_sizes, targets is not None)
        if targets is None:
            return proposals, valid, {}
        index, *answers = self.sample(anchors, targets)
        logits = logits.gather(1, index)  # [B, samples]
        deltas = deltas.take_along_dim(index[..., None], dim=1)  # [B, samples, 4]
        return proposals, valid, rpn_losses(logits, deltas, *answers, self.normaliser)

    def predict(self, features: Pyramid, size: Size) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """Logits [B, A], deltas [B, A, 4] and boxes [A, 4] of all anchors; how many a level has."""
        objectness, moves = self.head(features)
        logits = torch.cat([by_anchor(level, 1)[..., 0] for level in objectness], dim=1)  # [B, A]
        deltas = torch.cat([by_anchor(level, 4) for level in moves], dim=1)  # [B, A, 4]
        per_level = [level[0].numel() for level in objectness]
        looked_at = logits.device.type == "cpu" and not torch.compiler.is_exporting()
        if looked_at and not (logits.sum() + deltas.sum()).isfinite():
            for level, feature in enumerate(features):
                predicted(feature, f"features of level {level}")
            predicted(logits, "logits of the RPN")
            predicted(deltas, "deltas of the RPN")
        return logits, deltas, self.anchors(features, size, logits.shape[1]), per_level

    def anchors(self, features: Pyramid, size: Size, answers: int) -> Tensor:
        """All anchors, Tensor[A, 4], as many as the head has answers for."""
        ours = isinstance(self.anchor_generator, AnchorGenerator)
        generate = self.anchor_generator if ours else partial(anchors_of, self.anchor_generator)
        anchors = generate(features, size)  # [A, 4]
        if anchors.shape[0] != answers:
            raise ValueError(
                f"model.rpn.anchor_generator gives {len(anchors)} anchors, its head {answers}; "
                "set model.rpn.head = RPNHead(channels, generator.num_anchors_per_location()[0])"
            )
        return anchors

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
        boxes = clip_boxes(decode_boxes(deltas, anchors[top]), image_sizes[:, None])  # [B, N, 4]
        valid = (boxes[..., 2:] - boxes[..., :2] >= cfg.min_size).all(dim=-1)  # [B, N]
        valid &= scores >= cfg.score_threshold
        split = boxes.split(counts, dim=1), scores.split(counts, dim=1), valid.split(counts, dim=1)
        keep = []
        if boxes.device.type == "cpu":
            for level in zip(*split, strict=True):  # only boxes of one level compete
                keep.append(nms_mask(*level, cfg.nms_iou))
        else:  # a GPU is asked once
            keep = nms_at_once(split, cfg.nms_iou)
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


def nms_at_once(levels: Sequence[Sequence[Tensor]], iou_threshold: float) -> list[Tensor]:
    """The answers of `nms_mask` for each level, bool Tensor[B, N_l], from one call for all.

    Args:
        levels: boxes, Tensor[B, N_l, 4] each; scores and valid, Tensor[B, N_l] each.
    """
    keep = nms_mask(*map(pad_levels, levels), iou_threshold).unbind(1)  # [B, longest] each
    return [level[:, : scores.shape[1]] for level, scores in zip(keep, levels[1], strict=True)]


def pad_levels(levels: Sequence[Tensor]) -> Tensor:
    """Stack Tensor[B, N_l, ...] of L levels, padded with zeros: Tensor[B, L, longest, ...]."""
    zeros = torch.zeros_like(max(levels, key=lambda level: level.shape[1]))
    parts = [part for level in levels for part in (level, zeros[:, level.shape[1] :])]
    return torch.cat(parts, dim=1).unflatten(1, (len(levels), -1))
