"""What a network must ask the other processes that train it, so that all compute one batch's loss.

Losses divide by counts (sampled anchors, RoIs, positives) of the whole batch, and all images of a
batch are padded to one size. A process that sees a part of the batch would use its part's count
and size. `training.distributed` gives the form that asks.
"""

from __future__ import annotations

from torch import Tensor


class Alone:
    """One process has the whole batch: there is nothing to ask."""

    def mean(self, counts: Tensor) -> Tensor:
        """Return the mean of each count over all processes."""
        return counts

    def largest(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the largest (height, width) of any process."""
        return size


ALONE = Alone()
