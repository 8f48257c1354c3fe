"""Photographs with annotations in COCO's JSON format: polygons, RLE masks and crowd regions."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .annotations import read_annotations
from .faults import Fault, counted
from .masks import mask_boxes, outline_to_mask
from .mend import mend_with_pictures
from .pictures import read_picture


class CocoDataset:
    """A sequence of photographs with boxes, classes and masks, in order of image id.

    Boxes are those of the masks, half open: whole pixels, consistent with what a prediction is
    compared with, and right even where the file's ``bbox`` was rounded or drawn by hand. Category
    ids may have gaps; they become 1..K in order of id (``category_ids[k]`` is the id of class k).
    Crowd regions are kept, with ``iscrowd`` 1: training leaves them out, evaluation ignores them.

    Args:
        json_path: The COCO file.
        image_folder: Folder of the images; default ``images`` beside the file, else its folder.
        places: Keep only these places in order of image id, counted from 0.
        exclude: Leave these places out.
        cache_bytes: Keep decoded samples until they fill this much memory. Treat the tensors of
            a sample as read-only when this is not 0: the next access returns the same ones.
        repair: Leave out or correct what has a fault instead of refusing the file: ``changes``
            lists what was done, and a warning counts it. `repair.repair` writes such a copy.
        data: Content of a COCO file that another reader made; ``json_path`` then only names it.

    Raises:
        ValueError: When the file has faults, an image is missing or a place does not exist.
    """

    def __init__(
        self,
        json_path: str | Path,
        image_folder: str | Path | None = None,
        places: Iterable[int] | None = None,
        exclude: Iterable[int] | None = None,
        cache_bytes: int = 0,
        repair: bool = False,
        data: dict | None = None,
    ) -> None:
        self.path = Path(json_path)
        self.image_folder = Path(image_folder or image_folder_of(self.path))
        self.changes: list[Fault] = []
        if repair:
            data = self._mend(data)
        elif data is None:
            data = read_annotations(self.path)
        categories = sorted(data["categories"], key=lambda category: category["id"])
        self.category_ids = [-1] + [category["id"] for category in categories]
        self._labels = {category["id"]: k for k, category in enumerate(categories, start=1)}
        self.class_names = ["background"] + [category["name"] for category in categories]
        images = sorted(data["images"], key=lambda image: image["id"])
        self.images = [images[place] for place in _choose_places(len(images), places, exclude)]
        self._check_files()
        self._rows: dict[int, list[dict]] = {image["id"]: [] for image in self.images}
        for row in data["annotations"]:
            if row["image_id"] in self._rows:
                self._rows[row["image_id"]].append(row)
        self._room = cache_bytes
        self._cache: dict[int, tuple[Tensor, dict]] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        """Read one sample.

        Args:
            index: Place in the (chosen) images; negative values count from the end.

        Returns:
            The image ``Tensor[3, H, W]`` in 0..1 and the target with ``boxes`` ``Tensor[G, 4]``,
            ``labels`` ``int64[G]``, ``masks`` ``uint8[G, H, W]``, ``image_id``, ``iscrowd``
            ``uint8[G]`` and ``area`` ``Tensor[G]`` in pixels of the mask.

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
        if size <= self._room:
            self._room -= size
            self._cache[index] = image, dict(target)
        return image, target

    def _read_image(self, index: int) -> Tensor:
        row = self.images[index]
        image = read_picture(self.image_folder / row["file_name"])
        height, width = image.shape[1:]
        if (height, width) != (row["height"], row["width"]):
            turned = (width, height) == (row["height"], row["width"])
            hint = (
                "the EXIF tag of the file turns it; remove the tag or turn the annotations"
                if turned
                else "it was resized after the annotation; use the original"
            )
            raise ValueError(
                f"{self.path}: image {row['id']} ({row['file_name']}) is {width} x {height} pixels "
                f"when upright, the annotations say {row['width']} x {row['height']}; {hint}"
            )
        return image.to(torch.float32) / 255

    def _read_target(self, index: int) -> dict:
        image = self.images[index]
        rows = self._rows[image["id"]]
        height, width = image["height"], image["width"]
        masks = np.zeros((len(rows), height, width), dtype=np.uint8)  # [G, H, W]
        for mask, row in zip(masks, rows, strict=True):
            mask[:] = outline_to_mask(row["segmentation"], height, width)
            if not mask.any():
                raise ValueError(
                    f"{self.path}: annotation {row['id']} of image {image['id']}: segmentation "
                    "covers no pixel of the image; remove the annotation"
                )
        labels = [self._labels[row["category_id"]] for row in rows]
        return {
            "boxes": torch.from_numpy(mask_boxes(masks)),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "masks": torch.from_numpy(masks),
            "image_id": image["id"],
            "iscrowd": torch.tensor([row.get("iscrowd", 0) for row in rows], dtype=torch.uint8),
            "area": torch.from_numpy(masks.sum(axis=(1, 2), dtype=np.float32)),
        }

    def _mend(self, data: dict | None) -> dict:
        data, self.changes, _ = mend_with_pictures(self.path, self.image_folder, data)
        if self.changes:
            warnings.warn(
                f"{self.path}: {counted(self.changes)}, now mended or left out in memory; the "
                f"first: {self.changes[0]}",
                stacklevel=3,
            )
        return data

    def _check_files(self) -> None:
        missing = [
            image for image in self.images if not (self.image_folder / image["file_name"]).is_file()
        ]
        if missing:
            raise ValueError(
                f"{self.path}: {len(missing)} of {len(self.images)} images are missing; the first "
                f"is image {missing[0]['id']}, file_name = {missing[0]['file_name']!r} in "
                f"{self.image_folder}; give image_folder, or restore the file"
            )


def image_folder_of(path: str | Path) -> Path:
    """Where the pictures of an annotation file are looked for.

    Args:
        path: Of the file.

    Returns:
        The folder ``images`` beside it if there is one, else its own folder.
    """
    folder = Path(path).parent / "images"
    return folder if folder.is_dir() else folder.parent


def _choose_places(
    count: int, places: Iterable[int] | None, exclude: Iterable[int] | None
) -> list[int]:
    chosen = list(range(count)) if places is None else sorted(set(places))
    dropped = set() if exclude is None else set(exclude)
    for name, values in (("places", chosen), ("exclude", dropped)):
        wrong = [place for place in values if not 0 <= place < count]
        if wrong:
            raise ValueError(
                f"{name}: {wrong[0]} is not one of the {count} images (0..{count - 1})"
            )
    return [place for place in chosen if place not in dropped]
