"""Reading an annotation file; what it holds is judged by `scan`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .faults import Fault, short

IMAGES = (".png", ".jpg", ".jpeg")
ONE_CLASS = "object"  # where no region has a class


@dataclass(frozen=True)
class Source:
    """A data set as it was read, with its faults still in it.

    Args:
        path: The annotation file, or the folder of label maps.
        kind: "COCO", "VIA" or "label maps".
        data: Content of a COCO file; anything at all when the file is wrong.
        image_folder: The only folder in which its images are looked for; None: around the file.
        faults: Found while reading; what they concern is not in ``data``.
    """

    path: Path
    kind: str
    data: object
    image_folder: Path | None
    faults: list[Fault] = field(default_factory=list)


def read_coco(path: str | Path, image_folder: str | Path | None = None) -> Source:
    """Read a COCO file without judging it.

    Args:
        path: The file.
        image_folder: Where its images lie; default as `image_files` says.

    Raises:
        ValueError: When there is no such file, or it is not JSON.
    """
    path = Path(path)
    data, faults = load_json(path)
    return Source(path, "COCO", data, Path(image_folder) if image_folder else None, faults)


def load_json(path: Path) -> tuple[object, list[Fault]]:
    """Parse a JSON file.

    Returns:
        The content, and a fault for every key that an object has twice with different values (the
        parser keeps the last one, so a whole section could be lost).

    Raises:
        ValueError: When there is no such file, or it is not JSON.
    """
    repeated = []

    def build(pairs: list[tuple[str, object]]) -> dict:
        row = dict(pairs)
        if len(row) < len(pairs):
            repeated.extend(key for key, value in pairs if row[key] != value)
        return row

    if path.suffix.lower() in IMAGES:
        raise ValueError(f"{path}: is an image; give the annotation file, or the folder of both")
    if not path.is_file():
        what = "a pattern" if set(path.name) & set("*?[") else "no such file"
        raise ValueError(f"{path}: {what}; give one COCO or VIA JSON file, or one folder")
    try:
        data = json.loads(path.read_bytes(), object_pairs_hook=build)  # UTF-8 or UTF-16
    except RecursionError:
        raise ValueError(f"{path}: not a JSON file that can be read (lists too deep)") from None
    except (ValueError, OSError) as error:  # also integers of thousands of digits
        raise ValueError(f"{path}: not a JSON file ({error}); export it again") from error
    message, hint = "is twice in one object, with two values", "keep one of them"
    return data, [
        Fault("repeated key", "key", short(key), message, hint, file=str(path)) for key in repeated
    ]


class Skip(Exception):
    """What a reader of another format leaves out: kind, field, value, message, hint."""


@contextmanager
def skipping(faults: list[Fault], file: Path, where: str) -> Iterator[None]:
    """Note what is skipped inside the ``with``, at this position, as a fault."""
    try:
        yield
    except Skip as skip:
        kind, field, value, message, hint = skip.args
        told = kind, field, short(value), message, hint, "not read"
        faults.append(Fault(*told, where=where, file=str(file)))
