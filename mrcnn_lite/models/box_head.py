"""The box branch: what is in the box, and how should the box move? (Figure 4, right)"""

from torch import Tensor, nn

from ..config import BoxConfig
from .backbone import make_norm


class TwoMLPHead(nn.Module):
    """Two fully connected layers on the flattened RoI features."""

    def __init__(self, in_channels: int, config: BoxConfig) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_channels * config.pooled_size**2, config.head_channels)
        self.fc7 = nn.Linear(config.head_channels, config.head_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map Tensor[K, C, P, P] to Tensor[K, channels]."""
        return self.fc7(self.fc6(x.flatten(1)).relu()).relu()  # [K, channels]


class FastRCNNConvFCHead(nn.Sequential):
    """3 x 3 convolutions before one fully connected layer: position still counts.

    From scratch this head learns classes much sooner than two fully connected layers do
    ("4conv1fc" of Group Normalization, Wu and He 2018; also torchvision's `_v2` model).
    """

    def __init__(self, in_channels: int, config: BoxConfig) -> None:
        layers, norm = [], config.norm
        for width in config.convs:
            conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=norm == "none")
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            layers.append(nn.Sequential(conv, make_norm(norm, width), nn.ReLU(inplace=True)))
            in_channels = width
        linear = nn.Linear(in_channels * config.pooled_size**2, config.head_channels)
        super().__init__(*layers, nn.Flatten(), linear, nn.ReLU(inplace=True))


class FastRCNNPredictor(nn.Module):
    """Class logits, and one box correction for every class."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, 4 * num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map Tensor[K, channels] to class logits Tensor[K, C] and deltas Tensor[K, C, 4]."""
        deltas = self.bbox_pred(x)
        return self.cls_score(x), deltas.reshape(len(x), deltas.shape[1] // 4, 4)
