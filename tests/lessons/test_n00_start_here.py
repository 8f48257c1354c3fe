"""Notebook 00: its exercise answers anything in words and gives nothing away; its explorer.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import re
import shutil

import pytest
import torch
from explorer_tools import check_controls, check_quick, pixels
from source_tree import ROOT

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.lessons.kit.detections import stand_in
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.n00_start_here import exercises as blocks
from mrcnn_lite.lessons.n00_start_here.explorer import explore_branches
from mrcnn_lite.lessons.n00_start_here.live_page import PAGE, STILL, LivePage
from mrcnn_lite.lessons.n00_start_here.pictures import box_features, draw_pipeline
from mrcnn_lite.models import maskrcnn_lite
from mrcnn_lite.models.intermediate import intermediate_outputs

NAMES = Shapes.class_names
RIGHT = {question: answer for question, (answer, _) in blocks.QUESTIONS.items()}


def test_blocks_count_what_is_right_and_what_is_open():
    words = blocks.grade({**RIGHT, "B": "box branch", "E": None}).message
    assert "7 of 9 right, 1 still open." in words
    assert "both give boxes" in words
    assert not blocks.grade({**RIGHT, "E": None}).passed


@pytest.mark.parametrize("question", blocks.QUESTIONS)
def test_blocks_never_give_the_answer_away(question):
    choices = blocks.NAMES if question in blocks.LETTERS else blocks.LETTERS
    for choice in choices:
        verdict = blocks.grade({**RIGHT, question: choice})
        assert verdict.passed == (choice == RIGHT[question])
        if not verdict.passed:
            nudge = verdict.message.split("\n", 1)[1].split(":", 1)[1]
            assert not re.search(rf"\b{RIGHT[question]}\b", nudge), nudge


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (None, "dictionary"),
        ({"A": "RPN"}, "no entry 'B'"),
        ({**RIGHT, "A": "backbone"}, "no choice here"),
        ({**RIGHT, "has no weights": 3}, "no choice here"),
    ],
)
def test_blocks_answer_anything_in_words(answers, words):
    verdict = blocks.grade(answers)
    assert not verdict.passed
    assert words in verdict.message


def test_case_and_spaces_do_not_matter():
    assert blocks.grade({q: f" {a.upper()} " for q, a in RIGHT.items()}).passed


def test_every_control_changes_picture_and_numbers():
    changes = {"image": 2, "threshold": 0.95, "boxes": False, "classes": False, "masks": False,
               "proposals": True}  # fmt: skip
    check_controls(explore_branches, changes)
    states = [{"image": 1 + k % 3, "proposals": k % 2 == 0} for k in range(15)]
    check_quick(explore_branches, states)


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


@pytest.mark.parametrize("options", [{}, {"row": 1, "letters": True}])
def test_the_figure_is_drawn(options):
    torch.manual_seed(0)
    scene = intermediate_outputs(maskrcnn_lite(), Shapes(3, seed=2)[len(options) // 2][0])
    png = figure_png(draw_pipeline(scene, NAMES, **options))
    assert len(png) < 400_000
    assert min(pixels(png).shape[:2]) > 200


def test_the_box_branchs_features_are_the_networks():
    """The strip pools one proposal anew; the network's own pooler gave the same."""
    torch.manual_seed(0)
    model, heard = maskrcnn_lite().eval(), []
    model.roi_heads.box_roi_pool.register_forward_hook(lambda _, inputs, out: heard.append(out))
    scene = intermediate_outputs(model, Shapes(1, seed=2)[0][0])
    mine = box_features(scene, 0)
    assert (heard[0] - mine).abs().amax((1, 2, 3)).min() < 1e-4


def test_the_live_page_is_a_still_picture_until_it_is_built(tmp_path):
    (tmp_path / STILL).parent.mkdir()
    shutil.copy(ROOT / STILL, tmp_path / STILL)
    still, details = LivePage(tmp_path)._repr_mimebundle_()
    assert still.keys() == {"image/png", "text/plain"}
    assert details["image/png"]["alt"] in still["text/plain"]
    assert pixels(LivePage(tmp_path).still()).shape[:2] == (475, 760)
    (tmp_path / PAGE).parent.mkdir(parents=True)
    (tmp_path / PAGE).write_text("<!doctype html>")
    built, _ = LivePage(tmp_path)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in built
    assert still.items() <= built.items(), "where no widget can live there is still the picture"
