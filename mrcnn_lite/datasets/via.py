"""Polygons drawn with the VGG Image Annotator (VIA 1 and 2): an exported JSON file or a project.

A file maps a key to ``filename`` and ``regions``, a list (VIA 2) or an object (VIA 1) of regions,
each with ``shape_attributes`` (the shape) and ``region_attributes`` (the class). A project holds
the same under ``_via_img_metadata``. Sizes of images are not in it, so their headers are read.
"""

import math
from collections import Counter
from pathlib import Path

from .annotations import ONE_CLASS, Skip, Source, skipping
from .faults import short
from .image_files import ImageFiles
from .images import image_size
from .values import is_name, is_numbers, one_form, to_numbers

PROJECT = "_via_img_metadata"
VIA_3 = {"project", "metadata", "file"}
CLASS_NAMES = ("class", "label", "category", "name", "type", "object")  # usual attribute names
CORNERS = 72  # of a circle
FIELDS = {
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}


def is_via(data: object) -> bool:
    """Whether the content of a JSON file is VIA's: an export or a project of VIA 1, 2 or 3."""
    if not isinstance(data, dict) or "annotations" in data:
        return False
    if PROJECT in data or data.keys() >= VIA_3:
        return True
    entries = list(data.values())
    named = [e for e in entries if isinstance(e, dict) and "filename" in e and "regions" in e]
    return 2 * len(named) > len(entries)


def read_via(source: Source, attribute: str | None = None) -> Source:
    """Turn VIA's annotations into the content of a COCO file.

    Args:
        source: The file, with VIA's content.
        attribute: The region attribute that holds the class; default the only one, or the only
            one with a usual name such as "class" or "label".

    Returns:
        The data set, image ids counted from 1 in order of file name, class ids in order of class
        name. What has a fault is left out of the content.

    Raises:
        ValueError: When it is a project of VIA 3, or the class attribute is not clear.
    """
    path, faults = source.path, list(source.faults)
    if PROJECT not in source.data and source.data.keys() >= VIA_3:
        raise ValueError(f"{path}: a project of VIA 3; export it from there as COCO JSON")
    entries = source.data.get(PROJECT, source.data)
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: {PROJECT} must be an object of images; export it again")
    names = {key: e.get("filename") if isinstance(e, dict) else None for key, e in entries.items()}
    files = ImageFiles(names.values(), path, source.image_folder)
    images: dict[str, dict] = {}
    taken: set[Path] = set()
    for key, entry in entries.items():
        name = names[key]
        with skipping(faults, path, f"image {short(name or key)}"):
            images[name] = _read_image(entry, name, files, taken)
    images = {name: {"id": k, **images[name]} for k, name in enumerate(sorted(images), start=1)}
    regions = {name: image.pop("regions") for name, image in images.items()}
    name = attribute or _class_attribute([r for rows in regions.values() for r in rows], path)
    rows = []
    for image in images.values():
        for number, region in enumerate(regions[image["file_name"]]):
            where = f"image {short(image['file_name'])}, regions[{number}]"
            with skipping(faults, path, where):
                row = _read_region(region, name) | {"iscrowd": 0, "origin": where}
                rows.append({"id": len(rows) + 1, "image_id": image["id"], **row})
    classes = sorted({row["class"] for row in rows})
    for row in rows:
        row["category_id"] = classes.index(row.pop("class")) + 1
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    data = {"images": list(images.values()), "annotations": rows, "categories": categories}
    return Source(path, "VIA", data, source.image_folder, faults)


def _read_image(entry: object, name: object, files: ImageFiles, taken: set[Path]) -> dict:
    if not files.take(name):
        message, hint = "is not a file name", "name an image inside the folder"
        raise Skip("file name", "filename", name, message, hint)
    regions = entry.get("regions")
    regions = list(regions.values()) if isinstance(regions, dict) else regions
    if not isinstance(regions, list):
        message, hint = "must be a list or an object", "export it again"
        raise Skip("regions", "regions", regions, message, hint)
    try:
        path = files.path(name)
        height, width = image_size(path)
    except ValueError as error:
        message, hint = f"cannot be opened ({error})", "restore the image or remove the entry"
        raise Skip("unreadable image", "filename", name, message, hint) from error
    if path in taken:
        message, hint = "is already used by another entry", "join the two entries"
        raise Skip("image twice", "filename", name, message, hint)
    taken.add(path)
    return {"file_name": name, "height": height, "width": width, "regions": regions}


def _class_attribute(regions: list, path: Path) -> str | None:
    counts: Counter[str] = Counter()
    for region in regions:
        attributes = region.get("region_attributes") if isinstance(region, dict) else None
        counts.update(map(one_form, attributes) if isinstance(attributes, dict) else ())
    usual = [name for name in counts if name.lower() in CLASS_NAMES]
    for names in (list(counts), usual):
        if len(names) == 1:
            return names[0]
    if not counts:
        return None
    raise ValueError(
        f"{path}: region_attributes has {', '.join(map(short, sorted(counts)))}; which one is the "
        "class? Say it: verify --attribute NAME --repair OUT, or open_dataset(attribute=NAME)"
    )


def _read_region(region: object, attribute: str | None) -> dict:
    region = region if isinstance(region, dict) else {}
    attributes, shape = region.get("region_attributes"), region.get("shape_attributes")
    name = _read_class(attributes, attribute)
    if name is None:
        message, hint = "gives no single class", "choose the class in VIA"
        raise Skip("class", "region_attributes", attributes, message, hint)
    try:
        return {"class": name, "segmentation": [_read_shape(shape)]}
    except ValueError as error:
        hint = "draw it again, or remove the region"
        raise Skip("shape", "shape_attributes", shape, str(error), hint) from error


def _read_class(attributes: object, name: str | None) -> str | None:
    """The class; a checkbox holds its choices as keys whose value is true."""
    if name is None:
        return ONE_CLASS
    attributes = attributes if isinstance(attributes, dict) else {}
    value = {one_form(key): value for key, value in attributes.items()}.get(one_form(name))
    if isinstance(value, dict):
        chosen = [key for key, on in value.items() if on is True]
        value = chosen[0] if len(chosen) == 1 else None
    return one_form(value.strip()) if is_name(value) else None


def _read_shape(shape: object) -> list[float]:
    """The polygon x, y, x, y, ...; an error says what is wrong with the shape."""
    name = shape.get("name") if isinstance(shape, dict) else None
    if name in ("polygon", "polyline"):
        xs, ys = (to_numbers(shape.get(f"all_points_{axis}")) for axis in "xy")
        if not (is_numbers(xs) and is_numbers(ys) and len(xs) == len(ys)):
            fields = "all_points_x and all_points_y"
            raise ValueError(f"must have {fields}: finite numbers, as many of each")
        if len(xs) < 3:
            raise ValueError("has fewer than three points")
        return [value for point in zip(xs, ys, strict=True) for value in point]
    if not isinstance(name, str) or name not in FIELDS:
        raise ValueError("has no area; polygon, polyline, rect, circle and ellipse are read")
    values = to_numbers([shape.get(field) for field in FIELDS[name]])
    if not is_numbers(values) or min(values[2:]) <= 0:
        raise ValueError(f"must have finite {', '.join(FIELDS[name])} above 0")
    x, y, *sides = values
    if name == "rect":
        width, height = sides
        return [x, y, x + width, y, x + width, y + height, x, y + height]
    theta = to_numbers([shape.get("theta", 0)])  # radians, clockwise on the screen
    angle = theta[0] if is_numbers(theta) else 0.0
    polygon = []
    for turn in (2 * math.pi * number / CORNERS for number in range(CORNERS)):
        a, b = sides[0] * math.cos(turn), sides[-1] * math.sin(turn)
        polygon.append(x + a * math.cos(angle) - b * math.sin(angle))
        polygon.append(y + a * math.sin(angle) + b * math.cos(angle))
    return polygon
