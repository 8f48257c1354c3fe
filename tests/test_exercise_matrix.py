"""Every exercise: solution, stub, unknown answers and known mistakes; and check's progress line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mrcnn_lite.lessons.kit import check, progress
from mrcnn_lite.lessons.kit.exercise import Exercise, Mistake, Verdict, combine, every, find
from tools.exercise_matrix import examine, main, spoiled
from tools.exercise_sources import Chapter, chapter_of

LONG = ("01-roi-pool", "04-border", "06-pyramid")  # --all; their lessons' tests are there always


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in every()]
)
def test_the_exercise_does_what_it_promises(name):
    row = examine(find(name))
    assert not row.faults, "\n".join(row.faults)
    assert row.solution and row.stub and row.unknown
    assert row.named == row.caught == len(row.signs) > 0


def test_there_is_enough_to_do():
    exercises = every().values()
    assert len(exercises) >= 14
    assert sum(len(exercise.known) for exercise in exercises) >= 40
    assert all(exercise.hints for exercise in exercises)


def test_the_command(capsys):
    assert main(["11", "13"]) == 0
    lines = capsys.readouterr().out.splitlines()
    count = len(find("11-pooler").known)
    shown = ["11-pooler", "yes", "yes", "yes", "#" * count, f"{count}/{count}"]
    assert lines[1].split() == shown
    count = sum(len(it.known) for name, it in every().items() if name.startswith(("11", "13")))
    assert lines[-1].endswith(f"{count} known mistakes, {count} caught, {count} named.")
    assert main(["nothing"]) == 1
    assert "no exercise begins with nothing" in capsys.readouterr().out


# --- What the matrix must find ------------------------------------------------------------------


RIGHT = find("13-average-precision")
WRONG = RIGHT.known[0]


def changed(**parts):
    return examine(replace(RIGHT, **parts))


def test_a_mistake_that_passes_is_found():
    mistake = Mistake("no mistake at all", chapter_of("13").solution("13-average-precision"))
    row = changed(mistakes=(WRONG, mistake))
    assert (row.signs, row.named, row.caught) == ("#-", 1, 1)
    assert row.faults == ("passes: no mistake at all",)


def test_a_mistake_without_its_own_sentence_is_found():
    row = changed(mistakes=(replace(WRONG, message="other words"),))
    assert row.signs == "o"
    both = (WRONG, replace(WRONG, message=WRONG.message[:30]))
    assert changed(mistakes=both).signs == "#o", "the second gets the first one's sentence"


def test_an_exercise_without_known_mistakes_is_found():
    row = changed(grade=lambda answer: RIGHT.grade(answer))
    assert row.faults == ("it declares no known mistake",)


def test_a_grader_that_lets_everything_pass_is_found():
    row = changed(grade=lambda answer: Verdict(True, "Passed"), mistakes=(WRONG,))
    assert (row.solution, row.stub, row.unknown, row.signs) == (True, False, False, "-")


def test_a_grader_that_lets_nothing_pass_is_found(monkeypatch, capsys):
    broken = changed(grade=lambda answer: Verdict(False, "Not yet"), mistakes=(WRONG,))
    assert (broken.solution, broken.stub, broken.unknown, broken.signs) == (False, True, True, "o")
    monkeypatch.setattr("tools.exercise_matrix.examine", lambda exercise: broken)
    assert main(["13"]) == 1
    printed = capsys.readouterr().out
    assert "solution does not pass: Not yet" in printed
    assert "1 exercises, 0 as promised; 1 known mistakes, 1 caught, 0 named." in printed


@pytest.mark.parametrize("name", ["13-nothing", "99-nothing"])
def test_an_exercise_that_no_notebook_has_is_found(name):
    row = changed(name=name)
    assert not row.solution and not row.stub
    assert "cannot be used" in row.faults[0]


def test_together_is_not_counted():
    mistakes = combine(dict, (("a", {"x": 1}), ("b", {"y": 2}), ("c", {"y": 3})))
    known = Exercise("00-x", lambda answer: None, (), mistakes).known
    assert [mistake.message for mistake in known] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "value", [3, 2.5, torch.arange(3), torch.tensor([True]), np.ones(2), [1, {"a": (2.0,)}], "word"]
)
def test_spoiled_is_another_value_everywhere(value):
    assert str(spoiled(value)) != str(value)


def test_no_solution_below_the_check_is_said(tmp_path):
    cells = [
        {"cell_type": "code", "source": 'mine = None\ncheck("01-a", mine)'},
        {"cell_type": "code", "source": 'check(\n    "01-b", 3)'},
        {"cell_type": "markdown", "source": "<details>\n\n```python\nmine = 3\n```\n</details>"},
    ]
    path = tmp_path / "01_x.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    chapter = Chapter(path)
    assert chapter.stub("01-a") is None
    with pytest.raises(ValueError, match="no folded solution below the check of '01-a'"):
        chapter.solution("01-a")
    with pytest.raises(ValueError, match="0 cells check '01-c'"):
        chapter.stub("01-c")


# --- How far the reader is ----------------------------------------------------------------------


def passes(name):
    check(name, chapter_of(name).solution(name))


def test_check_says_how_far_the_reader_is(file, capsys):
    check("10-paste", None)
    count = len(every())
    assert not file.exists()
    assert capsys.readouterr().out.endswith(
        f"\nProgress: 0 of {count} exercises, 0 of 1 in this notebook\n"
    )
    passes("13-average-precision")
    passes("10-paste")
    assert capsys.readouterr().out.endswith(
        f"\nProgress: 2 of {count} exercises, 1 of 1 in this notebook\n"
    )
    check("10-paste", None)
    assert f"Progress: 2 of {count}" in capsys.readouterr().out, "what is passed stays passed"
    assert list(json.loads(file.read_text())["passed"]) == ["10-paste", "13-average-precision"]


def test_exercises_that_are_gone_do_not_count(file, capsys):
    file.write_text('{"passed": {"77-gone": "yes", "10-paste": "yes"}}')
    check("10-paste", None)
    assert "Progress: 1 of" in capsys.readouterr().out


def test_no_progress_line_when_off(file, monkeypatch, capsys):
    monkeypatch.setenv(progress.VARIABLE, progress.OFF)
    passes("13-average-precision")
    assert "Progress" not in capsys.readouterr().out
    assert not file.exists()


def test_a_broken_file_is_said_once_and_counted_on(file, capsys):
    file.write_text("{")
    passes("13-average-precision")
    printed = capsys.readouterr().out
    assert printed.count("cannot be read") == 1
    assert "Progress: 1 of" in printed
