"""Reading a COCO annotation file and checking it, so that nothing later meets a surprise."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .rle import MAX_PIXELS, check_rle

SECTIONS = ("images", "annotations", "categories")
FAULTS_SHOWN = 5  # in one error
LARGEST = 1e9  # of a coordinate; NaN is not below it either


def read_annotations(path: str | Path) -> dict:
    """Read a COCO file and refuse it when it has faults.

    Args:
        path: JSON file with ``images``, ``annotations`` and ``categories``.

    Returns:
        The content of the file.

    Raises:
        ValueError: Names the file and, for the first faults, image, annotation, field, value, cure.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the path of a COCO JSON file")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from error
    faults = list(find_faults(data))
    if faults:
        more = len(faults) - FAULTS_SHOWN
        lines = faults[:FAULTS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise ValueError(f"{path}: " + "\n  ".join(lines))
    return data


def find_faults(data: object) -> Iterator[str]:
    """Find everything that is wrong in the content of a COCO file.

    Args:
        data: The parsed JSON.

    Yields:
        One sentence per fault: where, field, value, what to do.
    """
    if not isinstance(data, dict):
        yield "the file must hold an object with " + ", ".join(SECTIONS)
        return
    for section in SECTIONS:
        rows = data.get(section)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            yield f"'{section}' must be a list of objects; is this a COCO instances file?"
            return
    for section in SECTIONS:
        yield from _find_id_faults(section, data[section])
    for category in data["categories"]:
        if not isinstance(category.get("name"), str):
            yield f"category {category.get('id')}: name = {category.get('name')!r} is not a text"
    for image in data["images"]:
        yield from _find_image_faults(image)
    images = {image.get("id"): image for image in data["images"] if _is_integer(image.get("id"))}
    categories = {c.get("id") for c in data["categories"] if _is_integer(c.get("id"))}
    for row in data["annotations"]:
        for fault in _find_annotation_faults(row, images, categories):
            yield f"annotation {row.get('id')} of image {row.get('image_id')}: {fault}"


def _find_id_faults(section: str, rows: list[dict]) -> Iterator[str]:
    seen: dict[int, int] = {}
    for place, row in enumerate(rows):
        identity = row.get("id")
        if not _is_integer(identity):
            yield f"{section}[{place}]: id = {identity!r} is not an integer"
        elif identity in seen:
            yield (
                f"{section}[{place}]: id = {identity} is already used by "
                f"{section}[{seen[identity]}]; give every entry its own id"
            )
        else:
            seen[identity] = place


def _find_image_faults(image: dict) -> Iterator[str]:
    name = image.get("file_name")
    where = f"image {image.get('id')}"
    if not isinstance(name, str) or not name:
        yield f"{where}: file_name = {name!r} is not a file name"
    elif PurePosixPath(name).is_absolute() or ".." in name.replace("\\", "/").split("/"):
        yield f"{where}: file_name = {name!r} leaves the image folder; use a path inside it"
    for side in ("height", "width"):
        if not _is_integer(image.get(side)) or image[side] < 1:
            yield f"{where}: {side} = {image.get(side)!r} is not a positive number of pixels"
            return
    if image["height"] * image["width"] > MAX_PIXELS:
        yield f"{where}: {image['height']} x {image['width']} is over {MAX_PIXELS} pixels; scale it"


def _find_annotation_faults(row: dict, images: dict, categories: set) -> Iterator[str]:
    image = images.get(row.get("image_id")) if _is_integer(row.get("image_id")) else None
    if image is None:
        yield f"image_id = {row.get('image_id')!r} is not among the images; remove the annotation"
    if not _is_integer(row.get("category_id")) or row["category_id"] not in categories:
        yield f"category_id = {row.get('category_id')!r} is not among the categories; add it there"
    if row.get("iscrowd", 0) not in (0, 1):
        yield f"iscrowd = {row['iscrowd']!r} must be 0 or 1"
    box = row.get("bbox")
    if box is not None:
        yield from _find_box_faults(box)
    if image is not None and not any(True for _ in _find_image_faults(image)):
        yield from _find_outline_faults(row.get("segmentation"), image)


def _find_box_faults(box: object) -> Iterator[str]:
    if not _is_numbers(box) or len(box) != 4:
        yield f"bbox = {_short(box)} must be four finite numbers [x, y, width, height]"
    elif box[2] <= 0 or box[3] <= 0:
        yield f"bbox = {box} has no area (width, height last); correct or remove the annotation"


def _find_outline_faults(outline: object, image: dict) -> Iterator[str]:
    height, width = image["height"], image["width"]
    if isinstance(outline, dict):
        if outline.get("size") != [height, width]:
            yield f"segmentation size = {_short(outline.get('size'))}, image [{height}, {width}]"
            return
        try:
            check_rle(outline)
        except ValueError as error:
            yield f"segmentation: {error}; write the mask again with the COCO tools"
        return
    if not isinstance(outline, list) or not outline:
        yield f"segmentation = {_short(outline)} must be polygons or RLE; remove the annotation"
        return
    for part, polygon in enumerate(outline):
        if not _is_numbers(polygon) or len(polygon) % 2:
            fault = "must be an even number of finite coordinates x, y, x, y"
        elif len(polygon) < 6:
            fault = "has fewer than three points"
        elif not (_is_near(polygon[0::2], width) and _is_near(polygon[1::2], height)):
            # a far-away point would cost the rasteriser memory in proportion to its distance
            fault = f"lies outside the {width} x {height} image or reaches far beyond it"
        else:
            continue
        yield f"segmentation[{part}] = {_short(polygon)} {fault}; correct or remove it"


def _is_near(values: list[float], side: int) -> bool:
    low, high = min(values), max(values)
    return -side <= low < side and 0 < high <= 2 * side


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_numbers(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
        for value in values
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."
