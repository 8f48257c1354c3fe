"""The mask branch: a small fully convolutional network per RoI (Mask R-CNN, section 3, figure 4).

With a feature pyramid the branch has layers of its own:

    [K, 256, 14, 14] -> MaskHead: 4 x (3x3 conv, ReLU) -> MaskRCNNPredictor: deconv, ReLU, 1x1 conv
    -> [K, C, 28, 28]

Without one (ResNet-C4) the box branch's res5 does the work of the four convolutions, and only the
predictor is left: [K, 2048, 7, 7] -> [K, C, 14, 14].

One channel per class, no activation at the end: the loss takes logits, and prediction applies the
sigmoid to the one channel that the box branch has chosen. Class-agnostic masks are `num_classes=1`.
Attribute names follow torchvision's, so that state dicts go both ways.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import nn

from .pretrained import rename_old_keys


class MaskHead(nn.Sequential):
    """The 3x3 convolutions of the FPN mask branch; resolution is kept (figure 4, right).

    Args:
        in_channels: channels of the pooled features, 256 in the paper.
        layers: output channels of each convolution, four times 256 in the paper.
        norm: builds a normalisation from a channel count, e.g. `lambda c: nn.GroupNorm(8, c)`;
            None, as in the paper, for none. A normalised convolution has no bias.
    """

    def __init__(
        self,
        in_channels: int = 256,
        layers: Sequence[int] = (256, 256, 256, 256),
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        for width in layers:
            conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=norm is None)
            normalise = [] if norm is None else [norm(width)]
            self.append(nn.Sequential(conv, *normalise, nn.ReLU(inplace=True)))
            in_channels = width
        for conv, *_ in self:
            # fan_out keeps the size of the *gradients* from layer to layer (He et al., 2015).
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        self.out_channels = in_channels
        self.register_load_state_dict_pre_hook(rename_old_keys)


class MaskRCNNPredictor(nn.Sequential):
    """From features to one logit per class and element, at twice the resolution (figure 4):
    Tensor[K, C, P, P] to Tensor[K, C, M, M] with M = 2 P.

    The deconvolution has kernel 2 and stride 2, so its windows never overlap: each element
    writes its own 2x2 block of outputs. It is therefore the same function as a 1x1 convolution
    to four times the channels followed by `pixel_shuffle`.

    Args:
        in_channels: channels of the features, 256 with FPN and 2048 for C4.
        dim_reduced: channels between deconvolution and logits, 256 in the paper.
        num_classes: number of masks per RoI, background included; 1 for class-agnostic masks.
    """

    def __init__(self, in_channels: int, dim_reduced: int, num_classes: int) -> None:
        super().__init__(
            OrderedDict(
                conv5_mask=nn.ConvTranspose2d(in_channels, dim_reduced, kernel_size=2, stride=2),
                relu=nn.ReLU(inplace=True),
                mask_fcn_logits=nn.Conv2d(dim_reduced, num_classes, kernel_size=1),
            )
        )
        for layer in (self.conv5_mask, self.mask_fcn_logits):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


class MaskHeadC4(MaskRCNNPredictor):
    """The whole mask branch of the model without a pyramid (figure 4, left).

    Box and mask branch share RoIAlign and res5; from res5's 7x7 elements one deconvolution leads to
    14x14 masks. "The mask is always 28x28" holds for the FPN model only. Arguments as of
    `MaskRCNNPredictor`; res5 has 2048 channels for ResNet-50 and deeper.
    """

    def __init__(self, num_classes: int, in_channels: int = 2048, dim_reduced: int = 256) -> None:
        super().__init__(in_channels, dim_reduced, num_classes)
