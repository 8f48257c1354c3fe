"""A repaired copy of a data set, with a report of every change; the original stays as it is."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from .examine import Progress
from .faults import Fault, counted, refuse
from .formats import REPORT, read_source
from .masks import mask_boxes, outline_to_mask
from .mend import mend_with_pictures
from .pictures import read_picture

NAME = "instances.json"


def repair(
    path: str | Path,
    out: str | Path,
    image_folder: str | Path | None = None,
    attribute: str | None = None,
    progress: Progress | None = None,
) -> list[Fault]:
    """Write a copy without faults, as a COCO file with its pictures.

    What is certain is corrected (see `mend.mend`); a picture that its EXIF tag turns, while its
    annotations were made on the pixels as stored, is written as PNG without the tag; everything
    else that has a fault is left out. ``report.txt`` and ``report.json`` list each change. The
    annotation file is written last: a folder without it is not complete.

    Args:
        path: As `formats.read_source` takes it.
        out: New or empty folder, outside of the data set's.
        image_folder: Default where the reader looks.
        attribute: Of VIA.
        progress: Wraps the list of images, as tqdm does.

    Returns:
        The faults, each with its ``remedy``: what was done.

    Raises:
        ValueError: When a fault cannot be repaired, nothing would remain, or ``out`` is not new.
    """
    source, out = read_source(path, attribute), Path(out)
    folder = Path(image_folder or source.image_folder)
    _check_out(out, source.path, folder)
    refuse(fault for fault in source.faults if not fault.remedy)
    data, faults, stored = mend_with_pictures(source.path, folder, source.data, progress, True)
    faults = [*source.faults, *faults]
    if not data["images"] or not data["annotations"]:
        raise ValueError(
            f"{source.path}: without its {counted(faults)} there is no annotated image left; "
            f"the first: {faults[0] if faults else 'it has no annotation'}"
        )
    (out / "images").mkdir(parents=True, exist_ok=True)
    _write_pictures(data, folder, out / "images", stored)
    _complete(data)
    kept = (
        f"kept: {len(data['images'])} of {len(source.data['images'])} images, "
        f"{len(data['annotations'])} of {len(source.data['annotations'])} annotations"
    )
    _write_report(faults, source.path, out, kept)
    text = json.dumps(_without_nan(data), allow_nan=False)
    (out / NAME).write_text(text + "\n", encoding="utf-8")
    return faults


def _check_out(out: Path, path: Path, folder: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: is not empty; name a new folder for the repaired copy")
    home = path if path.is_dir() else path.parent
    for original in (home.resolve(), folder.resolve()):
        if out.resolve().is_relative_to(original):
            raise ValueError(f"{out}: lies in the original's folder {original}; name one outside")


def _write_pictures(data: dict, folder: Path, target: Path, stored: set[int]) -> None:
    from PIL import Image

    taken = {image["file_name"] for image in data["images"]}
    for image in data["images"]:
        name = image["file_name"]
        if image["id"] in stored:
            pixels = read_picture(folder / name, upright=False).permute(1, 2, 0)  # [H, W, 3]
            new = str(Path(name).with_suffix(".png"))
            while new in taken:
                new = str(Path(new).with_name(f"{Path(new).stem}_stored.png"))
            taken.add(new)
            image["file_name"] = new
            (target / new).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.numpy()).save(target / new)
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target / name)


def _complete(data: dict) -> None:
    """Compute boxes and areas that are absent from the masks."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    for row in data["annotations"]:
        row.pop("origin", None)
        row.setdefault("iscrowd", 0)
        if row.get("bbox") is None or row.get("area") is None:
            mask = outline_to_mask(row["segmentation"], *sizes[row["image_id"]])
            x1, y1, x2, y2 = (int(value) for value in mask_boxes(mask[None])[0])
            row |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": int(np.count_nonzero(mask))}


def _write_report(faults: list[Fault], path: Path, out: Path, kept: str) -> None:
    counts = Counter((fault.kind, fault.remedy) for fault in faults)
    lines = [f"{path}: {counted(faults)}", f"{kept} (those of images that are left out go too)"]
    lines += [f"{count:6d}  {kind}: {remedy}" for (kind, remedy), count in sorted(counts.items())]
    lines += ["", *(f"{fault} [{fault.remedy}]" for fault in faults)]
    (out / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [_without_nan(fault.__dict__ | {"text": str(fault)}) for fault in faults]
    (out / REPORT).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _without_nan(value: object) -> object:
    """JSON has no NaN and no infinity; in fields that nothing reads they become null."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
