"""What the command line prints: on any console, to a reader that leaves, when it is stopped."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from traceback import format_exc

import numpy as np
import pytest
from PIL import Image
from torch.multiprocessing import ProcessRaisedException

from mrcnn_lite.cli import commands, main
from mrcnn_lite.cli.commands import console

NAMES = ["Nuß", "猫", "\u0065\u0301", "→"]  # at least one is foreign to every encoding below


def data_set(folder, faults=0):
    """A data set whose names are not ASCII; each fault is one annotation of an unknown class."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for k, name in enumerate(NAMES, start=1):
        Image.new("RGB", (10, 8)).save(folder / "images" / f"{name}.png")
        square = {"bbox": [2, 1, 4, 3], "segmentation": [[2, 1, 6, 1, 6, 4, 2, 4]]}
        rows.append({"id": k, "image_id": k, "category_id": k, **square})
    rows += [dict(rows[0], id=9 + k, category_id=99) for k in range(faults)]
    data = {
        "images": [
            {"id": k, "file_name": f"{name}.png", "height": 8, "width": 10}
            for k, name in enumerate(NAMES, start=1)
        ],
        "categories": [{"id": k, "name": name} for k, name in enumerate(NAMES, start=1)],
        "annotations": rows,
    }
    path = folder / "ß猫.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.fixture
def encoded(monkeypatch):
    """Makes a console of an encoding; gives what was written to it."""

    def make(encoding):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            monkeypatch.setattr(sys, name, stream)

        def written():
            for stream in streams:
                stream.flush()
            return [stream.buffer.getvalue().decode(encoding) for stream in streams]

        return written

    return make


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-8", "cp932"])
def test_row_17_verify_on_any_console(tmp_path, encoded, encoding):
    path = data_set(tmp_path / "Ø猫", faults=3)
    written = encoded(encoding)
    assert main(["verify", str(path), "--repair", str(tmp_path / "copy猫")]) == 1
    out, err = written()
    assert err == "" and "3 faults" in out and "a copy without 3 faults" in out
    cat = "猫".encode(encoding, "backslashreplace").decode(encoding)
    assert f"{cat} 1" in out and f"copy{cat}" in out
    report = (tmp_path / "copy猫" / "report.txt").read_text(encoding="utf-8")
    assert "猫" in report


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_row_17_a_mistake_is_told_on_any_console(tmp_path, encoded, encoding):
    written = encoded(encoding)
    assert main(["verify", str(tmp_path / "猫.json")]) == 2
    assert r"\u732b.json: no such file" in written()[1]


def test_row_17_help_on_any_console(encoded):
    for command in commands.RUN:
        written = encoded("ascii")
        with contextlib.suppress(SystemExit):
            main([command, "--help"])
        assert f"mrcnn_lite {command}" in written()[0]


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names there are text")
def test_row_17_file_names_that_are_no_text(tmp_path, encoded):
    for folder in ("images", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        name = os.fsencode(tmp_path / "set" / folder) + b"/\xff.png"
        with open(name, "wb") as file:
            Image.fromarray(np.eye(8, dtype=np.uint8)).save(file, format="PNG")
    written = encoded("utf-8")
    assert main(["verify", str(tmp_path / "set")]) == 1
    assert r"\udcff.png" in written()[0] and "is not a file name" in written()[0]


def test_a_console_is_left_as_it_was(capsys):
    before = sys.stdout, sys.stderr
    with console():
        print("a", end="")
    assert (sys.stdout, sys.stderr) == before and capsys.readouterr().out == "a"


def test_row_22_what_nobody_reads_is_dropped(monkeypatch):
    """A pipe whose reader left: the command goes on, and nothing is said at the end."""
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        os.close(reader)
        with console():
            for _ in range(3):
                print("x" * 100_000, flush=True)
            done = True
    assert done


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_told(tmp_path, monkeypatch, capsys):
    path = data_set(tmp_path)
    stream = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115 - closing it fails too
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["verify", str(path)]) == 2
    with pytest.raises(OSError, match="No space"):
        stream.close()
    assert "No space left" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_row_22_verify_into_head(tmp_path):
    path = data_set(tmp_path, faults=3000)
    line = f'"{sys.executable}" -m mrcnn_lite verify "{path}" | head -n 1; exit ${{PIPESTATUS[0]}}'
    home = Path(__file__).parents[2]
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=home)
    assert done.returncode == 1, done.stderr  # as without head
    assert done.stderr == "" and done.stdout.count("\n") == 1


@pytest.mark.parametrize("command", ["verify", "evaluate", "predict", "train"])
def test_row_22_stopped_by_hand(monkeypatch, capsys, command):
    def stop(options):
        raise KeyboardInterrupt

    monkeypatch.setitem(commands.RUN, command, stop)
    words = {
        "verify": ["x.json"],
        "evaluate": ["--weights", "w", "--data", "shapes"],
        "predict": ["--weights", "w", "a.png", "--out", "o"],
        "train": ["--data", "shapes", "--out", "o", "--steps", "1", "--workers", "1"],
    }
    assert main([command, *words[command]]) == 130
    message = capsys.readouterr().err
    assert f"mrcnn_lite {command}: stopped" in message
    assert ("--resume" in message) == (command == "train")


@pytest.mark.parametrize(
    "error", [ValueError("a.json: 2 faults\nkind: 3\n  more"), OSError("full")]
)
def test_an_error_of_a_training_process_is_told_whole(monkeypatch, capsys, error):
    """It arrives as the text of a traceback."""

    def fail(*arguments):
        try:
            try:
                raise KeyError("first")
            except KeyError as first:
                raise error from first
        except Exception:
            text = f"\n\n-- Process 1 terminated with the following error:\n{format_exc()}"
        raise ProcessRaisedException(text, 1, 123)

    monkeypatch.setattr(commands, "launch", fail)
    words = ["train", "--data", "shapes", "--out", "o", "--steps", "1"]
    assert main(words) == 2
    assert capsys.readouterr().err == f"mrcnn_lite train: {error}\n"


def test_a_bug_in_a_training_process_keeps_its_traceback(monkeypatch):
    def fail(*arguments):
        raise ProcessRaisedException("Traceback (most recent call last):\n  x\nKeyError: 3", 1, 123)

    monkeypatch.setattr(commands, "launch", fail)
    with pytest.raises(ProcessRaisedException):
        main(["train", "--data", "shapes", "--out", "o", "--steps", "1"])
