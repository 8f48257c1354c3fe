"""Lesson 19: the two libraries' rules, the exercise that separates them, and the calibration."""

import json

import pytest
import torch
import torchvision

from mrcnn_lite.lessons.kit import progress
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n19_reading_the_sources import calibration
from mrcnn_lite.lessons.n19_reading_the_sources.libraries import DETECTRON2, TORCHVISION

RAMP = torch.arange(25.0).view(1, 1, 5, 5)
BOX = torch.tensor([[1.0, 1.0, 3.0, 3.0]])


@pytest.mark.parametrize(("library", "first"), [(TORCHVISION, 7.5), (DETECTRON2, 4.5)])
def test_the_ramp_of_detectron2s_own_check(library, first):
    out = library.roi_align(RAMP, BOX, 4, 1.0)
    theirs = torchvision.ops.roi_align(RAMP, [BOX], 4, 1.0, 2, library.aligned)
    assert torch.allclose(out, theirs)
    assert out[0, 0, 0, 0] == first


def test_targets_and_pastes_differ():
    masks = torch.zeros(2, 12, 12)
    masks[:, 3:9, 3:9] = 1
    boxes = torch.tensor([[1.0, 1.0, 11.0, 11.0], [2.0, 2.0, 10.0, 10.0]])
    soft, hard = (library.targets(masks, boxes, 4) for library in (TORCHVISION, DETECTRON2))
    assert hard.unique().tolist() == [0, 1] and len(soft.unique()) > 2
    ones, box = torch.ones(1, 28, 28), torch.tensor([[50.0, 50.0, 78.0, 78.0]])
    marked = [(lib.paste(ones, box, (99, 99)) >= 0.5).sum() for lib in (TORCHVISION, DETECTRON2)]
    assert marked == [841, 784]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda library: 1, "return True or False, not a int"),
        (lambda library: library.nothing, "has no attribute 'nothing'"),
        (lambda library: True, "never asks the library"),
    ],
)
def test_other_answers_are_told(answer, words):
    assert words in find("19-separate").grade(answer).message


def test_a_tensor_of_one_bool_will_do():
    grade = find("19-separate").grade
    assert grade(lambda library: library.roi_align(RAMP, BOX, 4, 1.0).min() > 6).passed


# --- Calibration --------------------------------------------------------------------------------


def test_counts_of_the_readers_own_predictions(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "_remembered", {})
    path = tmp_path / "progress.json"
    monkeypatch.setenv(progress.VARIABLE, str(path))
    assert calibration.own_answers() == {}
    kept = {"a": "sure: right", "b": "sure: wrong", "c": "guess: wrong", "d": "sure: right"}
    path.write_text(json.dumps({"calibration": kept}))
    assert calibration.own_answers() == {"sure": (2, 3), "guess": (0, 1)}


def test_wilsons_interval_covers_its_share():
    assert calibration.interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert calibration.interval(0, 5)[0] == pytest.approx(0)
    chances = torch.rand(2000, 20, generator=torch.Generator().manual_seed(0)) < 0.7
    ends = [calibration.interval(int(right), 20) for right in chances.sum(1)]
    assert sum(low <= 0.7 <= high for low, high in ends) / 2000 == pytest.approx(0.95, abs=0.03)


def test_the_curve_has_a_point_for_every_word_that_was_used():
    drawn = calibration.drawn_answers()
    assert drawn == calibration.drawn_answers() and set(drawn) == set(calibration.EXAMPLE)
    for counts in (drawn, {"guess": (1, 4)}):
        (ax,) = calibration.curve(counts).axes
        heights = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "o"]
        assert sorted(heights) == sorted(right / count for right, count in counts.values())
