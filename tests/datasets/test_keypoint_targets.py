"""Keypoints move with their image, and are read from COCO's files."""

import pytest
import torch
from test_coco import intact, write

from mrcnn_lite.datasets.batches import without_crowds
from mrcnn_lite.datasets.coco import CocoDataset
from mrcnn_lite.datasets.keypoint_shapes import KeypointShapes
from mrcnn_lite.datasets.transforms import (
    RandomDihedral,
    crop_and_resize,
    flip_x,
    flip_y,
    transpose,
)
from mrcnn_lite.datasets.verify import verify
from mrcnn_lite.models.transform import resize_keypoints

PAIRS = [(0, 1)]
FILE = {"keypoints": ["left ear", "tail", "right ear"]}


def sample():
    """An object of 2 x 3 pixels in an image 10 wide and 8 high: a pair, and a hidden point."""
    masks = torch.zeros(1, 8, 10, dtype=torch.uint8)
    masks[:, 2:5, 3:5] = 1
    return torch.rand(3, 8, 10), {
        "boxes": torch.tensor([[3.0, 2, 5, 5]]),
        "labels": torch.tensor([1]),
        "masks": masks,
        "iscrowd": torch.zeros(1, dtype=torch.uint8),
        "area": torch.tensor([6.0]),
        "keypoints": torch.tensor([[[3.5, 2.5, 2], [4.5, 2.5, 1], [4, 5, 2], [0, 0, 0]]]),
    }


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (flip_x, [[5.5, 2.5, 1], [6.5, 2.5, 2], [6, 5, 2], [0, 0, 0]]),
        (flip_y, [[4.5, 5.5, 1], [3.5, 5.5, 2], [4, 3, 2], [0, 0, 0]]),
        (transpose, [[2.5, 4.5, 1], [2.5, 3.5, 2], [5, 4, 2], [0, 0, 0]]),
    ],
)
def test_a_reflection_by_hand_exchanges_left_and_right(change, wanted):
    image, target = sample()
    before = target["keypoints"].clone()
    _, new = change(image, target, PAIRS)
    assert new["keypoints"].tolist() == [wanted]
    assert torch.equal(target["keypoints"], before)
    again = change(*change(image, target, PAIRS), PAIRS)[1]
    assert torch.equal(again["keypoints"], before)


def test_a_half_turn_exchanges_nothing_and_the_random_one_is_their_composition():
    image, target = sample()
    turned = flip_y(*flip_x(image, target, PAIRS), PAIRS)[1]["keypoints"]
    assert turned[0, :3].tolist() == [[6.5, 5.5, 2], [5.5, 5.5, 1], [6, 3, 2]]
    chance = RandomDihedral(transpose=False, pairs=PAIRS)
    found = [
        chance(image, target, torch.Generator().manual_seed(seed))[1]["keypoints"]
        for seed in range(12)
    ]
    assert any(torch.equal(points, turned) for points in found)
    assert any(torch.equal(points, target["keypoints"]) for points in found)


def test_points_outside_a_crop_are_not_labelled_any_more():
    """A window of 4 x 4 pixels, from x = 1 and y = 1 on, at twice the size; x = 5 is outside."""
    image, target = sample()
    target["keypoints"][0, 3] = torch.tensor([5.0, 3, 2])
    _, new = crop_and_resize(image, target, (1, 1, 5, 5), (8, 8), 1, 0.1)
    assert new["keypoints"].tolist() == [[[5, 3, 2], [7, 3, 1], [0, 0, 0], [0, 0, 0]]]
    _, none = crop_and_resize(image, target, (6, 6, 10, 8), (8, 8), 1, 0.1)
    assert none["keypoints"].shape == (0, 4, 3)


def test_crowds_take_their_points_with_them():
    image, target = sample()
    target["iscrowd"][0] = 1
    assert without_crowds(image, target)[1]["keypoints"].shape == (0, 4, 3)


def test_resizing_moves_points_and_keeps_the_third_number():
    points = torch.tensor([[[10.0, 20, 1], [0, 0, 0]]])
    assert resize_keypoints(points, (10, 10), (20, 5)).tolist() == [[[5, 40, 1], [0, 0, 0]]]


def test_drawn_points_lie_where_the_image_shows_them_after_a_flip():
    """The flipped image has the head's dot where the flipped points say: the head moves alike."""
    drawn = KeypointShapes(6, 1)
    image, target = drawn[0]
    new_image, new = flip_x(image, target, drawn.flip_pairs)
    old, points = target["keypoints"], new["keypoints"]
    assert torch.equal(points[:, 0, 0], torch.where(old[:, 0, 2] > 0, 128 - old[:, 0, 0], 0))
    assert torch.equal(points[..., 2], old[:, [0, 2, 1, 4, 3], 2])
    assert torch.equal(new_image.flip(2), image)


def keypoint_file(folder, points, **change):
    data = intact()
    data["categories"][0].update(FILE | change)
    data["annotations"][0].update(keypoints=points, num_keypoints=2)
    return write(folder, data)


def test_points_of_a_file_lie_in_the_middle_of_their_pixels(tmp_path):
    dataset = CocoDataset(keypoint_file(tmp_path, [3, 2, 2, 0, 0, 0, 4, 3, 1]))
    assert dataset.keypoint_names == ("left ear", "tail", "right ear")
    assert dataset.flip_pairs == [(0, 2)]
    points = dataset[0][1]["keypoints"]
    assert points[0].tolist() == [[3.5, 2.5, 2], [0, 0, 0], [4.5, 3.5, 1]]


def test_an_object_without_points_has_none_labelled(tmp_path):
    points = CocoDataset(keypoint_file(tmp_path, None))[0][1]["keypoints"]
    assert points.shape[1:] == (3, 3) and not points.any()


def test_a_file_without_names_has_no_points(tmp_path):
    dataset = CocoDataset(write(tmp_path, intact()))
    assert dataset.keypoint_names == () and "keypoints" not in dataset[0][1]


@pytest.mark.parametrize(
    "points",
    [[3, 2, 2], [3, 2, 2, 0, 0, 0, 4, 3, 7], "3 2 2", [3, 2, float("nan")] * 3, [[3, 2, 2]]],
)
def test_wrong_points_are_told_in_one_sentence(tmp_path, points):
    path = keypoint_file(tmp_path, points)
    with pytest.raises(ValueError, match="must be x, y and v for each of 3 points, v one of 0, 1"):
        CocoDataset(path)
    (fault,) = verify(path)
    assert fault.field == "keypoints" and fault.fix == "points left out"
    with pytest.warns(UserWarning, match="1 fault"):
        fixed = CocoDataset(path, repair=True)
    assert not fixed[0][1]["keypoints"].any()


def test_different_lists_of_points_are_refused(tmp_path):
    data = intact()
    data["categories"][0].update(FILE)
    data["categories"].append({"id": 99, "name": "other", "keypoints": ["head"]})
    with pytest.raises(
        ValueError, match=r"categories have different keypoints, .*'head'.*one list"
    ):
        CocoDataset(write(tmp_path, data))
