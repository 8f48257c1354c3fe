"""Feature pyramid network: fine maps get the coarse maps' meaning (FPN §3)."""

import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import make_norm

Pyramid = list[Tensor]  # one map per level, the finest first: [B, C, h_l, w_l] each
NamedMaps = dict[str, Tensor]  # the same under torchvision's names: "0", "1", ... and "pool" for P6


class FeaturePyramid(nn.Module):
    """Lateral 1 x 1 convolutions, a top-down sum, and a 3 x 3 convolution that smooths the sum.

    Args:
        in_channels: channels of C2, C3, ... from fine to coarse.
        channels: d, the channels of every level of the pyramid.
        extra_level: add P6, every second pixel of the coarsest level (for the RPN's largest
            anchors).
        norm: "none" (the paper), "group" or "batch".
    """

    def __init__(
        self,
        in_channels: list[int],
        channels: int = 256,
        extra_level: bool = True,
        norm: str = "none",
    ) -> None:
        super().__init__()
        self.extra_level, self.num_levels = extra_level, len(in_channels) + extra_level

        def layer(inputs: int, kernel: int) -> nn.Sequential:
            conv = nn.Conv2d(inputs, channels, kernel, padding=kernel // 2, bias=norm == "none")
            nn.init.kaiming_uniform_(conv.weight, a=1)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
            return nn.Sequential(conv, *([] if norm == "none" else [make_norm(norm, channels)]))

        self.inner_blocks = nn.ModuleList(layer(inputs, 1) for inputs in in_channels)
        self.layer_blocks = nn.ModuleList(layer(channels, 3) for _ in in_channels)

    def forward(self, maps: list[Tensor]) -> Pyramid:
        """Turn C2..C5 into P2..P5 (and P6)."""
        top_down = self.inner_blocks[-1](maps[-1])
        levels = [self.layer_blocks[-1](top_down)]
        for index in range(len(maps) - 2, -1, -1):
            lateral = self.inner_blocks[index](maps[index])  # [B, C, h_l, w_l]
            top_down = lateral + F.interpolate(top_down, size=lateral.shape[-2:], mode="nearest")
            levels.insert(0, self.layer_blocks[index](top_down))
        if self.extra_level:
            levels.append(F.max_pool2d(levels[-1], 1, 2))
        return levels
