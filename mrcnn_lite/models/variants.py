"""Variants of the network's modules: the same functions with less work, beside the plain ones.

A variant has the weights and the constructor of its plain module, and tests hold it equal to it.
`use_variants` is the one place that puts them in; `MaskRCNN(config, variants=False)` leaves it out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .box_head import FastRCNNConvFCHead
from .fpn import Pyramid
from .losses import at_least_float32, rpn_losses
from .mask_head import MaskRCNNPredictor
from .postprocess import Detection, drop_padding, select_static
from .roi_heads import RoIHeads
from .rpn import RegionProposalNetwork, RPNHead
from .transform import Size, Targets

MANY_CLASSES = 32  # measured on a CPU: one mask instead of 91 saves time, instead of 21 none


def use_variants(model: nn.Module) -> None:
    """Let every module that has a variant be that variant; weights and names stay."""
    for module in model.modules():
        module.__class__ = VARIANTS.get(type(module), type(module))


class SampledRPN(RegionProposalNetwork):
    """Only the anchors of the loss's sample carry a gradient, so only they are computed for it.

    Proposals need no gradient. The sampled anchors are computed again, from the nine pixels around
    each; that takes a small part of the time that the gradient of the convolution over whole maps
    would take.
    """

    def forward(
        self, features: Pyramid, size: Size, image_sizes: Tensor, targets: Targets | None = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See `RegionProposalNetwork.forward`."""
        if targets is None or not sampling_pays(self.head, features, self.config.samples):
            return super().forward(features, size, image_sizes, targets)
        with torch.no_grad():
            predicted = self.predict(features, size)
        proposals, valid = self.propose(*predicted, image_sizes, True)
        index, *answers = self.sample(predicted[2], targets)
        sampled = head_at(self.head, features, index)
        return proposals, valid, rpn_losses(*sampled, *answers, self.normaliser)


def sampling_pays(head: RPNHead, features: Pyramid, count: int) -> bool:
    """Say whether `head_at` for `count` anchors of each image gathers fewer pixels than there are;
    it is made for one convolution: with two, an anchor sees 25 pixels."""
    pixels = sum(f.shape[-2:].numel() for f in features)
    return len(head.conv) == 1 and 9 * count < pixels


def head_at(head: RPNHead, features: Pyramid, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the head's answers for the anchors of `index`, int64 [B, N]: logits [B, N] and deltas
    [B, N, 4]."""
    conv, score, move = head.conv[0][0], head.cls_logits, head.bbox_pred
    kinds = score.out_channels  # anchors per element
    x = im2col_patches(features, index // kinds)  # [B, N, 9 * C]
    x = F.linear(x, conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias).relu()  # [B, N, C]
    logits = at_least_float32(F.linear(x, score.weight.flatten(1), score.bias))  # [B, N, kinds]
    deltas = at_least_float32(F.linear(x, move.weight.flatten(1), move.bias))
    kind = (index % kinds)[..., None]  # [B, N, 1]
    deltas = deltas.unflatten(2, (kinds, 4)).take_along_dim(kind[..., None], dim=2)  # [B, N, 1, 4]
    return logits.gather(2, kind)[..., 0], deltas[:, :, 0]  # [B, N], [B, N, 4]


def im2col_patches(features: Pyramid, elements: Tensor) -> Tensor:
    """Gather the 3 x 3 pixels around some elements of a pyramid: [B, N, 9 * C].

    `elements` [B, N] are counted level after level and row by row; pixels outside a map are zero.
    """
    batch, channels = features[0].shape[:2]
    # One table of all pixels of an image. Its first row is the zero outside the maps.
    outside = features[0].new_zeros(batch, 1, channels)
    pixels = [f.flatten(2).transpose(1, 2) for f in features]  # [B, h_l * w_l, C] each
    table = torch.cat([outside, *pixels], dim=1)  # [B, 1 + elements, C]
    around, first = [], 1  # rows of the table that hold the nine pixels around each
    for height, width in (f.shape[-2:] for f in features):
        last = first + height * width
        rows = torch.arange(first, last, dtype=torch.float64, device=table.device)
        # The padding's zero is the number of the row that is zero.
        around.append(F.unfold(rows.view(1, 1, height, width), 3, padding=1)[0])  # [9, h * w]
        first = last
    rows = torch.cat(around, dim=1).T.long()[elements]  # [B, N, 9]
    start = torch.arange(batch, device=elements.device) * table.shape[1]  # [B]
    patches = F.embedding(rows + start[:, None, None], table.flatten(0, 1))  # [B, N, 9, C]
    return patches.flatten(2)  # [B, N, 9 * C]


class ChannelsLastHead(FastRCNNConvFCHead):
    """The linear layer reads the features in their memory order, so that none is moved.

    Flattening goes channel by channel, while in channels_last memory the channels of an element
    are neighbours. So the linear layer's columns are put in that order, not the features: there are
    fewer of them, and in the backward pass the gradient has the order of the features.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map Tensor[K, C, P, P] to Tensor[K, channels]."""
        *convs, _, linear, relu = self
        for conv in convs:
            x = conv(x)  # [K, C, P, P]
        weight = linear.weight.unflatten(1, x.shape[1:]).permute(0, 2, 3, 1)  # [channels, P, P, C]
        flat = x.permute(0, 2, 3, 1).flatten(1)  # [K, P * P * C]
        return relu(F.linear(flat, weight.flatten(1), linear.bias))  # [K, channels]


class LeanRoIHeads(RoIHeads):
    """Of each RoI only the mask of the class that counts; and on a GPU, static shapes.

    A GPU would have to wait until the host knows how many rows are valid. There all rows stay, the
    invalid ones count for nothing, and only at the end of `detect` the host asks, once.
    """

    def predict_masks(
        self, features: Pyramid, boxes: list[Tensor], size: Size, labels: Tensor
    ) -> Tensor:
        """Mask logits Tensor[K, 1, M, M], or of all classes where others take part."""
        predictor, competition = self.mask_predictor, self.config.mask.competition
        x = self.mask_head(self.mask_roi_pool(features, boxes, size))  # [K, C, P, P]
        if competition == "sigmoid" and one_class_pays(predictor):
            return at_least_float32(logits_of_classes(predictor, x, labels))  # [K, 1, M, M]
        return at_least_float32(predictor(x))  # [K, C, M, M]

    def drop_invalid(self, valid: Tensor, *values: Tensor) -> list[list[Tensor]]:
        """See `RoIHeads.drop_invalid`; with static shapes all rows stay."""
        kept = [slice(None)] * len(valid) if wants_static_shapes(valid.device) else valid
        return [[row[rows] for row, rows in zip(v, kept, strict=True)] for v in values]

    def detect(self, features: Pyramid, proposals: Tensor, *images: Tensor | Size) -> list:
        """See `RoIHeads.detect`."""
        if wants_static_shapes(proposals.device):
            return drop_padding(self.detect_static(features, proposals, *images))
        return super().detect(features, proposals, *images)

    def detect_static(
        self, features: Pyramid, proposals: Tensor, valid: Tensor, size: Size, image_sizes: Tensor
    ) -> list[Detection]:
        """Do the work of `detect` with sizes that no value changes; see `select_static`."""
        pooled = self.box_roi_pool(features, list(proposals), size)  # [K, C, P, P]
        logits, deltas = (x.unflatten(0, valid.shape) for x in self.predict_boxes(pooled))
        images = zip(logits, deltas, proposals, image_sizes, valid, strict=True)
        detections = [select_static(*image, self.config.box) for image in images]
        return self.add_masks(features, detections, size)


def wants_static_shapes(device: torch.device) -> bool:
    """Say whether sizes shall not depend on values: everywhere but on a CPU."""
    return device.type != "cpu"


def one_class_pays(predictor: nn.Module) -> bool:
    """Say whether to ask for the one class that counts, and no other.

    A user's own predictor need not be what it is taken for here, and a hook may read all
    channels.
    """
    hooked = predictor._forward_hooks or predictor._forward_pre_hooks
    ours = type(predictor) is MaskRCNNPredictor
    return ours and not hooked and predictor.mask_fcn_logits.out_channels >= MANY_CLASSES


def logits_of_classes(predictor: MaskRCNNPredictor, x: Tensor, labels: Tensor) -> Tensor:
    """Return the predictor's answer for one class of each RoI: [K, C, P, P] to [K, 1, M, M]."""
    x = predictor.relu(predictor.conv5_mask(x))  # [K, C, M, M]
    last, (height, width) = predictor.mask_fcn_logits, x.shape[-2:]
    flat = x.permute(0, 2, 3, 1).flatten(1, 2)  # [K, M * M, C]
    kernel, bias = last.weight.flatten(1)[labels], last.bias[labels]  # [K, C], [K]
    logits = torch.baddbmm(bias[:, None, None], flat, kernel[:, :, None])  # [K, M * M, 1]
    return logits.reshape(len(x), 1, height, width)  # [K, 1, M, M]


VARIANTS = {
    RegionProposalNetwork: SampledRPN,
    FastRCNNConvFCHead: ChannelsLastHead,
    RoIHeads: LeanRoIHeads,
}
