"""Notebook 07's explorer and pictures, without a browser."""

import re

import pytest
import torch
import torchvision
from explorer_tools import check_bundle

from mrcnn_lite import ops
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.lessons.kit.detections import crowd
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.n07_anchors_to_proposals import pictures as draw
from mrcnn_lite.lessons.n07_anchors_to_proposals.explorer import (
    DIES,
    GONE,
    KEPT,
    NOW,
    WAITING,
    NMSSteps,
    explore_nms,
)
from mrcnn_lite.models.anchors import AnchorGenerator

PNG = b"\x89PNG\r\n\x1a\n"
IMAGE, TARGET = Shapes(None, 5)[25]
CROWD = crowd(TARGET["boxes"])
STRIDES = (4, 8, 16, 32)


def steps_of(threshold: float) -> NMSSteps:
    state = NMSSteps(IMAGE, *CROWD)
    state.threshold = threshold
    return state


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


def test_a_crowd_is_the_same_everywhere():
    boxes, scores = crowd(TARGET["boxes"], copies=4, seed=9)
    assert boxes.shape == (16, 4)
    assert torch.equal(boxes, boxes.round())
    best = ops.box_iou(boxes, TARGET["boxes"]).amax(1)
    assert (scores - best).abs().max() <= 0.005 + 1e-6
    assert len(CROWD[1].unique()) < len(CROWD[1]), "the notebook speaks of equal scores"


def test_shown_as_one_bundle():
    check_bundle(explore_nms)


def test_pictures():
    maps = [torch.zeros(1, 1, 128 // s, 128 // s) for s in STRIDES]
    generator = AnchorGenerator(((16,), (24,), (36,), (52,)), (0.5, 1.0, 2.0))
    levels = generator(maps, (128, 128)).split([3 * m.numel() for m in maps])
    boxes, scores = CROWD
    figures = [
        draw.anchors_figure(IMAGE, levels, STRIDES),
        draw.coder_figure(levels[0][0], TARGET["boxes"][0]),
        draw.suppression_figure(IMAGE, boxes, scores, [0, 5]),
    ]
    titles = [[ax.get_title(loc="left") for ax in fig.axes] for fig in figures]
    assert titles[0][0] == "P2: stride 4"
    assert titles[2] == ["before: 12 boxes", "after: 2 boxes"]
    assert all(figure_png(fig).startswith(PNG) for fig in figures)
