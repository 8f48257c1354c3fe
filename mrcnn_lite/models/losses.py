"""The five losses of training, one function each, on tensors of fixed shape with a validity mask.

The paper's L = L_cls + L_box + L_mask (section 3) is the second stage; the RPN adds two more of
its own. All five have weight 1 and return a scalar. Each is a sum divided by `count`, by default
the number of its valid rows; the network gives what its `Normaliser` counts.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.boxes import at_least_float32

# Where the box losses turn from a parabola into a straight line (torchvision's choice, in units of
# the encoded deltas).
SMOOTH_L1_BETA = 1 / 9


class Normaliser(nn.Module):
    """How many rows of the whole batch count, for a loss to be divided by.

    Where processes share a batch, it is the mean of their counts in training: so the mean of their
    losses and gradients, which DistributedDataParallel takes, is that of the whole batch.
    """

    def forward(self, valid: Tensor) -> Tensor:
        """Return Tensor[], at least 1, for any bool tensor."""
        count = valid.sum()
        if self.training and dist.is_available() and dist.is_initialized():
            count = count.float()
            dist.all_reduce(count)
            count = count / dist.get_world_size()
        return torch.where(count > 0, count, 1)


def predicted(x: Tensor, name: str) -> Tensor:
    """Return what layers predict as at least float32. What no sound weights predict is refused; a
    GPU is not asked, and a graph that is exported has no values."""
    looked_at = x.device.type == "cpu" and not torch.compiler.is_exporting()
    if looked_at and not x.detach().sum().isfinite() and not x.isfinite().all():
        raise ValueError(
            f"{name}: Tensor{list(x.shape)} is not finite, and all before it is: the weights have "
            "exploded; go back to earlier ones and lower the learning rate, lengthen the warm-up "
            "or clip the gradients"
        )
    return at_least_float32(x)


def objectness_loss(
    logits: Tensor, positive: Tensor, valid: Tensor, count: Tensor | None = None
) -> Tensor:
    """Binary cross entropy "object or not" over the sampled anchors [B, N] (Faster R-CNN, equation
    1); ln 2 while all logits are 0."""
    loss = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")
    return _mean(loss, valid, valid, count)


def rpn_box_loss(
    deltas: Tensor, targets: Tensor, positive: Tensor, valid: Tensor, count: Tensor | None = None
) -> Tensor:
    """Smooth L1 between predicted and target deltas [B, N, 4] of the positive anchors [B, N]
    (Faster R-CNN, equation 1).

    The sum runs over the positives, the division over all samples: an image with few objects
    weighs less.
    """
    loss = F.smooth_l1_loss(deltas, targets, beta=SMOOTH_L1_BETA, reduction="none")
    return _mean(loss.sum(dim=-1), positive, valid, count)


def rpn_losses(
    logits: Tensor,
    deltas: Tensor,
    targets: Tensor,
    positive: Tensor,
    valid: Tensor,
    normaliser: Normaliser,
) -> dict[str, Tensor]:
    """Both losses of the RPN by name; see `objectness_loss` and `rpn_box_loss`."""
    count = normaliser(valid)
    return {
        "loss_objectness": objectness_loss(logits, positive, valid, count),
        "loss_rpn_box_reg": rpn_box_loss(deltas, targets, positive, valid, count),
    }


def class_loss(
    logits: Tensor, labels: Tensor, valid: Tensor, count: Tensor | None = None
) -> Tensor:
    """Cross entropy of logits [B, R, C] with labels [B, R], 0 for the background (L_cls); ln C
    while all logits are equal."""
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")  # [K]
    return _mean(loss, valid.flatten(), valid, count)


def box_loss(
    deltas: Tensor, targets: Tensor, labels: Tensor, valid: Tensor, count: Tensor | None = None
) -> Tensor:
    """Smooth L1 on the deltas [B, R, C, 4] of the positive RoIs' true classes, divided by all
    samples (L_box)."""
    column = labels[:, :, None, None].expand(-1, -1, 1, 4)
    of_class = deltas.gather(2, column).squeeze(2)  # [B, R, 4]
    return rpn_box_loss(of_class, targets, (labels > 0) & valid, valid, count)


def mask_loss(
    mask_logits: Tensor,
    targets: Tensor,
    labels: Tensor,
    valid: Tensor | None = None,
    competition: str = "sigmoid",
    count: Tensor | None = None,
) -> Tensor:
    """Compare each positive RoI's mask of its own class with its target (section 3, L_mask).

    "sigmoid" is the paper's loss: binary cross entropy on the channel of the ground-truth class;
    the other channels take no part and receive no gradient. "softmax" is the alternative of
    table 2b: the classes compete for every element, class 0 stands for "not the object".
    The mean runs over all elements of all valid RoIs of the batch, not image by image.

    Args:
        mask_logits: Tensor[K, C, M, M], one channel per class, or one channel in all (C = 1) for
            class-agnostic masks.
        targets: Tensor[K, M, M] in 0..1; fractions are kept as soft targets.
        labels: Tensor[K], the ground-truth class of each RoI, 1 and up; not read when C = 1.
        valid: Tensor[K] bool, True where the row is a positive RoI; None when all are.
        competition: "sigmoid" or "softmax".
        count: see the module.

    Returns:
        A scalar. Without any positive it is exactly 0 and still part of the graph.

    Raises:
        ValueError: for an unknown competition, a softmax over one channel, or shapes that differ.
    """
    _check_mask_shapes(mask_logits, targets, labels, competition)
    if valid is None:
        valid = torch.ones_like(labels, dtype=torch.bool)  # [K]
    rows = torch.arange(len(labels), device=labels.device)  # [K]
    channel = torch.zeros_like(labels) if mask_logits.shape[1] == 1 else labels
    # Padding rows may hold any label; channel 0 always exists.
    channel = torch.where(valid, channel, 0)  # [K]
    if competition == "sigmoid":
        per_element = F.binary_cross_entropy_with_logits(
            mask_logits[rows, channel], targets, reduction="none"
        )  # [K, M, M]
    else:
        log_p = mask_logits.log_softmax(dim=1)  # [K, C, M, M]
        per_element = -(targets * log_p[rows, channel] + (1 - targets) * log_p[:, 0])  # [K, M, M]
    return _mean(per_element.mean(dim=(1, 2)), valid, valid, count)


def _mean(loss: Tensor, summed: Tensor, valid: Tensor, count: Tensor | None) -> Tensor:
    """The sum over some rows, divided by the count, or by that of the valid rows; never by 0."""
    divisor = valid.sum().clamp(min=1) if count is None else count
    return torch.where(summed, loss, 0).sum() / divisor


def _check_mask_shapes(
    mask_logits: Tensor, targets: Tensor, labels: Tensor, competition: str
) -> None:
    """Refuse what would broadcast into a wrong but finite loss; reads shapes only, no values."""
    if competition not in ("sigmoid", "softmax"):
        raise ValueError(f"competition is {competition!r}: use 'sigmoid' or 'softmax'")
    if mask_logits.ndim != 4:
        raise ValueError(f"mask_logits has shape {tuple(mask_logits.shape)}: use [K, C, M, M]")
    if competition == "softmax" and mask_logits.shape[1] == 1:
        raise ValueError("competition='softmax' needs at least two channels of mask_logits")
    k, _, height, width = mask_logits.shape
    if targets.shape != (k, height, width):
        raise ValueError(
            f"targets has shape {tuple(targets.shape)}, mask_logits {tuple(mask_logits.shape)}: "
            f"targets must be {(k, height, width)}, one mask per RoI (ops.crop_masks)"
        )
    if labels.shape != (k,):
        raise ValueError(f"labels has shape {tuple(labels.shape)}: use one class per RoI, {(k,)}")
