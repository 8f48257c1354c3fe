"""The exercises of notebook 17: a gradient that no order changes, and a loss that never waits."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from ..kit.exercise import Exercise, FunctionGrader, combine, switches

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


@switches(
    incoming=lambda grad: grad,
    matrix=lambda matrix: matrix,
    axes=lambda rows, columns: (rows, columns),
    product=lambda rows, grad, columns: rows.mT @ grad @ columns,
    order=lambda shares: shares.sort(0).values,
    total=lambda shares: shares.sum(0),
)
def _sum_variant(grad: Tensor, rows: Tensor, columns: Tensor, how: Any) -> Tensor:
    """The gradient [h, w], step by step."""
    rows, columns = how.axes(how.matrix(rows), how.matrix(columns))
    shares = how.product(rows, how.incoming(grad), columns)  # [K, h, w]
    return how.total(how.order(shares))


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


SUM_MISTAKES: dict[str, dict[str, Callable[..., Any]]] = {
    "the numbers are right, but the shares are added in the order in which the RoIs came: another "
    "order gives other last bits. Bring each element's shares into an order of their own first.": {
        "order": lambda shares: shares
    },
    "the incoming gradients are sorted before the products: each then meets the matrices of "
    "another RoI. Sort the shares, after the products.": {
        "incoming": lambda grad: grad.sort(0).values,
        "order": lambda shares: shares,
    },
    "sort() without a dimension sorts along the last one, the columns of the map; the RoIs are "
    "dimension 0.": {"order": lambda shares: shares.sort().values},
    "this is the mean over the RoIs; gradients add up.": {"total": lambda shares: shares.mean(0)},
    "only the last RoI is left: each one must be added to those before it.": {
        "total": lambda shares: shares[-1]
    },
    "rows and columns are swapped: the backward pass is rows transposed, times G, times columns.": {
        "axes": lambda rows, columns: (columns, rows)
    },
    "G is transposed; only the matrix of the rows is.": {
        "product": lambda rows, grad, columns: rows.mT @ grad.mT @ columns
    },
    "every touched element is paid in full; it gets the weight that the matrix says.": {
        "matrix": lambda matrix: (matrix > 0).float()
    },
}


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


@switches(
    positive=lambda labels: labels > 0,
    sum=lambda loss, positive: torch.where(positive, loss, 0.0).sum(),
    count=lambda count: count.clamp(min=1),
    mean=lambda total, count, labels: total / count,
    device=lambda mean: mean,
)
def _wait_variant(loss: Tensor, labels: Tensor, how: Any) -> Tensor:
    """The mean, step by step."""
    positive = how.positive(labels)
    count, total = how.count(positive.sum()), how.sum(loss, positive)
    return how.device(how.mean(total, count, labels))


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


WAIT_MISTAKES: dict[str, dict[str, Callable[..., Any]]] = {
    "a number is read: item(), int(), float(), max() or an if on a tensor makes the host wait. "
    "Keep the count a tensor.": {"count": lambda count: max(count.item(), 1)},
    "the size of something depends on values (nonzero, or an index made of True and False), and "
    "the host has to wait for it. Keep all rows, and let the others count 0.": {
        "sum": lambda loss, positive: loss[positive].sum()
    },
    "the result is not on the GPU any more: whoever moves it to the host waits for it.": {
        "device": lambda mean: mean.cpu()
    },
    "NaN times 0 is NaN: a padded row may hold anything. torch.where chooses, and does not "
    "multiply.": {"sum": lambda loss, positive: (loss * positive).sum()},
    "without a positive this divides 0 by 0: clamp the count to at least 1.": {
        "count": lambda count: count
    },
    "this divides by all rows; the mean is over the positives.": {
        "mean": lambda total, count, labels: total / labels.numel()
    },
    "this is the sum; divide by how many positives there are.": {
        "mean": lambda total, count, labels: total / 1
    },
    "label 0 is the background, not a positive.": {"positive": lambda labels: labels >= 0},
}


EXERCISES = (
    Exercise(
        "17-deterministic",
        FunctionGrader(
            right=_sum_variant,
            cases=_rois,
            mistakes=combine(_sum_variant, SUM_MISTAKES.items(), most=2),
            praise="{n} maps, each with seven orders of its RoIs: right, and the same bits.",
            observe=_bits,
            note="the row below the map is 1 where another order of the RoIs gave other bits",
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
        FunctionGrader(
            right=_wait_variant,
            cases=_losses,
            mistakes=combine(_wait_variant, WAIT_MISTAKES.items(), most=2),
            praise="{n} batches agree, and on the GPU that is not there nothing waited.",
            observe=_waits,
            note="index 0 is your number, index 1 is 1 where it is NaN, index 2 is 1 where a "
            "number is read and 2 where a size depends on values",
        ),
        (
            "positive = labels > 0 has the same size whatever is in it. Nothing has to be picked.",
            "torch.where(positive, loss, 0.0) puts 0 where a row does not count, even if NaN was "
            "there.",
            "positive.sum().clamp(min=1) is the count, as a tensor, and never 0.",
        ),
    ),
)
