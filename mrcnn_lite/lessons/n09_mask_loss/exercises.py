"""Exercise of notebook 09: compare the mask targets with the logits."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.losses import mask_loss
from ..kit.exercise import Exercise, FunctionGrader, combine, switches


def _loss_cases() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Random logits [K, C, M, M], targets [K, M, M] and labels [K]; the last has no positives."""
    generator = torch.Generator().manual_seed(10)
    for k, c, m, largest in (
        (1, 2, 1, 3),
        (3, 4, 5, 3),
        (6, 3, 4, 3),
        (2, 3, 2, 400),
        (0, 3, 4, 3),
    ):
        logits = largest * torch.randn(k, c, m, m, generator=generator)
        targets = torch.rand(k, m, m, generator=generator)
        yield logits, targets, torch.randint(1, c, (k,), generator=generator)


def _loss_and_gradient(
    function: Any, logits: Tensor, targets: Tensor, labels: Tensor
) -> Tensor | None:
    """A loss and its gradient, as one vector, so that both are compared."""
    logits.requires_grad_()
    try:
        loss = function(logits, targets, labels)
    except (ValueError, RuntimeError, IndexError) as error:
        k, m = len(labels), logits.shape[-1]
        leads = {str([k, k, m, m]): EVERY_PAIR, **LEADS}
        lead = next((lead for sign, lead in leads.items() if sign in str(error)), None)
        if lead is None:
            raise
        raise ValueError(f"{lead} ({error})") from error
    if loss is None:
        return None
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TypeError(
            "the loss must be a tensor with one number; .item() would cut its graph off"
        )
    if not loss.isfinite():
        raise ValueError(f"a loss of {loss.item()} for {len(labels)} RoIs")
    if not loss.requires_grad:
        raise ValueError(f"a loss without gradient for {len(labels)} RoIs")
    (gradient,) = torch.autograd.grad(loss, logits, allow_unused=True)
    if gradient is None:
        raise ValueError(f"a loss that does not hang on the logits, for {len(labels)} RoIs")
    return torch.cat([loss.reshape(1), gradient.flatten()])


def _own(logits: Tensor, labels: Tensor) -> Tensor:
    return logits[torch.arange(len(labels)), labels]  # [K, M, M]


@switches(
    choose=_own,
    target=lambda targets, logits, labels: targets,
    compare=lambda own, t: F.binary_cross_entropy_with_logits(own, t, reduction="none"),
    reduce=lambda cells: cells.mean(),
    guard=True,
)
def _loss_variant(logits: Tensor, targets: Tensor, labels: Tensor, how: Any) -> Tensor:
    """The mask loss, step by step."""
    if how.guard and not len(labels):
        return logits.sum() * 0
    own = how.choose(logits, labels)  # [K, M, M]
    return how.reduce(how.compare(own, how.target(targets, logits, labels)))


def _in_its_channel(targets: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """The target in its class's channel, nothing in the others: [K, C, M, M]."""
    own = F.one_hot(labels, logits.shape[1])[..., None, None]  # [K, C, 1, 1]
    return own * targets[:, None]


def _cross_entropy(p: Tensor, t: Tensor) -> Tensor:
    return F.binary_cross_entropy(p, t, reduction="none")


def _by_formula(p: Tensor, t: Tensor) -> Tensor:
    return -(t * p.log() + (1 - t) * (1 - p).log())


EVERY_PAIR = (
    "logits[:, labels] takes the channels of all labels from every RoI, [K, K, M, M]. Each RoI "
    "needs one: logits[torch.arange(K), labels]."
)
LEADS = {  # what errors of PyTorch say, and what led there
    "between 0 and 1": "binary_cross_entropy takes probabilities; for logits there is "
    "binary_cross_entropy_with_logits.",
    "for dimension 0": "logits[labels] takes RoIs. The channels are the second index: "
    "logits[torch.arange(K), labels].",
    "spatial targets": "cross_entropy lets the classes compete. The mask loss is binary: "
    "binary_cross_entropy_with_logits of the RoI's own channel.",
}
PROBABILITY = (
    "probabilities are compared. sigmoid(-120) is 0 in float32, and the gradient is lost: use "
    "binary_cross_entropy_with_logits."
)
# What is wrong, and the switches of `_loss_variant` that make it so.
LOSS_MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "all channels are compared. Only the channel of the RoI's own class takes part.",
        {"choose": lambda x, y: x, "target": _in_its_channel},
    ),
    (
        "every channel is compared with the target. Only that of the RoI's own class knows it.",
        {"choose": lambda x, y: x, "target": lambda t, x, y: t[:, None].expand_as(x)},
    ),
    (
        "channel label - 1 is compared. Class 0 is the background and has a channel too.",
        {"choose": lambda x, y: _own(x, y - 1)},
    ),
    ("channel 0 is compared for every RoI.", {"choose": lambda x, y: x[:, 0]}),
    (
        EVERY_PAIR,
        {"choose": lambda x, y: x[:, y], "target": lambda t, x, y: t.expand(len(t), *t.shape)},
    ),
    (
        "the largest channel of each cell is compared. The label chooses, not the logits.",
        {"choose": lambda x, y: x.amax(1)},
    ),
    (
        "the sigmoid is applied twice: the with-logits form contains it.",
        {
            "compare": lambda x, t: F.binary_cross_entropy_with_logits(
                x.sigmoid(), t, reduction="none"
            )
        },
    ),
    (PROBABILITY, {"compare": lambda x, t: _cross_entropy(x.sigmoid(), t)}),
    (PROBABILITY, {"compare": lambda x, t: _by_formula(x.sigmoid(), t)}),
    (
        "the background's half is missing: cells outside the object, 1 - t of them, count too.",
        {"compare": lambda x, t: -t * F.logsigmoid(x)},
    ),
    (
        "this is a squared error. Take the cross entropy.",
        {"compare": lambda x, t: (x.sigmoid() - t) ** 2},
    ),
    ("the cells are summed up. Take their mean.", {"reduce": lambda cells: cells.sum()}),
    (
        "the sum over all cells is divided by the RoIs alone. Divide by the cells too: the mean.",
        {"reduce": lambda cells: cells.sum() / len(cells)},
    ),
    (
        "the means of the RoIs are summed up. Take their mean.",
        {"reduce": lambda cells: cells.mean((-2, -1)).sum()},
    ),
    (
        "object and background are exchanged: the target is 1 on the object.",
        {"target": lambda t, x, y: 1 - t},
    ),
    (
        "the target is rounded. Its fractions are soft targets.",
        {"target": lambda t, x, y: t.round()},
    ),
    (
        "the classes compete in a softmax. Here every channel stands for itself.",
        {
            "choose": lambda x, y: (_own(x.log_softmax(1), y), x.log_softmax(1)[:, 0]),
            "compare": lambda log_p, t: -(t * log_p[0] + (1 - t) * log_p[1]),
        },
    ),
    *(
        (
            "the classes compete in a softmax before the probabilities are compared. Use the "
            "sigmoid of the RoI's own channel.",
            {"choose": lambda x, y: _own(x.softmax(1), y), "compare": compare},
        )
        for compare in (_cross_entropy, _by_formula)
    ),
    (
        "the batch without positives. There the mean runs over nothing and gives nan, and a "
        "constant 0 has no gradient. Return a zero that hangs on the logits: logits.sum() * 0.",
        {"guard": False},
    ),
)


EXERCISES = (
    Exercise(
        "09-mask-loss",
        FunctionGrader(
            right=mask_loss,
            cases=_loss_cases,
            mistakes=combine(_loss_variant, LOSS_MISTAKES, most=2),
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
