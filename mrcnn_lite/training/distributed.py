"""Several processes, one model: each has its own images, and all take the same step.

The result is that of one process with the whole batch, within rounding: losses divide by the whole
batch's counts (`models.losses.Normaliser`), images are padded to the whole batch's size, and random
numbers belong to an image's index in the batch, not to a process. torch's DistributedDataParallel
averages the gradients.

Most operations of a small network are too small to be split among threads, which then wait for one
another at every one of them. Processes meet once a step. On an idle machine two processes of one
thread are about as fast as one process of two; on a busy one they lose far less.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

# A process that does not answer for this long is taken for dead.
PATIENCE = timedelta(minutes=5)
# A prime far above any number of images in a batch: every (step, image, draw) gets its own seed.
STEP_SEEDS = 1_000_003


class DeadProcess(RuntimeError):
    """A process of the run ended or cannot be reached."""


def rank() -> int:
    """Return this process's number, 0 for the first or only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def free_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def default_workers() -> int:
    """Return how many processes pay: one per free core, at most 2; one where a GPU works."""
    if torch.cuda.is_available() or not hasattr(os, "sched_getaffinity"):
        return 1
    return min(2, free_cores())


def from_first(value: float) -> float:
    """Return the first process's value in all processes: clocks differ, decisions must not."""
    return gather(value)[0]


def gather(value: Any) -> list[Any]:
    """Return every process's value, in order of rank, in all processes."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def image_priorities(seed: int, step: int, first: int) -> Callable[..., Tensor]:
    """Sampling priorities (see `models.matching`) that belong to an image's index in the batch, of
    which `first` is this call's first.

    They depend neither on the process that draws them nor on the padding of its images: an image
    has the same numbers among few candidates as at the head of many. The draws of one step are
    told apart by their order.
    """
    return _ImagePriorities((seed * STEP_SEEDS + step) * STEP_SEEDS + first)


class _ImagePriorities:
    """The numbers of the images from this one on; no closure, so that a model is saved whole."""

    def __init__(self, first: int) -> None:
        self.first, self.draws = first, 0

    def __call__(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        generator, rows = torch.Generator(device), []
        for mixed in range(self.first, self.first + shape[0]):
            generator.manual_seed((mixed * 7 + self.draws) % 2**63)  # fewer than 7 draws per step
            rows.append(torch.rand(shape[1:], generator=generator, device=device))
        self.draws += 1
        return torch.stack(rows)  # [B, N]


class LossesModule(nn.Module):
    """A network's losses of checked targets as a module, as DistributedDataParallel wants them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: list[Tensor], targets: list[dict[str, Any]]) -> dict[str, Tensor]:
        """See `MaskRCNN.losses`."""
        return self.model.losses(images, targets, check=False)


def launch(function: Callable[..., Any], workers: int, *arguments: Any) -> Any:
    """Call `function(*arguments)` in `workers` processes that can talk to each other; 0 takes as
    many as pay.

    Under torchrun the processes exist already and this call joins them.

    Returns:
        What the function returned, where this process called it.

    Raises:
        ValueError: `workers` is no number of processes.
        DeadProcess: a process was killed.
        ProcessRaisedException: a process failed; its traceback is in the message.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        with _group("env://", int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])):
            return function(*arguments)
    if not isinstance(workers, int) or workers < 0:
        raise ValueError(f"workers is {workers!r}; give a number of processes, or 0 to choose one")
    workers = workers or default_workers()
    if workers == 1:
        return function(*arguments)
    # Whatever ends one process is told once, by its error; the others end with it without a word.
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        try:
            torch.multiprocessing.spawn(
                _worker, (workers, meeting, function, arguments), nprocs=workers
            )
        except torch.multiprocessing.ProcessExitedException as error:
            raise DeadProcess(f"{error}; go on with --resume") from error


def _worker(
    number: int, workers: int, meeting: str, function: Callable[..., None], arguments: tuple
) -> None:
    torch.set_num_threads(max(1, free_cores() // workers))
    with _group(meeting, number, workers):
        function(*arguments)
    leave(0)


def leave(status: int) -> None:
    """End a process that shared the work, without tidying up: gloo's threads may outlive it and
    abort the process after its work is done (pytorch/pytorch #190489)."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def _group(meeting: str, number: int, workers: int) -> Iterator[None]:
    """Join the processes: NCCL where each has a GPU of its own, gloo elsewhere.

    Raises:
        DeadProcess: the connection is closed, or nobody answered in time.
    """
    gpu = torch.cuda.is_available() and torch.cuda.device_count() >= workers
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", number)))
    dist.init_process_group(
        "nccl" if gpu else "gloo",
        init_method=meeting,
        rank=number,
        world_size=workers,
        timeout=PATIENCE,
    )
    try:
        # Begin and leave together: a process that goes while another still connects or writes takes
        # its connections.
        gather(None)
        yield
        gather(None)
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise DeadProcess(
            f"process {number} of {workers}: another process of the run ended or does not "
            "answer; go on with --resume"
        ) from error
    finally:
        dist.destroy_process_group()
