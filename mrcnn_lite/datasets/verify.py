"""All faults of a data set in words, and a repaired copy: `python -m mrcnn_lite verify PATH`."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from .annotations import Source
from .faults import Fault, counted, refuse
from .formats import REPORT, read_source
from .image_files import ImageFiles, stays_inside
from .images import read_image
from .masks import mask_boxes, segmentation_to_mask
from .scan import Progress, Report, scan
from .values import one_form

NAME = "instances.json"


def verify(
    path: str | Path, attribute: str | None = None, image_folder: str | Path | None = None
) -> list[Fault]:
    """Find all faults of a data set: of the file, of every image, of every mask.

    Args:
        path, attribute, image_folder: As `formats.read_source` takes them.

    Raises:
        ValueError: When there is nothing that can be read.
    """
    return scan(read_source(path, attribute, image_folder)).faults


def describe(report: Report) -> str:
    """Write a report in words: every fault on a line of its own, then their number per kind.

    Numbers and notes follow; they do not count what has a fault.
    """
    lines = [str(fault) for fault in report.faults]
    kinds = Counter((fault.kind, fault.fix) for fault in report.faults)
    name = f"{report.source.path} ({report.source.kind})"
    if kinds:
        lines += ["", f"{counted(report.faults)} in {name}:"]
        for (kind, fix), number in kinds.most_common():
            lines.append(f"{number:6d}  {kind}; a repair: {fix or 'is not possible'}")
    else:
        lines.append(f"{name}: no fault")
    if report.sides and report.areas:
        numbers, (low, high) = report.objects, report.sides
        objects = ", ".join(f"{name} {count}" for name, count in numbers.most_common(20))
        more = f" and {len(numbers) - 20} more classes" if len(numbers) > 20 else ""
        without = "without them " if kinds else ""
        lines.append(
            f"{without}{len(report.data['images'])} images, sides of {low} to {high} pixels"
        )
        low, high = report.areas
        sizes = f" of {low} to {high} pixels: {objects}{more}" if numbers else ""
        lines.append(f"{numbers.total()} objects{sizes}")
    return "\n".join([*lines, *(f"note: {note}" for note in _notes(report))])


def _notes(report: Report) -> list[str]:
    """What is unusual but no fault."""
    names, objects = [row["name"] for row in report.data["categories"]], report.objects
    rows = report.data["annotations"]
    empty = len(report.data["images"]) - len({row["image_id"] for row in rows})
    crowds = sum(1 for row in rows if row.get("iscrowd"))
    same = ("image_id", "category_id", "bbox", "segmentation")
    twice = len(rows) - len({hash(str([row.get(field) for field in same])) for row in rows})
    unused = [name for name in names if not objects[name]]
    shared = [name for name, number in Counter(names).items() if number > 1]
    notes = (
        (report.sized, "images without a size", "(their files tell it)"),
        (report.tidied, "entries with a value in another form", '(such as "48" or 48.0 for 48)'),
        (empty, "images without an object", "(training takes them as they are)"),
        (crowds, "crowd regions", "(training leaves them out, evaluation ignores them)"),
        (report.clipped, "segmentations over the border", "(what is outside is cut off)"),
        (twice, "annotations that repeat another one of their image", ""),
        (len(unused), "classes without an object", "(" + ", ".join(unused[:10]) + ")"),
        (len(shared), "class names with several ids", "(" + ", ".join(shared[:10]) + ")"),
    )
    found = [report.files.told()] if report.files and report.files.told() else []
    return found + [f"{what}: {n} {remark}".strip() for n, what, remark in notes if n]


def repair(
    path: str | Path,
    out: str | Path,
    image_folder: str | Path | None = None,
    attribute: str | None = None,
    progress: Progress | None = None,
) -> list[Fault]:
    """Write a copy without faults, as a COCO file with its images.

    What is certain is corrected (see `rules`); an image that its EXIF tag turns, while its
    annotations were made on the pixels as stored, is written as PNG without the tag; everything
    else that has a fault is left out. ``report.txt`` and ``report.json`` list each change. The
    annotation file is written last: a folder without it is not complete.

    Args:
        path, attribute, image_folder: As `formats.read_source` takes them.
        out: New or empty folder, outside of the data set's.
        progress: Wraps the list of images, as tqdm does.

    Returns:
        The faults, each with its ``fix``: what was done.

    Raises:
        ValueError: When a fault cannot be repaired, nothing would remain, or ``out`` is not new.
    """
    source, out = read_source(path, attribute, image_folder), Path(out)
    _check_out(out, source)
    report = scan(source, progress=progress)
    refuse(fault for fault in report.faults if not fault.fix)
    data, faults = report.data, report.faults
    if not data["images"] or not data["annotations"]:
        raise ValueError(
            f"{source.path}: without its {counted(faults)} there is no annotated image left; "
            f"the first: {faults[0] if faults else 'it has no annotation'}"
        )
    (out / "images").mkdir(parents=True, exist_ok=True)
    _write_images(data["images"], report.files, out / "images")
    _complete(data)
    kept = (
        f"{len(data[section])} of {len(source.data[section])} {section}"
        for section in ("images", "annotations")
    )
    _write_report(faults, source.path, out, ", ".join(kept))
    (out / NAME).write_text(_to_json(data), encoding="utf-8")
    return faults


def _check_out(out: Path, source: Source) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: is not empty; name a new folder for the repaired copy")
    home = source.path if source.path.is_dir() else source.path.parent
    images = source.image_folder or source.path.absolute().parent.parent / "images"
    for original in (home.resolve(), images.resolve()):
        if out.resolve().is_relative_to(original):
            raise ValueError(f"{out}: lies in the original's folder {original}; name one outside")


def _write_images(images: list[dict], files: ImageFiles, target: Path) -> None:
    """Copy the image files; those that were annotated as stored lose their EXIF tag."""
    from PIL import Image

    names: dict[tuple[Path, bool], str] = {}  # in the copy, of a file and whether it is as stored
    taken = set()
    for image in images:
        file, as_stored = files.path(image["file_name"]), image.pop("as_stored", False)
        if (file, as_stored) not in names:
            name = image["file_name"].replace("\\", "/")
            new = Path(one_form(name if stays_inside(name) else file.name))
            new = new.with_suffix(".png") if as_stored else new
            while new.as_posix().casefold() in taken:  # some disks know no capitals
                new = new.with_stem(f"{new.stem}_2")
            taken.add(new.as_posix().casefold())
            names[file, as_stored] = new.as_posix()
            (target / new).parent.mkdir(parents=True, exist_ok=True)
            if as_stored:
                pixels = read_image(file, upright=False).permute(1, 2, 0)  # [H, W, 3]
                Image.fromarray(pixels.numpy()).save(target / new)
            else:
                shutil.copyfile(file, target / new)
        image["file_name"] = names[file, as_stored]


def _complete(data: dict) -> None:
    """Compute boxes and areas that are absent from the masks."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    for row in data["annotations"]:
        row.pop("origin", None)
        row.setdefault("iscrowd", 0)
        if row.get("bbox") is None or row.get("area") is None:
            mask = segmentation_to_mask(row["segmentation"], *sizes[row["image_id"]])
            x1, y1, x2, y2 = (int(value) for value in mask_boxes(mask[None])[0])
            row |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": int(np.count_nonzero(mask))}


def _write_report(faults: list[Fault], path: Path, out: Path, kept: str) -> None:
    counts = Counter((fault.kind, fault.fix) for fault in faults)
    lines = [
        f"{path}: {counted(faults)}",
        f"kept: {kept} (those of images and classes that are left out go too)",
        *(f"{count:6d}  {kind}: {fix}" for (kind, fix), count in sorted(counts.items())),
        "",
        *(f"{fault} [{fault.fix}]" for fault in faults),
    ]
    text = "\n".join(lines) + "\n"
    (out / "report.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    rows = [{**fault.__dict__, "change": None, "text": str(fault)} for fault in faults]
    (out / REPORT).write_text(_to_json(rows, indent=1), encoding="utf-8")


def _to_json(value: object, indent: int | None = None) -> str:
    """JSON has no NaN and no infinity; in fields that nothing reads they become null."""
    value = json.loads(json.dumps(value), parse_constant=lambda name: None)
    return json.dumps(value, indent=indent, allow_nan=False) + "\n"
