"""Atomic writes: a file is written whole or not at all; a crash leaves the old one."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, *pieces: bytes | memoryview, previous: Path | None = None) -> None:
    """Replace a file in one step, so that whoever reads it finds the old or the new one.

    It is written under another name beside its place, forced onto the disk, and then renamed.

    Args:
        path: of the file; its folder exists.
        pieces: what is written, one after the other.
        previous: where the file that was there goes; None to replace it.

    Raises:
        OSError: it cannot be written; the file that was there is untouched.
    """
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"{path} cannot be written ({error.strerror}); make room or choose another folder; "
            "the file that was there is whole",
        ) from error
    if previous and path.exists():
        os.replace(path, previous)
    os.replace(part, path)
    if os.name != "nt":  # Windows cannot open a folder, and needs no such call
        # Without it a power cut may undo the renaming.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
