"""The box branch: what is in the box, and how should the box move? (Fast R-CNN's head, Figure 4
right)"""

from __future__ import annotations

from torch import Tensor, nn


class TwoMLPHead(nn.Module):
    """Two fully connected layers on the flattened RoI features."""

    def __init__(self, in_features: int, channels: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_features, channels)
        self.fc7 = nn.Linear(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map Tensor[K, C, P, P] to Tensor[K, channels]."""
        return self.fc7(self.fc6(features.flatten(1)).relu()).relu()  # [K, channels]


class FastRCNNPredictor(nn.Module):
    """Class logits, and one box correction for every class."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, 4 * num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map Tensor[K, channels] to class logits Tensor[K, num_classes] and deltas Tensor[K,
        num_classes, 4]."""
        deltas = self.bbox_pred(x)
        return self.cls_score(x), deltas.reshape(
            len(x), deltas.shape[1] // 4, 4
        )  # [K, C], [K, C, 4]
