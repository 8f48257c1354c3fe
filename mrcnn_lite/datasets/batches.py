"""Batches for training: endless, and resumable from nothing but a seed and a step.

Which sample stands at which position of the order of training, and which random changes it gets,
is computed from the seed and the position. So a run that was cut off goes on with exactly the
samples that it would have seen, and several processes share a data set without talking to each
other; threads make the batches of several steps at once (`training.prefetch`), the same ones.
Samples are made in the training process itself: a drawn shape costs about 1 ms and a crop of a
photograph 2 ms, less than it costs to hand them over from a worker process.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Generator, Tensor

from .transforms import Sample, Transform, rows_of

LONG = 1_000_000  # a longer set is read from front to back: it is never read twice
_MIX = 0x9E3779B97F4A7C15  # odd constant that spreads neighbouring seeds over 64 bits


class Batches:
    """The batch of any step, whoever asks for it and in whatever order.

    Every pass over a short data set has an order of its own. Crowd regions are left out, as
    training must.

    Args:
        dataset: Sequence of (image, target); several threads may read it.
        batch_size: Images per batch and process.
        seed: Fixes the order and the random changes.
        transform: Called with image, target and a generator of its own for every sample.
        rank: This process, 0 to world_size - 1; processes get different samples.
        world_size: Number of processes.
        tall: One for each sample of a short data set: batches are of one kind, so that images are
            padded less; see `by_orientation`. None: batches of any.

    Raises:
        ValueError: When the data set is empty or a number is out of range.
    """

    def __init__(
        self,
        dataset: Sequence,
        batch_size: int,
        seed: int = 0,
        transform: Transform | None = None,
        rank: int = 0,
        world_size: int = 1,
        tall: Sequence[bool] | None = None,
    ) -> None:
        if len(dataset) == 0:
            raise ValueError("dataset has no sample; batches need at least one")
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ValueError(
                "batch_size must be positive and rank at least 0 and below world_size, got "
                f"batch_size={batch_size}, rank={rank}, world_size={world_size}"
            )
        self.dataset, self.transform, self.tall = dataset, transform, tall
        self.batch_size, self.seed = batch_size, seed
        self.rank, self.world_size = rank, world_size
        self._order_of = lru_cache(maxsize=4)(self._order)

    def __call__(self, step: int) -> tuple[list[Tensor], list[dict]]:
        """Return the images and targets of a step, counted from 0."""
        first = (step * self.world_size + self.rank) * self.batch_size
        return collate([self._sample(first + row) for row in range(self.batch_size)])

    def _sample(self, position: int) -> Sample:
        """The changed sample at a position; a whole photograph is forgotten before the next."""
        image, target = self.dataset[self._index(position)]
        if target["iscrowd"].any():
            image, target = without_crowds(image, target)
        if self.transform is None:
            return image, target
        return self.transform(image, target, sample_generator(self.seed, position))

    def steps(self, start: int = 0) -> Iterator[tuple[list[Tensor], list[dict]]]:
        """Return the batches of steps start, start + 1, … without end; those before cost nothing.

        Raises:
            ValueError: When start is negative.
        """
        if start < 0:
            raise ValueError(f"start must be at least 0, got {start}")
        return map(self, itertools.count(start))

    def _index(self, position: int) -> int:
        """Which sample stands at a position of the order of training."""
        epoch, index = divmod(position, len(self.dataset))
        return self._order_of(epoch)[index] if len(self.dataset) <= LONG else index

    def _order(self, epoch: int) -> list[int]:
        """The order of one pass."""
        count, seed = len(self.dataset), self.seed
        order = torch.randperm(count, generator=sample_generator(seed + 1, epoch)).tolist()
        if self.tall is None:
            return order
        together = self.batch_size * self.world_size  # padded to one size
        return by_orientation(order, self.tall, epoch, together, sample_generator(seed + 2, epoch))


def collate(samples: Sequence[Sample]) -> tuple[list[Tensor], list[dict]]:
    """Turn (image, target) pairs of any sizes into the two lists that the model takes."""
    images, targets = zip(*samples, strict=True) if samples else ((), ())
    return list(images), list(targets)


def without_crowds(image: Tensor, target: dict) -> Sample:
    """Leave out the crowd regions, which have no single box or mask to learn."""
    return image, rows_of(target, target["iscrowd"] == 0)


def sample_generator(seed: int, position: int) -> Generator:
    """The generator, on the CPU, of the random changes of the sample at a position of a run."""
    return torch.Generator().manual_seed((seed * _MIX + position) % 2**63)


def by_orientation(
    order: list[int], tall: Sequence[bool], epoch: int, together: int, generator: Generator
) -> list[int]:
    """Arrange the order of a pass so that all its batches but one are of wide or of tall images.

    Wide images come first in even passes and last in odd ones: so the batch that two passes share
    is of one kind, too. Then the batches, as they are, change places by chance.

    Args:
        order: Each sample once. tall: One for each sample. epoch: Which pass it is.
        together: Images of a batch over all processes; batches begin at multiples of it, counted
            from the first pass on.
        generator: Of the places of the batches.
    """
    order = sorted(order, key=lambda index: tall[index] == (epoch % 2 == 0))  # a stable sort
    head = min(-epoch * len(order) % together, len(order))  # the rest of the last pass's batch
    tail = len(order) - (len(order) - head) % together
    places = torch.randperm((tail - head) // together, generator=generator).tolist()
    batches = (order[at : at + together] for at in (head + together * p for p in places))
    return [*order[:head], *itertools.chain.from_iterable(batches), *order[tail:]]
