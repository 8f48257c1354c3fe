"""Parsons: the lines are the solution's and the mistakes', and what is put together is checked."""

import json
import re

import pytest
from source_tree import NOTEBOOKS

from mrcnn_lite.lessons.kit import parsons, progress
from mrcnn_lite.lessons.kit.distractors import DISTRACTORS
from mrcnn_lite.lessons.kit.parsons import Parsons, pieces

LONG = 6  # pieces below the `def`


def solve(puzzle, swapped=None):
    """Press the solution's lines in order, one of them replaced by its wrong one."""
    _, source = puzzle.chapter.folded(puzzle.exercise)
    left = list(range(len(puzzle.lines)))
    for line in pieces(source)[len(puzzle.head) :]:
        wish = swapped[1] if swapped and line == swapped[0] else line
        at = next(i for i in left if puzzle.lines[i] == wish)
        left.remove(at)
        puzzle.buttons[at].click()
    return [puzzle.lines[i] for i in left]


@pytest.mark.parametrize("exercise", DISTRACTORS)
def test_the_lines_in_order_pass_and_what_is_left_are_the_mistakes(exercise):
    puzzle = Parsons(exercise)
    left = solve(puzzle)
    assert sorted(left) == sorted(wrong for _, wrong in DISTRACTORS[exercise])
    puzzle.controls[2].click()
    assert "Passed" in puzzle.note.value and 'role="status"' in puzzle.note.value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "swap"), [(name, swap) for name, swaps in DISTRACTORS.items() for swap in swaps]
)
def test_a_mistakes_line_is_caught_and_named(exercise, swap):
    puzzle = Parsons(exercise)
    assert puzzle.lines.count(swap[0]) == 1 and puzzle.lines.count(swap[1]) == 1
    solve(puzzle, swap)
    words = puzzle.verdict()
    assert words.startswith("Not right yet")
    assert "Likely: " in words, words


def test_pieces_keep_what_belongs_together():
    source = "def f(x):\n    a = [\n        x,\n    ]\n\n    if x:\n        a = 1\n"
    source += "    else:\n        a = 2\n"
    cut = pieces(source)
    assert cut[1] == "    a = [\n        x,\n    ]"
    assert cut[2:] == ["    if x:", "        a = 1", "    else:", "        a = 2"]


def test_lines_are_chosen_moved_and_taken_out():
    puzzle = Parsons("03-bilinear")
    for line in (4, 1, 2):
        puzzle.buttons[line].click()
    assert puzzle.chosen == [4, 1, 2] and puzzle.order.value == 2
    up, down, _ = puzzle.controls
    up.click()
    up.click()
    up.click()
    assert puzzle.chosen == [2, 4, 1]
    down.click()
    puzzle.buttons[1].click()
    assert puzzle.chosen == [4, 2]
    assert puzzle.buttons[1].description.startswith("· ")
    assert puzzle.buttons[2].description.startswith("✓ ")
    assert puzzle.order.options[0][0] == puzzle.lines[4].replace(" ", "\u00a0")
    puzzle.order.value = None
    up.click()
    assert puzzle.chosen == [4, 2]


def test_lines_that_are_no_function_yet_are_told():
    puzzle = Parsons("02-half-open")
    puzzle.buttons[next(i for i, t in enumerate(puzzle.lines) if "elif" in t)].click()
    assert puzzle.verdict().startswith("No function yet: ")
    assert "Not yet: the function is still empty" in Parsons("03-bilinear").verdict()


def test_an_error_is_told_at_its_line():
    puzzle = Parsons("03-bilinear")
    puzzle.buttons[next(i for i, t in enumerate(puzzle.lines) if "upper =" in t)].click()
    words = puzzle.verdict()
    assert "at your line: upper = " in words and "name 'u' is not defined" in words


def test_the_page(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_remembered", {})
    puzzle = Parsons("03-bilinear")
    assert puzzle.body.layout.display == "none", "folded, until somebody asks for it"
    puzzle.door.value = True
    assert puzzle.body.layout.display == ""
    bundle = puzzle._repr_mimebundle_()
    assert "<details><summary>No idea" in bundle["text/html"]
    assert "  |     v, u = y - top, x - left" in bundle["text/plain"]
    assert repr(Parsons("03-bilinear")) == repr(puzzle), "the same disorder each time"
    parsons("03-bilinear")
    assert capsys.readouterr().out.startswith("Parsons 03-bilinear: ")
    with pytest.raises(ValueError, match="did you mean '03-bilinear'"):
        parsons("03-bilnear")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_longer_exercise_has_the_step_between_its_check_and_its_solution(path):
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
    checks = {m[1]: i for i, t in enumerate(cells) if (m := re.search(r'^check\("(.*?)"', t, re.M))}
    steps = {
        m[1]: i for i, t in enumerate(cells) if (m := re.search(r'^parsons\("(.*?)"', t, re.M))
    }
    long = set()
    for name in checks:
        puzzle = Parsons(name)
        if puzzle.head[0].startswith("def ") and len(puzzle.lines) - puzzle.wrong >= LONG:
            long.add(name)
            fold = next(i for i, t in enumerate(cells) if i > checks[name] and "<details>" in t)
            assert checks[name] < steps.get(name, fold) < fold, f"{name}: parsons({name!r})"
    assert set(steps) == long
    assert long <= set(DISTRACTORS)
