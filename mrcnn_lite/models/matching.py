"""Who learns from whom: boxes are matched to objects by IoU, then a balanced sample of them enters
the loss.

Both steps work on a whole batch with fixed shapes: objects are padded to G per image and a mask
tells which are real.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..ops import best_objects

IGNORED = -1
BACKGROUND = 0

# (shape, device) -> one number in [0, 1) per candidate. The sampler takes the candidates with the
# smallest keys, so a fixed function in place of torch.rand makes the choice repeatable.
RandomKeys = Callable[[tuple[int, ...], torch.device], Tensor]


def random_keys(generator: torch.Generator | None = None) -> RandomKeys:
    """Return the usual source of sampling keys: uniform numbers from `generator`."""

    def keys(shape: tuple[int, ...], device: torch.device) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    return keys


def match(
    gt_boxes: Tensor,
    gt_valid: Tensor,
    boxes: Tensor,
    foreground_iou: float,
    background_iou: float,
    allow_low_quality: bool = False,
) -> tuple[Tensor, Tensor]:
    """Match every box to the object that it overlaps most (FR §3.1.2; Mask R-CNN §3.1).

    Args:
        gt_boxes: Tensor[B, G, 4]. gt_valid: bool Tensor[B, G].
        boxes: Tensor[A, 4] shared by all images, or Tensor[B, A, 4].
        foreground_iou: from here on a box is positive.
        background_iou: below this it is background; between the two it is ignored.
        allow_low_quality: also take, for each object, the boxes that overlap it most, however
            little; without this rule an object that no anchor covers well would never be learned.

    Returns:
        matched: int64 Tensor[B, A], index of the object (0 where there is none).
        labels: int64 Tensor[B, A], 1 positive, 0 background, -1 ignored.
    """
    best, matched, favourite = best_objects(gt_boxes, gt_valid, boxes, allow_low_quality)  # [B, A]
    labels = torch.where(best >= foreground_iou, 1, IGNORED)
    labels = torch.where(best < background_iou, BACKGROUND, labels)
    if favourite is not None:
        labels = torch.where(favourite, 1, labels)
    return matched, labels


def sample(
    labels: Tensor, count: int, positive_fraction: float, keys: RandomKeys
) -> tuple[Tensor, Tensor]:
    """Choose `count` boxes per image at random, at most `positive_fraction` of them positive (FR
    §3.1.3).

    Args:
        labels: Tensor[B, N]: positive > 0, background 0, ignored < 0.
        count: how many to take; background fills what the positives leave free.
        positive_fraction: largest share of positives.
        keys: source of the random order.

    Returns:
        index: int64 Tensor[B, count], the chosen boxes, positives first.
        valid: bool Tensor[B, count], False where an image had too few candidates.
    """
    limit = int(count * positive_fraction)
    order = keys(tuple(labels.shape), labels.device)  # [B, N]
    positive = _first(labels > 0, order, min(limit, labels.shape[1]))
    background = _first(labels == BACKGROUND, order, min(count, labels.shape[1]))
    free = count - positive[1].sum(dim=1, keepdim=True)  # [B, 1]
    room = torch.arange(background[1].shape[1], device=labels.device) < free
    index = torch.cat([positive[0], background[0]], dim=1)
    valid = torch.cat([positive[1], background[1] & room], dim=1)
    # The chosen ones to the front: a stable sort keeps positives before background.
    front = valid.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[
        :, :count
    ]  # [B, count]
    return index.gather(1, front), valid.gather(1, front)


def _first(candidates: Tensor, order: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the candidates with the smallest keys: index and validity, Tensor[B, count]."""
    key, index = order.masked_fill(~candidates, 2.0).topk(count, dim=1, largest=False)
    return index, key < 2.0


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """Pick rows per image: Tensor[B, N, ...] and index Tensor[B, R] give Tensor[B, R, ...]."""
    return values[torch.arange(len(values), device=values.device)[:, None], index]
