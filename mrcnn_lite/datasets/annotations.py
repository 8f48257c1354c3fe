"""Reading a COCO annotation file and checking it, so that nothing later meets a surprise."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .entry_rules import find_annotation_faults, find_image_faults, integer_or, is_text
from .faults import DROP, DROP_ALL, RENUMBER, Fault, Place, is_integer, refuse, short

SECTIONS = ("images", "annotations", "categories")
MAX_MASK_BYTES = 2**31  # of all masks of one picture; they are decoded together


def read_annotations(path: str | Path) -> dict:
    """Read a COCO file and refuse it when it has faults.

    Args:
        path: JSON file with ``images``, ``annotations`` and ``categories``.

    Returns:
        The content of the file.

    Raises:
        ValueError: Names the file and, for the first faults, image, annotation, field, value, cure.
    """
    data, faults = load_json(path)
    refuse(faults or find_faults(data, str(path)))
    return data


def load_json(path: str | Path) -> tuple[object, list[Fault]]:
    """Parse a JSON file.

    Args:
        path: Of the file.

    Returns:
        The content, and a fault for every key that an object has twice with different values (the
        parser keeps the last one, so a whole section could be lost).

    Raises:
        ValueError: When there is no such file, or it is not JSON.
    """
    path, repeated = Path(path), []

    def build(pairs: list[tuple[str, object]]) -> dict:
        row = dict(pairs)
        if len(row) < len(pairs):
            repeated.extend(key for key, value in pairs if row[key] != value)
        return row

    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the path of a COCO JSON file")
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=build)
    except RecursionError:
        raise ValueError(f"{path}: not a JSON file that can be read (lists too deep)") from None
    except (ValueError, OSError) as error:  # also integers of thousands of digits
        raise ValueError(f"{path}: not a JSON file ({error}); export it again") from error
    words = "is twice in one object, with two values"
    return data, [
        Place(str(path)).fault("repeated key", "key", key, words, "keep one of them")
        for key in repeated
    ]


def find_faults(data: object, file: str = "") -> Iterator[Fault]:
    """Find everything that is wrong in the content of a COCO file; pictures are not opened.

    Args:
        data: The parsed JSON.
        file: Its name, for the faults.

    Yields:
        The faults: file, then categories, images, annotations in their order.
    """
    place = Place(file)
    if not isinstance(data, dict):
        words = "the file must hold an object with " + ", ".join(SECTIONS)
        yield place.fault("not COCO", "", data, words, "is this a COCO instances file?")
        return
    for section in SECTIONS:
        rows = data.get(section)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            words, cure = "must be a list of objects", "is this a COCO instances file?"
            yield place.fault("not COCO", section, rows, words, cure)
            return
    for section in ("categories", "images", "annotations"):
        yield from _find_id_faults(section, data[section], file)
    for number, category in enumerate(data["categories"]):
        name = category.get("name")
        if not isinstance(name, str) or not name.strip() or not is_text(name):
            origin = f"category {short(category.get('id'))}"
            place = Place(file, "categories", number, origin=origin)
            yield place.fault("no name", "name", name, "is not a text", "name the category", DROP)
    yield from _find_row_faults(data, file)


def _find_id_faults(section: str, rows: list[dict], file: str) -> Iterator[Fault]:
    seen: dict[int, int] = {}
    for number, row in enumerate(rows):
        identity, image = row.get("id"), row.get("image_id")
        if section == "images":
            image = identity
        place = Place(file, section, number, image, identity if section == "annotations" else None)
        if not is_integer(identity):
            lost = RENUMBER if section == "annotations" else DROP
            yield place.fault(
                "id", "id", identity, "is not an integer", "number it", integer_or(identity, lost)
            )
        elif identity in seen:
            first = rows[seen[identity]]
            same = first == row
            remedy = DROP if same else RENUMBER if section == "annotations" else DROP_ALL
            words = f"is already used by {section}[{seen[identity]}]"
            yield place.fault(
                "id twice", "id", identity, words, "give every entry its own id", remedy
            )
        else:
            seen[identity] = number


def _find_row_faults(data: dict, file: str) -> Iterator[Fault]:
    images = {}
    for number, image in enumerate(data["images"]):
        faults = list(find_image_faults(image, Place(file, "images", number, image.get("id"))))
        yield from faults
        if is_integer(image.get("id")):
            images[image["id"]] = (image, not faults)
    categories = {c.get("id") for c in data["categories"] if is_integer(c.get("id"))}
    counts: Counter[int] = Counter()
    for number, row in enumerate(data["annotations"]):
        identity = row.get("image_id")
        origin = row.get("origin", "") if isinstance(row.get("origin", ""), str) else ""
        place = Place(file, "annotations", number, identity, row.get("id"), origin)
        if is_integer(identity):
            counts[identity] += 1
        yield from find_annotation_faults(row, place, images, categories)
    for number, image in enumerate(data["images"]):
        identity = image.get("id")
        if is_integer(identity) and images[identity][1]:
            need = counts[identity] * image["height"] * image["width"]
            if need > MAX_MASK_BYTES:
                words = f"masks of {image['height']} x {image['width']} pixels fill the memory"
                place = Place(file, "images", number, identity)
                yield place.fault(
                    "too many masks", "annotations", counts[identity], words, "cut it up", DROP
                )
