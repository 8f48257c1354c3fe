"""`course.py` on a bad day: old Python, no network, killed, started twice, a full disk."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from source_tree import ROOT

import course

SOURCE = (ROOT / "course.py").read_text(encoding="utf-8")

# course.py with its three slow steps replaced: what is left is when they run, and what remains.
QUICK = """
import sys, time, pathlib, course
folder = pathlib.Path(course.ROOT)
def log(word): (folder / "log").open("a").write(word + "\\n")
def step(command, lock):
    log("install begins"); time.sleep(float(sys.argv[1])); log("install ends")
course.step = step
course.make_venv = lambda lock: (course.PYTHON.parent.mkdir(parents=True, exist_ok=True),
                                 course.PYTHON.touch())
course.check_installation = lambda: log("check")
course.set_up()
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with a space in its name and what course.py looks at."""
    place = tmp_path / "my course"
    place.mkdir()
    for name in ("course.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, place)
    return place


def start(folder: Path, seconds: float = 0.0) -> subprocess.Popen:
    command = [sys.executable, "-c", QUICK, str(seconds)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def log(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().splitlines() if path.exists() else []


def wait_for(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_the_whole_file_parses_with_an_old_python():
    ast.parse(SOURCE, feature_version=(3, 6))
    assert not [n for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, (ast.Match, ast.NamedExpr))]


def test_an_old_python_gets_one_sentence():
    code = "import sys, runpy; sys.version_info = (3, 9, 2); runpy.run_path('course.py')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("The course needs Python 3.11 or newer, and this is Python 3.9")
    assert len(result.stderr.splitlines()) == 1


def test_only_the_standard_library():
    names = {
        a.name for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, ast.Import) for a in n.names
    }
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_set_up_runs_once(folder):
    assert start(folder).wait() == 0
    assert start(folder).wait() == 0
    assert log(folder) == ["install begins", "install ends", "check"]
    overrides = folder / ".venv/share/jupyter/lab/settings/overrides.json"
    settings = json.loads(overrides.read_text())
    assert settings == course.LAB_SETTINGS
    assert settings["@jupyter-widgets/jupyterlab-manager:plugin"] == {"saveState": True}


def test_set_up_runs_again_when_the_requirements_change(folder):
    assert start(folder).wait() == 0
    with (folder / "constraints.txt").open("a") as file:
        file.write("\nseven==7\n")
    assert start(folder).wait() == 0
    assert log(folder).count("install ends") == 2


def test_set_up_runs_again_where_the_folder_was_moved(folder):
    assert start(folder).wait() == 0
    moved = folder.rename(folder.parent / "elsewhere")
    assert start(moved).wait() == 0
    assert log(moved).count("install ends") == 2


def test_a_killed_set_up_is_repeated(folder):
    killed = start(folder, seconds=60)
    wait_for(lambda: log(folder) == ["install begins"])
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (folder / ".venv/course.stamp").exists()
    assert start(folder).wait() == 0
    assert log(folder)[1:] == ["install begins", "install ends", "check"]


def test_a_changed_set_up_that_is_killed_does_not_keep_the_old_stamp(folder):
    assert start(folder).wait() == 0
    old = (folder / "constraints.txt").read_text()
    (folder / "constraints.txt").write_text(old + "\nseven==7\n")
    killed = start(folder, seconds=60)
    wait_for(lambda: log(folder).count("install begins") == 2)
    killed.kill()
    killed.wait()
    (folder / "constraints.txt").write_text(old)
    assert start(folder).wait() == 0
    assert log(folder).count("install ends") == 2


@pytest.mark.skipif(os.name == "nt", reason="no file lock on Windows")
def test_the_second_of_two_set_ups_waits_and_then_has_nothing_to_do(folder):
    first = start(folder, seconds=1.5)
    wait_for(lambda: log(folder) == ["install begins"])
    second = start(folder)
    said, _ = second.communicate()
    assert first.wait() == 0 and second.returncode == 0
    assert "Another set-up is running in this folder" in said
    assert log(folder) == ["install begins", "install ends", "check"]


def test_half_installed_packages_are_dropped(folder, monkeypatch):
    monkeypatch.setattr(course, "VENV", folder / ".venv")
    site = folder / ".venv/lib/python3.11/site-packages"
    for name in ("whole-1.dist-info", "half-1.dist-info", "~old"):
        (site / name).mkdir(parents=True)
    (site / "whole-1.dist-info" / "RECORD").touch()
    course.drop_half_installed()
    assert [path.name for path in site.iterdir()] == ["whole-1.dist-info"]


@pytest.mark.parametrize(
    ("errors", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
         "The disk is full"),
        ("OSError: [Errno 30] Read-only file system: '.course.lock'", "may not write in"),
        ("PermissionError: [Errno 13] Permission denied: '.venv'", "may not write in"),
        ("WARNING: Retrying after connection broken by 'NewConnectionError'\n"
         "ERROR: No matching distribution found for torch", "cannot reach the package index"),
        ("ERROR: No matching distribution found for torch==9", "no version for this Python"),
        ("ERROR: something new", "The set-up failed: run it again"),
    ],
)  # fmt: skip
def test_each_fault_gets_its_sentence(errors, sentence):
    assert sentence in course.explain(errors)


def test_no_network_for_real(tmp_path, monkeypatch, capfd):
    """pip asks an index on a port where nobody listens."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    command = [sys.executable, "-m", "pip", "install", "--target", tmp_path, "no-such-package-7"]
    with (tmp_path / "lock").open("w") as lock, pytest.raises(SystemExit) as end:
        course.step(command, lock)
    assert "cannot reach the package index" in str(end.value)
    assert len(str(end.value).splitlines()) == 1
    assert capfd.readouterr().err == ""


def test_no_venv_module(monkeypatch):
    monkeypatch.setattr(course.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="python3-venv"):
        course.make_venv(None)


def test_row_1_an_environment_that_the_course_did_not_make_is_not_cleared(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "VENV", tmp_path)
    monkeypatch.setattr(course, "PYTHON", tmp_path / "bin" / "python")
    commands = []
    monkeypatch.setattr(course, "step", lambda command, lock: commands.append(command))
    (tmp_path / "pyvenv.cfg").write_text("uv = 0.9.1\n")
    with pytest.raises(SystemExit, match="did not make it: rename it"):
        course.make_venv(None)
    assert not commands
    for half_made in ("command = python3 -m venv --clear /course/.venv\n", None):
        (tmp_path / "pyvenv.cfg").unlink()
        if half_made:
            (tmp_path / "pyvenv.cfg").write_text(half_made)
        else:
            tmp_path.rename(tmp_path.with_name("gone"))
        course.make_venv(None)
    assert [command[3] for command in commands] == ["--clear"] * 2


def test_an_installation_that_does_not_import(monkeypatch):
    monkeypatch.setattr(course, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(course, "CHECK", "raise RuntimeError('operator nms does not exist')")
    with pytest.raises(SystemExit, match=r"nms does not exist\n.*torch comes from elsewhere"):
        course.check_installation()


def test_a_read_only_folder(monkeypatch):
    def refuse():
        raise PermissionError(13, "Permission denied", ".course.lock")

    monkeypatch.setattr(course, "set_up", refuse)
    with pytest.raises(SystemExit, match="copy the course to a folder of your own"):
        course.main(["test"])


def test_without_a_display_it_says_how_to_go_on(monkeypatch, capsys):
    started = []
    monkeypatch.setattr(course, "become", started.append)
    monkeypatch.setattr(course, "has_browser", lambda: False)
    monkeypatch.setattr(course.subprocess, "call", lambda command, cwd: 0)
    course.lab([])
    assert "--no-browser" in started[0]
    assert "python3 course.py run" in capsys.readouterr().out


def test_an_unknown_word_is_answered_with_the_help():
    with pytest.raises(SystemExit, match="There is no 'tset'"):
        course.main(["tset"])


@pytest.mark.parametrize(
    ("arguments", "at_once", "paths"),
    [
        ([], course.AT_ONCE, ["tests", "notebooks"]),
        (["-x"], course.AT_ONCE, ["tests", "notebooks"]),
        (["--all", "-n", "0"], course.AT_ONCE, ["tests", "notebooks"]),
        (["tests/test_course.py"], (), []),
        (["tests/test_course.py::test_ruff", "-x"], (), []),
    ],
)
def test_what_test_hands_to_pytest(arguments, at_once, paths, monkeypatch):
    started = []
    monkeypatch.setattr(course, "become", started.append)
    course.test(arguments)
    assert started == [["-m", "pytest", *course.NBVAL, *at_once, *arguments, *paths]]


@pytest.mark.parametrize(
    ("word", "module"),
    [
        ("copy", ["tools.my_notebooks", "copy"]),
        ("reset", ["tools.my_notebooks", "reset"]),
        ("run", ["tools.notebooks", "run"]),
        ("refresh", ["tools.notebooks", "refresh"]),
        ("site", ["tools.build_site"]),
    ],
)
def test_what_the_other_words_start(word, module, monkeypatch):
    started = []
    monkeypatch.setattr(course, "become", started.append)
    monkeypatch.setattr(course, "set_up", lambda: None)
    course.main([word, "03"])
    assert started == [["-m", *module, "03"]]
    assert f"python3 course.py {word}" in course.__doc__
