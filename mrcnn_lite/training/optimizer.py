"""Muon: a step of the same length in every direction of a weight matrix; and the running average.

The gradient of a matrix, G = U S V^T, moves some directions a thousand times as far as others: its
singular values S differ that much. Muon moves along U V^T, all of them equally far, so that what is
seldom needed is learned as fast as what is always needed. (Jordan et al. 2024, "Muon: an optimizer
for hidden layers in neural networks".)
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import torch
from torch import Tensor, nn, optim

MOMENTUM = 0.9  # Jordan et al. take 0.95 for longer runs
# Of x -> a x + b x^3 + c x^5: five times over it takes whatever is in 0.01..1 to 0.67..1.21: not
# to 1, but in few rounds (Jordan et al.).
POLYNOMIAL, ROUNDS = (3.4445, -4.7750, 2.0315), 5
# A step of Muon, in learning rates of AdamW. AdamW moves each weight by about one rate.
RATES = 20 / 3


class Muon(optim.AdamW):
    """Muon for the groups of parameters with "muon" true, AdamW for all others.

    A convolution [N, C, k, k] counts as the matrix [N, C * k * k].
    """

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:
        """See `torch.optim.Optimizer.step`."""
        every = self.param_groups
        self.param_groups = [group for group in every if not group["muon"]]
        super().step(closure)
        self.param_groups = every
        for group in every:
            if group["muon"]:
                used = [p for p in group["params"] if p.grad is not None]
                for _, alike in groupby(sorted(used, key=matrix_shape), key=matrix_shape):
                    self._move([*alike], group["lr"], group["weight_decay"])

    def _move(self, weights: list[nn.Parameter], rate: float, decay: float) -> None:
        """One step of weights that are matrices of one shape."""
        directions = []
        for weight in weights:
            state = self.state[weight]
            if not state:
                # A loaded AdamW looks for "step" in every state.
                state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(weight)}
            mean = state["momentum"]
            mean.lerp_(weight.grad, 1 - MOMENTUM)
            directions.append(weight.grad.lerp(mean, MOMENTUM).flatten(1))  # Nesterov's
        stacked = torch.stack(directions)  # [K, N, columns]
        # Of a tall matrix all columns are moved, by steps as long as those of as many rows.
        long = max(1.0, stacked.shape[1] / stacked.shape[2]) ** 0.5
        steps = orthogonalise(stacked) * (RATES * rate * long)
        for weight, step in zip(weights, steps, strict=True):
            weight.mul_(1 - rate * decay).sub_(step.view_as(weight))


def matrix_shape(weight: Tensor) -> tuple[int, int]:
    """The (rows, columns) of a weight as a matrix."""
    return len(weight), weight[0].numel()


def orthogonalise(matrices: Tensor) -> Tensor:
    """Take all singular values to about 1, and leave the singular vectors.

    A polynomial of odd powers, X -> (a + b X X^T + c (X X^T)^2) X, acts on the singular values
    alone: no decomposition is needed, only products, and all but one of the small X X^T.

    Args:
        matrices: Tensor[K, N, C].

    Returns:
        Tensor[K, N, C]; a singular value that was below a thousandth of the matrix's length stays
        below one half, and 0 stays 0.
    """
    a, b, c = POLYNOMIAL
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices  # [K, N, C], N <= C
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)  # no singular value is above 1
    square = x @ x.mT  # [K, N, N]
    one = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    product = one  # of all rounds
    for _ in range(ROUNDS):
        factor = a * one + b * square + c * square @ square  # [K, N, N]
        product, square = factor @ product, factor @ square @ factor  # they commute
    x = product @ x
    return x.mT if tall else x


@torch.no_grad()
def follow(average: dict[str, Tensor], model: nn.Module, share: float) -> None:
    """Move a running average of a model's state to its present one, by a share of the way."""
    names = [name for name, mean in average.items() if mean.is_floating_point()]
    current = model.state_dict()
    means, values = ([state[name] for name in names] for state in (average, current))
    torch._foreach_lerp_(means, values, share)
