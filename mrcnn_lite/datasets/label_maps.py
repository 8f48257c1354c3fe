"""A folder of images and a folder of label maps: PNG files whose pixels say which object they are.

Value 0 is the background, every other value is one object of that image. ``classes.json`` beside
the folders names the classes by value: ``{"1-99": "cat", "100-199": "dog", "255": null}``, where
null means "no object" and ``"*"`` every value that is not listed. Without it all are of one class.
"""

import re
from pathlib import Path

import numpy as np

from .annotations import ONE_CLASS, Skip, Source, load_json, skipping
from .faults import Fault
from .images import image_size, open_image
from .rle import encode_rle
from .rules import is_name

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
    pairs = [(root / images, root / masks) for images, masks in FOLDERS]
    pairs = [pair for pair in pairs if pair[0].is_dir() and pair[1].is_dir()]
    if not pairs:
        return None
    classes, rest = _read_classes(root / CLASSES)
    names = list(dict.fromkeys(name for name in [*classes.values(), rest] if name))
    files, maps = (
        {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in endings}
        for folder, endings in zip(pairs[0], (IMAGES, (".png",)), strict=True)
    )
    faults: list[Fault] = []
    images, rows = [], []
    for stem, file in files.items():
        where = f"image {file.name}"
        with skipping(faults, root, where):
            found = [maps.pop(stem + suffix) for suffix in SUFFIXES if stem + suffix in maps]
            values = _read_values(file, found)  # [H, W]
            size = {"height": values.shape[0], "width": values.shape[1]}
            images.append({"id": len(images) + 1, "file_name": file.name, **size})
            for value in (int(value) for value in np.unique(values) if value):
                name = classes.get(value, rest)
                with skipping(faults, root, where):
                    if name is False:
                        message, hint = f"in {found[0].name} has no class", f"add it to {CLASSES}"
                        raise Skip("value without class", "value", value, message, hint)
                    if name is not None:
                        row = {"id": len(rows) + 1, "image_id": len(images), "iscrowd": 0}
                        row["category_id"] = names.index(name) + 1
                        row["segmentation"] = encode_rle(values == value)
                        rows.append(row | {"origin": f"map {found[0].name}, value {value}"})
    for path in maps.values():
        with skipping(faults, root, f"map {path.name}"):
            message, hint = "belongs to no image", "add the image, or remove the map"
            raise Skip("map alone", "name", path.name, message, hint)
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    data = {"images": images, "annotations": rows, "categories": categories}
    return Source(root, "label maps", data, pairs[0][0], faults)


def _read_classes(path: Path) -> tuple[dict[int, str | None], str | bool | None]:
    """Class by value, in order of value, and that of the rest: None no object, False no rule."""
    rules = {"*": ONE_CLASS}
    if path.is_file():
        rules, faults = load_json(path)
        if faults:
            raise ValueError(str(faults[0]))
    if not isinstance(rules, dict) or not rules:
        raise ValueError(f'{path}: must be an object such as {{"1-99": "cat", "255": null}}')
    classes: dict[int, str | None] = {}
    for key, name in rules.items():
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?|[*]", key)
        if not match or not (name is None or is_name(name)):
            raise ValueError(
                f"{path}: {key!r}: {name!r} must be a value, a range such as 1-99 or *, and a "
                "class name or null"
            )
        if key != "*":
            values = range(int(match[1]), int(match[2] or match[1]) + 1)
            if not classes.keys().isdisjoint(values):
                raise ValueError(f"{path}: {key!r} overlaps another; give a value one class")
            classes |= dict.fromkeys(values, name)
    return dict(sorted(classes.items())), rules.get("*", False)


def _read_values(file: Path, maps: list[Path]) -> np.ndarray:
    """Values ``int64[H, W]`` of the one map of an image: grey levels or palette entries."""
    if len(maps) != 1:
        hint, names = "an image without objects needs a map of zeros", [path.name for path in maps]
        raise Skip("no map", "label maps", names, "must be exactly one with this name", hint)
    try:
        size = image_size(file)
        with open_image(maps[0]) as image:
            image.load()
            if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
                raise OSError(f"mode {image.mode}: a label map has one channel, grey or palette")
            values = np.array(image).astype(np.int64)  # [H, W]
    except ValueError as error:
        raise Skip("unreadable image", "", file.name, str(error), "replace the file") from error
    hint = "use the map of this image"
    if values.shape != size:
        message = f"is not the image's {list(size)}"
        raise Skip("map size", "map size", list(values.shape), message, hint)
    objects = np.count_nonzero(np.unique(values))
    if objects > MAX_OBJECTS:
        message = f"are over {MAX_OBJECTS}: this is no label map"
        raise Skip("no label map", "values", objects, message, hint)
    return values
