"""Variants of the network's modules: the same functions with less work, beside the plain ones.

A variant has the weights and the constructor of its plain module, and tests hold it equal to it.
`use_variants` is the one place that puts them in; `MaskRCNN(config, variants=False)` leaves it out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .box_head import FastRCNNConvFCHead
from .fpn import NamedMaps, Pyramid
from .losses import predicted, rpn_losses
from .mask_head import MaskRCNNPredictor
from .postprocess import Detection, drop_padding, select_static
from .roi_heads import RoIHeads
from .rpn import RegionProposalNetwork, RPNHead
from .sampled_head import head_at
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
            predictions = self.predict(features, size)
        proposals, valid = self.propose(*predictions, image_sizes, True)
        index, *answers = self.sample(predictions[2], targets)
        sampled = head_at(self.head, features, index)
        return proposals, valid, rpn_losses(*sampled, *answers, self.normaliser)


def sampling_pays(head: nn.Module, features: Pyramid, count: int) -> bool:
    """Say whether `head_at` for `count` anchors of each image gathers fewer pixels than there are;
    it is made for one convolution: with two, an anchor sees 25 pixels."""
    pixels = sum(f.shape[-2:].numel() for f in features)
    plain = type(head) is RPNHead and consists_of(head, nn.Conv2d, nn.ReLU, nn.Conv2d, nn.Conv2d)
    return plain and head.conv[0][0].kernel_size == (3, 3) and 9 * count < pixels


def consists_of(module: nn.Module, *layers: type) -> bool:
    """Say whether a module is made of these layers and their weights are all there is to know of
    it: a user may have replaced one, or listen to it with a hook."""
    parts = [*module.modules()]
    hooked = any(p._forward_hooks or p._forward_pre_hooks or "forward" in vars(p) for p in parts)
    return not hooked and [type(p) for p in parts if not [*p.children()]] == [*layers]


class ChannelsLastHead(FastRCNNConvFCHead):
    """The linear layer reads the features in their memory order, so that none is moved.

    Flattening goes channel by channel, while in channels_last memory the channels of an element
    are neighbours. So the linear layer's columns are put in that order, not the features: there are
    fewer of them, and in the backward pass the gradient has the order of the features.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map Tensor[K, C, P, P] to Tensor[K, channels]."""
        last = nn.Sequential(*[*self][-3:])
        if not consists_of(last, nn.Flatten, nn.Linear, nn.ReLU):
            return super().forward(x)
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
        self, features: NamedMaps, boxes: list[Tensor], size: Size, labels: Tensor
    ) -> Tensor:
        """Mask logits Tensor[K, 1, M, M], or of all classes where others take part."""
        predictor, competition = self.mask_predictor, self.config.mask.competition
        x = self.mask_head(self.mask_roi_pool(features, boxes, [size] * len(boxes)))  # [K, C, P, P]
        one = competition == "sigmoid" and one_class_pays(predictor)
        logits = logits_of_classes(predictor, x, labels) if one else predictor(x)
        return predicted(logits, "logits of the mask branch")  # [K, C, M, M] or [K, 1, M, M]

    def drop_invalid(self, valid: Tensor, *values: Tensor) -> list[list[Tensor]]:
        """See `RoIHeads.drop_invalid`; with static shapes all rows stay."""
        kept = [slice(None)] * len(valid) if wants_static_shapes(valid.device) else valid
        return [[row[rows] for row, rows in zip(v, kept, strict=True)] for v in values]

    def detect(self, features: NamedMaps, proposals: Tensor, *images: Tensor | Size) -> list:
        """See `RoIHeads.detect`."""
        if wants_static_shapes(proposals.device):
            return drop_padding(self.detect_static(features, proposals, *images))
        return super().detect(features, proposals, *images)

    def detect_static(
        self, features: NamedMaps, proposals: Tensor, valid: Tensor, size: Size, image_sizes: Tensor
    ) -> list[Detection]:
        """Do the work of `detect` with sizes that no value changes; see `select_static`."""
        predictions = self.predict_boxes(features, list(proposals), size)
        logits, deltas = (x.unflatten(0, valid.shape) for x in predictions)
        inputs = logits, deltas, proposals, image_sizes, valid
        detections = select_static(*inputs, self.config.box)
        return self.add_masks(features, detections, size)


def wants_static_shapes(device: torch.device) -> bool:
    """Say whether sizes shall not depend on values: everywhere but on a CPU."""
    return device.type != "cpu"


def one_class_pays(predictor: nn.Module) -> bool:
    """Say whether to ask for the one class that counts, and no other."""
    layers = nn.ConvTranspose2d, nn.ReLU, nn.Conv2d
    plain = type(predictor) is MaskRCNNPredictor and consists_of(predictor, *layers)
    last = predictor.mask_fcn_logits if plain else None
    return plain and last.kernel_size == (1, 1) and last.out_channels >= MANY_CLASSES


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
