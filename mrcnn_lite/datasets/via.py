"""Outlines drawn with the VGG Image Annotator (VIA 1 and 2): an exported JSON file or a project.

A file maps a key to ``filename`` and ``regions``, a list (VIA 2) or an object (VIA 1) of regions,
each with ``shape_attributes`` (the outline) and ``region_attributes`` (the class). A project holds
the same under ``_via_img_metadata``. Sizes of pictures are not in it, so their headers are read.
"""

import math
from collections import Counter
from pathlib import Path

from .entry_rules import is_text
from .faults import SKIPPED, Fault, Place, is_numbers, short
from .pictures import picture_size

PROJECT = "_via_img_metadata"
CLASS_NAMES = ("class", "label", "category", "name", "type", "object")  # usual attribute names
ONE_CLASS = "object"  # when no region has a class
CORNERS = 72  # of a circle
_FIELDS = {
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
}


def is_via(data: object) -> bool:
    """Whether the content of a JSON file is VIA's.

    Args:
        data: The parsed JSON.

    Returns:
        True for an export and for a project, of VIA 1, 2 or 3.
    """
    if not isinstance(data, dict) or "annotations" in data:
        return False
    if PROJECT in data or {"project", "metadata", "file"} <= data.keys():
        return True
    entries = list(data.values())
    named = [e for e in entries if isinstance(e, dict) and "filename" in e and "regions" in e]
    return 2 * len(named) > len(entries)


def read_via(
    data: dict, file: str, folder: Path, attribute: str | None = None
) -> tuple[dict, list[Fault]]:
    """Turn VIA's annotations into the content of a COCO file.

    Args:
        data: The parsed JSON.
        file: Its name, for the faults.
        folder: Where the pictures lie.
        attribute: The region attribute that holds the class; default the only one, or the only
            one with a usual name such as "class" or "label".

    Returns:
        The content, image ids counted from 1 in order of file name, class ids in order of class
        name; and the faults. What they concern is left out of the content.

    Raises:
        ValueError: When it is a project of VIA 3, or the class attribute is not clear.
    """
    if PROJECT not in data and {"project", "metadata", "file"} <= data.keys():
        raise ValueError(f"{file}: a project of VIA 3; export it from there as COCO JSON")
    entries = data.get(PROJECT, data)
    faults: list[Fault] = []
    if not isinstance(entries, dict):
        words = "must be an object of pictures"
        fault = Place(file).fault("not VIA", PROJECT, entries, words, "export it again")
        return {"images": [], "annotations": [], "categories": []}, [fault]
    pictures = _read_entries(entries, Place(file), folder, faults)
    regions = [region for _, regions in pictures for region in regions]
    name = attribute or _class_attribute([region for _, region in regions], file)
    rows = _read_regions(pictures, name, faults, file)
    classes = sorted({row["class"] for row in rows})
    for row in rows:
        row["category_id"] = classes.index(row.pop("class")) + 1
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    images = [image for image, _ in pictures]
    return {"images": images, "annotations": rows, "categories": categories}, faults


def _read_entries(
    entries: dict, place: Place, folder: Path, faults: list[Fault]
) -> list[tuple[dict, list]]:
    """The pictures in order of file name, each with (place in words, region) of its regions."""
    found: dict[str, tuple[dict, list]] = {}
    for key, entry in entries.items():
        name = entry.get("filename") if isinstance(entry, dict) else None
        where = Place(place.file, origin=f"picture {short(name or key)}")
        if not isinstance(name, str) or not is_text(name) or ".." in Path(name).parts or not name:
            words, cure = "is not a file name", "name a picture inside the folder"
            faults.append(where.fault("file name", "filename", name, words, cure, SKIPPED))
            continue
        regions = entry.get("regions")
        if isinstance(regions, dict):
            regions = list(regions.values())
        if not isinstance(regions, list):
            words, cure = "must be a list or an object", "export it again"
            faults.append(where.fault("regions", "regions", regions, words, cure, SKIPPED))
            continue
        if name in found:
            words, cure = "is already used by another entry", "join the two entries"
            faults.append(where.fault("picture twice", "filename", name, words, cure, SKIPPED))
            continue
        try:
            height, width = picture_size(folder / name)
        except ValueError as error:
            words, cure = f"cannot be opened ({error})", "restore the picture or remove the entry"
            faults.append(where.fault("picture", "filename", name, words, cure, SKIPPED))
            continue
        image = {"file_name": name, "height": height, "width": width}
        origins = [f"picture {short(name)}, regions[{number}]" for number in range(len(regions))]
        found[name] = image, list(zip(origins, regions, strict=True))
    pictures = [found[name] for name in sorted(found)]
    return [({"id": number} | image, rows) for number, (image, rows) in enumerate(pictures, 1)]


def _class_attribute(regions: list, file: str) -> str | None:
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
        f"{file}: region_attributes has {', '.join(map(short, sorted(counts)))}; which one is the "
        "class? Say it: verify --attribute NAME --repair OUT, or open_dataset(attribute=NAME)"
    )


def _read_regions(
    pictures: list[tuple[dict, list]], attribute: str | None, faults: list[Fault], file: str
) -> list[dict]:
    rows = []
    for image, regions in pictures:
        for origin, region in regions:
            place = Place(file, origin=origin)
            region = region if isinstance(region, dict) else {}
            name = _read_class(region.get("region_attributes"), attribute)
            outline = _read_shape(region.get("shape_attributes"))
            if name is None:
                words, cure = "gives no single class", "choose the class in VIA"
                value = region.get("region_attributes")
                fault = place.fault("class", "region_attributes", value, words, cure, SKIPPED)
            elif isinstance(outline, str):
                value, cure = region.get("shape_attributes"), "draw it again, or remove the region"
                fault = place.fault("shape", "shape_attributes", value, outline, cure, SKIPPED)
            else:
                row = {"id": len(rows) + 1, "image_id": image["id"], "class": name, "iscrowd": 0}
                rows.append(row | {"segmentation": [outline], "origin": origin})
                continue
            faults.append(fault)
    return rows


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
    """The outline x, y, x, y, ... or what is wrong with it."""
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
    if name == "rect":
        x, y, width, height = values
        return [x, y, x + width, y, x + width, y + height, x, y + height]
    theta = shape.get("theta", 0)  # radians, clockwise on the screen
    angle = theta if is_numbers([theta]) else 0.0
    rx, ry = values[2], values[-1]
    outline = []
    for turn in (2 * math.pi * number / CORNERS for number in range(CORNERS)):
        a, b = rx * math.cos(turn), ry * math.sin(turn)
        outline.append(values[0] + a * math.cos(angle) - b * math.sin(angle))
        outline.append(values[1] + a * math.sin(angle) + b * math.cos(angle))
    return outline
