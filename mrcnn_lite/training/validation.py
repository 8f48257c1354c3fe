"""Losses on pictures that the training never sees: when they rise, it is learning by heart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator

from ..datasets.batches import collate, without_crowds
from ..models import MaskRCNN
from ..models.matching import random_keys
from ..models.processes import ALONE
from .batch import to_device


@torch.no_grad()
def validation_losses(
    model: MaskRCNN, dataset: Sequence, batch_size: int = 4, limit: int | None = None
) -> dict[str, float]:
    """Average the five losses over held-out pictures, in evaluation mode.

    The samplers draw the same numbers in every call, so that two calls differ by the weights alone.

    Args:
        model: its mode and its sampling keys are restored afterwards.
        dataset: sequence of (image, target).
        batch_size: pictures at a time.
        limit: use only the first ones; None for all.

    Returns:
        The mean of each loss over the pictures, and their sum as "loss".
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count == 0:
        raise ValueError("dataset has no picture; validation needs at least one")
    training, keys, processes = model.training, model.keys, model.processes
    device = next(model.parameters()).device
    sums: dict[str, float] = {}
    model.eval()
    model.processes = ALONE  # one process validates while the others wait
    try:
        for start in range(0, count, batch_size):
            places = range(start, min(start + batch_size, count))
            images, targets = collate([without_crowds(*dataset[place]) for place in places])
            model.keys = random_keys(Generator(device).manual_seed(start))
            losses = model.losses(*to_device((images, targets), device))
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + len(places) * float(value)
    finally:
        model.train(training)
        model.keys, model.processes = keys, processes
    means = {name: value / count for name, value in sums.items()}
    return means | {"loss": sum(means.values())}
