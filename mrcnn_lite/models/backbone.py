"""Bodies, giving the maps C2..C5 at strides 4..32: ResNet of any depth (§3), and a small one."""

import torch
from torch import Tensor, nn

from ..config import BackboneConfig

# Blocks per stage; whether the block is the bottleneck of three convolutions (ResNet, Table 1).
RESNET_STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
STEM_CHANNELS = 64
GROUPS = 8


def make_body(config: BackboneConfig) -> nn.Module:
    """Return the body that `config.kind` names.

    A body is a module whose `forward` turns images Tensor[B, 3, H, W] into a list of maps, finest
    first, Tensor[B, C_l, h_l, w_l] at strides that double from 4, and whose `out_channels` lists
    their C_l. With the pyramid on top of it, it is the backbone.
    """
    if config.kind == "resnet":
        return ResNet(config.depth, config.norm, config.trainable_layers, config.norm_eps)
    if config.kind == "small":
        return SmallBody(config.widths, config.blocks, config.norm)
    raise ValueError(f"config.backbone.kind is {config.kind!r}; choose 'resnet' or 'small'")


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics and affine weights never change: a per-channel scale and shift.

    Two images per GPU are too few for batch statistics, so detectors freeze what ImageNet training
    left (§3.1).
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: object
    ) -> None:
        # A trainable batch norm also saves how many batches it saw; a frozen one has no use for it.
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` scaled and shifted per channel: Tensor[B, C, h, w]."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        # In place where it can be: in evaluation these maps cost more to move than to compute.
        x = x * scale.reshape(1, -1, 1, 1).to(x.dtype)  # [B, C, h, w]
        return x.add_(shift.reshape(1, -1, 1, 1).to(x.dtype))


def make_norm(kind: str, channels: int) -> nn.Module:
    """Return the normalisation called `kind`: "group", "batch", "frozen_batch" or "none"."""
    if kind == "group":
        if channels % GROUPS:
            raise ValueError(
                f"norm 'group' is for multiples of {GROUPS} channels, not {channels}; change the "
                "config's widths (half of the first too), fpn_channels, convs or channels"
            )
        return nn.GroupNorm(GROUPS, channels)
    if kind == "none":
        return nn.Identity()
    kinds = {"batch": nn.BatchNorm2d, "frozen_batch": FrozenBatchNorm2d}
    if kind not in kinds:
        raise ValueError(f"norm is {kind!r}; choose 'group', 'batch', 'frozen_batch' or 'none'")
    return kinds[kind](channels)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, width, 3, stride), make_norm(norm, width)
        self.conv2, self.bn2 = _conv(width, width, 3), make_norm(norm, width)
        self.downsample = _shortcut(inputs, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return Tensor[B, width, h / stride, w / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu_()
        return self.bn2(self.conv2(x)).add_(shortcut).relu_()


class Bottleneck(nn.Module):
    """1 x 1 down, 3 x 3, 1 x 1 up, around a shortcut; the 3 x 3 carries the stride ("v1.5")."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, norm: str) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1 = _conv(inputs, width, 1), make_norm(norm, width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride), make_norm(norm, width)
        self.conv3, self.bn3 = _conv(width, outputs, 1), make_norm(norm, outputs)
        self.downsample = _shortcut(inputs, outputs, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return Tensor[B, 4 * width, h / stride, w / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu_()
        x = self.bn2(self.conv2(x)).relu_()
        return self.bn3(self.conv3(x)).add_(shortcut).relu_()


def _shortcut(inputs: int, outputs: int, stride: int, norm: str) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_conv(inputs, outputs, 1, stride), make_norm(norm, outputs))


class ResNet(nn.Module):
    """ResNet without its classifier; parameters are named as torchvision names them."""

    def __init__(
        self,
        depth: int = 50,
        norm: str = "frozen_batch",
        trainable_layers: int = 3,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if depth not in RESNET_STAGES:
            raise ValueError(f"depth is {depth}; ResNet comes in {sorted(RESNET_STAGES)}")
        stages, bottleneck = RESNET_STAGES[depth]
        block = Bottleneck if bottleneck else BasicBlock
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, 2, 3, bias=False)
        self.bn1 = make_norm(norm, STEM_CHANNELS)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs, self.out_channels = STEM_CHANNELS, []
        for index, blocks in enumerate(stages):
            width, stride = STEM_CHANNELS << index, 1 if index == 0 else 2
            layers = [block(inputs, width, stride, norm)]
            inputs = width * block.expansion
            layers += [block(inputs, width, 1, norm) for _ in range(blocks - 1)]
            setattr(self, f"layer{index + 1}", nn.Sequential(*layers))
            self.out_channels.append(inputs)
        for module in self.modules():
            if isinstance(module, FrozenBatchNorm2d):
                module.eps = norm_eps
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # The first stages' edges and colours transfer unchanged: they get no gradients.
        trained = ["layer4", "layer3", "layer2", "layer1", "conv1"][:trainable_layers]
        trained += ["bn1"] if trainable_layers == 5 else []
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(tuple(trained)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return C2..C5, Tensor[B, C_l, H / 4 .. H / 32, W / 4 .. W / 32] each."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu_())  # [B, 64, H/4, W/4]
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps


class SmallBody(nn.Module):
    """A stem of two strided convolutions, then residual blocks at strides 4, 8, 16, 32."""

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], norm: str) -> None:
        super().__init__()
        inputs, layers = 3, []
        for width in (widths[0] // 2, widths[0]):
            layers += [_conv(inputs, width, 3, 2), make_norm(norm, width), nn.ReLU(inplace=True)]
            inputs = width
        self.stem, self.stages = nn.Sequential(*layers), nn.ModuleList()
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            layers = [BasicBlock(inputs, width, 1 if index == 0 else 2, norm)]
            layers += [BasicBlock(width, width, 1, norm) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*layers))
            inputs = width
        self.out_channels = list(widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return one map per width at strides 4, 8, ...: Tensor[B, widths[l], h_l, w_l]."""
        x, maps = self.stem(x), []  # [B, C, H/4, W/4]
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
