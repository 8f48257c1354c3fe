"""The learner's copies of the notebooks, in a folder that git ignores; `course.py` calls this.

copy        copies what is not there yet, and brings updates of the course into the copies
reset NAME  puts a fresh copy in place of one; the old one stays beside it

A copy holds a hash of every cell as the course had it. So an update knows what the learner wrote:
the course's new notebook takes those cells over, and the old copy stays beside it.
"""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
COPIES = ROOT / "my_notebooks"  # beside `notebooks`, so that relative links and paths lead on
MARK = "mrcnn_lite"  # in a copy's metadata: cell id -> hash of the cell as the course had it


def hash_of(cell: dict) -> str:
    """What tells an edited cell; outputs do not count."""
    return hashlib.sha256("".join(cell["source"]).encode()).hexdigest()[:12]


def hashes(notebook: dict) -> dict[str, str]:
    """Cell id to hash, for every cell."""
    return {cell["id"]: hash_of(cell) for cell in notebook["cells"]}


def read(path: Path) -> dict:
    """A notebook; one that is not JSON or has no cells with ids is an error."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    hashes(notebook)
    return notebook


def write(notebook: dict, path: Path) -> None:
    """Replace the file in one step: a program that is stopped leaves the old one."""
    half = path.with_name(f"{path.name}.part")
    half.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(half, path)


def set_aside(path: Path) -> Path:
    """Rename a copy to the next free name, such as 03_roi_align.old1.ipynb."""
    number = 1
    while (old := path.with_name(f"{path.stem}.old{number}.ipynb")).exists():
        number += 1
    return path.rename(old)


def merged(copy: dict, original: dict, edited: set[str]) -> dict:
    """The course's notebook with the learner's edited cells, each where it stands in the copy."""
    cells = list(original["cells"])
    ids = [cell["id"] for cell in cells]
    row = -1  # of the cell before, in the new notebook
    for cell in copy["cells"]:
        if cell["id"] in ids:
            row = ids.index(cell["id"])
            if cell["id"] in edited:
                cells[row] = cell
        elif cell["id"] in edited:  # the learner's own, or one that the course has dropped
            row += 1
            cells.insert(row, cell)
            ids.insert(row, cell["id"])
    return {**original, "cells": cells}


def update(original_path: Path, copy_path: Path) -> str:
    """Make a copy, or bring the course's changes into it.

    Args:
        original_path: the course's notebook.
        copy_path: the learner's, which need not exist.

    Returns:
        What happened to a copy that was there, as a sentence; "" if nothing did.
    """
    original = read(original_path)
    now = hashes(original)
    marked = {**original, "metadata": {**original["metadata"], MARK: now}}
    if not copy_path.exists():
        write(marked, copy_path)
        return ""
    try:
        copy = read(copy_path)
    except (ValueError, KeyError, TypeError):
        old = set_aside(copy_path)
        write(marked, copy_path)
        return f"{copy_path.name} cannot be read and is now {old.name}; here is a fresh copy."
    before = copy["metadata"].get(MARK, {})
    if before == now:
        return ""
    edited = {name for name, found in hashes(copy).items() if found != before.get(name)}
    edited -= {name for name in edited if hashes(copy)[name] == now.get(name)}
    if not edited:
        write(marked, copy_path)
        return f"{copy_path.name}: the course has a new version; you had changed nothing in yours."
    both = [name for name in edited & before.keys() & now.keys() if now[name] != before[name]]
    old = set_aside(copy_path)
    write(merged(copy, marked, edited), copy_path)
    told = f"{copy_path.name}: the course's new version, with what you wrote (cells: {len(edited)}"
    told += f"; changed by the course too: {len(both)}" if both else ""
    return f"{told}). Your old copy is {old.name}."


def copy_all() -> None:
    """Make the copies that are missing and update the others, each change told."""
    COPIES.mkdir(exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        told = update(path, COPIES / path.name)
        if told:
            print(told, flush=True)


def reset(names: Sequence[str]) -> None:
    """Put fresh copies in place of those whose names begin so; the old ones stay beside them."""
    for name in names:
        stem = Path(name).stem  # 07 is 07_..., and not 07b_... too
        found = sorted(NOTEBOOKS.glob(f"{stem}_*.ipynb")) or sorted(
            NOTEBOOKS.glob(f"{stem}*.ipynb")
        )
        if not found:
            every = ", ".join(path.stem for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")))
            sys.exit(f"No notebook begins with {name!r}; there are {every}.")
        for path in found:
            copy = COPIES / path.name
            if copy.exists():
                print(f"{copy.name} is fresh; your old copy is {set_aside(copy).name}.")
    copy_all()


def main(words: Sequence[str]) -> None:
    """Do what the first word says, `copy` or `reset`; without a NAME, `reset` asks for one."""
    if words[0] == "reset" and not words[1:]:
        sys.exit("Which notebook? For example: python3 course.py reset 03")
    try:
        reset(words[1:]) if words[0] == "reset" else copy_all()
    except OSError as error:
        sys.exit(f"No copies in {COPIES}: {error.strerror}.")


if __name__ == "__main__":
    main(sys.argv[1:])
