"""One pass over a data set: every rule on every entry, and what remains without the faults.

First the file alone, in the order of `rules`: ids, categories, images, annotations. Then, if asked
for, every image is opened and every mask filled in, one at a time, whatever the size of the set.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from . import rules
from .annotations import Source
from .faults import Fault, short
from .image_files import ImageFiles
from .masks import segmentation_to_mask
from .values import is_integer, tidy, to_integer

GONE = "left out with its image or class"
Progress = Callable[[list], Iterable]


@dataclass
class Report:
    """What a scan of a data set found.

    Args:
        source: The data set.
        faults: All of them.
        data: The content without the faults: entries are fixed or left out.
        files: Where the images lie; None when the file holds none.
        tidied: Number of entries of which a value was written in another form than COCO's.
        sized: Number of images whose file told their size.
        clipped: Number of segmentations that reach more than a pixel over the border.
        sides: Smallest and largest side of the images in pixels.
        areas: Smallest and largest mask in pixels.
    """

    source: Source
    faults: list[Fault]
    data: dict = field(default_factory=lambda: {section: [] for section in rules.SECTIONS})
    files: ImageFiles | None = None
    tidied: int = 0
    sized: int = 0
    clipped: int = 0
    sides: tuple[int, ...] = ()
    areas: tuple[int, ...] = ()

    @property
    def objects(self) -> Counter[str]:
        """Number per class, crowd regions not among them."""
        names = {category["id"]: category["name"] for category in self.data["categories"]}
        rows = self.data["annotations"]
        return Counter(names[row["category_id"]] for row in rows if not row.get("iscrowd"))


def scan(source: Source, open_images: bool = True, progress: Progress | None = None) -> Report:
    """Apply all rules to a data set.

    Args:
        source: As it was read.
        open_images: Also open every image and fill in every mask.
        progress: Wraps the list of images, as tqdm does.
    """
    file, data = str(source.path), source.data
    broken = [replace(fault, file=file) for fault in rules.has_sections(data)]
    report = Report(source, [*source.faults, *broken])
    if broken:
        return report
    entries = {
        section: [
            _Entry(file, section, row, values, values)
            for row, values in enumerate(tidy(section, entry) for entry in data[section])
        ]
        for section in rules.SECTIONS
    }
    _number_texts(**entries)
    report.tidied = sum(
        entry.values is not data[section][entry.row]
        for section, rows in entries.items()
        for entry in rows
    )
    names = (image.values.get("file_name") for image in entries["images"])
    report.files = ImageFiles(names, source.path, source.image_folder)
    report.sized = sum(_take_size_of_file(image, report.files) for image in entries["images"])
    report.faults += _scan_entries(report.files, **entries)
    if open_images and all(fault.fix for fault in report.faults):
        images = [image for image in entries["images"] if image.kept]
        masks = [row for row in entries["annotations"] if row.kept]
        report.faults += _scan_images(images, masks, report, progress)
    kept = {section: [e.values for e in rows if e.kept] for section, rows in entries.items()}
    report.data = data | kept
    return report


@dataclass(slots=True)
class _Entry:
    """One entry of the file on its way through the rules."""

    file: str
    section: str
    row: int
    original: dict  # a reader knows an entry by the ids of the file (as integers)
    values: dict  # with the fixes so far
    kept: bool = True

    def check(self, chosen: Iterable[rules.Rule], context: object) -> Iterator[Fault]:
        """Apply some rules one after the other, each to what the fixes before it left."""
        for rule in chosen:
            for fault in list(rule(self.values, context)):
                yield self.fix(fault)

    def fix(self, fault: Fault) -> Fault:
        """Do what a fault says, and give it with its position."""
        entry, section = self.original, self.section
        identity, image = entry.get("id"), entry.get("image_id")
        where = f"{section}[{self.row}]"
        if fault.field != "id":
            where = {
                "annotations": f"annotation {short(identity)} of image {short(image)}",
                "images": f"image {short(identity)}",
                "categories": f"category {short(identity)}",
            }[section]
            if isinstance(entry.get("origin"), str):  # before it was COCO
                where = entry["origin"] or where
        self.kept &= fault.change is not None
        self.values = self.values | (fault.change or {})
        ids = {"image_id": identity} if section == "images" else {}
        ids = {"image_id": image, "annotation_id": identity} if section == "annotations" else ids
        return replace(fault, file=self.file, where=where, section=section, row=self.row, **ids)

    def leave_out(self, faults: list[Fault]) -> list[Fault]:
        """Go with its image or class, and so do the faults."""
        self.kept = False
        return [replace(fault, fix=GONE) for fault in faults]


def _number_texts(
    images: list[_Entry], annotations: list[_Entry], categories: list[_Entry]
) -> None:
    """Give ids that are texts ("img_7", a UUID) numbers, where annotations name them so."""
    for entries, name in ((images, "image_id"), (categories, "category_id"), (annotations, "id")):
        ids = [entry.values.get("id") for entry in entries]
        named = {value for row in annotations if isinstance(value := row.values.get(name), str)}
        texts = [identity for identity in ids if isinstance(identity, str)]
        if len(set(texts)) < len(texts) or named.isdisjoint(texts):
            continue  # told by the rules
        used = {identity for identity in ids if is_integer(identity)}
        free = (number for number in itertools.count(1) if number not in used)
        numbers = dict(zip(texts, free, strict=False))
        for rows, field_ in ((entries, "id"), (annotations, name)):
            for row in rows:
                if isinstance(value := row.values.get(field_), str) and value in numbers:
                    row.values = row.values | {field_: numbers[value]}


def _take_size_of_file(image: _Entry, files: ImageFiles) -> bool:
    """Whether the size of an image was absent and its file told it."""
    absent = [side for side in ("height", "width") if image.values.get(side) is None]
    size = files.size(image.values.get("file_name")) if absent else None
    if size is None:
        return False
    told = dict(zip(("height", "width"), size, strict=True))
    image.values = image.values | {side: told[side] for side in absent}
    return True


def _scan_entries(
    files: ImageFiles, images: list[_Entry], annotations: list[_Entry], categories: list[_Entry]
) -> Iterator[Fault]:
    """Apply the rules that need the file alone."""
    for entries in (categories, images, annotations):
        yield from _scan_ids(entries)
    known = rules.Known(files)
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
    """Every entry has an integer of its own as id."""
    first: dict[int, _Entry] = {}
    used = {entry.values["id"] for entry in entries if is_integer(entry.values.get("id"))}
    free = (number for number in itertools.count(1) if number not in used)

    def renumber(entry: _Entry, otherwise: str) -> tuple[str, dict | None]:
        """Nothing else names an annotation by its id."""
        if entry.section == "annotations":
            return rules.RENUMBER, {"id": next(free)}
        return otherwise, None

    for entry in entries:
        number = entry.values.get("id")
        if not is_integer(number):
            message, hint, fix = "is not an integer", "number it", renumber(entry, rules.DROP)
            yield entry.fix(Fault("id", "id", short(number), message, hint, *fix))
            continue
        other = first.setdefault(number, entry)
        if other is not entry:
            same = other.values == entry.values
            fix = (rules.DROP, None) if same else renumber(entry, rules.DROP_ALL)
            other.kept &= fix[0] != rules.DROP_ALL
            message = f"is already used by {entry.section}[{other.row}]"
            hint = "give every entry its own id"
            yield entry.fix(Fault("id twice", "id", short(number), message, hint, *fix))


def _scan_images(
    images: list[_Entry],
    annotations: list[_Entry],
    report: Report,
    progress: Progress | None,
) -> Iterator[Fault]:
    """Open every image and fill in every mask."""
    rows: dict[int, list[_Entry]] = defaultdict(list)
    for entry in annotations:
        rows[entry.values["image_id"]].append(entry)
    for image in images if progress is None else progress(images):
        yield from image.check(rules.IMAGE_FILE, report.files)
        height, width = image.values["height"], image.values["width"]
        report.sides = _span(*report.sides, height, width)
        for entry in rows[image.values["id"]]:
            segmentation = entry.values["segmentation"]
            mask = segmentation_to_mask(segmentation, height, width)  # [H, W]
            faults = list(entry.check(rules.MASK, mask))
            yield from faults if image.kept else entry.leave_out(faults)
            if mask.any():
                report.areas = _span(*report.areas, int(mask.sum()))
                report.clipped += _is_clipped(segmentation, height, width)


def _is_clipped(segmentation: list | dict, height: int, width: int) -> bool:
    """Whether polygons reach more than a pixel over the border."""
    polygons = segmentation if isinstance(segmentation, list) else []
    low = min((min(polygon) for polygon in polygons), default=0)
    right = max((max(polygon[0::2]) for polygon in polygons), default=0)
    bottom = max((max(polygon[1::2]) for polygon in polygons), default=0)
    return low < -1 or right > width + 1 or bottom > height + 1


def _span(*values: int) -> tuple[int, int]:
    return min(values), max(values)
