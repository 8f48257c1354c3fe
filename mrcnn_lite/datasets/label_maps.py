"""A folder of images and a folder of label maps: PNG files whose pixels say which object they are.

Value 0 is the background, every other value is one object of that image. ``classes.json`` beside
the folders names the classes by value: ``{"1-99": "cat", "100-199": "dog", "255": null}``, where
null means "no object" and ``"*"`` every value that is not listed. Without it all are of one class.
"""

import re
from pathlib import Path

import numpy as np

from .annotations import IMAGES, ONE_CLASS, Skip, Source, load_json, skipping
from .faults import Fault
from .images import image_size, open_image
from .rle import encode_rle
from .values import is_name, one_form

FOLDERS = (("images", "masks"), ("images", "labels"), ("PNGImages", "PedMasks"))
SUFFIXES = ("", "_mask", "_label", "_instance")  # of the map's name, after the image's
OTHERS = (".bmp", ".gif", ".tif", ".tiff", ".webp")  # images that are not read, but seen
CLASSES = "classes.json"
AS_PNG = "export the maps as PNG: a lossy format such as JPEG changes their values"
SHADES = 10  # so many values without a 2 x 2 square are no small objects
MAX_OBJECTS = 1000  # in one map; more means that it is a photograph


def read_label_maps(root: str | Path, image_folder: str | Path | None = None) -> Source | None:
    """Turn a folder of label maps into the content of a COCO file.

    Args:
        root: Holds ``images/`` and ``masks/``, or the folders of Penn-Fudan; folders in them too.
        image_folder: Where the images lie, if not there.

    Returns:
        The data set, ids in order of file name; None when there are no such folders.

    Raises:
        ValueError: When ``classes.json`` is wrong, or no map is a PNG file.
    """
    root = Path(root)
    pairs = [(Path(image_folder or root / images), root / masks) for images, masks in FOLDERS]
    pairs = [pair for pair in pairs if pair[0].is_dir() and pair[1].is_dir()]
    if not pairs:
        return None
    classes, rest = _read_classes(root / CLASSES)
    names = list(dict.fromkeys(name for name in [*classes.values(), rest] if name))
    files, maps = map(_by_stem, pairs[0])
    _check_maps(pairs[0][1], [path for same in maps.values() for path in same])
    faults: list[Fault] = []
    images, rows = [], []
    for stem, same in files.items():
        # A map that has an image's whole name is that image's: a_mask.png of a_mask.jpg, not a.jpg.
        stems = [stem + suffix for suffix in SUFFIXES if not suffix or stem + suffix not in files]
        found = [path for name in stems for path in maps.pop(name, [])]
        for file in same:
            name = file.relative_to(pairs[0][0]).as_posix()
            with skipping(faults, root, f"image {name}"):
                _check_pair(same, found)
                values = _read_values(file, found[0])  # [H, W]
                size = {"height": values.shape[0], "width": values.shape[1]}
                images.append({"id": len(images) + 1, "file_name": name, **size})
                for value in np.unique(values).tolist():
                    chosen = classes.get(value, rest)
                    if value == 0 or chosen is None:
                        continue
                    with skipping(faults, root, f"image {name}"):
                        if chosen is False:
                            message = f"in {found[0].name} has no class"
                            hint = f"add it to {CLASSES}"
                            raise Skip("value without class", "value", value, message, hint)
                        row = {"id": len(rows) + 1, "image_id": len(images), "iscrowd": 0}
                        row["category_id"] = names.index(chosen) + 1
                        row["segmentation"] = encode_rle(values == value)
                        rows.append(row | {"origin": f"map {found[0].name}, value {value}"})
    for path in (path for same in maps.values() for path in same):
        with skipping(faults, root, f"map {path.name}"):
            message, hint = "belongs to no image", "add the image, or remove the map"
            raise Skip("map alone", "name", path.name, message, hint)
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    data = {"images": images, "annotations": rows, "categories": categories}
    return Source(root, "label maps", data, pairs[0][0], faults)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """Image files by name without its ending: two may differ in nothing else."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in place.parts)
        if path.suffix.lower() in (*IMAGES, *OTHERS) and not hidden:
            files.setdefault(one_form(place.with_suffix("").as_posix()), []).append(path)
    return files


def _check_maps(folder: Path, maps: list[Path]) -> None:
    """Some map is PNG; where none is, one sentence instead of one for every image."""
    endings = sorted({path.suffix.lower() for path in maps})
    if maps and ".png" not in endings:
        raise ValueError(
            f"{folder}: its {len(maps)} label maps are {', '.join(endings)} files; {AS_PNG}"
        )


def _check_pair(same: list[Path], found: list[Path]) -> None:
    """One image of this name, one map of it, in formats that keep what they hold."""
    if len(same) > 1:
        shown, message = [path.name for path in same], "differ in their endings only"
        raise Skip("same name", "names", shown, message, "rename one of the images, and its map")
    (file,) = same
    if file.suffix.lower() in OTHERS:
        raise Skip("image format", "name", file.name, "is not PNG or JPEG", "convert it")
    if len(found) != 1:
        hint, shown = "an image without objects needs a map of zeros", [path.name for path in found]
        raise Skip("no map", "label maps", shown, "must be exactly one with this name", hint)
    if found[0].suffix.lower() != ".png":
        raise Skip("map format", "label map", found[0].name, "is not PNG", AS_PNG)


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
            classes |= dict.fromkeys(values, name and one_form(name))
    rest = rules.get("*", False)
    return dict(sorted(classes.items())), one_form(rest) if isinstance(rest, str) else rest


def _read_values(file: Path, path: Path) -> np.ndarray:
    """Values ``int64[H, W]`` of the map of an image: grey levels or palette entries."""
    try:
        size = image_size(file)
        with open_image(path) as image:
            image.load()
            if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
                raise OSError(f"mode {image.mode}: a label map has one channel, grey or palette")
            form, values = image.format, np.array(image).astype(np.int64)  # [H, W]
    except ValueError as error:
        raise Skip("unreadable image", "", file.name, str(error), "replace the file") from error
    if form != "PNG":
        raise Skip("map format", "label map", path.name, f"is a {form} file", AS_PNG)
    if values.shape != size:
        message, hint = f"is not the image's {list(size)}", "use the map of this image"
        raise Skip("map size", "map size", list(values.shape), message, hint)
    objects, hint = np.count_nonzero(np.unique(values)), "use the map of this image"
    if objects > MAX_OBJECTS:
        message = f"are over {MAX_OBJECTS}: this is no label map"
        raise Skip("no label map", "values", objects, message, hint)
    if (edges := objects - _solid(values)) > max(SHADES, objects / 2):
        message = f"of {objects} values in {path.name} are on edges only, as smoothing makes them"
        hint = "export the map as PNG without smoothing or scaling; a JPEG is not mended by that"
        raise Skip("smooth map", "values", edges, message, hint)
    return values


def _solid(values: np.ndarray) -> int:
    """How many values but 0 fill 2 x 2 pixels somewhere; all where the map is narrower."""
    here = values[1:, 1:]  # [H - 1, W - 1]
    same = (here == values[:-1, :-1]) & (here == values[:-1, 1:]) & (here == values[1:, :-1])
    return np.count_nonzero(np.unique(here[same] if here.size else values))
