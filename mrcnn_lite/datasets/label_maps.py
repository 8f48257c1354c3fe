"""A folder of pictures and a folder of label maps: PNG files whose pixels say which object it is.

Value 0 is the background, every other value is one object of that picture. ``classes.json`` beside
the folders names the classes by value: ``{"1-99": "cat", "100-199": "dog", "255": null}``, where
null means "no object" and ``"*"`` every value that is not listed. Without it all are of one class.
"""

import re
from bisect import bisect_right
from pathlib import Path

import numpy as np

from .annotations import load_json
from .entry_rules import is_text
from .faults import SKIPPED, Fault, Place
from .pictures import open_picture, picture_size
from .rle import encode_rle

FOLDERS = (("images", "masks"), ("images", "labels"), ("PNGImages", "PedMasks"))
SUFFIXES = ("", "_mask", "_label", "_instance")  # of the map's name, after the picture's
PICTURES = (".png", ".jpg", ".jpeg")
CLASSES, ONE_CLASS = "classes.json", "object"
MAX_OBJECTS = 1000  # in one map; more means that it is a photograph


def read_label_maps(root: str | Path) -> tuple[dict, Path, list[Fault]] | None:
    """Turn a folder of label maps into the content of a COCO file.

    Args:
        root: Holds ``images/`` and ``masks/``, or the folders of Penn-Fudan.

    Returns:
        The content (ids in order of file name), the folder of the pictures and the faults; None
        when there are no such folders.

    Raises:
        ValueError: When ``classes.json`` is wrong.
    """
    root = Path(root)
    pairs = [
        (root / a, root / b) for a, b in FOLDERS if (root / a).is_dir() and (root / b).is_dir()
    ]
    if not pairs:
        return None
    classes = _Classes(root / CLASSES)
    pictures, maps = (
        {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in endings}
        for folder, endings in zip(pairs[0], (PICTURES, (".png",)), strict=True)
    )
    faults: list[Fault] = []
    images, rows = [], []
    for stem, picture in pictures.items():
        found = [maps.pop(stem + suffix) for suffix in SUFFIXES if stem + suffix in maps]
        place = Place(str(root), origin=f"picture {picture.name}")
        image = _read_pair(picture, found, classes, place, faults)
        if image is not None:
            objects = image.pop("objects")
            images.append(image | {"id": len(images) + 1})
            for row in objects:
                rows.append(row | {"id": len(rows) + 1, "image_id": len(images), "iscrowd": 0})
    for path in maps.values():
        words, cure = "belongs to no picture", "add the picture, or remove the map"
        place = Place(str(root), origin=f"map {path.name}")
        faults.append(place.fault("map alone", "name", path.name, words, cure, SKIPPED))
    categories = [
        {"id": number, "name": name} for number, name in enumerate(classes.names, start=1)
    ]
    return {"images": images, "annotations": rows, "categories": categories}, pairs[0][0], faults


class _Classes:
    """Class of a value, from ``classes.json``."""

    def __init__(self, path: Path) -> None:
        rules = {"*": ONE_CLASS}
        if path.is_file():
            rules, faults = load_json(path)
            if faults:
                raise ValueError(str(faults[0]))
        if not isinstance(rules, dict) or not rules:
            raise ValueError(f'{path}: must be an object such as {{"1-99": "cat", "255": null}}')
        self.ranges: list[tuple[int, int, str | None]] = []
        self.rest: str | bool | None = rules.get("*", False)
        for key, name in rules.items():
            match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", key)
            if (key != "*" and not match) or not (
                name is None or (isinstance(name, str) and name.strip() and is_text(name))
            ):
                raise ValueError(
                    f"{path}: {key!r}: {name!r} must be a value, a range such as 1-99 or *, and a "
                    "class name or null"
                )
            if match:
                self.ranges.append((int(match[1]), int(match[2] or match[1]), name))
        self.ranges.sort(key=lambda row: row[:2])
        for before, after in zip(self.ranges, self.ranges[1:]):
            if after[0] <= before[1]:
                raise ValueError(f"{path}: {before} and {after} overlap; give a value one class")
        names = [*(name for *_, name in self.ranges), self.rest]
        self.names = list(dict.fromkeys(name for name in names if isinstance(name, str)))

    def __getitem__(self, value: int) -> str | bool | None:
        """Class name, None for "no object", False for a value without a rule."""
        place = bisect_right(self.ranges, value, key=lambda row: row[0]) - 1
        if place >= 0 and value <= self.ranges[place][1]:
            return self.ranges[place][2]
        return self.rest


def _read_pair(
    picture: Path, found: list[Path], classes: _Classes, place: Place, faults: list[Fault]
) -> dict | None:
    if len(found) != 1:
        words = "must be exactly one with this name"
        cure = "a picture without objects needs a map of zeros"
        names = [path.name for path in found]
        faults.append(place.fault("no map", "label maps", names, words, cure, SKIPPED))
        return None
    try:
        size = picture_size(picture)
        values = _read_map(found[0])
    except ValueError as error:
        cure = "replace the file"
        faults.append(place.fault("picture", "", picture.name, str(error), cure, SKIPPED))
        return None
    if values.shape != size:
        words, cure = f"is not the picture's {list(size)}", "use the map of this picture"
        faults.append(place.fault("map size", "map size", list(values.shape), words, cure, SKIPPED))
        return None
    objects = []
    present = [int(value) for value in np.unique(values) if value]
    if len(present) > MAX_OBJECTS:
        words, cure = f"are over {MAX_OBJECTS}: this is no label map", "use the map of this picture"
        faults.append(place.fault("no label map", "values", len(present), words, cure, SKIPPED))
        return None
    for value in present:
        name = classes[value]
        if name is False:
            words, cure = f"in {found[0].name} has no class", f"add it to {CLASSES}"
            faults.append(place.fault("value without class", "value", value, words, cure, SKIPPED))
        elif name is not None:
            row = {"category_id": classes.names.index(name) + 1}
            row["segmentation"] = encode_rle(values == value)
            objects.append(row | {"origin": f"map {found[0].name}, value {value}"})
    height, width = size
    return {"file_name": picture.name, "height": height, "width": width, "objects": objects}


def _read_map(path: Path) -> np.ndarray:
    """Values ``int64[H, W]``: grey levels or palette places, never colours."""
    with open_picture(path) as picture:
        picture.load()
        if picture.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
            raise OSError(f"mode {picture.mode}: a label map has one channel, grey or palette")
        values = np.array(picture).astype(np.int64)  # [H, W]
    return values
