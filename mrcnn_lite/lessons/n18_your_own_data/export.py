"""Writing a data set as PNG files and one COCO annotation file."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...datasets.masks import mask_to_polygons, polygons_to_mask
from ...datasets.masks import trace_polygon as trace_polygon  # notebook 18 reads it here
from ...datasets.rle import encode_rle
from ...files import is_ours

FORMS = ("polygon", "compressed", "uncompressed")
OURS = rb'\{\n"images": \[\n\{"id": \d+, "file_name": "\d{6}\.png"'  # how it begins


def write_coco(
    dataset: Sequence,
    folder: str | Path,
    forms: Sequence[str] = FORMS,
    category_ids: Sequence[int] | None = None,
) -> Path:
    """Write every sample of a data set into a folder: ``images/`` and ``instances.json``.

    Masks are written in these forms in turn. One with a hole and a crowd region are always
    run-length encoded, since polygons cannot say them. Another data set is not written over.
    """
    folder, path = Path(folder), Path(folder, "instances.json")
    names = dataset.class_names[1:]
    ids = list(range(1, len(names) + 1)) if category_ids is None else list(category_ids)
    if len(ids) != len(names) or not forms or set(forms) - set(FORMS):
        raise ValueError(f"{len(ids)} category_ids for {len(names)} classes, forms {list(forms)}")
    there = [file for file in (path, folder / "images" / "000000.png") if file.exists()]
    if there and not is_ours(path, OURS):
        raise ValueError(f"{there[0]}: was not written here; name another folder")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for index in range(len(dataset)):
        image, target = dataset[index]
        name = f"{index:06d}.png"
        _write_png(image.numpy(), folder / "images" / name)
        size = {"height": image.shape[1], "width": image.shape[2]}
        images.append({"id": index, "file_name": name, **size})
        for row, mask in enumerate(target["masks"].numpy()):
            x1, y1, x2, y2 = (round(value) for value in target["boxes"][row].tolist())
            crowd = int(target["iscrowd"][row])
            form = "uncompressed" if crowd else forms[len(annotations) % len(forms)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": ids[int(target["labels"][row]) - 1],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": int(mask.sum()),
                    "iscrowd": crowd,
                    "segmentation": _write_mask(mask, form),
                }
            )
    categories = [{"id": i, "name": name} for i, name in zip(ids, names, strict=True)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    lists = {key: ",\n".join(map(json.dumps, rows)) for key, rows in data.items()}
    text = ",\n".join(f'"{key}": [\n{rows}\n]' for key, rows in lists.items())
    path.write_text("{\n" + text + "\n}\n", encoding="utf-8")
    return path


def _write_mask(mask: np.ndarray, form: str) -> list | dict:
    if form == "polygon":
        polygons = mask_to_polygons(mask)
        if (polygons_to_mask(polygons, *mask.shape) == (mask != 0)).all():
            return polygons
    return encode_rle(mask, compress=form != "uncompressed")


def _write_png(image: np.ndarray, path: Path) -> None:
    from PIL import Image

    pixels = (image * 255).round().astype(np.uint8).transpose(1, 2, 0)  # [H, W, C]
    Image.fromarray(pixels).save(path, optimize=True)
