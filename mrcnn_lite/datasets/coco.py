"""Images with annotations in COCO's JSON format: polygons, RLE masks and crowd regions."""

import threading
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .annotations import Source, read_coco
from .faults import Fault, counted, refuse
from .formats import read_source
from .image_files import ImageFiles
from .images import read_image
from .masks import mask_boxes, segmentation_to_mask
from .rules import AS_STORED, DROP, covers_pixels, fits_file
from .scan import scan

_CACHING = threading.Lock()  # several threads may read a data set


class CocoDataset:
    """A sequence of images with boxes, classes and masks, in order of image id.

    Boxes are those of the masks, half open: whole pixels, consistent with what a prediction is
    compared with, and right even where the file's ``bbox`` was rounded or drawn by hand. Category
    ids may have gaps; they become 1..K in order of id (``category_ids[k]`` is the id of class k).
    Crowd regions are kept, with ``iscrowd`` 1: training leaves them out, evaluation ignores them.
    Keypoints, where categories name some, are pixels in the file; half a pixel is added, so that
    they lie in the middle of that pixel. ``sigmas`` may be set for their OKS.

    Args:
        source: The path of a COCO file, or a data set that another reader has read.
        image_folder: The only folder in which its images are looked for; default: around the
            file (see `image_files`); ``files.told()`` says where they were found.
        indices: Keep only these images, counted from 0 in order of image id.
        exclude: Leave these images out.
        cache_bytes: Keep decoded samples until they fill this much memory. Treat the tensors of
            a sample as read-only when this is not 0: the next access returns the same ones.
        repair: Fix or leave out what has a fault instead of refusing the file: ``changes`` lists
            what was done, and a warning counts it. `verify.repair` writes such a copy.

    Raises:
        ValueError: When the file has faults, an image is missing or an index does not exist.
    """

    def __init__(
        self,
        source: str | Path | Source,
        image_folder: str | Path | None = None,
        indices: Iterable[int] | None = None,
        exclude: Iterable[int] | None = None,
        cache_bytes: int = 0,
        repair: bool = False,
    ) -> None:
        source = source if isinstance(source, Source) else read_coco(source)
        if image_folder:
            source = replace(source, image_folder=Path(image_folder))
        self.path = source.path
        data, self.files, self.changes = _without_faults(source, repair)
        categories = sorted(data["categories"], key=lambda category: category["id"])
        self.category_ids = [-1] + [category["id"] for category in categories]
        self._labels = {category["id"]: k for k, category in enumerate(categories, start=1)}
        self.class_names = ["background"] + [category["name"] for category in categories]
        self.keypoint_names = self._keypoint_names(categories)
        images = sorted(data["images"], key=lambda image: image["id"])
        self.images = [images[index] for index in _choose(len(images), indices, exclude)]
        self._check_files()
        self._rows: dict[int, list[dict]] = {image["id"]: [] for image in self.images}
        for row in data["annotations"]:
            if row["image_id"] in self._rows:
                self._rows[row["image_id"]].append(row)
        self._room = cache_bytes
        self._cache: dict[int, tuple[Tensor, dict]] = {}

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each image as the file says it; no image is opened."""
        return [(image["height"], image["width"]) for image in self.images]

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        """Read one sample (see `mrcnn_lite.datasets`); negative indices count from the end.

        Raises:
            IndexError: When the index is outside the set.
            ValueError: When the image cannot be read, has another size than the file says, or an
                object has no pixel.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of a set of {len(self)}")
        index = int(index) % len(self)
        if index in self._cache:
            image, target = self._cache[index]
            return image, dict(target)
        image, target = self._read_image(index), self._read_target(index)
        size = 4 * image.numel() + target["masks"].numel()
        with _CACHING:
            if size <= self._room and index not in self._cache:
                self._room -= size
                self._cache[index] = image, dict(target)
        return image, target

    def _read_image(self, index: int) -> Tensor:
        row = self.images[index]
        image = read_image(self.files.path(row["file_name"]))  # [3, H, W]
        if image.shape[1:] != (row["height"], row["width"]):
            self._refuse(f"image {row['id']}", fits_file(row, self.files))
        return image.to(torch.float32) / 255

    def _refuse(self, where: str, faults: Iterable[Fault]) -> None:
        """Stop where an entry at this position, in words, breaks a rule."""
        refuse(replace(fault, file=str(self.path), where=where) for fault in faults)

    def _read_target(self, index: int) -> dict:
        image = self.images[index]
        rows = self._rows[image["id"]]
        height, width = image["height"], image["width"]
        masks = np.zeros((len(rows), height, width), dtype=np.uint8)  # [G, H, W]
        for mask, row in zip(masks, rows, strict=True):
            mask[:] = segmentation_to_mask(row["segmentation"], height, width)
            where = f"annotation {row['id']} of image {image['id']}"
            self._refuse(where, covers_pixels(row, mask))
        labels = [self._labels[row["category_id"]] for row in rows]
        names = self.keypoint_names
        points = [row.get("keypoints") or [0] * 3 * len(names) for row in rows]
        points = torch.tensor(points, dtype=torch.float32).view(len(rows), len(names), 3)
        points[..., :2] += (points[..., 2:] > 0) / 2
        return ({"keypoints": points} if names else {}) | {
            "boxes": torch.from_numpy(mask_boxes(masks)),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "masks": torch.from_numpy(masks),
            "image_id": image["id"],
            "iscrowd": torch.tensor([row.get("iscrowd", 0) for row in rows], dtype=torch.uint8),
            "area": torch.from_numpy(masks.sum(axis=(1, 2), dtype=np.float32)),
        }

    def _keypoint_names(self, categories: list[dict]) -> tuple[str, ...]:
        lists = (category.get("keypoints") for category in categories)
        found = {tuple(map(str, names)) for names in lists if isinstance(names, list) and names}
        if len(found) > 1:
            raise ValueError(
                f"{self.path}: categories have different keypoints, {sorted(found)}; give all of "
                "them one list, and points that a category lacks the visibility 0"
            )
        return next(iter(found), ())

    @property
    def flip_pairs(self) -> list[tuple[int, int]]:
        """Keypoints that a mirror exchanges: those that only "left" and "right" tell apart."""
        names = self.keypoint_names
        mirrored = [name.replace("left", "right") for name in names]
        pairs = enumerate(zip(names, mirrored, strict=True))
        return [(i, names.index(m)) for i, (name, m) in pairs if m != name and m in names]

    def require_objects(self) -> None:
        """Stop where there is nothing to learn or to find.

        Raises:
            ValueError: When no image has an object; crowd regions are none.
        """
        rows = [row for rows in self._rows.values() for row in rows]
        if all(row.get("iscrowd") for row in rows):
            found = f"all {len(rows)} annotations are crowd regions" if rows else "no annotation"
            raise ValueError(
                f"{self.path}: nothing to learn or to find in {len(self)} images: {found}; "
                "annotate objects, or choose other images"
            )

    def _check_files(self) -> None:
        reasons = self.files.missing()
        missing = [image for image in self.images if image["file_name"] in reasons]
        if missing:
            name = missing[0]["file_name"]
            raise ValueError(
                f"{self.path}: {len(missing)} of {len(self.images)} images are missing; the first "
                f"is image {missing[0]['id']}: file_name = {name!r} {reasons[name]}"
            )


def _without_faults(source: Source, repair: bool) -> tuple[dict, ImageFiles, list[Fault]]:
    """The content without its faults, where its images lie, and what was done about each fault;
    without repair there may be none."""
    report = scan(source, open_images=repair)
    refuse(fault for fault in report.faults if not (repair and fault.fix))
    # Images that their EXIF tag turns can be stored anew, but not read as the annotations saw them.
    images = [image for image in report.data["images"] if "as_stored" not in image]
    changes = [replace(f, fix=DROP) if f.fix == AS_STORED else f for f in report.faults]
    if changes:
        warnings.warn(
            f"{source.path}: {counted(changes)}, now fixed or left out in memory; the first: "
            f"{changes[0]}",
            stacklevel=3,
        )
    return report.data | {"images": images}, report.files, changes


def _choose(count: int, indices: Iterable[int] | None, exclude: Iterable[int] | None) -> list[int]:
    chosen = set(range(count) if indices is None else indices)
    dropped = set(() if exclude is None else exclude)
    for name, values in (("indices", chosen), ("exclude", dropped)):
        for wrong in sorted(values - set(range(count)))[:1]:
            raise ValueError(f"{name}: {wrong} is not one of the {count} images (0..{count - 1})")
    if count and not chosen - dropped:
        raise ValueError(f"none of the {count} images is left; choose fewer to hold out, or more")
    return sorted(chosen - dropped)


def open_dataset(
    path: str | Path,
    attribute: str | None = None,
    image_folder: str | Path | None = None,
    **options: Any,
) -> CocoDataset:
    """Open a data set of any format.

    Args:
        path, attribute, image_folder: As `read_source` takes them.
        **options: As `CocoDataset` takes them.

    Raises:
        ValueError: When the data set has faults, or an index does not exist.
    """
    return CocoDataset(read_source(path, attribute, image_folder), **options)
