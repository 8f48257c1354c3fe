"""One pass over a data set: every rule on every entry, and what remains without the faults.

First the file alone, in the order of `rules`: ids, categories, images, annotations. Then, if asked
for, every image is opened and every mask filled in, one at a time, whatever the size of the set.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from . import rules
from .annotations import Source
from .faults import Fault, short
from .masks import segmentation_to_mask
from .rules import Known, is_integer, to_integer

GONE = "left out with its image or class"
Progress = Callable[[list], Iterable]


@dataclass
class Report:
    """What a scan of a data set found.

    Args:
        path: Of the data set.
        kind: "COCO", "VIA" or "label maps".
        data: Its content without the faults: entries are fixed or left out.
        faults: All of them.
        clipped: Segmentations that reach more than a pixel over the border (what is outside is
            cut off).
        sides: Smallest and largest side of the images in pixels.
        areas: Smallest and largest mask in pixels.
    """

    path: Path
    kind: str
    data: dict
    faults: list[Fault] = field(default_factory=list)
    clipped: int = 0
    sides: tuple[int, int] | None = None
    areas: tuple[int, int] | None = None

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.data["images"])

    @property
    def objects(self) -> Counter[str]:
        """Number per class, crowd regions not among them."""
        names = {category["id"]: category["name"] for category in self.data["categories"]}
        rows = self.data["annotations"]
        return Counter(names[row["category_id"]] for row in rows if not row.get("iscrowd"))

    @property
    def crowds(self) -> int:
        """Number of crowd regions."""
        return sum(1 for row in self.data["annotations"] if row.get("iscrowd"))

    @property
    def empty(self) -> int:
        """Number of images without an annotation."""
        return self.images - len({row["image_id"] for row in self.data["annotations"]})


@dataclass(slots=True)
class _Entry:
    """One entry of the file on its way through the rules."""

    file: str
    section: str
    row: int
    original: dict  # a reader knows an entry by the ids of the file
    values: dict  # with the fixes so far
    kept: bool = True

    def check(self, chosen: Iterable[rules.Rule], context: object) -> Iterator[Fault]:
        """Apply some rules one after the other, each to what the fixes before it left."""
        for rule in chosen:
            for fault in list(rule(self.values, context)):
                yield self.fix(fault)

    def fix(self, fault: Fault) -> Fault:
        """Do what a fault says, and give it with its position."""
        identity, image = self.original.get("id"), self.original.get("image_id")
        fault = replace(
            fault,
            file=self.file,
            where=self._position(fault),
            section=self.section,
            row=self.row,
            image_id=identity if self.section == "images" else image,
            annotation_id=identity if self.section == "annotations" else None,
        )
        if fault.change is None:
            self.kept = False
        else:
            self.values = self.values | fault.change
        if fault.fix == rules.INTEGER:
            self.original = self.values
        return fault

    def leave_out(self, faults: list[Fault]) -> list[Fault]:
        """Go with its image or class, and so do the faults."""
        self.kept = False
        return [replace(fault, fix=GONE) for fault in faults]

    def _position(self, fault: Fault) -> str:
        identity, origin = short(self.original.get("id")), self.original.get("origin")
        if fault.field == "id":
            return f"{self.section}[{self.row}]"
        if isinstance(origin, str) and origin:  # in the file that was converted to COCO
            return origin
        if self.section == "annotations":
            return f"annotation {identity} of image {short(self.original.get('image_id'))}"
        return f"{'image' if self.section == 'images' else 'category'} {identity}"


def scan(
    source: Source,
    image_folder: str | Path | None = None,
    open_images: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Apply all rules to a data set.

    Args:
        source: As it was read.
        image_folder: Default where the reader looks.
        open_images: Also open every image and fill in every mask.
        progress: Wraps the list of images, as tqdm does.

    Returns:
        The report.
    """
    report = Report(source.path, source.kind, {}, list(source.faults))
    whole = [replace(fault, file=str(source.path)) for fault in rules.has_sections(source.data)]
    report.faults += whole
    if whole:
        return report
    sections = {
        section: [
            _Entry(str(source.path), section, row, entry, entry)
            for row, entry in enumerate(source.data[section])
        ]
        for section in rules.SECTIONS
    }
    report.faults += _scan_entries(**sections)
    if open_images and all(fault.fix for fault in report.faults):
        folder = Path(image_folder or source.image_folder)
        report.faults += _scan_images(report, sections, folder, progress)
    kept = {name: [e.values for e in entries if e.kept] for name, entries in sections.items()}
    report.data = source.data | kept
    return report


def _scan_entries(
    images: list[_Entry], annotations: list[_Entry], categories: list[_Entry]
) -> Iterator[Fault]:
    """Apply the rules that need the file alone."""
    for entries in (categories, images, annotations):
        yield from _scan_ids(entries)
    known = Known()
    known.annotations.update(to_integer(row.values.get("image_id")) for row in annotations)
    for entries, chosen, by_id in (
        (categories, rules.CATEGORY, known.categories),
        (images, rules.IMAGE, known.images),
    ):
        for entry in entries:
            yield from entry.check(chosen, known)
            identity = entry.values.get("id")
            if is_integer(identity) and by_id.get(identity) is None:
                by_id[identity] = entry.values if entry.kept else None
    for entry in annotations:
        faults = list(entry.check(rules.ANNOTATION, known))
        if entry.kept:
            image, category = entry.values["image_id"], entry.values["category_id"]
            owned = known.images[image] is not None and known.categories[category] is not None
            faults = faults if owned else entry.leave_out(faults)
        yield from faults


def _scan_ids(entries: list[_Entry]) -> Iterator[Fault]:
    """Every entry has an integer of its own as id; only that of an annotation can be a new one."""
    first: dict[int | None, _Entry] = {}
    used = {to_integer(entry.values.get("id")) for entry in entries}
    free = (number for number in itertools.count(1) if number not in used)
    for entry in entries:
        renumber = entry.section == "annotations"
        identity = entry.values.get("id")
        number = to_integer(identity)
        if not is_integer(identity):
            fix, change = rules.INTEGER, {"id": number}
            if number is None and renumber:
                fix, change = rules.RENUMBER, {"id": next(free)}
            elif number is None:
                fix, change = rules.DROP, None
            message, hint = "is not an integer", "number it"
            yield entry.fix(Fault("id", "id", short(identity), message, hint, fix, change))
        if number is None or number not in first:
            first[number] = entry
            continue
        other, change = first[number], None
        if other.values == entry.values:
            fix = rules.DROP
        elif renumber:
            fix, change = rules.RENUMBER, {"id": next(free)}
        else:
            fix, other.kept = rules.DROP_ALL, False
        message = f"is already used by {entry.section}[{other.row}]"
        hint = "give every entry its own id"
        yield entry.fix(Fault("id twice", "id", short(number), message, hint, fix, change))


def _scan_images(
    report: Report, sections: dict[str, list[_Entry]], folder: Path, progress: Progress | None
) -> Iterator[Fault]:
    """Open every image and fill in every mask that has no fault yet, one at a time."""
    rows: dict[int, list[_Entry]] = defaultdict(list)
    for entry in sections["annotations"]:
        if entry.kept:
            rows[entry.values["image_id"]].append(entry)
    images = [entry for entry in sections["images"] if entry.kept]
    for image in images if progress is None else progress(images):
        yield from image.check(rules.IMAGE_FILE, folder / image.values["file_name"])
        height, width = image.values["height"], image.values["width"]
        report.sides = _span(report.sides, height, width)
        for entry in rows[image.values["id"]]:
            segmentation = entry.values["segmentation"]
            mask = segmentation_to_mask(segmentation, height, width)
            faults = list(entry.check(rules.MASK, mask))
            yield from faults if image.kept else entry.leave_out(faults)
            if mask.any():
                report.areas = _span(report.areas, int(mask.sum()))
                report.clipped += _is_clipped(segmentation, height, width)


def _is_clipped(segmentation: list | dict, height: int, width: int) -> bool:
    """Whether polygons reach more than a pixel over the border."""
    if isinstance(segmentation, dict):
        return False
    points = np.concatenate([np.reshape(part, (-1, 2)) for part in segmentation])  # [N, 2]
    return bool(np.maximum(-points, points - [width, height]).max() > 1)


def _span(span: tuple[int, int] | None, *values: int) -> tuple[int, int]:
    values = (*values, *(span or ()))
    return min(values), max(values)
