"""Looking at a whole data set: every picture is opened, every outline filled in, all is counted.

One picture and one mask are in memory at a time, whatever the size of the data set.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .faults import AS_STORED, DROP, REBOX, Fault, Place, is_integer, short
from .masks import mask_boxes, outline_to_mask
from .pictures import picture_size, read_picture

BOX_PIXELS, BOX_SHARE = 3.0, 0.1  # a side of bbox that misses the mask by the larger is wrong
Progress = Callable[[list], Iterable]


@dataclass
class Report:
    """What a look at a data set found.

    Args:
        path: Of the data set.
        kind: "COCO", "VIA" or "label maps".
        faults: All of them.
        notes: What is unusual but no fault, in words.
        objects: Number per class, crowd regions not among them.
        images, crowds, empty, clipped: Pictures, crowd regions, pictures without objects, outlines
            that reach more than a pixel over the border (what is outside is cut off).
        sides: Smallest and largest side of the pictures in pixels.
        areas: Smallest and largest mask in pixels.
    """

    path: Path
    kind: str
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    objects: Counter[str] = field(default_factory=Counter)
    images: int = 0
    crowds: int = 0
    empty: int = 0
    clipped: int = 0
    sides: tuple[int, int] | None = None
    areas: tuple[int, int] | None = None


def look(
    data: dict, folder: Path, report: Report, progress: Progress | None = None
) -> Iterator[Fault]:
    """Open every picture and fill in every outline that has no fault yet.

    Args:
        data: Content of a COCO file.
        folder: Of the pictures.
        report: Its faults are known already; its counts are filled in.
        progress: Wraps the list of images.

    Yields:
        The faults that only this shows.
    """
    known = {(fault.section, fault.row) for fault in report.faults}
    rows = defaultdict(list)
    for number, row in enumerate(data["annotations"]):
        if ("annotations", number) not in known:
            rows[row["image_id"]].append((number, row))
    images = list(enumerate(data["images"]))
    for number, image in images if progress is None else progress(images):
        if ("images", number) in known:
            continue
        place = Place(str(report.path), "images", number, image["id"])
        yield from _look_at_picture(image, folder, place)
        sides = image["height"], image["width"]
        report.sides = _span(report.sides, *sides)
        for place_in_file, row in rows[image["id"]]:
            origin = row.get("origin", "") if isinstance(row.get("origin"), str) else ""
            place = Place(
                str(report.path), "annotations", place_in_file, image["id"], row["id"], origin
            )
            yield from _look_at_outline(row, image, place, report)


def _look_at_picture(image: dict, folder: Path, place: Place) -> Iterator[Fault]:
    name = image["file_name"]
    try:
        size = picture_size(folder / name)
        read_picture(folder / name)
    except ValueError as error:
        words, cure = f"cannot be opened ({error})", "restore the file, or remove the image"
        yield place.fault("picture", "file_name", name, words, cure, DROP)
        return
    told = image["height"], image["width"]
    if size != told:
        turned = size == told[::-1] and tuple(read_picture(folder / name, False).shape[1:]) == told
        words = f"pixels in the annotations; {name} has {size[1]} x {size[0]} when upright"
        cure = (
            "its EXIF tag turns it: remove the tag or turn the annotations"
            if turned
            else "it was resized or turned after the annotation: use the original"
        )
        kind, remedy = ("EXIF", AS_STORED) if turned else ("picture size", DROP)
        fault = place.fault(kind, "width x height", "", words, cure, remedy)
        yield Fault(**{**fault.__dict__, "value": f"{told[1]} x {told[0]}"})


def _look_at_outline(row: dict, image: dict, place: Place, report: Report) -> Iterator[Fault]:
    outline, height, width = row["segmentation"], image["height"], image["width"]
    mask = outline_to_mask(outline, height, width)
    area = int(mask.sum())
    if not area:
        words, cure = "covers no pixel of the image", "remove the annotation"
        yield place.fault("empty mask", "segmentation", outline, words, cure, DROP)
        return
    report.areas = _span(report.areas, area)
    if isinstance(outline, list):
        points = np.concatenate([np.reshape(part, (-1, 2)) for part in outline])  # [N, 2]
        beyond = np.maximum(-points, points - [width, height]).max()
        report.clipped += bool(beyond > 1)
    box = row.get("bbox")
    if box is None or row.get("iscrowd", 0):
        return
    told = np.clip([*box[:2], box[0] + box[2], box[1] + box[3]], 0, [width, height] * 2)
    right = mask_boxes(mask[None])[0]
    room = np.maximum(BOX_PIXELS, BOX_SHARE * (right[2:] - right[:2]))
    if (np.abs(told - right) >= np.tile(room, 2)).any():
        x1, y1, x2, y2 = (int(value) for value in right)
        words = f"is not the box of the mask, [{x1}, {y1}, {x2 - x1}, {y2 - y1}]"
        corners = np.abs(np.array(box) - right).max() <= room.max()
        cure = (
            "these are corners: write x, y, width, height"
            if corners
            else "correct the box or the outline"
        )
        yield place.fault("box and mask", "bbox", box, words, cure, REBOX)


def count(data: dict, report: Report) -> None:
    """Count images, objects and what is unusual.

    Args:
        data: Content of a COCO file, perhaps with faults.
        report: Its counts and notes are filled in.
    """
    rows = [category for category in data["categories"] if is_integer(category.get("id"))]
    names = {category["id"]: category.get("name") for category in rows}
    report.images = len(data["images"])
    used, seen = set(), Counter()
    for row in data["annotations"]:
        used.add(row["image_id"] if is_integer(row.get("image_id")) else None)
        category = row.get("category_id")
        if row.get("iscrowd"):
            report.crowds += 1
        elif is_integer(category) and category in names:
            report.objects[str(names[category])] += 1
        seen[short((row.get("image_id"), category, row.get("bbox"))), _outline_hash(row)] += 1
    ids = [image["id"] for image in data["images"] if is_integer(image.get("id"))]
    report.empty = sum(identity not in used for identity in ids)
    unused = [str(name) for name in names.values() if not report.objects[str(name)]]
    twice = sum(times - 1 for times in seen.values())
    same = [name for name, ids in Counter(map(str, names.values())).items() if ids > 1]
    for number, words, remark in (
        (report.empty, "images without an object", "(training takes them as they are)"),
        (report.crowds, "crowd regions", "(training leaves them out, evaluation ignores them)"),
        (report.clipped, "outlines over the border", "(what is outside is cut off)"),
        (twice, "annotations that repeat another one of their image", ""),
        (len(unused), "classes without an object", "(" + ", ".join(unused[:10]) + ")"),
        (len(same), "class names with several ids", "(" + ", ".join(same[:10]) + ")"),
    ):
        if number:
            report.notes.append(f"{words}: {number} {remark}".strip())


def _outline_hash(row: dict) -> int:
    return hash(str(row.get("segmentation")))


def _span(span: tuple[int, int] | None, *values: int) -> tuple[int, int]:
    values = (*values, *(span or ()))
    return min(values), max(values)
