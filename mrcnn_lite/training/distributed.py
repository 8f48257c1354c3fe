"""Several processes, one model: each has its own images, and all take the same step.

Most operations of a small network are too small to be split among threads, which then wait for one
another at every one of them. Processes meet once a step. On an idle machine two processes of one
thread are about as fast as one process of two; on a busy one they lose far less.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def rank() -> int:
    """Return this process's number, 0 for the first or only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def default_workers() -> int:
    """Return how many processes pay: one per free core, at most 2; one where a GPU works."""
    if torch.cuda.is_available() or not hasattr(os, "sched_getaffinity"):
        return 1
    return min(2, len(os.sched_getaffinity(0)))


def average_gradients(model: nn.Module) -> None:
    """Replace every gradient by its mean over all processes, in one message."""
    if world_size() == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def from_first(value: float) -> float:
    """Return the first process's value in all processes: clocks differ, decisions must not."""
    if world_size() == 1:
        return value
    message = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(message, src=0)
    return float(message)


def mean_over_processes(values: Tensor) -> Tensor:
    """Return the mean of a small tensor over all processes."""
    if world_size() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / world_size()


def launch(function: Callable[..., None], workers: int, *arguments: Any) -> None:
    """Call `function(*arguments)` in `workers` processes that can talk to each other.

    Under torchrun the processes exist already and this call joins them.

    Raises:
        torch.multiprocessing.ProcessRaisedException: a process failed; its traceback is in the
        message.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        with _group("env://", int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])):
            function(*arguments)
    elif workers == 1:
        function(*arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            meeting = (Path(folder) / "meeting").as_uri()
            torch.multiprocessing.spawn(
                _worker, (workers, meeting, function, arguments), nprocs=workers
            )


def _worker(
    number: int, workers: int, meeting: str, function: Callable[..., None], arguments: tuple
) -> None:
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // workers))
    with _group(meeting, number, workers):
        function(*arguments)


@contextmanager
def _group(meeting: str, number: int, workers: int) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=meeting, rank=number, world_size=workers)
    try:
        yield
    finally:
        dist.destroy_process_group()
