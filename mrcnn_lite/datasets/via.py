"""Polygons drawn with the VGG Image Annotator (VIA 1 and 2): an exported JSON file or a project.

A file maps a key to ``filename`` and ``regions``, a list (VIA 2) or an object (VIA 1) of regions,
each with ``shape_attributes`` (the shape) and ``region_attributes`` (the class). A project holds
the same under ``_via_img_metadata``. Sizes of images are not in it, so their headers are read.
"""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

from .annotations import Source
from .faults import Fault, short
from .images import image_size
from .rules import is_numbers, is_text

PROJECT = "_via_img_metadata"
VIA_3 = {"project", "metadata", "file"}
CLASS_NAMES = ("class", "label", "category", "name", "type", "object")  # usual attribute names
ONE_CLASS = "object"  # when no region has a class
SKIPPED = "not read"  # what a repair does: the reader has left it out already
CORNERS = 72  # of a circle
_FIELDS = {
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
    if PROJECT not in source.data and source.data.keys() >= VIA_3:
        raise ValueError(f"{source.path}: a project of VIA 3; export it from there as COCO JSON")
    entries, faults = source.data.get(PROJECT, source.data), list(source.faults)
    if not isinstance(entries, dict):
        message, hint = "must be an object of images", "export it again"
        faults.append(Fault("not VIA", PROJECT, short(entries), message, hint))
        entries = {}
    images = _read_images(entries, source.image_folder, faults)
    regions = [
        (image, f"image {short(image['file_name'])}, regions[{number}]", region)
        for image in images
        for number, region in enumerate(image.pop("regions"))
    ]
    name = attribute or _class_attribute([region for *_, region in regions], source.path)
    rows = []
    for image, where, region in regions:
        row = _read_region(region, name, where, faults)
        if row is not None:
            rows.append({"id": len(rows) + 1, "image_id": image["id"], **row})
    classes = sorted({row["class"] for row in rows})
    for row in rows:
        row["category_id"] = classes.index(row.pop("class")) + 1
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    data = {"images": images, "annotations": rows, "categories": categories}
    faults = [replace(fault, file=str(source.path)) for fault in faults]
    return Source(source.path, "VIA", data, source.image_folder, faults)


def _read_images(entries: dict, folder: Path, faults: list[Fault]) -> list[dict]:
    """The images in order of file name, each with its ``regions``."""
    images: dict[str, dict] = {}
    for key, entry in entries.items():
        entry = entry if isinstance(entry, dict) else {}
        name, regions = entry.get("filename"), entry.get("regions")
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        kind, field, value, message = "", "filename", name, ""
        if not isinstance(name, str) or not is_text(name) or ".." in Path(name).parts or not name:
            kind, message = "file name", "is not a file name"
            hint = "name an image inside the folder"
        elif not isinstance(regions, list):
            kind, field, value = "regions", "regions", regions
            message, hint = "must be a list or an object", "export it again"
        elif name in images:
            kind, message = "image twice", "is already used by another entry"
            hint = "join the two entries"
        else:
            try:
                height, width = image_size(folder / name)
            except ValueError as error:
                kind, message = "unreadable image", f"cannot be opened ({error})"
                hint = "restore the image or remove the entry"
        if kind:
            where = f"image {short(name or key)}"
            faults.append(Fault(kind, field, short(value), message, hint, SKIPPED, where=where))
        else:
            size = {"height": height, "width": width}
            images[name] = {"file_name": name, **size, "regions": regions}
    return [{"id": number} | images[name] for number, name in enumerate(sorted(images), start=1)]


def _class_attribute(regions: list, path: Path) -> str | None:
    counts: Counter[str] = Counter()
    for region in regions:
        attributes = region.get("region_attributes") if isinstance(region, dict) else None
        counts.update(attributes.keys() if isinstance(attributes, dict) else ())
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


def _read_region(
    region: object, attribute: str | None, where: str, faults: list[Fault]
) -> dict | None:
    region = region if isinstance(region, dict) else {}
    name = _read_class(region.get("region_attributes"), attribute)
    polygon = _read_shape(region.get("shape_attributes"))
    if name is not None and isinstance(polygon, list):
        return {"class": name, "iscrowd": 0, "segmentation": [polygon], "origin": where}
    if name is None:
        kind, field = "class", "region_attributes"
        message, hint = "gives no single class", "choose the class in VIA"
    else:
        kind, field = "shape", "shape_attributes"
        message, hint = polygon, "draw it again, or remove the region"
    value = short(region.get(field))
    faults.append(Fault(kind, field, value, message, hint, SKIPPED, where=where))
    return None


def _read_class(attributes: object, name: str | None) -> str | None:
    """The class; a checkbox holds its choices as keys whose value is true."""
    if name is None:
        return ONE_CLASS
    value = attributes.get(name) if isinstance(attributes, dict) else None
    if isinstance(value, dict):
        chosen = [key for key, on in value.items() if on is True]
        value = chosen[0] if len(chosen) == 1 else None
    return value.strip() if isinstance(value, str) and value.strip() and is_text(value) else None


def _read_shape(shape: object) -> list[float] | str:
    """The polygon x, y, x, y, ... or what is wrong with the shape."""
    name = shape.get("name") if isinstance(shape, dict) else None
    if name in ("polygon", "polyline"):
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if not (is_numbers(xs) and is_numbers(ys) and len(xs) == len(ys)):
            return "must have all_points_x and all_points_y: finite numbers, as many of each"
        if len(xs) < 3:
            return "has fewer than three points"
        return [value for point in zip(xs, ys, strict=True) for value in point]
    if not isinstance(name, str) or name not in _FIELDS:
        return "has no area; polygon, polyline, rect, circle and ellipse are read"
    values = [shape.get(field) for field in _FIELDS[name]]
    if not is_numbers(values) or min(values[2:]) <= 0:
        return f"must have finite {', '.join(_FIELDS[name])} above 0"
    x, y, *sides = values
    if name == "rect":
        width, height = sides
        return [x, y, x + width, y, x + width, y + height, x, y + height]
    theta = shape.get("theta", 0)  # radians, clockwise on the screen
    angle = theta if is_numbers([theta]) else 0.0
    rx, ry = sides[0], sides[-1]
    polygon = []
    for turn in (2 * math.pi * number / CORNERS for number in range(CORNERS)):
        a, b = rx * math.cos(turn), ry * math.sin(turn)
        polygon.append(x + a * math.cos(angle) - b * math.sin(angle))
        polygon.append(y + a * math.sin(angle) + b * math.cos(angle))
    return polygon
