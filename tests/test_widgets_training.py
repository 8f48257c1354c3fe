"""Explorers of notebooks 00 and 12, the live curves, and the pictures of a training."""

import io
import statistics
import time

import numpy as np
import pytest
import torch
from PIL import Image

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.n00_start_here.explorer import explore_branches, stand_in
from mrcnn_lite.lessons.n00_start_here.pictures import draw_pipeline
from mrcnn_lite.lessons.n12_training.explorer import explore_film
from mrcnn_lite.lessons.n12_training.live_losses import LiveLosses
from mrcnn_lite.lessons.n12_training.pictures import LOSSES, draw_film, draw_losses, smooth
from mrcnn_lite.models import maskrcnn_lite
from mrcnn_lite.models.intermediate import intermediate_outputs

MEDIAN_MS = 150
NAMES = Shapes.class_names


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def report(value: float) -> dict[str, float]:
    return {**dict.fromkeys(LOSSES, value), "loss": 5 * value, "learning_rate": 1e-3 * value}


@pytest.mark.parametrize(
    ("explore", "changes"),
    [
        (
            explore_branches,
            {"picture": 2, "threshold": 0.95, "boxes": False, "classes": False, "masks": False,
             "proposals": True},
        ),
        (explore_film, {"moment": 1, "picture": 2, "masks": False, "proposals": True}),
    ],
)  # fmt: skip
def test_every_control_changes_picture_and_numbers(explore, changes):
    first = explore()
    assert set(changes) == set(first.controls)
    for name, value in changes.items():
        fresh = explore().set(**{name: value})
        assert fresh.text != first.text, name
        assert (pixels(fresh.png) != pixels(first.png)).any(), name
    # Reaching a state by many steps or at once gives the same picture: nothing is left behind.
    moving = explore()
    for name, value in changes.items():
        moving.set(**{name: value})
    direct = explore().set(**changes)
    assert (moving.png, moving.text) == (direct.png, direct.text)


@pytest.mark.parametrize("explore", [explore_branches, explore_film])
def test_a_new_picture_is_quick(explore):
    explorer, times = explore(), []
    for place in range(15):
        start = time.process_time()  # of this process alone: neighbours do not count
        explorer.set(picture=1 + place % 3, proposals=place % 2 == 0)
        times.append(1000 * (time.process_time() - start))
    assert statistics.median(times) < MEDIAN_MS


def test_branches_say_which_network_it_would_be():
    explorer = explore_branches()
    assert explorer.text.startswith("Mask R-CNN")
    assert "pixels" in explorer.text
    explorer.set(masks=False)
    assert explorer.text.startswith("Faster R-CNN")
    assert "pixels" not in explorer.text
    explorer.set(boxes=False, classes=False, proposals=True)
    assert explorer.text.startswith("the first stage alone")
    assert "box (" not in explorer.text


def test_the_threshold_counts():
    scene = stand_in(*Shapes(9, seed=2)[6])
    explorer = explore_branches([scene], NAMES)
    for threshold in (0.05, 0.5, 0.95):
        explorer.set(threshold=threshold)
        count = int((scene.detections["scores"] >= threshold).sum())
        assert f": {count} of {len(scene.detections['scores'])} detections" in explorer.text


def test_machine_dependent_lines_of_the_film_are_marked():
    first, *others = explore_film().set(proposals=True).text.splitlines()
    assert first == "after step 100 of 100, picture 1"
    assert all(line.startswith("measured: ") for line in others)


def test_live_curves_are_drawn_at_the_end_and_not_at_every_step():
    live, drawn = LiveLosses(steps=30, learning_rate=1e-3), []
    live.image.observe(lambda change: drawn.append(change["new"]), names="value")
    for step in range(1, 31):
        live(step, step / 30, report(1 / step))
    assert 1 <= len(drawn) < 10
    assert len(live.history) == 30
    assert "step 30 of 30" in live.words.value
    assert "image/png" not in live._repr_mimebundle_()
    assert live._repr_mimebundle_()["text/plain"]


def test_smooth_by_hand():
    # (0.5 * 1) / 0.5, then (0.5 * 0.5 * 1 + 0.5 * 4) / 0.75
    np.testing.assert_allclose(smooth([1.0, 4.0], keep=0.5), [1.0, 3.0])
    np.testing.assert_allclose(smooth([2.0] * 5), 2.0)


def test_every_picture_is_drawn():
    torch.manual_seed(0)
    model, data = maskrcnn_lite(), Shapes(3, seed=2)
    scenes = [intermediate_outputs(model, data[index][0]) for index in range(3)]
    pictures = [
        draw_pipeline(scenes[0], NAMES),
        draw_pipeline(scenes[1], NAMES, row=1, letters=True),
        draw_losses([report(1.0), report(0.5)]),
        draw_film([scenes] * 6, list("abcdef"), NAMES),
        draw_film([scenes[:1]] * 4, list("abcd"), NAMES, proposals=True),
    ]
    for picture in pictures:
        png = figure_png(picture)
        assert len(png) < 400_000
        assert min(pixels(png).shape[:2]) > 200
    assert (pixels(figure_png(pictures[3])) != 255).any()
