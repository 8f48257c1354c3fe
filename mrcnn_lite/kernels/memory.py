"""Memory that a kernel writes whole need not be filled before."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def unfilled() -> Iterator[None]:
    """Around a function: PyTorch's deterministic mode fills no `torch.empty` with NaN in it."""
    mode = torch.utils.deterministic
    before, mode.fill_uninitialized_memory = mode.fill_uninitialized_memory, False
    try:
        yield
    finally:
        mode.fill_uninitialized_memory = before
