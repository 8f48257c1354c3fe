"""The rules for a data set in COCO's format, in the order in which `scan` applies them.

A rule takes an entry of the file and what is known of the others, and yields the entry's faults:
what is wrong, what a reader can do (the hint), and what a repair does (the fix). A fix does only
what is certain: it writes some fields anew, or it leaves the entry out.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .faults import Fault, short
from .image_files import REMEDY, ImageFiles
from .images import read_image
from .masks import mask_boxes
from .rle import MAX_PIXELS, check_rle
from .values import is_integer, is_name, is_numbers, to_integer

SECTIONS = ("images", "annotations", "categories")
MAX_MASK_BYTES = 2**31  # of all masks of one image; they are decoded together
BOX_PIXELS, BOX_SHARE = 3.0, 0.1  # a side of bbox that misses the mask by the larger is wrong

DROP = "left out"  # an image with its annotations
DROP_CLASS = "left out with its annotations"
DROP_ALL = "left out with its namesakes"  # every entry that has this id
FILE_SIZE = "taken from the image file"
RENUMBER = "given an id of its own"
REBOX = "computed from the mask"
DROP_POINTS = "points left out"
DROP_PART = "part left out"  # of a segmentation, when it adds no pixel
AS_STORED = "image stored as the annotations saw it"  # without the tag that turns it

NO_BOX = {"bbox": None, "area": None}  # both follow from the mask
CORRECT = "correct or remove the annotation"
Rule = Callable[[dict, Any], Iterator[Fault]]


@dataclass
class Known:
    """What the rules for an entry know of the others; None stands for one that is left out."""

    files: ImageFiles
    images: dict[int, dict | None] = field(default_factory=dict)  # by id
    categories: dict[int, dict | None] = field(default_factory=dict)
    annotations: Counter[int | None] = field(default_factory=Counter)  # number per image id


def has_sections(data: object) -> Iterator[Fault]:
    """The file holds three lists of objects."""
    hint = "is this a COCO instances file?"
    if not isinstance(data, dict):
        message = "the file must hold an object with " + ", ".join(SECTIONS)
        yield _fault("not COCO", "", data, message, hint)
        return
    for section in SECTIONS:
        rows = data.get(section)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            yield _fault("not COCO", section, rows, "must be a list of objects", hint)
            return


def has_name(category: dict, known: Known) -> Iterator[Fault]:
    """A category has a name."""
    name = category.get("name")
    if not is_name(name):
        yield _fault("no name", "name", name, "is not a text", "name the category", DROP_CLASS)


def has_file_name(image: dict, known: Known) -> Iterator[Fault]:
    """The file name of an image stays in the image folder."""
    name = image.get("file_name")
    if not known.files.take(name):
        message, hint = "leaves the image folder", f"use a path inside it, or {REMEDY}"
        if not is_name(name) or not name.strip("./\\ "):
            message, hint = "is not a file name", "name the image"
        yield _fault("file name", "file_name", name, message, hint, DROP)


def has_size(image: dict, known: Known) -> Iterator[Fault]:
    """An image has a height and a width; where they are absent its file has told them."""
    for side in ("height", "width"):
        if not is_integer(image.get(side)) or image[side] < 1:
            message, hint = "is not a positive number of pixels", "write the image's size"
            size = known.files.size(image.get("file_name"))
            change = size and dict(zip(("height", "width"), size, strict=True))
            fix = FILE_SIZE if size else DROP
            yield _fault("image size", side, image.get(side), message, hint, fix, change)
            return


def fits_memory(image: dict, known: Known) -> Iterator[Fault]:
    """The masks of an image fit the memory."""
    if not all(is_integer(image.get(side)) for side in ("height", "width")):
        return  # told already
    height, width = image["height"], image["width"]
    count = known.annotations[to_integer(image.get("id"))]
    if height * width > MAX_PIXELS:
        message, hint = f"pixels ({height} x {width}) are over {MAX_PIXELS}", "scale the image down"
        yield _fault("image size", "height x width", height * width, message, hint, DROP)
    elif count * height * width > MAX_MASK_BYTES:
        message = f"masks of {height} x {width} pixels fill the memory"
        yield _fault("too many masks", "annotations", count, message, "cut it up", DROP)


def has_image_and_category(row: dict, known: Known) -> Iterator[Fault]:
    """An annotation names an image and a category of the file."""
    for section, name, ids in (
        ("images", "image_id", known.images),
        ("categories", "category_id", known.categories),
    ):
        value = row.get(name)
        if not is_integer(value) or value not in ids:
            message = f"is not among the {section}"
            hint = f"correct it, add it to the {section}, or remove the annotation"
            yield _fault(f"unknown {name}", name, value, message, hint, DROP)


def has_crowd_flag(row: dict, known: Known) -> Iterator[Fault]:
    """``iscrowd`` is 0, 1 or absent."""
    crowd = row.get("iscrowd", 0)
    if crowd not in (0, 1):
        yield _fault("iscrowd", "iscrowd", crowd, "is not 0 or 1", "write 0 or 1", DROP)


def has_area(row: dict, known: Known) -> Iterator[Fault]:
    """``area`` is a number from 0 on, or absent."""
    area = row.get("area")
    if area is not None and (not is_numbers([area]) or area < 0):
        message, hint = "is not a number of pixels", "leave it out: it is computed"
        yield _fault("area", "area", area, message, hint, REBOX, NO_BOX)


def has_box(row: dict, known: Known) -> Iterator[Fault]:
    """``bbox`` is x, y, width, height with an area, or absent."""
    box = row.get("bbox")
    if box is None:
        return
    if not is_numbers(box) or len(box) != 4:
        message = "must be four finite numbers [x, y, width, height]"
        yield _fault("box", "bbox", box, message, CORRECT, REBOX, NO_BOX)
    elif box[2] <= 0 or box[3] <= 0:
        message = "has no area (width and height come last)"
        yield _fault("flat box", "bbox", box, message, CORRECT, REBOX, NO_BOX)


def has_keypoints(row: dict, known: Known) -> Iterator[Fault]:
    """``keypoints`` is x, y and v for each name that the category has, or absent."""
    category = known.categories.get(to_integer(row.get("category_id"))) or {}
    names, points = category.get("keypoints"), row.get("keypoints")
    if points is None or not isinstance(names, list):
        return
    good = is_numbers(points) and len(points) == 3 * len(names) and {*points[2::3]} <= {0, 1, 2}
    if not good:
        message = f"must be x, y and v for each of {len(names)} points, v one of 0, 1 and 2"
        change = {"keypoints": None}
        yield _fault("keypoints", "keypoints", points, message, CORRECT, DROP_POINTS, change)


def has_segmentation(row: dict, known: Known) -> Iterator[Fault]:
    """``segmentation`` is RLE or a list of polygons, and fits the image."""
    image, segmentation = known.images.get(to_integer(row.get("image_id"))), row.get("segmentation")
    if image is None:
        return
    if isinstance(segmentation, dict):
        yield from _fits_rle(segmentation, image["height"], image["width"])
    elif isinstance(segmentation, list) and segmentation:
        yield from _fits_polygons(segmentation, image["height"], image["width"])
    else:
        message = "must be polygons or RLE"
        hint = "draw the segmentation, or remove the annotation"
        yield _fault("no segmentation", "segmentation", segmentation, message, hint, DROP)


def _fits_rle(rle: dict, height: int, width: int) -> Iterator[Fault]:
    size = rle.get("size")
    if size != [height, width]:
        message = f"differs from the image's [{height}, {width}]"
        yield _fault("RLE size", "segmentation.size", size, message, "encode again", DROP)
        return
    try:
        check_rle(rle)
    except ValueError as error:
        message, hint = f"cannot be decoded ({error})", "write the mask again with the COCO tools"
        yield _fault("RLE", "segmentation.counts", rle.get("counts"), message, hint, DROP)


def _fits_polygons(polygons: list, height: int, width: int) -> Iterator[Fault]:
    """One fault, that of the first wrong part, however many there are."""
    name, hint = "segmentation", "correct or remove it"
    if not all(isinstance(polygon, list) for polygon in polygons):
        message = "must be a list of polygons, [[x, y, x, y, …], …], or RLE"
        yield _fault("polygon", name, polygons, message, hint, DROP)
        return
    wrong = {part: _polygon_fault(polygon, height, width) for part, polygon in enumerate(polygons)}
    wrong = {part: fault for part, fault in wrong.items() if fault}
    if not wrong:
        return
    rest = [polygon for part, polygon in enumerate(polygons) if part not in wrong]
    certain = rest and all(empty for *_, empty in wrong.values())
    part = next((p for p, (*_, empty) in wrong.items() if not empty), next(iter(wrong)))
    kind, message, _ = wrong[part]
    message += f" (and {len(wrong) - 1} more of its polygons)" if len(wrong) > 1 else ""
    fix, change = (DROP_PART, {name: rest}) if certain else (DROP, None)
    yield _fault(kind, f"{name}[{part}]", polygons[part], message, hint, fix, change)


def _polygon_fault(polygon: object, height: int, width: int) -> tuple[str, str, bool] | None:
    """Kind, message, and whether the polygon certainly adds no pixel."""
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


def fits_file(image: dict, files: ImageFiles) -> Iterator[Fault]:
    """The file of an image can be read and has the size that the annotations say."""
    name, told = image["file_name"], (image["height"], image["width"])
    try:
        path = files.path(name)
        size = tuple(read_image(path).shape[1:])
    except ValueError as error:
        message, hint = f"cannot be opened ({error})", "restore the file, or remove the image"
        yield _fault("unreadable image", "file_name", name, message, hint, DROP)
        return
    if size == told:
        return
    message = f"pixels in the annotations; {name} has {size[1]} x {size[0]} when upright"
    kind, fix, change = "size differs", DROP, None
    hint = "it was resized or turned after the annotation: use the original"
    if size == told[::-1] and tuple(read_image(path, upright=False).shape[1:]) == told:
        kind, fix, change = "EXIF", AS_STORED, {"as_stored": True}
        hint = "its EXIF tag turns it: remove the tag or turn the annotations"
    yield Fault(
        kind, "width x height", f"{told[1]} x {told[0]}", message, hint, fix=fix, change=change
    )


def covers_pixels(row: dict, mask: np.ndarray) -> Iterator[Fault]:
    """A mask has at least one pixel."""
    if not mask.any():
        message, hint = "covers no pixel of the image", "remove the annotation"
        yield _fault("empty mask", "segmentation", row["segmentation"], message, hint, DROP)


def has_box_of_mask(row: dict, mask: np.ndarray) -> Iterator[Fault]:
    """``bbox`` is the box of the mask, up to a few pixels; a crowd's may be drawn freely."""
    box = row.get("bbox")
    if box is None or row.get("iscrowd", 0) or not mask.any():
        return
    told = np.clip([*box[:2], box[0] + box[2], box[1] + box[3]], 0, [*mask.shape[::-1]] * 2)
    own = mask_boxes(mask[None])[0]
    room = np.maximum(BOX_PIXELS, BOX_SHARE * (own[2:] - own[:2]))
    if (np.abs(told - own) >= np.tile(room, 2)).any():
        x1, y1, x2, y2 = (int(value) for value in own)
        message = f"is not the box of the mask, [{x1}, {y1}, {x2 - x1}, {y2 - y1}]"
        hint = "correct the box or the segmentation"
        if np.abs(np.array(box) - own).max() <= room.max():
            hint = "these are corners: write x, y, width, height"
        yield _fault("box and mask", "bbox", box, message, hint, REBOX, NO_BOX)


CATEGORY = (has_name,)  # one entry of the section each
IMAGE = (has_file_name, has_size, fits_memory)
ANNOTATION = (
    has_image_and_category, has_crowd_flag, has_area, has_box, has_keypoints, has_segmentation,
)  # fmt: skip
IMAGE_FILE = (fits_file,)  # once it is opened
MASK = (covers_pixels, has_box_of_mask)  # once it is filled in


def _fault(kind, field, value, message, hint, fix="", change=None) -> Fault:
    return Fault(kind, field, short(value), message, hint, fix, change)
