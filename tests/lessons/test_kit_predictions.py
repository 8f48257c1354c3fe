"""Predictions: asked, kept in a file that nothing else depends on, shown beside the truth."""

import json
import os
from fnmatch import fnmatch

import ipywidgets as ipw
import nbformat
import pytest
from source_tree import ROOT

import mrcnn_lite.lessons.kit.predictions as asking
from mrcnn_lite.lessons.kit import predict, progress, reveal
from tools.notebooks import execute

QUESTION = "How many cells receive a gradient?"
CELLS = ("4", "9", "25")


@pytest.fixture
def another_session(monkeypatch):
    """Forget what this process remembers, as a new kernel would."""

    def forget():
        monkeypatch.setattr(progress, "_remembered", {})
        monkeypatch.setattr(progress, "_complaints", set())
        monkeypatch.setattr(asking, "_asked", {})

    forget()
    return forget


@pytest.fixture
def file(another_session, monkeypatch, tmp_path):
    path = tmp_path / "course" / "progress.json"
    monkeypatch.setenv(progress.VARIABLE, str(path))
    return path


def ask(name="05-cells", options=CELLS):
    predict(name, QUESTION, options)
    return asking._asked[name]


def told(capsys, name="05-cells", truth="25"):
    capsys.readouterr()
    reveal(name, truth)
    return capsys.readouterr().out


def test_how_sure_is_kept_and_counts_once_the_result_is_there(file, another_session, capsys):
    prediction = ask()
    prediction.control.value = "9"
    prediction.sure.value = "guess"
    assert "Noted: 9 (guess)" in prediction.note.value
    assert told(capsys).endswith("They differ.\n")
    prediction.control.value = "25"  # after the result: worth nothing
    told(capsys)
    another_session()
    assert ask().sure.value == "guess"
    kept = json.loads(file.read_text())
    assert kept["calibration"] == {"05-cells": "guess: wrong"}
    assert kept["confidence"] == {"05-cells": "guess"}


def test_who_answers_late_reads_the_result_and_is_not_calibrated(file, capsys):
    prediction = ask()
    told(capsys)
    assert "25" not in prediction.note.value
    prediction.sure.value, prediction.control.value = "sure", "25"
    assert "Noted: 25 (sure). The result: 25. They agree." in prediction.note.value
    told(capsys)
    assert "calibration" not in json.loads(file.read_text())


def test_nothing_yet(file, capsys):
    ask()
    assert told(capsys) == "You predicted: nothing yet.\nThe result: 25\n"
    assert not file.exists()


@pytest.mark.parametrize(("answer", "verdict"), [("25", "They agree."), ("9", "They differ.")])
def test_a_choice_is_judged(file, capsys, answer, verdict):
    ask().control.value = answer
    assert told(capsys) == f"You predicted: {answer}\nThe result: 25\n{verdict}\n"


@pytest.mark.parametrize("options", [CELLS, ()])
def test_what_cannot_be_judged_is_shown(file, capsys, options):
    ask(options=options).control.value = "9"
    assert told(capsys, truth="9.0 cells") == "You predicted: 9\nThe result: 9.0 cells\n"


def test_options_and_truth_may_be_numbers(file, capsys):
    ask(options=(4, 25)).control.value = "25"
    assert told(capsys, truth=25).endswith("They agree.\n")


@pytest.mark.parametrize("options", [CELLS, ()])
def test_an_answer_outlives_the_cell_and_the_session(file, another_session, capsys, options):
    ask(options=options).control.value = "9"
    again = ask(options=options)
    assert again.control.value == "9"
    assert "Kept from before: 9" in again.note.value
    another_session()
    assert told(capsys).startswith("You predicted: 9\n")  # before its question was asked anew
    assert ask(options=options).control.value == "9"
    assert json.loads(file.read_text()) == {"predictions": {"05-cells": "9"}}
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_an_answer_that_is_no_option_any_more_is_not_shown(file):
    ask().control.value = "9"
    assert ask(options=("1", "2")).control.value is None


def test_an_answer_can_be_changed_and_taken_back(file, capsys):
    prediction = ask(options=())
    prediction.control.value = " about 9 "
    assert told(capsys).startswith("You predicted: about 9\n")
    prediction.control.value = ""
    assert told(capsys).startswith("You predicted: nothing yet.")
    assert "No prediction yet" in prediction.note.value


def test_two_notebooks_share_the_file(file, another_session):
    ask("05-cells").control.value = "9"
    another_session()
    ask("06-boxes").control.value = "4"
    assert json.loads(file.read_text())["predictions"] == {"05-cells": "9", "06-boxes": "4"}


def test_a_name_that_nobody_asked(file):
    ask()
    with pytest.raises(ValueError, match=r"no prediction named '05-cell' .*\['05-cells'\]"):
        reveal("05-cell", 25)


@pytest.mark.parametrize(
    ("name", "options", "words"), [("", CELLS, "name is empty"), ("a", ("1", 1), "must differ")]
)
def test_bad_questions(file, name, options, words):
    with pytest.raises(ValueError, match=words):
        predict(name, QUESTION, options)


# --- The page -----------------------------------------------------------------------------------


def test_one_output_live_or_text(file, capsys):
    predict("05-cells", "Why? " * 30, CELLS)
    assert capsys.readouterr().out.count("Prediction 05-cells") == 1
    bundle = asking._asked["05-cells"]._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/plain"}
    lines = bundle["text/plain"].splitlines()
    assert lines[0].startswith("Prediction 05-cells: Why?")
    assert lines[-3:] == ["  ( ) 4", "  ( ) 9", "  ( ) 25"]
    assert max(map(len, lines)) <= 79


@pytest.mark.parametrize(("options", "kind"), [(CELLS, ipw.RadioButtons), ((), ipw.Text)])
def test_the_control_has_a_label_and_no_answer(file, options, kind):
    prediction = ask(options=options)
    assert type(prediction.control) is kind
    assert not prediction.control.value
    assert prediction.control.description == "Your prediction"
    assert prediction.control.tooltip == QUESTION
    assert "No prediction yet" in prediction.note.value  # a live region must be there beforehand
    prediction.control.value = "9"
    assert 'role="status"' in prediction.note.value
    assert "Noted: 9" in prediction.note.value


def test_questions_are_text_not_markup(file):
    predict("a", "Is x < y & <b>bold</b>?")
    title = asking._asked["a"].box.children[0].value
    assert "x &lt; y &amp; &lt;b&gt;bold" in title


# --- The file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"predictions": 3}', b"\xff\xfe", b"[" * 99999])
def test_a_broken_file_is_said_once_and_left_alone(file, capsys, content):
    file.parent.mkdir()
    file.write_bytes(content)
    ask().control.value = "25"
    reveal("05-cells", "25")
    words = capsys.readouterr().out
    assert words.count("cannot be read") == 1
    assert words.endswith("You predicted: 25\nThe result: 25\nThey agree.\n")
    assert file.read_bytes() == content


def test_other_entries_of_the_file_stay(file):
    file.parent.mkdir()
    file.write_text('{"passed": {"01-roi-pool": "yes"}, "predictions": {"05-cells": 7}}')
    prediction = ask()
    assert prediction.control.value is None
    prediction.control.value = "9"
    assert json.loads(file.read_text())["passed"] == {"01-roi-pool": "yes"}


def test_an_unwritable_place_is_said_once(another_session, monkeypatch, tmp_path, capsys):
    (tmp_path / "a file").write_text("not a folder")
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "a file" / "progress.json"))
    prediction = ask()
    prediction.control.value = "9"
    prediction.control.value = "25"
    assert "Noted for this session: 25" in prediction.note.value
    reveal("05-cells", "25")
    words = capsys.readouterr().out
    assert words.count("cannot be") == 1
    assert words.endswith("They agree.\n")


def test_off_reads_and_writes_nothing(another_session, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress.json"))
    ask().control.value = "9"
    before = (tmp_path / "progress.json").read_bytes()
    another_session()
    monkeypatch.setenv(progress.VARIABLE, progress.OFF)
    assert progress.location() is None
    prediction = ask()
    assert prediction.control.value is None
    assert told(capsys).startswith("You predicted: nothing yet.")
    prediction.control.value = "25"
    assert told(capsys).endswith("They agree.\n")  # one session still remembers
    assert (tmp_path / "progress.json").read_bytes() == before


def test_tests_and_notebooks_run_with_progress_off(monkeypatch, tmp_path):
    assert os.environ[progress.VARIABLE] == progress.OFF, "set by conftest.py"
    monkeypatch.delenv(progress.VARIABLE)
    cell = nbformat.v4.new_code_cell(f"import os; print(os.environ['{progress.VARIABLE}'])")
    path = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    notebook, *_, result = execute(path)
    assert (result, notebook.cells[0].outputs[0].text) == ("ok", "off\n")


def test_the_file_lies_with_the_course_and_git_ignores_it(monkeypatch, tmp_path):
    monkeypatch.delenv(progress.VARIABLE)
    assert progress.location() == ROOT / ".course-progress.json"
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert any(fnmatch(progress.NAME, pattern) for pattern in ignored)
    monkeypatch.setattr(progress.os, "access", lambda path, mode: False)
    elsewhere = progress.location()
    assert elsewhere.parts[-2:] == ("mrcnn_lite", "progress.json")
    assert ROOT not in elsewhere.parents
