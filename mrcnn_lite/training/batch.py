"""What a step takes: pictures and their targets, on the host or on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Batch = tuple[list[Tensor], list[dict[str, Any]]]


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Copy a batch to a device; the host does not wait until a copy to a GPU has arrived.

    Args:
        batch: images, and targets that may hold other things than tensors.
        device: where to; what is there already is not copied.
    """

    def move(value: Any) -> Any:
        return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

    images, targets = batch
    return [move(image) for image in images], [
        {name: move(value) for name, value in target.items()} for target in targets
    ]
