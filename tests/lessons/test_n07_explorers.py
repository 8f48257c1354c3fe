"""Notebook 07's explorers and pictures, without a browser."""

import itertools
import re

import pytest
import torch
import torchvision

from mrcnn_lite import ops
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.n07_anchors_to_positives import pictures as draw
from mrcnn_lite.lessons.n07_anchors_to_positives.explorer import (
    IMAGES,
    SEED,
    AnchorMatching,
    explore_matching,
    image_anchors,
)
from mrcnn_lite.lessons.n07_anchors_to_positives.nms_explorer import (
    DIES,
    GONE,
    KEPT,
    NOW,
    WAITING,
    NMSSteps,
    crowd,
    explore_nms,
)

PNG = b"\x89PNG\r\n\x1a\n"
IMAGE, TARGET = Shapes(None, SEED)[IMAGES[0]]
CROWD = crowd(TARGET["boxes"])


def steps_of(threshold: float) -> NMSSteps:
    state = NMSSteps(IMAGE, *CROWD)
    state.threshold = threshold
    return state


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


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.55, 0.7, 1.0])
def test_the_steps_end_where_nms_ends(threshold):
    state = steps_of(threshold)
    steps = state.steps()
    kept = [best for best, _ in steps]
    assert kept == ops.nms(*CROWD, threshold).tolist()
    assert kept == torchvision.ops.nms(*CROWD, threshold).tolist()
    gone = [row for _, suppressed in steps for row in suppressed]
    assert sorted(kept + gone) == list(range(len(CROWD[0]))), "each box is decided once"
    state.step = len(steps) + 1
    states, by = state.progress()
    assert [row for row in state.order if states[row] == KEPT] == kept
    assert all(state.iou[by[row], row] > threshold for row in gone)


def test_one_step():
    state = steps_of(0.5)
    state.step = 2
    states, by = state.progress()
    winner, suppressed = state.steps()[1]
    assert states[winner] == NOW
    assert {row for row, now in enumerate(states) if now == DIES} == set(suppressed)
    assert GONE in states
    assert WAITING in states
    text = state.describe()
    for row in suppressed:
        assert f"box {row} goes: IoU {state.iou[winner, row]:.4f} > 0.50" in text
        assert by[row] == winner


def test_the_stepper_follows_its_controls():
    explorer = explore_nms((IMAGE, TARGET), *CROWD)
    seen = {explorer.png}
    for step in range(1, len(explorer.state.steps()) + 2):
        assert explorer.set(step=step).png not in seen
        seen.add(explorer.png)
    end = explorer.text
    assert explorer.set(step=len(CROWD[0]) + 1).text == end, "further steps change nothing"
    assert explorer.set(threshold=0.2).text != end
    assert re.search(r"3 of 12 boxes are kept", explorer.text)
    assert explore_nms().state.boxes.equal(CROWD[0]), "the same crowd where none is given"


def test_a_score_for_every_box():
    with pytest.raises(ValueError, match="12 boxes but 3 scores"):
        NMSSteps(IMAGE, CROWD[0], CROWD[1][:3])


@pytest.mark.parametrize("make", [explore_matching, explore_nms])
def test_shown_as_one_bundle(make):
    explorer = make()
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert explorer.text in data["text/plain"]
    assert metadata["image/png"]["alt"] == explorer.alt
    assert all(control.description for control in explorer.controls.values())
    said = re.findall(r'<pre role="status"[^>]*>(.*?)</pre>', explorer.numbers.value, re.DOTALL)
    assert said == [explorer.text.splitlines()[0]]


def test_a_crowd_is_the_same_everywhere():
    boxes, scores = crowd(TARGET["boxes"], copies=4, seed=9)
    assert boxes.shape == (16, 4)
    assert torch.equal(boxes, boxes.round())
    best = ops.box_iou(boxes, TARGET["boxes"]).amax(1)
    assert (scores - best).abs().max() <= 0.005 + 1e-6
    assert len(CROWD[1].unique()) < len(CROWD[1]), "the notebook speaks of equal scores"


def test_pictures():
    levels = image_anchors((128, 128), (0.5, 1.0, 2.0))
    anchors, objects = torch.cat(levels), TARGET["boxes"]
    labels = torch.zeros(len(anchors), dtype=torch.int64)
    labels[:3], labels[3:9] = 1, -1
    boxes, scores = CROWD
    targets = torch.zeros(4, 28, 28)
    figures = [
        draw.anchors_figure(IMAGE, levels, (4, 8, 16, 32)),
        draw.matching_figure(IMAGE, objects, anchors, labels),
        draw.coder_figure(anchors[0], objects[0]),
        draw.suppression_figure(IMAGE, boxes, scores, [0, 5]),
        draw.owners_figure(IMAGE, boxes[:4], [0, 1, 2, 3], targets, ["a", "b", "c", "d"]),
    ]
    titles = [[ax.get_title(loc="left") for ax in fig.axes] for fig in figures]
    assert titles[0][0] == "P2: stride 4"
    assert titles[1][:2] == ["3 positive", "6 ignored"]
    assert titles[3] == ["before: 12 boxes", "after: 2 boxes"]
    files = [figure_png(fig) for fig in figures]
    assert all(file.startswith(PNG) for file in files)
