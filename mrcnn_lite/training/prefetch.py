"""The next batches are made in a thread of their own while the network learns from the last one.

The thread reads and varies images and, where there is a GPU, sends them there on a stream of its
own from pinned memory, so that neither host nor GPU waits for a copy. Order and numbers are those
of the loader it runs: each sample draws from a generator of its own.

The part for a GPU (streams, pinned memory) has never run on one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import torch
from torch import Generator, Tensor

from ..datasets.transforms import Sample
from .run import Batch, to_device

AHEAD = 2  # batches that lie ready
PATIENCE = 0.1  # seconds until the thread asks again whether it is still needed

_END = object()


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
    batches: Iterator[Batch], device: torch.device | None = None, ahead: int = AHEAD
) -> Iterator[Batch]:
    """Give the batches of an iterator, made ahead of time by a thread.

    The thread ends with the iterator, with its first error, or when this generator is closed.

    Args:
        batches: is used by the thread alone from now on.
        device: a GPU to which the thread's work belongs, or None.
        ahead: how many batches may lie ready.

    Yields:
        The same batches in the same order; what the iterator raised, in its turn.
    """
    gpu = device is not None and device.type == "cuda"
    stream = torch.cuda.Stream(device) if gpu else None
    ready: queue.Queue = queue.Queue(maxsize=ahead)
    stop = threading.Event()
    worker = threading.Thread(
        target=_fill, args=(batches, stream, ready, stop), name="prefetch", daemon=True
    )
    worker.start()
    try:
        while True:
            batch, error, arrived = ready.get()
            if error is not None:
                raise error
            if batch is _END:
                return
            if arrived is not None:
                _hand_over(batch, arrived)
            yield batch
    finally:
        stop.set()
        worker.join()


def _fill(
    batches: Iterator[Batch],
    stream: torch.cuda.Stream | None,
    ready: queue.Queue,
    stop: threading.Event,
) -> None:
    """The thread: put (batch, error, event) into the queue until there is no need for more."""
    batch: Any = None
    while not stop.is_set() and batch is not _END:
        error = arrived = None
        try:
            with nullcontext() if stream is None else torch.cuda.stream(stream):
                batch = next(batches, _END)
                arrived = None if stream is None else stream.record_event()
        except BaseException as raised:  # whatever it is, the caller must hear of it
            batch, error = _END, raised
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put((batch, error, arrived), timeout=PATIENCE)
                break


def _hand_over(batch: Batch, arrived: torch.cuda.Event) -> None:
    """Let the current stream wait (not the host), and keep the memory until it is done."""
    current = torch.cuda.current_stream()
    current.wait_event(arrived)
    images, targets = batch
    for value in [*images, *(v for target in targets for v in target.values())]:
        if isinstance(value, Tensor) and value.is_cuda:
            value.record_stream(current)
