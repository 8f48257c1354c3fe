"""Notebook 07's exercises: solutions pass, known mistakes are named, stubs get a friendly word."""

import functools
import json
import re

import pytest
import torch
import torchvision
from source_tree import ROOT

from mrcnn_lite import ops
from mrcnn_lite.exercises import check, hint, matcher, nms
from mrcnn_lite.exercises.registry import find

FOLDED = re.compile(r"<details>[^`]*?```python\n(.*?)```.*?</details>", re.DOTALL)
OURS = {"07-nms": ("my_nms", nms), "07-matcher": ("my_matcher", matcher)}
MISTAKES = [(name, *slip) for name, (_, module) in OURS.items() for slip in module.SLIPS]
each = pytest.mark.parametrize("name", OURS)


def run(source: str, function: str):
    scope = {"torch": torch, "ops": ops, "check": lambda *answer: None}
    exec(source, scope)
    return scope[function]


def sources(kind: str) -> list[str]:
    path = ROOT / "notebooks/07_anchors_to_positives.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def solution(name: str):
    blocks = FOLDED.findall("\n".join(sources("markdown")))
    (block,) = [block for block in blocks if f"def {OURS[name][0]}(" in block]
    return run(block, OURS[name][0])


@each
def test_the_solution_passes(name):
    verdict = find(name).grade(solution(name))
    assert verdict.passed, verdict.words
    assert verdict.words.startswith("Passed")


@each
def test_the_stub_is_not_yet(name, capsys):
    (cell,) = [source for source in sources("code") if f'check("{name}"' in source]
    check(name, run(cell, OURS[name][0]))
    assert capsys.readouterr().out.startswith("Not yet")


@pytest.mark.parametrize(
    ("name", "words", "change"),
    MISTAKES,
    ids=[f"{name} {change}" for name, _, change in MISTAKES],
)
def test_each_known_mistake_is_named(name, words, change):
    verdict = find(name).grade(functools.partial(OURS[name][1]._variant, **change))
    assert not verdict.passed
    assert f"Likely: {words}\n" in verdict.words


@each
def test_the_right_variant_is_right(name):
    """The mistakes differ from the truth by their switch only."""
    assert find(name).grade(OURS[name][1]._variant).passed


def test_there_are_enough_mistakes():
    assert len(nms.SLIPS) >= 4
    assert len(matcher.SLIPS) >= 4


def test_two_mistakes_at_once():
    both = functools.partial(nms._variant, strikes=">=", give="mask")
    words = find("07-nms").grade(both).words
    assert "suppress with >" in words
    assert "and: this is a mask" in words


def test_a_loop_over_the_objects_makes_three_mistakes_and_all_are_named():
    def looped(objects, anchors, high, low):
        iou = ops.box_iou(objects, anchors)  # [G, A]
        best, answer = iou.max(dim=0)
        answer = torch.where(best >= high, answer, -2)
        answer = torch.where(best < low, -1, answer)
        for g in range(len(objects)):
            answer[iou[g].argmax()] = g
        return answer

    words = find("07-matcher").grade(looped).words
    assert "Likely: several anchors can overlap an object equally well" in words
    assert "and: a rescued anchor belongs to the object that *it* overlaps most" in words
    assert "and: an object that no anchor touches has a best IoU of 0" in words


def broken(*inputs):
    return 1 / 0


@each
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (broken, "ZeroDivisionError"),
        (lambda *inputs: "a word", "not numbers"),
        (lambda *inputs: torch.zeros(0), "it should have"),
        (lambda *inputs: 0.125, "it should have"),
        (17, "the function itself"),
    ],
)
def test_unknown_wrong_answers_are_caught(name, answer, words):
    verdict = find(name).grade(answer)
    assert not verdict.passed
    assert words in verdict.words


def test_an_answer_of_the_right_shape_is_not_enough():
    verdict = find("07-matcher").grade(lambda objects, anchors, high, low: anchors[:, 0] * 0 + 3)
    assert not verdict.passed
    assert "Likely" not in verdict.words
    assert "yours 3.0000" in verdict.words


@each
def test_hints_come_in_order(name, capsys):
    count = len(find(name).hints)
    assert 2 <= count <= 4
    hint(name, 99)
    assert capsys.readouterr().out.startswith(f"Hint {count} of {count}")


def test_cases_of_suppression_hold_what_they_promise():
    ties = exact = empty = 0
    for boxes, scores, threshold in nms._cases():
        right = ops.nms(boxes, scores, threshold)
        assert right.tolist() == torchvision.ops.nms(boxes, scores, threshold).tolist()
        ties += len(scores.unique()) < len(scores)
        exact += bool((ops.box_iou(boxes, boxes) == threshold).any())
        empty += bool((boxes[:, 2:] <= boxes[:, :2]).any())
    assert ties > 40
    assert exact > 10
    assert not empty


def test_cases_of_matching_hold_what_they_promise():
    """Where every object is within reach, torchvision's matcher gives the right answer."""
    theirs = torchvision.models.detection._utils.Matcher
    reached = exact = 0
    for objects, anchors, high, low in matcher._cases():
        iou = ops.box_iou(objects, anchors)
        exact += bool((iou.amax(0) == low).any()) and bool((iou.amax(0) == high).any())
        if (iou.amax(1) > 0).all():
            reached += 1
            right = matcher._right(objects, anchors, high, low)
            assert torch.equal(right, theirs(high, low, True)(iou))
    assert 0 < reached < matcher.CASES
    assert exact > 5
