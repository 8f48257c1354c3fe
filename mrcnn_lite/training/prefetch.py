"""The next batches are made in threads of their own while the network learns from the last one.

A thread makes a whole batch. It reads and varies images and, where there is a GPU, sends them there
on a stream of its own from pinned memory, so that neither host nor GPU waits for a copy. Order and
numbers do not depend on the number of threads: each sample draws from a generator of its own.

The part for a GPU (streams, pinned memory) has never run on one.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import torch
from torch import Generator, Tensor

from ..datasets.transforms import Sample
from .distributed import free_cores
from .run import Batch, to_device

AHEAD = 2  # batches that lie ready
MOST = 8  # threads: in part of its work each holds Python's lock


class ToDevice:
    """A transform that sends a sample to a GPU, from where later transforms go on."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self, image: Tensor, target: dict, generator: Generator | None = None) -> Sample:
        """Apply it; see `datasets.transforms`. The generator is not used."""
        if self.device.type == "cpu":
            return image, target
        pinned = {k: v.pin_memory() if isinstance(v, Tensor) else v for k, v in target.items()}
        (image,), (target,) = to_device(([image.pin_memory()], [pinned]), self.device)
        return image, target


def prefetch(
    make: Callable[[int], Batch],
    start: int = 0,
    device: torch.device | None = None,
    workers: int | None = None,
    ahead: int = AHEAD,
) -> Iterator[Batch]:
    """Give the batches of the steps from `start` on, made ahead of time by threads.

    The threads end with an error, in its turn, and when this generator is closed: each with the
    batch that it has in hand.

    Args:
        make: from a step to its batch; called by several threads at once.
        start: first step.
        device: a GPU to which the threads' work belongs, or None.
        workers: how many threads; None: see `default_threads`.
        ahead: how many batches may lie ready.

    Yields:
        The batches, in order; what `make` raised, in its turn.
    """
    gpu = device is not None and device.type == "cuda"
    stream = torch.cuda.Stream(device) if gpu else None

    def made(step: int) -> tuple[Batch, torch.cuda.Event | None]:
        with nullcontext() if stream is None else torch.cuda.stream(stream):
            return make(step), None if stream is None else stream.record_event()

    workers, steps = workers or default_threads(), itertools.count(start)
    # Each thread would have torch's threads of its own, as many as there are cores.
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "prefetch", torch.set_num_threads, (1,))
    try:
        coming = deque(pool.submit(made, next(steps)) for _ in range(workers + ahead))
        while True:
            batch, arrived = coming.popleft().result()
            coming.append(pool.submit(made, next(steps)))
            if arrived is not None:
                _hand_over(batch, arrived)
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # of threads to come


def default_threads() -> int:
    """Return one for each core that this process may use, but for the one that the training needs;
    at least 1, at most `MOST`."""
    return min(max(free_cores() - 1, 1), MOST)


def _hand_over(batch: Batch, arrived: torch.cuda.Event) -> None:
    """Let the current stream wait (not the host), and keep the memory until it is done."""
    current = torch.cuda.current_stream()
    current.wait_event(arrived)
    images, targets = batch
    for value in [*images, *(v for target in targets for v in target.values())]:
        if isinstance(value, Tensor) and value.is_cuda:
            value.record_stream(current)
