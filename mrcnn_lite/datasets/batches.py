"""Batches for training: endless, and resumable from nothing but a seed and a step.

Which sample stands at which position of the order of training, and which random changes it gets,
is computed from the seed and the position. So a run that was cut off goes on with exactly the
samples that it would have seen, and several processes share a data set without talking to each
other. Samples are made in the training process itself: a drawn shape costs about 1 ms and a crop
of a photograph 2 ms, less than it costs to hand them over from a worker process.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Generator, Tensor

from .transforms import Sample, Transform

LONG = 1_000_000  # a longer set is read from front to back: it is never read twice
_MIX = 0x9E3779B97F4A7C15  # odd constant that spreads neighbouring seeds over 64 bits


def loader(
    dataset: Sequence,
    batch_size: int,
    seed: int = 0,
    transform: Transform | None = None,
    rank: int = 0,
    world_size: int = 1,
    start: int = 0,
) -> Iterator[tuple[list[Tensor], list[dict]]]:
    """Give batches without end.

    Every pass over a short data set has an order of its own. Crowd regions are left out, as
    training must.

    Args:
        dataset: Sequence of (image, target).
        batch_size: Images per batch and process.
        seed: Fixes the order and the random changes.
        transform: Called with image, target and a generator of its own for every sample.
        rank: This process, 0 to world_size - 1; processes get different samples.
        world_size: Number of processes.
        start: First step, for resuming: the batches of steps before it are skipped at no cost.

    Yields:
        The images and targets of steps start, start + 1, …

    Raises:
        ValueError: When the data set is empty or a number is out of range.
    """
    if len(dataset) == 0:
        raise ValueError("dataset has no sample; a loader needs at least one")
    if batch_size < 1 or start < 0 or not 0 <= rank < world_size:
        raise ValueError(
            "batch_size must be positive, start at least 0 and rank below world_size, got "
            f"batch_size={batch_size}, start={start}, rank={rank}, world_size={world_size}"
        )
    for step in itertools.count(start):
        first, samples = (step * world_size + rank) * batch_size, []
        for position in range(first, first + batch_size):
            epoch, index = divmod(position, len(dataset))
            if len(dataset) <= LONG:
                index = _order(epoch, len(dataset), seed)[index]
            samples.append(dataset[index])
        samples = [without_crowds(image, target) for image, target in samples]
        if transform is not None:
            for row, (image, target) in enumerate(samples):
                generator = sample_generator(seed, first + row)
                samples[row] = transform(image, target, generator)
        yield collate(samples)


def collate(samples: Sequence[Sample]) -> tuple[list[Tensor], list[dict]]:
    """Turn (image, target) pairs of any sizes into the two lists that the model takes."""
    images, targets = zip(*samples, strict=True) if samples else ((), ())
    return list(images), list(targets)


def without_crowds(image: Tensor, target: dict) -> Sample:
    """Leave out the crowd regions, which have no single box or mask to learn."""
    single = target["iscrowd"] == 0
    if single.all():  # the usual case; whole masks are large
        return image, target
    fields = {"boxes", "labels", "masks", "iscrowd", "area", "keypoints"} & {*target}
    return image, {**target, **{field: target[field][single] for field in fields}}


def sample_generator(seed: int, position: int) -> Generator:
    """The generator, on the CPU, of the random changes of the sample at a position of a run."""
    return torch.Generator().manual_seed((seed * _MIX + position) % 2**63)


@lru_cache(maxsize=4)
def _order(epoch: int, count: int, seed: int) -> list[int]:
    """The order of one pass over a data set."""
    return torch.randperm(count, generator=sample_generator(seed + 1, epoch)).tolist()
