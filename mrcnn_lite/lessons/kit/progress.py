"""What the reader has predicted and passed: a small JSON file that stays on the reader's machine.

The file is `.course-progress.json` in the course's folder, or, where that cannot be written to,
`mrcnn_lite/progress.json` in the folder where the system keeps an application's data. The
environment variable MRCNN_LITE_PROGRESS names another file; with `off` nothing is read or written,
so that a notebook executed for its outputs prints the same on every machine.

Nothing that is wrong with the file stops a notebook: it is said once, and this session remembers.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

from .messages import say

VARIABLE = "MRCNN_LITE_PROGRESS"
OFF = "off"
NAME = ".course-progress.json"

Record = dict[str, dict[str, str]]  # section, such as "predictions" -> name -> value

_remembered: Record = {}  # what this session was told, whether a file took it or not
_complaints: set[str] = set()


def is_on() -> bool:
    """Whether progress is kept beyond this session."""
    return os.environ.get(VARIABLE) != OFF


def _data_folder() -> Path:
    """Where this system keeps what belongs to one user's applications."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if os.name == "nt":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def location() -> Path | None:
    """The file that progress is kept in."""
    if not is_on():
        return None
    wish = os.environ.get(VARIABLE)
    if wish:
        return Path(wish)
    course = Path(__file__).resolve().parents[3]
    if (course / "course.py").is_file() and os.access(course, os.W_OK):
        return course / NAME
    return _data_folder() / "mrcnn_lite" / "progress.json"


def _complain(sentence: str) -> None:
    """Say it once in a session."""
    if sentence not in _complaints:
        _complaints.add(sentence)
        say(sentence)


def _read(path: Path) -> Record | None:
    """What the file holds; None if it is no such file, which must not be written over."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError):
        text = ""
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(text)
        sections = record.values() if isinstance(record, dict) else [None]
        if all(isinstance(section, dict) for section in sections):
            return record
    _complain(
        f"Your progress file cannot be read: {path}. Your answers are remembered until this "
        "notebook closes; delete the file to begin a new one."
    )
    return None


def _write(path: Path, record: Record) -> bool:
    """Replace the file in one step, so that whoever reads it finds the old or the new one."""
    half = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        half.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        _complain(
            f"Your progress cannot be saved in {path} ({error.strerror}). Your answers are "
            "remembered until this notebook closes."
        )
        return False
    return True


def recall(section: str) -> dict[str, str]:
    """What is known of one section."""
    path = location()
    kept = (_read(path) if path else None) or {}
    known = kept.get(section, {}) | _remembered.get(section, {})
    return {name: value for name, value in known.items() if isinstance(value, str)}


def keep(section: str, name: str, value: str) -> bool:
    """Remember a value, in the file too where there is one."""
    _remembered.setdefault(section, {})[name] = value
    path = location()
    record = _read(path) if path else None  # anew, for another notebook may have written
    if path is None or record is None:
        return False
    if record.get(section, {}).get(name) == value:
        return True
    record.setdefault(section, {})[name] = value
    return _write(path, record)
