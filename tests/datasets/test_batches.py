"""Batches: the same again from a seed and a step, different between processes, complete."""

import math
import weakref
from itertools import islice

import pytest
import torch

from mrcnn_lite.datasets.batches import Batches, collate, sample_generator
from mrcnn_lite.datasets.shapes import Shapes
from mrcnn_lite.datasets.transforms import ColourJitter, Compose, RandomDihedral, RandomScaleCrop


class Numbers:
    """A data set that only says which sample was read."""

    class_names = ("background", "object")

    def __init__(self, count, crowd=()):
        self.count, self.crowd = count, crowd

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        iscrowd = torch.tensor([int(index in self.crowd)], dtype=torch.uint8)
        return torch.zeros(3, 2, 2), {
            "boxes": torch.tensor([[0.0, 0, 2, 2]]),
            "labels": torch.tensor([1]),
            "masks": torch.ones(1, 2, 2, dtype=torch.uint8),
            "image_id": index,
            "iscrowd": iscrowd,
            "area": torch.tensor([4.0]),
        }


def read(steps, *args, start=0, **options):
    """The image ids of some batches."""
    batches = islice(Batches(*args, **options).steps(start), steps)
    return [[target["image_id"] for target in targets] for _, targets in batches]


def test_every_pass_is_complete_and_has_its_own_order():
    ids = [number for batch in read(12, Numbers(10), 5, seed=1) for number in batch]
    passes = [ids[start : start + 10] for start in range(0, 60, 10)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert len({tuple(order) for order in passes}) == 6
    assert read(12, Numbers(10), 5, seed=1) != read(12, Numbers(10), 5, seed=2)


def test_resuming_continues_exactly():
    whole = read(30, Numbers(7), 3, seed=4)
    for start in (1, 2, 7, 29):
        assert read(30 - start, Numbers(7), 3, seed=4, start=start) == whole[start:]


def test_processes_share_the_data_set():
    alone = read(6, Numbers(50), 4, seed=3)
    first = read(3, Numbers(50), 4, seed=3, rank=0, world_size=2)
    second = read(3, Numbers(50), 4, seed=3, rank=1, world_size=2)
    assert [first[0], second[0], first[1], second[1], first[2], second[2]] == alone


@pytest.mark.parametrize(("count", "together"), [(30, 4), (31, 4), (9, 2), (7, 5), (3, 8), (2, 2)])
def test_batches_by_orientation(count, together):
    """Every pass is complete; at most one of its batches is of both kinds, unless a batch holds
    more than there are of one."""
    tall = [index % 3 == 1 for index in range(count)]
    passes = 6 * together // math.gcd(count, together)
    steps = passes * count // together
    batches = read(steps, Numbers(count), together, seed=3, tall=tall)
    ids = [number for batch in batches for number in batch]
    assert len(ids) == passes * count
    orders = [ids[start : start + count] for start in range(0, len(ids), count)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    mixed = sum(len({tall[index] for index in batch}) == 2 for batch in batches)
    assert mixed <= passes or sum(tall) < together
    for start in (1, steps // 2, steps - 1):
        again = read(steps - start, Numbers(count), together, seed=3, start=start, tall=tall)
        assert again == batches[start:]
    if together % 2 == 0:  # processes share the batches of one
        half = {"batch_size": together // 2, "seed": 3, "world_size": 2, "tall": tall}
        shares = [read(steps, Numbers(count), **half, rank=rank) for rank in (0, 1)]
        assert [a + b for a, b in zip(*shares, strict=True)] == batches
    if count > 20:
        assert len({tuple(order) for order in orders}) == passes
        kinds = [tall[batch[0]] for batch in batches[: count // together]]
        assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)


def test_endless_sets_are_read_from_front_to_back():
    assert read(2, Numbers(2**62), 3) == [[0, 1, 2], [3, 4, 5]]
    assert read(1, Numbers(2**62), 3, start=10**9) == [[3 * 10**9 + i for i in range(3)]]


def test_random_changes_belong_to_the_position():
    change = Compose([RandomDihedral(), ColourJitter()])
    dataset = Shapes(5, seed=0, size=32)
    whole = list(islice(Batches(dataset, 2, 9, change).steps(), 6))
    again = list(islice(Batches(dataset, 2, 9, change).steps(3), 3))
    for (images, targets), (other_images, other_targets) in zip(whole[3:], again, strict=True):
        for a, b in zip(images, other_images, strict=True):
            assert torch.equal(a, b)
        for a, b in zip(targets, other_targets, strict=True):
            assert torch.equal(a["boxes"], b["boxes"])
            assert torch.equal(a["masks"], b["masks"])
    once = Batches(Shapes(1, 0, 32), 2, 9, change)(0)[0]
    assert not torch.equal(once[0], once[1])  # one image, two positions, two changes


def test_generators_of_positions_differ():
    draws = {
        torch.rand(1, generator=sample_generator(s, p)).item() for s in range(9) for p in range(9)
    }
    assert len(draws) == 81


def test_crowds_are_not_trained_on():
    _, targets = Batches(Numbers(4, crowd={2}), 4)(0)
    counts = {target["image_id"]: len(target["labels"]) for target in targets}
    assert counts == {0: 1, 1: 1, 2: 0, 3: 1}


def test_one_photograph_at_a_time():
    """Eight whole ones of 24 megapixels would be gigabytes."""
    alive = weakref.WeakSet()

    class Photographs(Numbers):
        def __getitem__(self, index):
            image, target = super().__getitem__(index)
            alive.add(image)
            most.append(len(alive))
            return image, target

    most, crop = [], RandomScaleCrop(1, (1, 1), min_pixels=1)
    for step in range(2):
        Batches(Photographs(20), 8, transform=crop)(step)
    assert len(most) == 16 and max(most) <= 2  # one is read while the last is let go


def test_collate():
    images, targets = collate([Numbers(3)[0], Numbers(3)[2]])
    assert [image.shape for image in images] == [(3, 2, 2)] * 2
    assert [target["image_id"] for target in targets] == [0, 2]
    assert collate([]) == ([], [])


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"start": -1}, {"rank": 1}, {"rank": -1}, {"world_size": 0}]
)
def test_wrong_numbers(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        read(1, Numbers(3), **{"batch_size": 1, **wrong})


def test_an_empty_set():
    with pytest.raises(ValueError, match="no sample"):
        Batches(Numbers(0), 1)
