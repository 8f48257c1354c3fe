"""A folder of images and a folder of label maps: PNG files whose pixels say which object it is.

Value 0 is the background, every other value is one object of that image. ``classes.json`` beside
the folders names the classes by value: ``{"1-99": "cat", "100-199": "dog", "255": null}``, where
null means "no object" and ``"*"`` every value that is not listed. Without it all are of one class.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from .annotations import Source, load_json
from .faults import Fault, short
from .images import image_size, open_image
from .rle import encode_rle
from .rules import is_text
from .via import ONE_CLASS, SKIPPED

FOLDERS = (("images", "masks"), ("images", "labels"), ("PNGImages", "PedMasks"))
SUFFIXES = ("", "_mask", "_label", "_instance")  # of the map's name, after the image's
IMAGES = (".png", ".jpg", ".jpeg")
CLASSES = "classes.json"
MAX_OBJECTS = 1000  # in one map; more means that it is a photograph


def read_label_maps(root: str | Path) -> Source | None:
    """Turn a folder of label maps into the content of a COCO file.

    Args:
        root: Holds ``images/`` and ``masks/``, or the folders of Penn-Fudan.

    Returns:
        The data set, ids in order of file name; None when there are no such folders.

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
    files, maps = (
        {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in endings}
        for folder, endings in zip(pairs[0], (IMAGES, (".png",)), strict=True)
    )
    faults: list[Fault] = []
    images, rows = [], []
    for stem, file in files.items():
        found = [maps.pop(stem + suffix) for suffix in SUFFIXES if stem + suffix in maps]
        skip = partial(_skip, faults, root, f"image {file.name}")
        size, objects = _read_pair(file, found, classes, skip) or (None, [])
        if size is not None:
            images.append({"file_name": file.name, **size, "id": len(images) + 1})
        for row in objects:
            rows.append({**row, "id": len(rows) + 1, "image_id": len(images), "iscrowd": 0})
    for path in maps.values():
        message, hint = "belongs to no image", "add the image, or remove the map"
        _skip(faults, root, f"map {path.name}", "map alone", "name", path.name, message, hint)
    categories = [{"id": k, "name": name} for k, name in enumerate(classes.names, start=1)]
    data = {"images": images, "annotations": rows, "categories": categories}
    return Source(root, "label maps", data, pairs[0][0], faults)


def _skip(
    faults: list[Fault],
    root: Path,
    where: str,
    kind: str,
    field: str,
    value: object,
    message: str,
    hint: str,
) -> None:
    """Note a fault; what it concerns is left out."""
    file, value = str(root), short(value)
    faults.append(Fault(kind, field, value, message, hint, SKIPPED, where=where, file=file))


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
        row = bisect_right(self.ranges, value, key=lambda row: row[0]) - 1
        if row >= 0 and value <= self.ranges[row][1]:
            return self.ranges[row][2]
        return self.rest


def _read_pair(
    file: Path, maps: list[Path], classes: _Classes, skip: Callable[..., None]
) -> tuple[dict, list[dict]] | None:
    """Size and objects of an image; None after a fault of the whole image."""
    if len(maps) != 1:
        hint = "an image without objects needs a map of zeros"
        names = [path.name for path in maps]
        return skip("no map", "label maps", names, "must be exactly one with this name", hint)
    try:
        height, width = image_size(file)
        values = _read_map(maps[0])  # [H, W]
    except ValueError as error:
        return skip("unreadable image", "", file.name, str(error), "replace the file")
    if values.shape != (height, width):
        message, hint = f"is not the image's {[height, width]}", "use the map of this image"
        return skip("map size", "map size", list(values.shape), message, hint)
    present = [int(value) for value in np.unique(values) if value]
    if len(present) > MAX_OBJECTS:
        message, hint = f"are over {MAX_OBJECTS}: this is no label map", "use the map of this image"
        return skip("no label map", "values", len(present), message, hint)
    objects = []
    for value in present:
        name = classes[value]
        if name is False:
            message, hint = f"in {maps[0].name} has no class", f"add it to {CLASSES}"
            skip("value without class", "value", value, message, hint)
        elif name is not None:
            row = {"category_id": classes.names.index(name) + 1}
            row["segmentation"] = encode_rle(values == value)
            objects.append(row | {"origin": f"map {maps[0].name}, value {value}"})
    return {"height": height, "width": width}, objects


def _read_map(path: Path) -> np.ndarray:
    """Values ``int64[H, W]``: grey levels or palette entries, never colours."""
    with open_image(path) as image:
        image.load()
        if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
            raise OSError(f"mode {image.mode}: a label map has one channel, grey or palette")
        values = np.array(image).astype(np.int64)  # [H, W]
    return values
