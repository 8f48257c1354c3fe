"""What a 3 x 3 convolution sees at a few places, gathered from all levels of a pyramid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def neighbourhoods(features: list[Tensor], cells: Tensor) -> Tensor:
    """Gather the 3 x 3 pixels around some cells; pixels outside a map are zero.

    Args:
        features: the pyramid, Tensor[B, C, h_l, w_l] each.
        cells: int64 Tensor[B, N], counted level after level and row by row.

    Returns:
        Tensor[B, N, 9 * C], pixel after pixel; differentiable in the features.
    """
    batch, channels = features[0].shape[:2]
    # One table of all pixels of an image. Its first row is the zero outside the maps.
    outside = features[0].new_zeros(batch, 1, channels)
    pixels = [f.flatten(2).transpose(1, 2) for f in features]  # [B, h_l * w_l, C] each
    table = torch.cat([outside, *pixels], dim=1)  # [B, 1 + cells, C]
    rows = _rows_around(features)[cells]  # [B, N, 9]
    start = torch.arange(batch, device=cells.device) * table.shape[1]  # [B]
    found = F.embedding(rows + start[:, None, None], table.flatten(0, 1))  # [B, N, 9, C]
    return found.flatten(2)  # [B, N, 9 * C]


def _rows_around(features: list[Tensor]) -> Tensor:
    """The rows of the table that hold the nine pixels around every cell: int64 Tensor[cells, 9]."""
    around, first = [], 1
    for height, width in (f.shape[-2:] for f in features):
        last = first + height * width
        rows = torch.arange(first, last, dtype=torch.float64, device=features[0].device)
        # The padding's zero is the number of the row that is zero.
        around.append(F.unfold(rows.view(1, 1, height, width), 3, padding=1)[0])  # [9, h * w]
        first = last
    return torch.cat(around, dim=1).T.long()  # [cells, 9]
