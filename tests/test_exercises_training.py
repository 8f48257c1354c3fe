"""Exercises of notebooks 00 and 12: solutions pass, known mistakes are named, stubs are not yet.

Solutions are read out of the notebooks' folded blocks, stubs out of their code cells.
"""

import json
import re

import pytest
import torch
from source_tree import ROOT

from mrcnn_lite.datasets.transforms import flip_x
from mrcnn_lite.exercises import blocks, check, flip
from mrcnn_lite.exercises.registry import find

FOLDED = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)
OURS = {
    "00-blocks": ("00_start_here", "answers"),
    "12-flip": ("12_training", "my_flip"),
}
each = pytest.mark.parametrize("exercise", OURS)


def run(source, name):
    scope = {"torch": torch, "check": lambda *answer: None}
    exec(source, scope)
    return scope[name]


def sources(exercise, kind):
    path = ROOT / "notebooks" / f"{OURS[exercise][0]}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


@each
def test_the_solution_passes(exercise):
    (block,) = FOLDED.findall("\n".join(sources(exercise, "markdown")))
    verdict = find(exercise).grade(run(block, OURS[exercise][1]))
    assert verdict.passed, verdict.words
    assert verdict.words.startswith("Passed")


@each
def test_the_stub_is_not_yet(exercise, capsys):
    (cell,) = [s for s in sources(exercise, "code") if f'check("{exercise}"' in s]
    check(exercise, run(cell, OURS[exercise][1]))
    assert capsys.readouterr().out.startswith("Not yet")


RIGHT = {question: answer for question, (answer, _) in blocks.QUESTIONS.items()}


def test_blocks_count_what_is_right_and_what_is_open():
    words = blocks.grade({**RIGHT, "B": "box branch", "E": None}).words
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
            nudge = verdict.words.split("\n", 1)[1].split(":", 1)[1]
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
    assert words in verdict.words


def test_case_and_spaces_do_not_matter():
    assert blocks.grade({q: f" {a.upper()} " for q, a in RIGHT.items()}).passed


@pytest.mark.parametrize("mistake", flip.MISTAKES, ids=lambda mistake: mistake.words[:40])
def test_a_known_slip_is_named(mistake):
    verdict = flip.grade(mistake.function)
    assert not verdict.passed
    assert mistake.words in verdict.words


def test_several_mistakes_are_all_named():
    words = flip.grade(lambda image, target: (image.flip(-1), target)).words
    assert "boxes: they are still" in words
    assert "masks: they are not mirrored" in words
    assert "image:" not in words


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (17, "the function itself"),
        (lambda image, target: 1 / 0, "ZeroDivisionError"),
        (lambda image, target: image, "return two things"),
        (lambda image, target: (image.flip(-1), {}), "missing in the target"),
        (lambda image, target: ("a", flip_x(image, target)[1]), "a str, not numbers"),
        (lambda image, target: (image[:, :4], flip_x(image, target)[1]), "the shape is"),
        (
            lambda image, target: (
                image.flip(-1),
                {**flip_x(image, target)[1], "boxes": target["boxes"] + 1},
            ),
            "it should be",
        ),
    ],
)
def test_other_wrong_answers_get_words(function, words):
    verdict = flip.grade(function)
    assert not verdict.passed
    assert words in verdict.words
