"""The rules for one entry of a COCO file: an id, a picture, a box, an outline."""

from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from .faults import DROP, DROP_PART, INTEGER, REBOX, Fault, Place, is_integer, is_numbers
from .rle import MAX_PIXELS, check_rle


def integer_or(value: object, otherwise: str) -> str:
    """The remedy for an id that is not an integer: 7.0 and "7" can only mean 7.

    Args:
        value: Of the id.
        otherwise: The remedy for anything else.

    Returns:
        A remedy of `faults`.
    """
    return INTEGER if to_integer(value) is not None else otherwise


def to_integer(value: object) -> int | None:
    """Read 7.0 and "7" as 7.

    Args:
        value: Of an id.

    Returns:
        The integer, or None when the value is anything else.
    """
    if isinstance(value, float) and value.is_integer() and is_integer(int(value)):
        return int(value)
    plain = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16
    return int(value) if plain else None


def find_image_faults(image: dict, place: Place) -> Iterator[Fault]:
    """Check one entry of ``images``.

    Args:
        image: The entry.
        place: Where it stands.

    Yields:
        Its faults.
    """
    name = image.get("file_name")
    if not isinstance(name, str) or not name.strip("./\\ ") or not is_text(name):
        yield place.fault(
            "file name", "file_name", name, "is not a file name", "name the picture", DROP
        )
    elif (
        PurePosixPath(name).is_absolute()
        or PureWindowsPath(name).drive
        or ".." in name.replace("\\", "/").split("/")
    ):
        words, cure = "leaves the image folder", "use a path inside it"
        yield place.fault("file name", "file_name", name, words, cure, DROP)
    for side in ("height", "width"):
        if not is_integer(image.get(side)) or image[side] < 1:
            words, cure = "is not a positive number of pixels", "write the picture's size"
            yield place.fault("image size", side, image.get(side), words, cure, DROP)
            return
    if image["height"] * image["width"] > MAX_PIXELS:
        yield place.fault(
            "image size",
            "height x width",
            image["height"] * image["width"],
            f"pixels ({image['height']} x {image['width']}) are over {MAX_PIXELS}",
            "scale the picture down",
            DROP,
        )


def find_annotation_faults(
    row: dict, place: Place, images: dict, categories: set
) -> Iterator[Fault]:
    """Check one entry of ``annotations``.

    Args:
        row: The entry.
        place: Where it stands.
        images: By id: the entry of the image, and whether that is without fault.
        categories: The known ids.

    Yields:
        Its faults; the outline is only checked against an image without fault.
    """
    for field, known, name in (
        ("image_id", images, "images"),
        ("category_id", categories, "categories"),
    ):
        value = row.get(field)
        if not is_integer(value) or value not in known:
            remedy = integer_or(value, DROP)
            cure = f"correct it, add it to the {name}, or remove the annotation"
            yield place.fault(
                f"unknown {field}", field, value, f"is not among the {name}", cure, remedy
            )
    crowd = row.get("iscrowd", 0)
    if crowd not in (0, 1):
        yield place.fault("iscrowd", "iscrowd", crowd, "is not 0 or 1", "write 0 or 1", DROP)
    area = row.get("area")
    if area is not None and (not is_numbers([area]) or area < 0):
        words, cure = "is not a number of pixels", "leave it out: it is computed"
        yield place.fault("area", "area", area, words, cure, REBOX)
    yield from _find_box_faults(row.get("bbox"), place)
    identity = row.get("image_id")
    image, sound = images.get(identity, (None, False)) if is_integer(identity) else (None, False)
    if sound:
        yield from _find_outline_faults(row.get("segmentation"), image, place)


def _find_box_faults(box: object, place: Place) -> Iterator[Fault]:
    if box is None:
        return
    if not is_numbers(box) or len(box) != 4:
        words = "must be four finite numbers [x, y, width, height]"
        yield place.fault("box", "bbox", box, words, "correct or remove the annotation", REBOX)
    elif box[2] <= 0 or box[3] <= 0:
        words = "has no area (width and height come last)"
        yield place.fault("flat box", "bbox", box, words, "correct or remove the annotation", REBOX)


def _find_outline_faults(outline: object, image: dict, place: Place) -> Iterator[Fault]:
    height, width = image["height"], image["width"]
    if isinstance(outline, dict):
        size = outline.get("size")
        if size != [height, width]:
            words = f"differs from the image's [{height}, {width}]"
            yield place.fault("RLE size", "segmentation.size", size, words, "encode again", DROP)
            return
        try:
            check_rle(outline)
        except ValueError as error:
            counts = outline.get("counts")
            cure = "write the mask again with the COCO tools"
            words = f"cannot be decoded ({error})"
            yield place.fault("RLE", "segmentation.counts", counts, words, cure, DROP)
        return
    if not isinstance(outline, list) or not outline:
        words, cure = "must be polygons or RLE", "draw the outline, or remove the annotation"
        yield place.fault("no outline", "segmentation", outline, words, cure, DROP)
        return
    found = [(part, _polygon_fault(polygon, height, width)) for part, polygon in enumerate(outline)]
    found = [(part, fault) for part, fault in found if fault]
    rest = len(found) < len(outline)
    for part, (kind, words, empty) in found:
        remedy = DROP_PART if empty and rest else DROP
        fault = place.fault(
            kind, f"segmentation[{part}]", outline[part], words, "correct or remove it", remedy
        )
        yield Fault(**{**fault.__dict__, "part": part})


def _polygon_fault(polygon: object, height: int, width: int) -> tuple[str, str, bool] | None:
    """Kind, words, and whether the polygon certainly adds no pixel."""
    if not is_numbers(polygon) or len(polygon) % 2:
        return "polygon", "must be an even number of finite coordinates x, y, x, y", False
    if len(polygon) < 6:
        return "polygon too short", "has fewer than three points", True
    xs, ys = polygon[0::2], polygon[1::2]
    if max(xs) <= 0 or max(ys) <= 0 or min(xs) >= width or min(ys) >= height:
        return "polygon outside", f"lies outside the {width} x {height} image", True
    if min(xs) < -width or min(ys) < -height or max(xs) > 2 * width or max(ys) > 2 * height:
        # a far-away point would cost the rasteriser memory in proportion to its distance
        return "polygon far out", f"reaches far beyond the {width} x {height} image", False
    return None


def is_text(text: str) -> bool:
    """Whether every system can write a text as a name.

    Args:
        text: Of a name or a path.

    Returns:
        False for control characters, halves of characters and names of more than 255 bytes.
    """
    try:
        parts = text.replace("\\", "/").split("/")
        short = all(len(part.encode("utf-8")) < 256 for part in parts)
    except UnicodeEncodeError:
        return False
    return short and all(ord(letter) >= 32 and ord(letter) != 127 for letter in text)
