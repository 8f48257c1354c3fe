"""Notebook 07b's explorer and pictures, without a browser."""

import itertools

import pytest
import torch
import torchvision
from explorer_tools import check_bundle

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.lessons.kit.detections import crowd
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.n07b_positives_and_losses import pictures as draw
from mrcnn_lite.lessons.n07b_positives_and_losses.explorer import (
    IMAGES,
    SEED,
    AnchorMatching,
    explore_matching,
    image_anchors,
)

PNG = b"\x89PNG\r\n\x1a\n"
IMAGE, TARGET = Shapes(None, SEED)[IMAGES[0]]


@pytest.mark.parametrize("low_quality", [False, True])
@pytest.mark.parametrize("rule", [(0.7, 0.3), (0.5, 0.5), (0.95, 0.0), (0.3, 0.2)])
def test_counts_are_torchvisions(rule, low_quality):
    matcher = torchvision.models.detection._utils.Matcher(*rule, low_quality)
    state = AnchorMatching()
    state.foreground, state.background = rule
    state.low_quality = low_quality
    for image, shapes in itertools.product((1, 2, 3, 4), ("three shapes", "squares only")):
        state.image, state.shapes = image, shapes
        theirs = matcher(torchvision.ops.box_iou(state.scene[1]["boxes"], state.anchors()))
        found = state.match()
        kinds = (theirs >= 0, theirs == -2, theirs == -1)
        assert found.counts() == tuple(int(kind.sum()) for kind in kinds)
        owners = theirs[theirs >= 0].bincount(minlength=len(found.iou))
        assert found.positives() == owners.tolist()


def test_without_the_rule_objects_are_left_out():
    explorer = explore_matching(low_quality=False)
    assert "objects without a positive anchor: 1, 2\n" in explorer.text
    assert "2 positive, 192 ignored, 3886 background" in explorer.text
    assert "without a positive anchor: none" in explorer.set(low_quality=True).text
    assert "without a positive anchor: none" in explorer.set(low_quality=False, image=4).text


def test_low_is_never_above_high():
    state = AnchorMatching()
    state.foreground, state.background = 0.5, 0.9
    found = state.match()
    assert found.counts()[1] == 0
    assert "low 0.50" in state.describe(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("foreground", 0.5),
        ("background", 0.1),
        ("low_quality", False),
        ("shapes", "squares only"),
        ("image", 3),
    ],
)
def test_matching_follows_every_control(name, value):
    explorer = explore_matching()
    png, text = explorer.png, explorer.text
    explorer.controls[name].value = value
    assert explorer.png.startswith(PNG)
    assert explorer.png != png
    assert explorer.text != text


def test_the_ignored_are_drawn_or_not():
    explorer = explore_matching()
    before = explorer.png
    assert explorer.set(show_ignored=False).png != before
    assert explorer.set(show_ignored=True).png == before


def test_own_scenes():
    """Any number of objects."""
    scenes = [Shapes(None, 1)[index] for index in (8, 19)]
    explorer = explore_matching(scenes)
    assert explorer.text.count("best IoU") == len(scenes[0][1]["boxes"])
    assert explorer.set(image=2).text.count("best IoU") == len(scenes[1][1]["boxes"])


def test_shown_as_one_bundle():
    check_bundle(explore_matching)


def test_pictures():
    anchors, objects = torch.cat(image_anchors((128, 128), (0.5, 1.0, 2.0))), TARGET["boxes"]
    labels = torch.zeros(len(anchors), dtype=torch.int64)
    labels[:3], labels[3:9] = 1, -1
    boxes, _ = crowd(objects)
    targets = torch.zeros(4, 28, 28)
    figures = [
        draw.matching_figure(IMAGE, objects, anchors, labels),
        draw.owners_figure(IMAGE, boxes[:4], [0, 1, 2, 3], targets, ["a", "b", "c", "d"]),
    ]
    titles = [[ax.get_title(loc="left") for ax in fig.axes] for fig in figures]
    assert titles[0][:2] == ["3 positive", "6 ignored"]
    assert all(figure_png(fig).startswith(PNG) for fig in figures)
