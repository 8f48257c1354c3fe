"""The keypoint branch: for every point of an object one map of places (Mask R-CNN, section 5).

    [K, C, 14, 14] -> KeypointHead: 8 x (3x3 conv, ReLU) -> KeypointRCNNPredictor: deconv, bilinear
    -> [K, N, 56, 56]

It is the mask branch with another question. A mask asks every cell "are you the object?": M * M
answers, each by itself. A point lies in one cell only: a softmax over all M * M places of its map,
one map for each of the object's N points, whatever its class.

Points are Tensor[..., 3]: x, y and v, which is 0 for "not labelled", 1 for "labelled, but hidden",
2 for "visible". The cells of a map are half open as boxes are: a point on the right edge of a box
is outside of it. Attribute names follow torchvision's, so that state dicts go both ways.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DECODERS = ("quadratic", "centre", "torchvision")


class KeypointHead(nn.Sequential):
    """The 3x3 convolutions of the keypoint branch; resolution is kept.

    Args:
        in_channels: channels of the pooled features, 256 in the paper.
        layers: output channels of each convolution, eight times 512 in the paper.
        norm: builds a normalisation from a channel count; None, as in the paper, for none. A
            normalised convolution has no bias.
    """

    def __init__(
        self,
        in_channels: int = 256,
        layers: Sequence[int] = (512,) * 8,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        for width in layers:
            normalise = [] if norm is None else [norm(width)]
            conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=norm is None)
            self.extend([conv, *normalise, nn.ReLU(inplace=True)])
            in_channels = width
        for conv in self:
            if isinstance(conv, nn.Conv2d):
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                if conv.bias is not None:
                    nn.init.zeros_(conv.bias)
        self.out_channels = in_channels


class KeypointRCNNPredictor(nn.Module):
    """From features to one map of logits per point, at four times the resolution:
    Tensor[K, C, P, P] to Tensor[K, N, M, M] with M = 4 P."""

    def __init__(self, in_channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.kps_score_lowres = nn.ConvTranspose2d(in_channels, num_keypoints, 4, 2, padding=1)
        nn.init.kaiming_normal_(self.kps_score_lowres.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.kps_score_lowres.bias)
        self.out_channels = num_keypoints

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.kps_score_lowres(x)  # [K, N, 2 * P, 2 * P]
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def keypoint_targets(
    keypoints: Tensor, boxes: Tensor, size: int, closed_edge: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the cell in which each point lies, of M x M cells over its box.

    Args:
        keypoints: Tensor[K, N, 3], see the module. boxes: Tensor[K, 4]. size: M.
        closed_edge: torchvision's rule: a point exactly on the right or lower edge counts for the
            last cell, instead of for none.

    Returns:
        cells: int64 [K, N], row * M + column, 0 where not valid.
        valid: bool [K, N], whether the point is labelled and in its box.
    """
    points, low, high = keypoints[..., :2], boxes[:, None, :2], boxes[:, None, 2:]
    inside = (points >= low) & ((points <= high) if closed_edge else (points < high))
    valid = inside.all(dim=-1) & (keypoints[..., 2] > 0)  # [K, N]
    place = (points - low) * (size / (high - low))  # [K, N, 2]
    place = torch.where(valid[..., None], place, 0).long().clamp(max=size - 1)
    column, row = place.unbind(-1)  # [K, N] each
    return row * size + column, valid


def keypoint_loss(
    logits: Tensor, cells: Tensor, valid: Tensor, count: Tensor | None = None
) -> Tensor:
    """Cross entropy over the places of each map: "in which of the M * M cells is it?" (section 5).

    ln 3136 = 8.05 for M = 56 while all logits are equal. The mean runs over the valid points of
    all RoIs, not RoI by RoI.

    Args:
        logits: Tensor[K, N, M, M]. cells, valid: [K, N], see `keypoint_targets`.
        count: what the sum is divided by; None for the number of valid points.

    Returns:
        A scalar. Without any valid point it is exactly 0 and still part of the graph.

    Raises:
        ValueError: shapes that do not belong together.
    """
    if logits.ndim != 4 or cells.shape != logits.shape[:2] or valid.shape != cells.shape:
        found = ", ".join(str(tuple(part.shape)) for part in (logits, cells, valid))
        raise ValueError(f"logits, cells and valid are {found}; give [K, N, M, M], [K, N], [K, N]")
    loss = F.cross_entropy(logits.flatten(2).flatten(0, 1), cells.flatten(), reduction="none")
    divisor = valid.sum().clamp(min=1) if count is None else count
    return torch.where(valid.flatten(), loss, 0).sum() / divisor


def decode_keypoints(
    logits: Tensor, boxes: Tensor, decoder: str = "quadratic"
) -> tuple[Tensor, Tensor]:
    """Find the place of every point: the peak of its map, put into its box.

    Args:
        logits: Tensor[K, N, M, M]. boxes: Tensor[K, 4].
        decoder: "quadratic": a parabola through the peak and its neighbours says where between the
            cells' centres it is; where a neighbour is missing, "centre", the centre of the peak's
            cell. "torchvision" resizes the map to the box (bicubic) and takes the largest pixel.

    Returns:
        keypoints: Tensor[K, N, 3], x, y and the score.
        scores: Tensor[K, N], the probability that the point lies in one of the nine cells around
            the peak; so scores can be compared. "torchvision" has 1 as the third number and
            logits as scores, which cannot.

    Raises:
        ValueError: an unknown decoder.
    """
    if decoder not in DECODERS:
        raise ValueError(f"decoder is {decoder!r}; give {' or '.join(DECODERS)}")
    if decoder == "torchvision":
        return _resize_and_look(logits, boxes)
    size = logits.shape[-1]
    best = logits.flatten(2).argmax(dim=2)  # [K, N]
    place = torch.stack([best % size, best // size], dim=2).to(logits.dtype) + 0.5  # [K, N, 2]
    around = _around(logits.flatten(2).log_softmax(dim=2).view_as(logits), best)  # [K, N, 3, 3]
    if decoder == "quadratic":
        place[..., 0] += peak_offset(*around[..., 1, :].unbind(-1))
        place[..., 1] += peak_offset(*around[..., :, 1].unbind(-1))
    sides = (boxes[:, 2:] - boxes[:, :2])[:, None]  # [K, 1, 2]
    scores = around.exp().sum(dim=(2, 3))  # [K, N]
    points = boxes[:, None, :2] + place / size * sides  # [K, N, 2]
    return torch.cat([points, scores[..., None]], dim=2), scores


def peak_offset(before: Tensor, peak: Tensor, after: Tensor) -> Tensor:
    """Where, from -1/2 to 1/2, the parabola through three neighbours is highest, of which none is
    higher than the middle one; 0 where one is missing (-inf) or all are equal."""
    left, right = peak - before, peak - after
    good = (left + right > 0) & (left + right < torch.inf)
    return torch.where(good, (left - right) / (2 * (left + right)), 0)


def _around(maps: Tensor, cells: Tensor) -> Tensor:
    """The values around a cell [K, N] of each map [K, N, M, M], -inf outside: [K, N, 3, 3]."""
    size = maps.shape[-1]
    padded = F.pad(maps, (1, 1, 1, 1), value=-torch.inf).flatten(2)  # [K, N, (M + 2)^2]
    first = cells // size * (size + 2) + cells % size  # [K, N], upper left of the nine
    step = torch.arange(3, device=maps.device)
    index = first[..., None] + (step[:, None] * (size + 2) + step).flatten()  # [K, N, 9]
    return padded.gather(2, index).unflatten(2, (3, 3))


def _resize_and_look(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """`torchvision.models.detection.roi_heads.heatmaps_to_keypoints`."""
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)  # [K, 2]
    points, scores = boxes.new_ones(*logits.shape[:2], 3), logits.new_zeros(logits.shape[:2])
    for k, (width, height) in enumerate(sides.ceil().int().tolist()):
        maps = F.interpolate(logits[k][None], (height, width), mode="bicubic")[0].flatten(1)
        scores[k], best = maps.max(dim=1)  # [N] each
        pixel = torch.stack([best % width, best // width], dim=1) + 0.5  # [N, 2]
        whole = boxes.new_tensor([width, height])
        points[k, :, :2] = boxes[k, :2] + pixel * (sides[k] / whole)
    return points, scores
