"""Who learns from whom: boxes are matched to objects by IoU, then a balanced sample of them enters
the loss.

Both steps work on a whole batch with fixed shapes: objects are padded to G per image and a mask
tells which are real.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..ops.matching import best_objects

IGNORED = -1
BACKGROUND = 0

# (shape, device) -> a number in [0, 1) for each candidate.
Priorities = Callable[[tuple[int, ...], torch.device], Tensor]


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
        match_labels: int64 Tensor[B, A], 1 positive, 0 background, -1 ignored.
    """
    best, matched, low_quality = best_objects(gt_boxes, gt_valid, boxes, allow_low_quality)
    match_labels = torch.where(best >= foreground_iou, 1, IGNORED)  # [B, A]
    match_labels = torch.where(best < background_iou, BACKGROUND, match_labels)
    if allow_low_quality:
        match_labels = torch.where(low_quality, 1, match_labels)
    return matched, match_labels


def sample(
    match_labels: Tensor, count: int, positive_fraction: float, priorities: Tensor
) -> tuple[Tensor, Tensor]:
    """Choose `count` boxes per image, at most `positive_fraction` of them positive (FR §3.1.3).

    Args:
        match_labels: Tensor[B, N]: positive > 0, background 0, ignored < 0.
        count: how many to take; background fills what the positives leave free.
        positive_fraction: largest share of positives.
        priorities: Tensor[B, N] in [0, 1): of each kind the smallest are taken. Random numbers
            make the choice random.

    Returns:
        index: int64 Tensor[B, count], the chosen boxes, positives first.
        valid: bool Tensor[B, count], False where an image had too few candidates.
    """
    limit = int(count * positive_fraction)
    positive = _first(match_labels > 0, priorities, min(limit, match_labels.shape[1]))
    background = _first(match_labels == BACKGROUND, priorities, min(count, match_labels.shape[1]))
    free = count - positive[1].sum(dim=1, keepdim=True)  # [B, 1]
    room = torch.arange(background[1].shape[1], device=match_labels.device) < free
    index = torch.cat([positive[0], background[0]], dim=1)
    valid = torch.cat([positive[1], background[1] & room], dim=1)
    # The chosen ones to the front: a stable sort keeps positives before background.
    front = valid.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    front = front[:, :count]  # [B, count]
    return index.gather(1, front), valid.gather(1, front)


def _first(candidates: Tensor, priorities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the candidates with the smallest priorities: index and validity, Tensor[B, count]."""
    value, index = priorities.masked_fill(~candidates, 2.0).topk(count, dim=1, largest=False)
    return index, value < 2.0


class BalancedSampler:
    """`sample` with random priorities, drawn anew at each call; both stages share one.

    Args:
        generator: of the random numbers; None for torch's own.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        # Replace it to fix which anchors and RoIs are sampled.
        self.priorities: Priorities = random_priorities(generator)

    def __call__(
        self, match_labels: Tensor, count: int, positive_fraction: float
    ) -> tuple[Tensor, Tensor]:
        """See `sample`."""
        priorities = self.priorities(tuple(match_labels.shape), match_labels.device)  # [B, N]
        return sample(match_labels, count, positive_fraction, priorities)


def random_priorities(generator: torch.Generator | None = None) -> Priorities:
    """Return the usual source of priorities: uniform numbers from `generator`."""
    return partial(_uniform, generator)


def _uniform(
    generator: torch.Generator | None, shape: tuple[int, ...], device: torch.device
) -> Tensor:
    return torch.rand(shape, generator=generator, device=device)
