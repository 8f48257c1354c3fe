"""One way to read a data set: COCO JSON, VIA JSON, or a folder of label maps.

Every reader turns what it finds into the content of a COCO file, in memory. So checks, repair and
training are the same for all formats.
"""

from pathlib import Path

from .annotations import Source, read_coco
from .images import as_stored
from .label_maps import read_label_maps
from .via import is_via, read_via

REPORT = "report.json"  # beside the annotations of a repaired copy


def read_source(
    path: str | Path, attribute: str | None = None, image_folder: str | Path | None = None
) -> Source:
    """Read a data set of any format without judging it.

    Args:
        path: A COCO JSON file, a VIA JSON file or project, or a folder: of label maps, or with one
            JSON file in it.
        attribute: Of VIA: the region attribute that holds the class, when there are several.
        image_folder: Where its images lie; default as `image_files` says.

    Raises:
        ValueError: When there is nothing that can be read.
    """
    path = as_stored(Path(path))
    if path.is_dir():
        source = read_label_maps(path, image_folder)
        if source is not None:
            return source
        path = _only_json(path)
    source = read_coco(path, image_folder)
    return read_via(source, attribute) if is_via(source.data) else source


def _only_json(folder: Path) -> Path:
    """The one JSON file in a folder, or else in its ``annotations/``."""
    for place in (folder, folder / "annotations"):
        files = sorted(path for path in place.glob("*.json") if path.name != REPORT)
        if len(files) == 1:
            return files[0]
        if files:
            break
    names = ", ".join(file.name for file in files[:5]) or "none"
    raise ValueError(
        f"{folder}: neither images/ and masks/ with label maps nor exactly one JSON file "
        f"({names}); give the path of the annotation file"
    )
