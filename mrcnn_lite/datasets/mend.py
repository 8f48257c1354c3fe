"""Mending the content of a COCO file: what is certain is corrected, the rest is left out."""

import itertools
from collections import defaultdict
from pathlib import Path

from .annotations import SECTIONS, find_faults, load_json
from .entry_rules import to_integer
from .examine import Progress, Report, look
from .faults import (
    AS_STORED,
    DROP,
    DROP_ALL,
    DROP_PART,
    INTEGER,
    REBOX,
    RENUMBER,
    Fault,
    is_integer,
    refuse,
)


def mend(data: object, file: str = "") -> tuple[dict, list[Fault]]:
    """Make the content of a COCO file faultless without opening a picture.

    An id 7.0 or "7" becomes 7, a repeated annotation id a new one, a wrong ``bbox`` or ``area`` is
    removed (both follow from the mask), a part of an outline that adds no pixel is left out. All
    other entries with a fault are left out: their true values cannot be known.

    Args:
        data: The parsed JSON; it is not changed.
        file: Its name, for the faults.

    Returns:
        The mended content, and the faults with what was done about each (``remedy``).

    Raises:
        ValueError: When a fault has no remedy, such as a missing section.
    """
    done: list[Fault] = []
    while True:
        faults = list(find_faults(data, file))
        refuse(fault for fault in faults if not fault.remedy)
        if not faults:
            return data, done
        # Ids first, then images and categories: only then is it clear which annotations are wrong.
        first = min(map(_turn, faults))
        faults = [fault for fault in faults if _turn(fault) == first]
        data = apply_remedies(data, faults)
        done += faults


def mend_with_pictures(
    path: Path,
    folder: Path,
    data: dict | None = None,
    progress: Progress | None = None,
    copying: bool = False,
) -> tuple[dict, list[Fault], set[int]]:
    """Mend the content of a COCO file, and leave out what its pictures and masks do not fit.

    Args:
        path: Of the file.
        folder: Of the pictures; every one is opened.
        data: The content; default what is in the file.
        progress: Wraps the list of images.
        copying: Keep images that their EXIF tag turns; else they are left out.

    Returns:
        The mended content, the faults with what was done, and the ids of the images to store
        without their tag.

    Raises:
        ValueError: When a fault has no remedy.
    """
    if data is None:
        data, faults = load_json(path)
        refuse(faults)
    data, faults = mend(data, str(path))
    found = list(look(data, folder, Report(path, "COCO"), progress))
    if not copying:
        found = [
            Fault(**{**fault.__dict__, "remedy": DROP}) if fault.remedy == AS_STORED else fault
            for fault in found
        ]
    stored = {fault.image_id for fault in found if fault.remedy == AS_STORED}
    return apply_remedies(data, found), [*faults, *found], stored


def _turn(fault: Fault) -> int:
    if fault.remedy in (INTEGER, RENUMBER):
        return 0
    return 2 if fault.section == "annotations" else 1


def apply_remedies(data: dict, faults: list[Fault]) -> dict:
    """Do what the faults' remedies say.

    Args:
        data: Content of a COCO file; it is not changed.
        faults: Found in exactly this content.

    Returns:
        The new content; annotations of images that were left out are left out too.
    """
    new = {section: list(data[section]) for section in SECTIONS}
    dropped: dict[str, set[int]] = {section: set() for section in SECTIONS}
    parts: dict[int, set[int]] = defaultdict(set)
    shared = {(f.section, data[f.section][f.row]["id"]) for f in faults if f.remedy == DROP_ALL}
    for section in {section for section, _ in shared}:
        for number, row in enumerate(data[section]):
            if is_integer(row.get("id")) and (section, row["id"]) in shared:
                dropped[section].add(number)
    used = {row["id"] for row in data["annotations"] if is_integer(row.get("id"))}
    free = (number for number in itertools.count(1) if number not in used)
    for fault in faults:
        if fault.section not in new:
            continue
        rows, number = new[fault.section], fault.row
        if fault.remedy == DROP:
            dropped[fault.section].add(number)
        elif fault.remedy == DROP_PART:
            parts[number].add(fault.part)
        elif fault.remedy == INTEGER:
            rows[number] = rows[number] | {fault.field: to_integer(rows[number][fault.field])}
        elif fault.remedy == RENUMBER:
            rows[number] = rows[number] | {"id": next(free)}
        elif fault.remedy == REBOX:
            rows[number] = {k: v for k, v in rows[number].items() if k not in ("bbox", "area")}
    for number, gone in parts.items():
        outline = new["annotations"][number]["segmentation"]
        rest = [part for place, part in enumerate(outline) if place not in gone]
        new["annotations"][number] = new["annotations"][number] | {"segmentation": rest}
    _drop_orphans(new, dropped)
    return data | {
        section: [row for number, row in enumerate(rows) if number not in dropped[section]]
        for section, rows in new.items()
    }


def _drop_orphans(data: dict, dropped: dict[str, set[int]]) -> None:
    gone = {
        data["images"][number].get("id")
        for number in dropped["images"]
        if is_integer(data["images"][number].get("id"))
    }
    for number, row in enumerate(data["images"]):
        if number not in dropped["images"] and is_integer(row.get("id")):
            gone.discard(row["id"])
    for number, row in enumerate(data["annotations"]):
        if is_integer(row.get("image_id")) and row["image_id"] in gone:
            dropped["annotations"].add(number)
