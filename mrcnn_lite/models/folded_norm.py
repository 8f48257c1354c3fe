"""A frozen batch norm as one multiply-add: beside the plain form, for networks that are recorded.

The plain form makes scale and shift from four vectors at every call and casts both: seven small
operations around two that move the map. Here both are kept, per type, and the map moves once. When
weights are loaded they are made anew, in place, for a CUDA graph reads them where they are. Whoever
writes into the four vectors otherwise calls `fold`.
"""

import torch
from torch import Tensor, nn

from .backbone import FrozenBatchNorm2d


class FoldedNorm(FrozenBatchNorm2d):
    """`FrozenBatchNorm2d` with scale and shift kept; `fold_norms` puts it in."""

    kept: dict[tuple[torch.dtype, torch.device], Tensor]  # [2, 1, C, 1, 1]: scale, shift

    def fold(self) -> None:
        """Make what is kept from the present weights."""
        for kept in self.kept.values():
            kept.copy_(self._scale_and_shift())

    def _scale_and_shift(self) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()  # [C]
        shift = self.bias - self.running_mean * scale  # [C]
        return torch.stack([scale, shift])[:, None, :, None, None]  # [2, 1, C, 1, 1]

    def _load_from_state_dict(self, *args: object) -> None:
        super()._load_from_state_dict(*args)
        self.fold()

    def forward(self, x: Tensor) -> Tensor:
        """See `FrozenBatchNorm2d.forward`."""
        key = x.dtype, x.device
        if key not in self.kept:
            with torch.inference_mode(False):  # a training step may be next
                self.kept[key] = self._scale_and_shift().to(*reversed(key)).clone()
        scale, shift = self.kept[key]
        return torch.addcmul(shift, x, scale)  # [B, C, h, w]


def fold_norms(model: nn.Module) -> None:
    """Let every frozen batch norm of a network, where it stands, be a `FoldedNorm`."""
    for module in model.modules():
        if type(module) is FrozenBatchNorm2d:
            module.__class__, module.kept = FoldedNorm, {}
