"""Drawn objects: what is drawn, where, and in words."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from mrcnn_lite.datasets.shapes import Shapes
from mrcnn_lite.draw import describe_instances, paint_instances
from mrcnn_lite.lessons.kit.detections import draw_instances
from mrcnn_lite.lessons.kit.style import CYCLE

NAMES = ["background", "cat", "dog"]


@pytest.fixture
def scene():
    """A grey image of 40 x 60 pixels with a square and a bar."""
    masks = torch.zeros(2, 40, 60)
    masks[0, 10:30, 10:30] = 0.9
    masks[1, 5:15, 40:58] = 0.7
    return torch.full((3, 40, 60), 0.5), {
        "boxes": torch.tensor([[10.0, 10, 30, 30], [40, 5, 58, 15]]),
        "labels": torch.tensor([1, 2]),
        "scores": torch.tensor([0.9, 0.4]),
        "masks": masks[:, None],
    }


def rgb(name):
    return np.array(list(bytes.fromhex(name[1:])))


def test_a_mask_is_tinted_in_its_place(scene):
    image, detection = scene
    painted = paint_instances(image, detection, NAMES, show_boxes=False, show_labels=False)
    factor = painted.shape[0] // 40
    assert painted.shape == (40 * factor, 60 * factor, 3)
    assert painted.shape[1] >= 480
    assert painted.dtype == np.uint8
    inside, outside = painted[20 * factor, 20 * factor], painted[35 * factor, 50 * factor]
    np.testing.assert_allclose(inside, 0.62 * 128 + 0.38 * rgb(CYCLE[0]), atol=2)
    np.testing.assert_allclose(outside, 128, atol=1)
    edge = painted[20 * factor, 10 * factor]
    np.testing.assert_allclose(edge, rgb(CYCLE[0]), atol=2)  # the edge is opaque
    changed = np.abs(painted.astype(int) - 128).max(2) > 3
    assert not changed[:, 35 * factor :].any(), "the second object is below the threshold"


def test_threshold_and_labels(scene):
    image, detection = scene
    one = paint_instances(image, detection, NAMES)
    both = paint_instances(image, detection, NAMES, score_threshold=0.3)
    bare = paint_instances(image, detection, NAMES, show_labels=False)
    assert (one != both).any()
    assert (one != bare).any()
    none = paint_instances(image, detection, NAMES, score_threshold=0.95)
    assert (np.abs(none.astype(int) - 128) <= 1).all()


def test_line_styles_tell_classes_apart(scene):
    image, detection = scene
    styles = []
    for label in (1, 2):
        detection["labels"][:] = label
        styles.append(paint_instances(image, detection, NAMES, show_labels=False))
    assert (styles[0] != styles[1]).any()


def test_words(scene):
    _, detection = scene
    assert describe_instances(detection, NAMES) == "cat 0.90 box (10, 10, 30, 30) 400 pixels"
    assert len(describe_instances(detection, NAMES, 0.1).splitlines()) == 2
    assert describe_instances(detection, NAMES, 0.99) == "no objects"


def test_targets_crowds_and_empty_images():
    dataset = Shapes(60, seed=2)
    image, target = dataset[0]
    before = image.clone()
    target["iscrowd"][0] = 1
    painted = paint_instances(image, target, dataset.class_names)
    assert torch.equal(image, before)
    assert painted.shape == (512, 512, 3)
    assert "(crowd)" in describe_instances(target, dataset.class_names).splitlines()[0]
    empty = next(s for s in map(dataset.__getitem__, range(60)) if not len(s[1]["labels"]))
    assert paint_instances(*empty, dataset.class_names).shape == (512, 512, 3)


def test_objects_at_the_border_and_without_pixels(scene):
    image, detection = scene
    detection["boxes"] = torch.tensor([[-5.0, -5, 70, 45], [59, 39, 60, 40]])
    detection["masks"][0] = 1
    detection["masks"][1] = 0
    painted = paint_instances(image, detection, NAMES, score_threshold=0)
    assert painted.shape[2] == 3


def test_large_images_keep_their_size():
    dataset = Shapes(1, seed=2)
    _, target = dataset[0]
    masks = target["masks"].repeat_interleave(5, 1).repeat_interleave(5, 2)
    large = {**target, "boxes": target["boxes"] * 5, "masks": masks}
    assert paint_instances(torch.rand(3, 640, 640), large, dataset.class_names).shape[0] == 640


def test_a_figure(scene):
    fig = draw_instances(*scene, NAMES, title="found")
    assert isinstance(fig, Figure)
    assert fig.axes[0].get_title(loc="left") == "found"
