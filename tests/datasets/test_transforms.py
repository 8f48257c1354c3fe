"""Image, boxes and masks move together."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrcnn_lite.datasets.batches import without_crowds
from mrcnn_lite.datasets.masks import mask_boxes
from mrcnn_lite.datasets.shapes import Shapes
from mrcnn_lite.datasets.transforms import (
    ColourJitter,
    Compose,
    RandomDihedral,
    RandomScaleCrop,
    crop_and_resize,
    flip_x,
    flip_y,
    transpose,
)

QUICK = settings(derandomize=True, deadline=None, max_examples=60)
KEYS = ("boxes", "labels", "masks", "iscrowd", "area")


def random_sample(seed, most=40):
    """An image of any size with some masks of random pixels, and empty borders."""
    random = np.random.default_rng(seed)
    height, width = (int(side) for side in random.integers(1, most, 2))
    masks = (random.random((random.integers(0, 4), height, width)) < 0.3).astype(np.uint8)
    masks[:, height // 2, width // 2] = 1
    target = {
        "boxes": torch.from_numpy(mask_boxes(masks)),
        "labels": torch.arange(1, len(masks) + 1),
        "masks": torch.from_numpy(masks),
        "image_id": seed,
        "iscrowd": torch.zeros(len(masks), dtype=torch.uint8),
        "area": torch.from_numpy(masks.sum((1, 2), dtype=np.float32)),
    }
    return torch.rand(3, height, width, generator=generator(seed)), target


def generator(seed):
    return torch.Generator().manual_seed(seed)


def assert_same(a, b):
    assert torch.equal(a[0], b[0])
    for key in KEYS:
        assert torch.equal(a[1][key], b[1][key]), key


def assert_consistent(image, target):
    count = len(target["labels"])
    assert target["masks"].shape == (count, *image.shape[1:])
    assert target["masks"].dtype == torch.uint8
    assert torch.equal(target["boxes"], torch.from_numpy(mask_boxes(target["masks"].numpy())))
    assert target["area"].tolist() == target["masks"].sum((1, 2)).tolist()
    assert all(len(target[key]) == count for key in KEYS)
    assert image.min() >= 0
    assert image.max() <= 1


@QUICK
@given(st.integers(0, 10**6))
def test_flips_and_transpose_undo_themselves(seed):
    sample = random_sample(seed)
    for change in (flip_x, flip_y, transpose):
        once = change(*sample)
        assert_consistent(*once)
        assert_same(change(*once), sample)


@QUICK
@given(st.integers(0, 10**6))
def test_transposing_exchanges_the_flips(seed):
    sample = random_sample(seed)
    assert_same(flip_x(*transpose(*sample)), transpose(*flip_y(*sample)))


@QUICK
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_dihedral_is_one_of_eight(seed, choice):
    sample = random_sample(seed)
    changed = RandomDihedral()(*sample, generator(choice))
    assert_consistent(*changed)
    assert changed[1]["area"].tolist() == sample[1]["area"].tolist()
    assert sorted(changed[0].flatten().tolist()) == sorted(sample[0].flatten().tolist())
    same = RandomDihedral(False, False, False)(*sample, generator(choice))
    assert_same(same, sample)


def test_all_eight_occur():
    image = torch.arange(12.0).reshape(1, 3, 4).expand(3, 3, 4) / 12
    target = random_sample(3)[1] | {"masks": torch.zeros(0, 3, 4, dtype=torch.uint8)}
    target["boxes"] = target["boxes"][:0]
    source, change = generator(0), RandomDihedral()
    seen = {tuple(change(image, target, source)[0].flatten().tolist()) for _ in range(100)}
    assert len(seen) == 8


def test_flip_by_hand():
    image = torch.rand(3, 4, 10)
    masks = torch.zeros(1, 4, 10, dtype=torch.uint8)
    masks[0, 1:3, 2:5] = 1
    boxes = torch.tensor([[2.0, 1.0, 5.0, 3.0]])
    target = {"boxes": boxes, "masks": masks, "labels": torch.tensor([1])}
    assert flip_x(image, target)[1]["boxes"].tolist() == [[5, 1, 8, 3]]
    assert flip_y(image, target)[1]["boxes"].tolist() == [[2, 1, 5, 3]]
    assert transpose(image, target)[1]["boxes"].tolist() == [[1, 2, 3, 5]]


def resize(image, target, shorter, longest=None):
    """Scale the whole image."""
    height, width = image.shape[1:]
    scale = shorter / min(height, width)
    if longest is not None:
        scale = min(scale, longest / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return crop_and_resize(image, target, (0, 0, width, height), size, min_pixels=1, min_share=0.0)


@QUICK
@given(st.integers(0, 10**6), st.integers(1, 50))
def test_resize(seed, shorter):
    image, target = random_sample(seed)
    new_image, new_target = resize(image, target, shorter, longest=80)
    assert_consistent(new_image, new_target)
    assert min(new_image.shape[1:]) <= shorter
    assert max(new_image.shape[1:]) <= 80


def test_resize_by_whole_factors_is_exact():
    image, target = Shapes(1, seed=2)[0]
    large_image, large = resize(image, target, 256)
    assert large_image.shape == (3, 256, 256)
    assert torch.equal(
        large["masks"], target["masks"].repeat_interleave(2, 1).repeat_interleave(2, 2)
    )
    assert torch.equal(large["boxes"], target["boxes"] * 2)
    _, back = resize(large_image, large, 128)
    assert torch.equal(back["masks"], target["masks"])


def test_crop_by_hand():
    image = torch.arange(48.0).reshape(1, 6, 8).expand(3, 6, 8) / 48
    masks = torch.zeros(3, 6, 8, dtype=torch.uint8)
    masks[0, 1:3, 1:3] = 1  # 4 pixels, one of them inside
    masks[1, 2:5, 3:7] = 1  # 12 pixels, 9 inside
    masks[2, 0, 0] = 1  # outside
    target = random_sample(0)[1] | {
        "boxes": torch.from_numpy(mask_boxes(masks.numpy())),
        "labels": torch.tensor([1, 2, 3]),
        "masks": masks,
        "iscrowd": torch.zeros(3, dtype=torch.uint8),
        "area": torch.tensor([4.0, 12.0, 1.0]),
    }
    part, kept = crop_and_resize(image, target, (2, 2, 6, 6), (4, 4), min_pixels=1, min_share=0.0)
    assert torch.equal(part, image[:, 2:6, 2:6])
    assert kept["labels"].tolist() == [1, 2]
    assert kept["boxes"].tolist() == [[0, 0, 1, 1], [1, 0, 4, 3]]
    assert kept["area"].tolist() == [1, 9]
    assert_consistent(part, kept)
    _, kept = crop_and_resize(image, target, (2, 2, 6, 6), (4, 4), min_pixels=1, min_share=0.3)
    assert kept["labels"].tolist() == [2]  # a quarter of the first is less than 0.3
    _, kept = crop_and_resize(image, target, (2, 2, 6, 6), (8, 8), min_pixels=5, min_share=0.0)
    assert kept["area"].tolist() == [36]  # pixels are counted after scaling


@QUICK
@given(st.integers(0, 10**6))
def test_scale_crop(seed):
    image, target = Shapes(None, seed=1)[seed % 50]
    result = RandomScaleCrop(64, (64, 200))(image, target, generator(seed))
    assert result[0].shape == (3, 64, 64)
    assert_consistent(*result)
    assert set(result[1]["labels"].tolist()) <= set(target["labels"].tolist())
    assert (result[1]["area"] >= 24).all()


def test_masks_and_image_are_scaled_alike():
    # An image that shows its own mask: after scaling the two must still agree.
    _, target = Shapes(1, seed=2)[0]
    image = target["masks"].amax(0).float().expand(3, -1, -1)
    crop = RandomScaleCrop(96, (100, 180), min_pixels=1, min_share=0)
    for seed in range(10):
        part, kept = crop(image, target, generator(seed))
        mask = kept["masks"].amax(0) if len(kept["masks"]) else torch.zeros(96, 96)
        wrong = ((part[0] > 0.5) != mask.bool()).float().mean()
        assert wrong < 0.01


def test_crops_show_edges_half_as_often_as_the_middle():
    image = torch.arange(256.0).expand(3, 64, 256) / 256
    _, target = random_sample(0)
    empty = {**target, **{key: target[key][:0] for key in KEYS}, "masks": torch.zeros(0, 64, 256)}
    crop = RandomScaleCrop(64, (64, 64))
    seen = torch.zeros(256)
    for seed in range(2000):
        part, _ = crop(image, empty, generator(seed))
        columns = (256 * part[0, 0]).round().long()
        assert columns.equal(columns[0] + torch.arange(64))  # nothing beyond the image
        seen[columns] += 1
    share = seen / 2000
    assert share[96:160].mean() == pytest.approx(64 / 256, abs=0.03)
    for edge in (share[0], share[255]):
        assert edge == pytest.approx(32 / 256, abs=0.03)


def test_jitter():
    image, target = random_sample(1)
    before = image.clone()
    jitter = ColourJitter(brightness=0.2, contrast=0.3, saturation=0.3)
    changed, same = jitter(image, target, generator(0))
    assert torch.equal(image, before), "the input stays as it was"
    assert same is target
    assert 0 <= changed.min() <= changed.max() <= 1
    assert (changed - image).abs().max() > 0.01
    torch.testing.assert_close(ColourJitter(0, 0, 0)(image, target, generator(0))[0], image)


def test_compose_and_generator():
    sample = Shapes(1, seed=9)[0]
    change = Compose([RandomScaleCrop(64, (64, 150)), RandomDihedral(), ColourJitter()])
    assert_same(change(*sample, generator(5)), change(*sample, generator(5)))
    assert not torch.equal(change(*sample, generator(5))[0], change(*sample, generator(6))[0])
    assert_same(sample, Shapes(1, seed=9)[0])  # nothing was written into the input
    with pytest.raises(ValueError, match="shorter"):
        RandomScaleCrop(64, (50, 100))


def test_crowds_are_left_out():
    image, target = Shapes(1, seed=2)[0]
    target["iscrowd"][1] = 1
    _, kept = without_crowds(image, target)
    assert len(kept["labels"]) == len(target["labels"]) - 1
    assert_consistent(image, kept)


def test_a_crop_of_a_photograph_is_fast():
    masks = torch.zeros(10, 600, 800, dtype=torch.uint8)
    masks[:, 100:400, 100:500] = 1
    image = torch.rand(3, 600, 800)
    target = {
        "boxes": torch.from_numpy(mask_boxes(masks.numpy())),
        "labels": torch.ones(10, dtype=torch.int64),
        "masks": masks,
        "iscrowd": torch.zeros(10, dtype=torch.uint8),
        "area": masks.sum((1, 2)).float(),
    }
    change = Compose([RandomScaleCrop(128, (140, 240)), RandomDihedral(), ColourJitter()])
    times = []
    for seed in range(20):
        begin = time.process_time()
        change(image, target, generator(seed))
        times.append(time.process_time() - begin)
    assert min(times) < 12e-3, f"{min(times) * 1e3:.1f} ms"  # 2.3 ms on a quiet core
