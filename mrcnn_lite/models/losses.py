"""The losses of training, one function each, on tensors of fixed shape with a validity mask."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_loss(
    mask_logits: Tensor,
    targets: Tensor,
    labels: Tensor,
    valid: Tensor | None = None,
    competition: str = "sigmoid",
) -> Tensor:
    """Compare each positive RoI's mask of its own class with its target (section 3, L_mask).

    "sigmoid" is the paper's loss: binary cross entropy on the channel of the ground-truth class;
    the other channels take no part and receive no gradient. "softmax" is the alternative of
    table 2b: the classes compete for every cell, class 0 stands for "not the object".
    The mean runs over all cells of all valid RoIs of the batch, not image by image.

    Args:
        mask_logits: Tensor[K, C, M, M], one channel per class, or one channel in all (C = 1) for
            class-agnostic masks.
        targets: Tensor[K, M, M] in 0..1; fractions are kept as soft targets.
        labels: Tensor[K], the ground-truth class of each RoI, 1 and up; not read when C = 1.
        valid: Tensor[K] bool, True where the row is a positive RoI; None when all are.
        competition: "sigmoid" or "softmax".

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
        per_cell = F.binary_cross_entropy_with_logits(
            mask_logits[rows, channel], targets, reduction="none"
        )  # [K, M, M]
    else:
        log_p = mask_logits.log_softmax(dim=1)  # [K, C, M, M]
        per_cell = -(targets * log_p[rows, channel] + (1 - targets) * log_p[:, 0])  # [K, M, M]
    per_roi = torch.where(valid, per_cell.mean(dim=(1, 2)), 0)  # [K]
    return per_roi.sum() / valid.sum().clamp(min=1)


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
