"""Constant numbers as a tensor, cached on a GPU: to copy numbers there makes the host wait."""

from collections.abc import Iterable

import torch
from torch import Tensor

LIMIT = 1000  # tables of ever new map sizes must not fill the memory

KEPT: dict[tuple, Tensor] = {}  # a CUDA graph reads them and must hold on to them


def constant(values: float | tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a number, a tuple or a tuple of tuples as a tensor that nobody may write into."""
    if device.type == "cpu" or torch.compiler.is_compiling():
        return torch.tensor(values, dtype=dtype, device=device)
    key = (values, dtype, device)
    if key not in KEPT:
        if len(KEPT) >= LIMIT:
            KEPT.clear()
        with torch.inference_mode(False):  # a later step may need it for its gradient
            KEPT[key] = torch.tensor(values, dtype=dtype, device=device)
    return KEPT[key]


def constants_like(tensor: Tensor, values: Iterable[float]) -> Tensor:
    """Return `constant` of a tensor's type, on its device."""
    return constant(tuple(values), tensor.dtype, tensor.device)
