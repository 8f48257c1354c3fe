"""Exercises of notebook 09: cut out the mask targets, and compare them with the logits."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import ops
from ...models.losses import mask_loss
from ..kit.exercise import Exercise, FunctionGrader, Mistake


def _target_cases() -> Iterator[tuple[Any, ...]]:
    """Random objects and proposals: masks [G, H, W], boxes [K, 4], matched [K], size."""
    generator = torch.Generator().manual_seed(9)
    for size in (1, 2, 4, 7):
        coarse = torch.rand(3, 5, 6, generator=generator) > 0.5  # [G, h, w]
        masks = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2).to(torch.uint8)  # [G, H, W]
        corner = torch.rand(4, 2, generator=generator) * 10  # [K, 2]
        extent = 3 + torch.rand(4, 2, generator=generator) * 12  # [K, 2]
        matched = torch.tensor([2, 0, 2, 1])
        yield masks, torch.cat([corner, corner + extent], dim=1), matched, size


def _targets(masks: Tensor, boxes: Tensor, matched: Tensor, size: int) -> Tensor:
    return ops.crop_masks(masks, boxes, matched, size, aligned=False)  # [K, M, M]


def _pooled(masks: Tensor, boxes: Tensor, matched: Tensor, size: int, ratio: int) -> Tensor:
    rois = torch.cat([matched[:, None].to(boxes), boxes], dim=1)  # [K, 5]
    objects = masks[:, None].to(boxes)
    return ops.roi_align(objects, rois, size, 1.0, ratio, aligned=False)  # [K, 1, M, M]


def _whole(masks: Tensor, boxes: Tensor, matched: Tensor, size: int) -> Tensor:
    resized = F.interpolate(masks[:, None].to(boxes), (size, size), mode="bilinear")
    return resized[matched, 0]  # [K, M, M]


TARGET_MISTAKES = (
    Mistake(
        "the target is shifted by half a pixel against torchvision's. That is the better target, "
        "but this exercise asks for aligned=False.",
        lambda m, b, i, s: ops.crop_masks(m, b, i, s, aligned=True),
    ),
    Mistake(
        "the target was thresholded. torchvision keeps the fractions on the outline.",
        lambda m, b, i, s: (_targets(m, b, i, s) >= 0.5).float(),
    ),
    Mistake(
        "`matched` says which object belongs to each box; it is not used.",
        lambda m, b, i, s: _targets(m, b, torch.arange(len(b)).clamp(max=len(m) - 1), s),
    ),
    Mistake("the whole mask was scaled. First cut out the box.", _whole),
    Mistake(
        "rows and columns are exchanged: a box is (x1, y1, x2, y2).",
        lambda m, b, i, s: _targets(m, b, i, s).transpose(1, 2),
    ),
    Mistake(
        "sampling_ratio=2 is for features. A mask is sampled adaptively: sampling_ratio=-1.",
        lambda m, b, i, s: _pooled(m, b, i, s, 2)[:, 0],
    ),
    Mistake(
        "the channel axis of RoIAlign's output is still there. Drop it with [:, 0].",
        lambda m, b, i, s: _pooled(m, b, i, s, -1),
    ),
)


def _loss_cases() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Random logits [K, C, M, M], targets [K, M, M] and labels [K]; the last has no positives."""
    generator = torch.Generator().manual_seed(10)
    for k, c, m in ((1, 2, 1), (3, 4, 5), (6, 3, 4), (0, 3, 4)):
        logits = 3 * torch.randn(k, c, m, m, generator=generator)
        targets = torch.rand(k, m, m, generator=generator)
        yield logits, targets, torch.randint(1, c, (k,), generator=generator)


def _loss_and_gradient(
    function: Any, logits: Tensor, targets: Tensor, labels: Tensor
) -> Tensor | None:
    """A loss and its gradient, as one vector, so that both are compared."""
    logits.requires_grad_()
    loss = function(logits, targets, labels)
    if loss is None:
        return None
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TypeError("the loss must be a tensor with one number")
    if loss.isnan():
        raise ValueError(f"a loss of nan for {len(labels)} RoIs")
    if not loss.requires_grad:
        raise ValueError(f"a loss without gradient for {len(labels)} RoIs")
    (gradient,) = torch.autograd.grad(loss, logits, allow_unused=True, materialize_grads=True)
    return torch.cat([loss.reshape(1), gradient.flatten()])


def _all_channels(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """Every channel as an RoI of its own; those of other classes should be empty."""
    own = F.one_hot(labels, logits.shape[1])[..., None, None]  # [K, C, 1, 1]
    every = (own * targets[:, None]).flatten(0, 1)  # [K * C, M, M]
    return mask_loss(logits.flatten(0, 1)[:, None], every, torch.zeros(len(every)).long())


LOSS_MISTAKES = (
    Mistake(
        "the batch without positives. There the mean runs over nothing and gives nan, and a "
        "constant 0 has no gradient. Return a zero that hangs on the logits: logits.sum() * 0.",
        lambda x, t, y: F.binary_cross_entropy_with_logits(x[torch.arange(len(y)), y], t),
    ),
    Mistake(
        "all channels are compared. Only the channel of the RoI's own class takes part.",
        _all_channels,
    ),
    Mistake(
        "channel label - 1 is compared. Class 0 is the background and has a channel too.",
        lambda x, t, y: mask_loss(x, t, y - 1),
    ),
    Mistake("channel 0 is compared for every RoI.", lambda x, t, y: mask_loss(x, t, 0 * y)),
    Mistake(
        "the sigmoid is applied twice: the with-logits form contains it.",
        lambda x, t, y: mask_loss(x.sigmoid(), t, y),
    ),
    Mistake(
        "the cells are summed up. Take their mean.",
        lambda x, t, y: mask_loss(x, t, y) * t.numel(),
    ),
    Mistake(
        "the classes compete in a softmax. Here every channel stands for itself.",
        lambda x, t, y: mask_loss(x, t, y, competition="softmax"),
    ),
)


EXERCISES = (
    Exercise(
        "09-mask-targets",
        FunctionGrader(
            right=_targets,
            cases=_target_cases,
            mistakes=TARGET_MISTAKES,
            praise="torchvision's targets in {n} batches of proposals.",
        ),
        (
            "A target is RoIAlign of the 0/1 mask: the mask is a feature map of one channel.",
            "ops.roi_align takes rows of (image index, x1, y1, x2, y2). Let every object be an "
            "image of its own: then the index is `matched`.",
            "masks[:, None].float() has shape [G, 1, H, W]; spatial_scale is 1, sampling_ratio "
            "-1, aligned False; [:, 0] takes the channel away again.",
        ),
    ),
    Exercise(
        "09-mask-loss",
        FunctionGrader(
            right=mask_loss,
            cases=_loss_cases,
            mistakes=LOSS_MISTAKES,
            praise="loss and gradient are right in {n} batches, "
            "the one without positives included.",
            observe=_loss_and_gradient,
            note="index 0 is the loss, the rest its gradient",
        ),
        (
            "First choose the channel: one mask per RoI, the one of its label.",
            "mask_logits[torch.arange(K), labels] chooses; "
            "F.binary_cross_entropy_with_logits compares.",
            "What does the mean of nothing give? Look at the batch without positives first.",
        ),
    ),
)
