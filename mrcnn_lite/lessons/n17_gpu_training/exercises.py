"""The exercises of notebook 17: a gradient that no order changes, and a loss that never waits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from ..kit.exercise import Exercise, FunctionGrader, Mistake, Verdict, combine

CASES, ORDERS = 12, 6


def _bits(function: Callable[..., Any], grad: Tensor, rows: Tensor, columns: Tensor) -> Any:
    """The gradient, and behind it 1 if another order of the RoIs gives other bits, else 0."""
    first = function(grad.clone(), rows.clone(), columns.clone())
    if first is None:
        return None
    first = torch.as_tensor(first)
    generator, changed = torch.Generator().manual_seed(len(grad)), False
    for _ in range(ORDERS):
        order = torch.randperm(len(grad), generator=generator)
        again = torch.as_tensor(function(grad[order], rows[order], columns[order]))
        changed |= not torch.equal(first, again)
    if first.dim() != 2:
        raise ValueError(f"the gradient of a map is [h, w], this is {list(first.shape)}")
    mark = torch.full((1, first.shape[1]), float(changed))
    return torch.cat([first.double(), mark.double()])  # [h + 1, w]


@dataclass(frozen=True)
class _SumWay:
    """A switch for everything that people get wrong; the defaults are right."""

    order: str = "sorted"
    total: str = "sum"
    swap: bool = False
    turn: bool = False
    weights: str = "used"


def _sum_variant(grad: Tensor, rows: Tensor, columns: Tensor, **changes: Any) -> Tensor:
    """The gradient as somebody with these `_SumWay` switches would write it."""
    way = _SumWay(**changes)
    if way.order == "grads":
        grad = grad.sort(0).values
    if way.weights == "ones":
        rows, columns = (rows > 0).float(), (columns > 0).float()
    if way.swap:
        rows, columns = columns, rows
    shares = rows.mT @ (grad.mT if way.turn else grad) @ columns  # [K, h, w]
    if way.order in ("sorted", "columns"):
        shares = shares.sort(0 if way.order == "sorted" else -1).values
    if way.total == "last":
        return shares[-1]
    return shares.mean(0) if way.total == "mean" else shares.sum(0)  # [h, w]


def _axis(generator: torch.Generator, count: int, bins: int, n: int) -> Tensor:
    """A matrix like notebook 05's for each of many RoIs: hats, one sample per bin."""
    start = 0.3 + torch.rand(count, 1, generator=generator) * n / 3
    length = 1 + torch.rand(count, 1, generator=generator) * (n - 2 - n / 3)
    at = start + (torch.arange(bins) + 0.5) * length / bins  # [K, P]
    return (1 - (at[..., None] - torch.arange(n)).abs()).clamp(min=0)  # [K, P, N]


def _rois() -> Iterator[tuple[Tensor, ...]]:
    """Many RoIs on a small map, so that every element is paid often."""
    generator = torch.Generator().manual_seed(1701)
    for k in range(CASES):
        h, w, bins, count = 6 + k % 3, 9 + k % 2, 2 + k % 2, 40 + k
        grad = torch.randn(count, bins, bins, generator=generator)
        yield grad, _axis(generator, count, bins, h), _axis(generator, count, bins, w)


SUM_SLIPS = (
    (
        "the numbers are right, but the shares are added in the order in which the RoIs came: "
        "another order gives other last bits. Bring each element's shares into an order of their "
        "own first.",
        {"order": "given"},
    ),
    (
        "the incoming gradients are sorted before the products: each then meets the matrices of "
        "another RoI. Sort the shares, after the products.",
        {"order": "grads"},
    ),
    (
        "sort() without a dimension sorts along the last one, the columns of the map; the RoIs "
        "are dimension 0.",
        {"order": "columns"},
    ),
    ("this is the mean over the RoIs; gradients add up.", {"total": "mean"}),
    ("only the last RoI is left: each one must be added to those before it.", {"total": "last"}),
    (
        "rows and columns have changed places: the way back is rows turned, times G, times "
        "columns.",
        {"swap": True},
    ),
    ("G is turned; only the matrix of the rows is.", {"turn": True}),
    (
        "every touched element is paid in full; it gets the weight that the matrix says.",
        {"weights": "ones"},
    ),
)


def _waits(function: Callable[..., Any], loss: Tensor, labels: Tensor) -> Any:
    """The result, whether it is NaN, and 0 for no wait, 1 for a number read, 2 for a size."""
    answer = function(loss.clone(), labels.clone())
    if answer is None:
        return None
    code = 0.0
    with FakeTensorMode():
        fakes = [torch.empty(t.shape, dtype=t.dtype, device="cuda") for t in (loss, labels)]
        try:
            made = function(*fakes)
            if not isinstance(made, Tensor) or made.device.type != "cuda":
                code = 3.0
        except DataDependentOutputException:
            code = 1.0
        except DynamicOutputShapeException:
            code = 2.0
    answer = torch.as_tensor(answer).double()
    if answer.dim():
        raise ValueError(f"return one number, a tensor of shape []; this is {list(answer.shape)}")
    missing = answer.isnan()
    return torch.stack([answer.nan_to_num(), missing.double(), answer.new_tensor(code)])


@dataclass(frozen=True)
class _WaitWay:
    """A switch for everything that people get wrong; the defaults are right."""

    pick: str = "where"
    count: str = "clamped"
    over: str = "positives"
    first: int = 1
    host: bool = False


def _wait_variant(loss: Tensor, labels: Tensor, **changes: Any) -> Tensor:
    """The mean as somebody with these `_WaitWay` switches would write it."""
    way = _WaitWay(**changes)
    positive = labels >= way.first
    count: Any = positive.sum()
    if way.count == "read":
        count = max(count.item(), 1)
    elif way.count == "clamped":
        count = count.clamp(min=1)
    if way.over == "all":
        count = labels.numel()
    elif way.over == "none":
        count = 1
    if way.pick == "index":
        total = loss[positive].sum()
    elif way.pick == "times":
        total = (loss * positive).sum()
    else:
        total = torch.where(positive, loss, 0.0).sum()
    mean = total / count
    return mean.cpu() if way.host else mean


def _losses() -> Iterator[tuple[Tensor, Tensor]]:
    """Losses of rows with labels; padded rows may hold NaN, and some cases have no positive."""
    generator = torch.Generator().manual_seed(1702)
    for k in range(CASES):
        labels = torch.randint(-1, 3, (10 + k,), generator=generator)
        if k % 4 == 3:
            labels = labels.clamp(max=0)
        loss = torch.rand(len(labels), generator=generator) + 0.5
        if k % 4 == 2:
            loss = torch.where(labels < 0, torch.nan, loss)
        yield loss, labels


WAIT_SLIPS = (
    (
        "a number is read: item(), int(), float(), max() or an if on a tensor makes the host "
        "wait. Keep the count a tensor.",
        {"count": "read"},
    ),
    (
        "the size of something depends on values (nonzero, or an index made of True and False), "
        "and the host has to wait for it. Keep all rows, and let the others count 0.",
        {"pick": "index"},
    ),
    (
        "the result is not on the GPU any more: whoever moves it to the host waits for it.",
        {"host": True},
    ),
    (
        "NaN times 0 is NaN: a padded row may hold anything. torch.where chooses, and does not "
        "multiply.",
        {"pick": "times"},
    ),
    (
        "without a positive this divides 0 by 0: clamp the count to at least 1.",
        {"count": "plain"},
    ),
    ("this divides by all rows; the mean is over the positives.", {"over": "all"}),
    ("this is the sum; divide by how many positives there are.", {"over": "none"}),
    ("label 0 is the background, not a positive.", {"first": 0}),
)


@dataclass(frozen=True)
class _WrappedGrader:
    """Judges a function by what a wrapper makes of it, and the known mistakes in the same way."""

    grader: FunctionGrader
    wrapper: Callable[..., Any]
    mistakes: tuple[Mistake, ...]

    def __call__(self, function: Any) -> Verdict:
        """Judge the learner's function; never raises because of it."""
        return self.grader(partial(self.wrapper, function) if callable(function) else function)


def _wrapped(
    wrapper: Callable[..., Any], variant: Callable[..., Any], slips: Any, **settings: Any
) -> _WrappedGrader:
    mistakes = combine(variant, slips, most=2)
    grader = FunctionGrader(
        right=partial(wrapper, variant),
        mistakes=tuple(
            Mistake(m.message, partial(wrapper, m.function), m.several) for m in mistakes
        ),
        **settings,
    )
    return _WrappedGrader(grader, wrapper, mistakes)


EXERCISES = (
    Exercise(
        "17-deterministic",
        _wrapped(
            _bits,
            _sum_variant,
            SUM_SLIPS,
            cases=_rois,
            describe=lambda grad, rows, columns: (
                f"{len(grad)} RoIs with {grad.shape[1]} x {grad.shape[1]} bins, map "
                f"{rows.shape[2]} x {columns.shape[2]} (the row below the map is 1 where another "
                "order of the RoIs gave other bits)"
            ),
            praise="{n} maps, each with seven orders of its RoIs: right, and the same bits.",
        ),
        (
            "Without a loop: rows.mT @ grad @ columns gives each RoI's share, [K, h, w].",
            "A sum depends on the order of its terms. Which order of K numbers does not depend on "
            "the order in which they were handed to you?",
            "Their own: from small to large. shares.sort(dim=0).values sorts the K shares of each "
            "element; then add.",
        ),
    ),
    Exercise(
        "17-no-waits",
        _wrapped(
            _waits,
            _wait_variant,
            WAIT_SLIPS,
            cases=_losses,
            describe=lambda loss, labels: (
                f"labels {labels.tolist()} (index 0 is your number, index 1 is 1 where it is NaN, "
                "index 2 is 1 where a number is read and 2 where a size depends on values)"
            ),
            praise="{n} batches agree, and on the GPU that is not there nothing waited.",
        ),
        (
            "positive = labels > 0 has the same size whatever is in it. Nothing has to be picked.",
            "torch.where(positive, loss, 0.0) puts 0 where a row does not count, even if NaN was "
            "there.",
            "positive.sum().clamp(min=1) is the count, as a tensor, and never 0.",
        ),
    ),
)
