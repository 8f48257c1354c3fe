"""Values of an annotation file in COCO's form, where what they mean is certain.

Tools write the same thing in several ways: ``"48"`` or ``48.0`` for 48, a single polygon as a flat
list or as points. What is certain is read as it was meant; all else is left for `rules` to judge.
"""

import re
import unicodedata
from typing import Any

INTEGERS = {
    "images": ("id", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "iscrowd"),
    "categories": ("id",),
}
LARGEST_INTEGER = 2**53  # up to here every library holds integers exactly
_NUMBER = re.compile(r"[+-]?[0-9]{1,16}(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")


def tidy(section: str, entry: dict) -> dict:
    """An entry of a section in COCO's form; the same one when it already is."""
    new: dict[str, Any] = {}
    for name in INTEGERS[section]:
        number = to_integer(entry.get(name))
        if number is not None and type(entry[name]) is not int:
            new[name] = number
    if section == "annotations":
        if entry.get("iscrowd", 0) is None or isinstance(entry.get("iscrowd"), bool):
            new["iscrowd"] = int(bool(entry["iscrowd"]))
        readers = {"area": _number, "bbox": to_numbers, "segmentation": _segmentation}
        for name in readers.keys() & entry.keys():
            if (value := readers[name](entry[name])) is not entry[name]:
                new[name] = value
    elif section == "categories":
        name = _class_name(entry.get("name"))
        new |= {} if name is entry.get("name") else {"name": name}
    return entry | new if new else entry


def _class_name(value: object) -> object:
    """A text in one Unicode form; 7 is "7"."""
    name = str(value) if type(value) is int else value
    return one_form(name) if isinstance(name, str) and one_form(name) != value else value


def _segmentation(value: object) -> object:
    """RLE with integers, or a list of flat polygons."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]
    if isinstance(value, dict):
        whole = {name: _integers(value.get(name)) for name in ("size", "counts")}
        changed = {name: new for name, new in whole.items() if new is not value.get(name)}
        return value | changed if changed else value
    return _polygons(value) if isinstance(value, list) and value else value


def _polygons(value: list) -> list:
    if len(value) >= 6 and len(value) % 2 == 0 and all(to_number(v) is not None for v in value):
        return [to_numbers(value)]  # x, y, x, y, …
    # Two rings of points stay as they are: the second may be a part or a hole.
    points = value[0] if len(value) == 1 and isinstance(value[0], list) else value
    if len(points) >= 3 and all(isinstance(p, list) and len(p) == 2 for p in points):
        return [to_numbers([v for point in points for v in point])]
    if points is not value and points and all(isinstance(p, list) for p in points):
        value = points  # wrapped once too often
    polygons = [to_numbers(polygon) for polygon in value]
    same = all(new is old for new, old in zip(polygons, value, strict=True))
    return value if same else polygons


def _number(value: object) -> object:
    number = to_number(value)
    return value if number is None else number


def _integers(value: object) -> object:
    """A list as integers; itself when it is one already, or something in it is no integer."""
    if not isinstance(value, list) or all(type(v) is int for v in value):
        return value
    integers = [to_integer(v) for v in value]
    return value if None in integers else integers


def is_integer(value: object) -> bool:
    """Whether a value is an integer that every library holds: not True, not 2**60."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_INTEGER


def to_integer(value: object) -> int | None:
    """Read 7, 7.0, "7" and "7.0" as 7, and everything else as None."""
    value = to_number(value) if isinstance(value, str) else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if is_integer(value) else None


def to_number(value: object) -> Any:
    """Read "4.5" as 4.5; a number is itself, everything else None."""
    if not isinstance(value, str):
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if not _NUMBER.fullmatch(value.strip()):
        return None
    return float(value) if set(value) & set(".eE") else int(value)


def to_numbers(value: object) -> Any:
    """A list with its texts as numbers; itself when there is no text, or something is no number."""
    if not isinstance(value, list) or not any(isinstance(v, str) for v in value):
        return value
    numbers = [to_number(v) for v in value]
    return value if None in numbers else numbers


def is_numbers(values: object, largest: float = 1e9) -> bool:
    """Whether a value is a list of finite numbers, none larger than this (NaN is not, either)."""
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= largest
        for value in values
    )


def is_name(value: object) -> bool:
    """Whether a value is a text that every system can write as a name."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        parts = value.encode("utf-8").replace(b"\\", b"/").split(b"/")
    except UnicodeEncodeError:  # half a character
        return False
    return max(map(len, parts)) < 256 and min(map(ord, value)) >= 32 and "\x7f" not in value


def one_form(name: str) -> str:
    """A name in one of its Unicode forms: "é" may be one character, or "e" and an accent."""
    return unicodedata.normalize("NFC", name)
