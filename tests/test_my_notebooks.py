"""The learner's copies: made once, brought up to date, and what was written in them stays."""

import json
from copy import deepcopy

import pytest
from clone_tools import Clones
from source_tree import NOTEBOOKS, ROOT

import course
from tools import my_notebooks
from tools.my_notebooks import MARK, copy_all, hashes, merged, read, update

NAME = NOTEBOOKS[1].name


def cell(name: str, source: str) -> dict:
    return {"id": name, "cell_type": "markdown", "metadata": {}, "source": source}


def notebook(**cells: str) -> dict:
    """A notebook with these cells: id and source."""
    listed = [cell(name, source) for name, source in cells.items()]
    return {"cells": listed, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


class Learner:
    """The course's notebook and the learner's copy of it."""

    def __init__(self, folder):
        self.original, self.copy = folder / "01_x.ipynb", folder / "mine" / "01_x.ipynb"
        self.copy.parent.mkdir()
        self.publish(title="# One", stub="answer = None", end="The end")
        assert self.update() == ""

    def publish(self, **cells: str) -> None:
        my_notebooks.write(notebook(**cells), self.original)

    def write(self, **cells: str) -> None:
        """Change cells of the copy; one that is not there comes last."""
        mine = read(self.copy)
        known = {found["id"]: found for found in mine["cells"]}
        for name, source in cells.items():
            if name in known:
                known[name]["source"] = source
            else:
                mine["cells"].append(cell(name, source))
        my_notebooks.write(mine, self.copy)

    def update(self) -> str:
        return update(self.original, self.copy)

    def cells(self, path=None) -> dict[str, str]:
        """Id and source, in order."""
        return {found["id"]: found["source"] for found in read(path or self.copy)["cells"]}

    def old(self) -> list:
        return sorted(self.copy.parent.glob("*.old*"))


@pytest.fixture
def learner(tmp_path) -> Learner:
    return Learner(tmp_path)


def test_without_an_update_nothing_is_touched(learner):
    learner.write(stub="answer = 42")
    before = learner.copy.read_bytes()
    assert learner.update() == ""
    assert learner.copy.read_bytes() == before
    assert not learner.old()


def test_an_untouched_copy_follows_the_course(learner):
    learner.publish(title="# One, again", stub="answer = None")
    assert "you had changed nothing" in learner.update()
    assert learner.cells() == {"title": "# One, again", "stub": "answer = None"}
    assert not learner.old()


def test_an_answer_goes_into_the_new_version_and_the_old_copy_stays(learner):
    learner.write(stub="answer = 42")
    learner.publish(title="# New", stub="answer = None", more="More", end="The end")
    told = learner.update()
    assert told.endswith("with what you wrote (cells: 1). Your old copy is 01_x.old1.ipynb.")
    assert learner.cells() == {
        "title": "# New",
        "stub": "answer = 42",
        "more": "More",
        "end": "The end",
    }
    assert learner.cells(learner.old()[0])["title"] == "# One"
    assert learner.update() == ""


def test_an_answer_survives_one_update_after_the_other(learner):
    learner.write(stub="answer = 42")
    for title in ("# Two", "# Three"):
        learner.publish(title=title, stub="answer = None")
        learner.update()
        assert learner.cells() == {"title": title, "stub": "answer = 42"}
    assert len(learner.old()) == 2


def test_cells_of_ones_own_stay_behind_the_cell_before_them(learner):
    mine = read(learner.copy)
    mine["cells"].insert(1, cell("note", "My note"))
    mine["cells"].insert(2, cell("note-2", "And another"))
    mine["cells"].insert(0, cell("first", "Before all"))
    my_notebooks.write(mine, learner.copy)
    learner.publish(intro="Intro", title="# One", stub="answer = None")
    learner.update()
    assert [*learner.cells()] == ["first", "intro", "title", "note", "note-2", "stub"]


def test_an_answer_to_a_cell_that_the_course_dropped_stays(learner):
    learner.write(stub="answer = 42")
    learner.publish(title="# One", end="The end")
    learner.update()
    assert learner.cells() == {"title": "# One", "stub": "answer = 42", "end": "The end"}


def test_where_both_changed_a_cell_the_learners_stays_and_it_is_told(learner):
    learner.write(stub="answer = 42")
    learner.publish(title="# One", stub="result = None")
    assert "(cells: 1; changed by the course too: 1)" in learner.update()
    assert learner.cells()["stub"] == "answer = 42"


def test_a_learner_who_made_the_courses_change_has_changed_nothing(learner):
    learner.write(title="# Better")
    learner.publish(title="# Better", stub="answer = None")
    assert "you had changed nothing" in learner.update()


def test_outputs_come_with_their_cells(learner):
    mine = read(learner.copy)
    for found in mine["cells"]:
        found["outputs"] = ["mine"]
    mine["cells"][1]["source"] = "answer = 42"
    my_notebooks.write(mine, learner.copy)
    learner.publish(title="# New", stub="answer = None")
    learner.update()
    outputs = [found.get("outputs") for found in read(learner.copy)["cells"]]
    assert outputs == [None, ["mine"]]


def test_a_copy_made_by_hand_keeps_what_differs(learner):
    mine = notebook(title="# One", stub="answer = 42", end="The end")
    my_notebooks.write(mine, learner.copy)
    assert "(cells: 1)" in learner.update()
    assert learner.cells()["stub"] == "answer = 42"
    assert hashes(read(learner.original)) == read(learner.copy)["metadata"][MARK]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"cells": [{"source": "no id"}]}'])
def test_what_is_no_notebook_is_kept_beside_a_fresh_copy(learner, text):
    learner.copy.write_text(text)
    assert "cannot be read" in learner.update()
    assert learner.old()[0].read_text() == text
    assert learner.cells() == learner.cells(learner.original)


def test_merging_changes_neither_notebook():
    copy, original = notebook(a="mine", b="b"), notebook(a="a", c="c")
    before = deepcopy((copy, original))
    assert hashes(merged(copy, original, {"a"})) == hashes(notebook(a="mine", c="c"))
    assert (copy, original) == before


def test_all_notebooks_are_copied_and_one_is_reset(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(my_notebooks, "COPIES", tmp_path / "mine")
    copy_all()
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {p.name for p in NOTEBOOKS}
    for path in NOTEBOOKS:
        copied, original = read(tmp_path / "mine" / path.name), read(path)
        assert copied["metadata"].pop(MARK) == hashes(original)
        assert copied == original
    mine = tmp_path / "mine" / NAME
    mine.write_text(mine.read_text(encoding="utf-8").replace("None", "42"), encoding="utf-8")
    my_notebooks.main(["reset", NAME[:2]])
    assert hashes(read(mine)) == hashes(read(NOTEBOOKS[1]))
    assert "old1.ipynb" in capsys.readouterr().out
    assert (tmp_path / "mine" / NAME.replace(".ipynb", ".old1.ipynb")).exists()
    my_notebooks.main(["reset", "07"])
    renewed = {path.name[:4] for path in (tmp_path / "mine").glob("*.old1.ipynb")}
    assert renewed == {NAME[:4], "07_a"}, "07b is another notebook"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["reset"], "Which notebook"), (["reset", "seven"], "No notebook begins with 'seven'")],
)
def test_reset_names_what_is_missing(words, sentence):
    with pytest.raises(SystemExit, match=sentence):
        my_notebooks.main(words)


def test_where_nothing_can_be_written_there_is_a_sentence(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(my_notebooks, "COPIES", tmp_path / "file" / "mine")
    with pytest.raises(SystemExit, match="No copies in"):
        my_notebooks.main(["copy"])


@pytest.mark.parametrize(("code", "folder"), [(0, "my_notebooks"), (1, "notebooks")])
def test_jupyterlab_opens_on_the_copies_where_there_are_some(code, folder, monkeypatch):
    started = []
    monkeypatch.setattr(course, "become", started.append)
    monkeypatch.setattr(course.subprocess, "call", lambda command, cwd: code)
    course.lab(["--no-browser"])
    assert f"--LabApp.default_url=/lab/tree/{folder}/00_start_here.ipynb" in started[0]


def test_git_sees_nothing_and_pull_works(tmp_path):
    """Cloned, copied, answered, pulled, copied again: as `course.py` does it."""
    clones = Clones(tmp_path)
    assert clones.say("copy") == ""
    mine = clones.learner / "my_notebooks" / NAME
    answered = json.loads(mine.read_text(encoding="utf-8"))
    code = next(found for found in answered["cells"] if found["cell_type"] == "code")
    code["source"], code["outputs"] = "answer = 42", []
    my_notebooks.write(answered, mine)
    assert clones.changed_files() == ""
    theirs = clones.author / "notebooks" / NAME
    changed = read(theirs)
    changed["cells"][0]["source"] = "# Another title"
    my_notebooks.write(changed, theirs)
    clones.publish("Another title")
    clones.git("pull", at=clones.learner)
    assert clones.say("copy").startswith(f"{NAME}: the course's new version")
    now = read(mine)
    assert now["cells"][0]["source"] == "# Another title"
    assert [found["source"] for found in now["cells"] if found["id"] == code["id"]] == [
        "answer = 42"
    ]
    assert clones.changed_files() == ""


def test_git_and_ruff_leave_the_copies_alone():
    assert "my_notebooks/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert my_notebooks.COPIES.parent == my_notebooks.NOTEBOOKS.parent == ROOT
