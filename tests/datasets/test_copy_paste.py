"""Objects of another image in front of an image's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_transforms import QUICK, assert_consistent, assert_same, generator, random_sample

from mrcnn_lite.datasets.copy_paste import CopyPaste
from mrcnn_lite.datasets.transforms import Compose, rows_of

SAME = Compose([])  # the other image as it is


def row_of_pixels(*masks, brightness):
    """An image of one row, 8 pixels wide, with masks written as "..##....", all of one label."""
    rows = [[int(pixel == "#") for pixel in mask] for mask in masks]
    masks = torch.tensor(rows, dtype=torch.uint8).reshape(-1, 1, 8)
    columns = [mask[0].nonzero()[:, 0] for mask in masks]
    boxes = [[float(c.min()), 0.0, float(c.max()) + 1, 1.0] for c in columns]
    target = {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": torch.full((len(masks),), round(10 * brightness)),
        "masks": masks,
        "iscrowd": torch.zeros(len(masks), dtype=torch.uint8),
        "area": masks.sum((1, 2)).float(),
        "image_id": round(10 * brightness),
    }
    return torch.full((3, 1, 8), brightness), target


def paste(own, other, min_pixels=1, min_share=0.5):
    change = CopyPaste([other], SAME, 1.0, min_pixels, min_share)
    return change.paste(*own, *other)


def test_the_pasted_object_hides_what_is_behind_it():
    own = row_of_pixels("####....", "......##", brightness=0.1)
    other = row_of_pixels("..###...", brightness=0.9)
    image, target = paste(own, other)
    torch.testing.assert_close(image[0, 0], torch.tensor([0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1]))
    rows = ["".join(".#"[value] for value in mask[0].tolist()) for mask in target["masks"]]
    assert rows == ["##......", "......##", "..###..."]
    assert target["boxes"].tolist() == [[0, 0, 2, 1], [6, 0, 8, 1], [2, 0, 5, 1]]
    assert target["labels"].tolist() == [1, 1, 9]
    assert target["area"].tolist() == [2, 2, 3]
    assert target["image_id"] == 1


@pytest.mark.parametrize(("limits", "left"), [((3, 0.0), 1), ((1, 0.6), 1), ((2, 0.5), 2)])
def test_an_object_of_which_too_little_is_left_is_dropped(limits, left):
    own = row_of_pixels("####....", brightness=0.1)
    assert len(paste(own, row_of_pixels("..###...", brightness=0.9), *limits)[1]["labels"]) == left


def test_nothing_to_paste_and_nothing_to_paste_onto():
    none = row_of_pixels(brightness=0.1)
    some = row_of_pixels("..###...", brightness=0.9)
    assert_same(paste(some, none), some)
    image, target = paste(none, some)
    assert target["masks"].equal(some[1]["masks"])
    assert image[0, 0].eq(0.9).tolist() == [False, False, True, True, True, False, False, False]


def test_points_come_along():
    own = row_of_pixels("####....", "......##", brightness=0.1)
    other = row_of_pixels("########", brightness=0.9)
    own[1]["keypoints"] = torch.ones(2, 5, 3)
    other[1]["keypoints"] = torch.zeros(1, 5, 3)
    assert paste(own, other)[1]["keypoints"].equal(torch.zeros(1, 5, 3))


@QUICK
@given(seed=st.integers(0, 10**6))
def test_every_pixel_comes_from_one_of_the_two(seed):
    own = random_sample(seed)
    other = 1 - own[0]
    masks = (torch.rand(3, *own[0].shape[1:], generator=generator(seed)) < 0.3).byte()
    objects = rows_of(random_sample(seed)[1], torch.zeros(len(own[1]["labels"]), dtype=torch.bool))
    objects |= {"masks": masks, "boxes": torch.zeros(3, 4), "area": masks.sum((1, 2)).float()}
    objects |= {"labels": torch.arange(7, 10), "iscrowd": torch.zeros(3, dtype=torch.uint8)}
    image, target = CopyPaste([], SAME).paste(*own, other, objects)
    cover = masks.any(0).bool()
    assert image.equal(torch.where(cover, other, own[0]))
    first = len(target["labels"]) - 3
    assert not (target["masks"][:first].any(0).bool() & cover).any()
    assert_consistent(image, rows_of(target, torch.arange(len(target["labels"])) < first))
    assert_same(own, random_sample(seed))  # nothing was written into the input


def test_chance_objects_and_crowds():
    objects = ["#.......", "..#.....", "....#...", "......#."]
    other = row_of_pixels(*objects, brightness=0.9)
    other[1]["iscrowd"][3] = 1
    own = row_of_pixels(brightness=0.1)
    change = CopyPaste([other], SAME, chance=0.5)
    results = [change(*own, generator(seed)) for seed in range(400)]
    counts = torch.tensor([len(target["labels"]) for _, target in results])
    # Half of the images stay; each of three objects comes into half of the others.
    assert 0.75 * 0.5 * 3 < counts[counts > 0].sum() / 200 < 1.25 * 0.5 * 3
    assert counts.max() == 3
    assert (counts == 0).sum() / 400 == pytest.approx(0.5 + 0.5 / 8, abs=0.07)
    assert_same(change(*own, generator(3)), change(*own, generator(3)))
    never = CopyPaste([other], SAME, chance=0)
    assert all(never(*own, generator(seed))[1] is own[1] for seed in range(50))
