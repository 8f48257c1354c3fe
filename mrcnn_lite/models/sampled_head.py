"""The RPN's head for some anchors only: the same numbers from the nine pixels around each."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.boxes import at_least_float32
from .fpn import Pyramid


def head_at(head: nn.Module, features: Pyramid, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the head's answers for the anchors of `index`, int64 [B, N]: logits [B, N] and deltas
    [B, N, 4]."""
    conv, score, move = head.conv[0][0], head.cls_logits, head.bbox_pred
    kinds = score.out_channels  # anchors per element
    x = im2col_patches(features, index // kinds)  # [B, N, 9 * C]
    x = F.linear(x, conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias).relu()  # [B, N, C]
    logits = F.linear(x, score.weight.flatten(1), score.bias)  # [B, N, kinds]
    deltas = F.linear(x, move.weight.flatten(1), move.bias)  # [B, N, 4 * kinds]
    logits, deltas = at_least_float32(logits), at_least_float32(deltas)
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
