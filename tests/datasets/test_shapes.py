"""The drawn images: always the same, fairly labelled, varied, fast."""

import time

import numpy as np
import pytest
import torch

from mrcnn_lite.datasets.drawing import DISTANCES, MIN_PIXELS, draw_shape, shape_of
from mrcnn_lite.datasets.masks import mask_boxes
from mrcnn_lite.datasets.shapes import CLASS_NAMES, ENDLESS, Shapes


@pytest.fixture(scope="module")
def samples():
    dataset = Shapes(300, seed=7)
    return [dataset[index] for index in range(300)]


def same(a, b):
    (image_a, target_a), (image_b, target_b) = a, b
    assert torch.equal(image_a, image_b)
    assert target_a.keys() == target_b.keys()
    for key, value in target_a.items():
        equal = torch.equal(value, target_b[key]) if torch.is_tensor(value) else None
        assert equal if equal is not None else value == target_b[key], key


def test_a_sample_depends_on_seed_and_index_only():
    one, other = Shapes(10, seed=3), Shapes(None, seed=3)
    other[5]  # an access leaves no trace
    same(one[2], other[2])
    same(one[-1], other[9])
    assert not torch.equal(one[2][0], one[3][0])
    assert not torch.equal(one[2][0], Shapes(10, seed=4)[2][0])


def test_form_of_a_sample(samples):
    for index, (image, target) in enumerate(samples):
        count = len(target["labels"])
        assert image.shape == (3, 128, 128)
        assert image.dtype == torch.float32
        assert 0 <= image.min() <= image.max() <= 1
        assert target["image_id"] == index
        assert target["boxes"].shape == (count, 4)
        assert target["boxes"].dtype == torch.float32
        assert target["masks"].shape == (count, 128, 128)
        assert target["masks"].dtype == torch.uint8
        assert target["labels"].dtype == torch.int64
        assert target["iscrowd"].tolist() == [0] * count
        assert target["area"].tolist() == target["masks"].sum((1, 2)).tolist()
        assert (target["masks"].sum(0) <= 1).all(), "a pixel belongs to one object only"
        assert torch.equal(target["boxes"], torch.from_numpy(mask_boxes(target["masks"].numpy())))


def test_variety(samples):
    counts = np.bincount([len(target["labels"]) for _, target in samples], minlength=6)
    assert 2 <= counts[0] <= 30  # about 4 % have no object
    assert counts[1] <= 3
    assert (counts[2:6] > 30).all()
    labels = torch.cat([target["labels"] for _, target in samples])
    assert (torch.bincount(labels)[1:] > 120).all()
    areas = torch.cat([target["area"] for _, target in samples])
    assert areas.min() >= MIN_PIXELS
    boxes = torch.cat([target["boxes"] for _, target in samples])
    sides = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    assert sides.min() < 22
    assert sides.max() > 55
    aspect = sides / (boxes[:, 2:] - boxes[:, :2]).amin(1)
    assert aspect.max() > 2.4


def test_objects_overlap(samples):
    crossing = []
    for _, target in samples:
        boxes = target["boxes"]
        low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        meets = (high > low).all(2).sum(1) > 1
        crossing += meets.tolist()
    assert np.mean(crossing) > 0.5


def test_colour_says_nothing_about_the_class(samples):
    colours = [[] for _ in CLASS_NAMES]
    for image, target in samples:
        for label, mask in zip(target["labels"], target["masks"], strict=True):
            colours[label].append(image[:, mask.bool()].mean(1).tolist())
    means = np.array([np.mean(rows, axis=0) for rows in colours[1:]])
    assert np.ptp(means, axis=0).max() < 0.12  # 200 objects each; one object varies by 0.25


def test_objects_stand_out_but_not_flatly(samples):
    inner = torch.cat(
        [
            image[:, mask.bool()].std(1)
            for image, target in samples[:100]
            for mask in target["masks"]
        ]
    )
    assert inner.min() > 0.02  # noise and shading everywhere


@pytest.mark.parametrize("name", DISTANCES)
def test_shapes_are_distances(name):
    # Along the edge the slope of a signed distance is 1 per pixel.
    random = np.random.default_rng(5)
    for _ in range(20):
        _, _, distance = draw_shape(random, name, 128)
        slope = np.hypot(*np.gradient(distance))
        near = np.abs(distance) < 0.5
        assert near.sum() > 15
        assert 0.9 < np.median(slope[near]) < 1.1
        assert (distance < 0).sum() > 20
        assert (distance[[0, -1]] > 0).all()
        assert (distance[:, [0, -1]] > 0).all()


def test_a_shape_of_known_size_and_direction():
    """The long side's own axis points to -u: a triangle at 90 degrees has its tip above."""
    random = np.random.default_rng(5)
    for angle, (height, width) in {0.0: (20, 40), np.pi / 2: (40, 20)}.items():
        for name in ("ellipse", "rectangle"):
            inside = shape_of(random, name, 40, 20, angle)[2] < 0
            assert abs(inside.any(1).sum() - height) <= 1 and abs(inside.any(0).sum() - width) <= 1
    widths = (shape_of(random, "triangle", 40, 40, np.pi / 2)[2] < 0).sum(1)
    widths = widths[widths > 0]
    assert widths[0] <= 2 and widths[-1] > 30 and (np.diff(widths) >= -1).all()


def test_other_sizes_and_bounds():
    image, target = Shapes(4, seed=1, size=64)[3]
    assert image.shape == (3, 64, 64)
    assert target["masks"].shape[1:] == (64, 64)
    assert len(Shapes(None, 0)) == ENDLESS
    Shapes(None, 0)[10**12]
    with pytest.raises(IndexError):
        Shapes(4, 1)[4]
    for wrong in ({"length": -1}, {"seed": -1}, {"size": 8}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Shapes(**{"length": 1, "seed": 0, **wrong})


def test_drawing_is_fast():
    dataset = Shapes(None, seed=11)
    dataset[0]
    best = float("inf")
    for start in range(0, 100, 20):
        begin = time.process_time()
        for index in range(start, start + 20):
            dataset[index]
        best = min(best, (time.process_time() - begin) / 20)
    assert best < 5e-3, f"{best * 1e3:.1f} ms per image"  # 1.3 ms on a quiet core
