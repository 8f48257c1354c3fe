"""One way to open a data set: COCO JSON, VIA JSON, or a folder of label maps.

Every reader turns what it finds into the content of a COCO file, in memory. So checks, repair and
training are the same for all formats.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .annotations import find_faults, load_json
from .coco import CocoDataset, image_folder_of
from .faults import Fault, counted, refuse
from .label_maps import read_label_maps
from .via import is_via, read_via

REPORT = "report.json"  # beside the annotations of a repaired copy


@dataclass(frozen=True)
class Source:
    """A data set as it was read, with its faults still in it.

    Args:
        path: The annotation file, or the folder of label maps.
        kind: "COCO", "VIA" or "label maps".
        data: Content of a COCO file; anything at all when the file is wrong.
        image_folder: Where the pictures lie.
        faults: Found while reading; what they concern is not in ``data``.
    """

    path: Path
    kind: str
    data: object
    image_folder: Path
    faults: list[Fault]


def read_source(path: str | Path, attribute: str | None = None) -> Source:
    """Read a data set of any format without judging it.

    Args:
        path: A COCO JSON file, a VIA JSON file or project, or a folder: of label maps, or with one
            JSON file in it.
        attribute: Of VIA: the region attribute that holds the class, when there are several.

    Returns:
        The data set.

    Raises:
        ValueError: When there is nothing that can be read.
    """
    path = Path(path)
    if path.is_dir():
        found = read_label_maps(path)
        if found is not None:
            data, folder, faults = found
            return Source(path, "label maps", data, folder, faults)
        path = _only_json(path)
    data, faults = load_json(path)
    folder = image_folder_of(path)
    if is_via(data):
        data, more = read_via(data, str(path), folder, attribute)
        return Source(path, "VIA", data, folder, faults + more)
    return Source(path, "COCO", data, folder, faults)


def _only_json(folder: Path) -> Path:
    files = sorted(path for path in folder.glob("*.json") if path.name != REPORT)
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:5]) or "none"
        raise ValueError(
            f"{folder}: neither images/ and masks/ with label maps nor exactly one JSON file "
            f"({names}); give the path of the annotation file"
        )
    return files[0]


def open_dataset(
    path: str | Path,
    image_folder: str | Path | None = None,
    places: Iterable[int] | None = None,
    exclude: Iterable[int] | None = None,
    cache_bytes: int = 0,
    repair: bool = False,
    attribute: str | None = None,
) -> CocoDataset:
    """Open a data set of any format.

    Args:
        path, attribute: As `read_source` takes them.
        image_folder, places, exclude, cache_bytes, repair: As `CocoDataset` takes them.

    Returns:
        The data set.

    Raises:
        ValueError: When the data set has faults, or a place does not exist.
    """
    source = read_source(path, attribute)
    if repair:
        refuse(fault for fault in source.faults if not fault.remedy)
    else:
        refuse([*source.faults, *find_faults(source.data, str(source.path))])
    folder = source.image_folder if image_folder is None else image_folder
    dataset = CocoDataset(
        source.path, folder, places, exclude, cache_bytes, repair=repair, data=source.data
    )
    if source.faults:
        words = f"{counted(source.faults)}, left out; the first: {source.faults[0]}"
        warnings.warn(f"{source.path}: {words}", stacklevel=2)
        dataset.changes = [*source.faults, *dataset.changes]
    return dataset
