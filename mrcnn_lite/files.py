"""Writing files: never over what somebody else wrote, and whole or not at all."""

import os
import re
from pathlib import Path

HEAD = 256  # bytes by which a file is recognised
PART = ".{}.mrcnn_lite.part"  # where a file is written before it gets its name


def output_folder(path: Path, option: str) -> Path:
    """Make the folder that an option of the command line names, and its parents.

    Raises:
        ValueError: it, or one of its parents, is a file.
        OSError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{option} {path}: is, or lies in, a file; name a folder") from error
    return path


def check_output(path: Path, option: str, ours: bytes) -> None:
    """Refuse to replace a file that the same command did not write; make its folder.

    Args:
        path: of the file that will be written.
        option: of the command line, for the message.
        ours: a regular expression that the beginning of every file of this command matches.

    Raises:
        ValueError: there is a folder, a device, or somebody else's file.
    """
    output_folder(path.parent, option)
    if path.is_dir():
        raise ValueError(f"{option} {path}: is a folder; name a file")
    if os.path.lexists(path) and not is_ours(path, ours):
        raise ValueError(
            f"{option} {path}: exists, and this command did not write it; choose another name"
        )


def is_ours(path: Path, ours: bytes) -> bool:
    """Whether a file begins as those of a command do; see `check_output`."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return re.match(ours, file.read(HEAD), re.DOTALL) is not None


def write_whole(path: Path, *pieces: bytes | memoryview, previous: Path | None = None) -> None:
    """Replace a file in one step, so that whoever reads it finds the old or the new one.

    It is written under another name beside its place, forced onto the disk, and then renamed. That
    name is hidden and short: `photo.jpg.part` may be a download, and a name can have 255 bytes.

    Args:
        path: of the file; its folder exists.
        pieces: what is written, one after the other.
        previous: where the file that was there goes; None to replace it.

    Raises:
        OSError: it cannot be written; the file that was there is untouched.
    """
    part = path.with_name(PART.format(path.name[:40]))
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
