"""`predict`: what a network finds in images, as drawn images, COCO results and label maps."""

import argparse
import glob
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..datasets.annotations import IMAGES
from ..datasets.images import read_image
from ..datasets.rle import encode_rle
from ..datasets.values import one_form
from ..evaluation.coco import MASK_THRESHOLD
from ..files import check_output, output_folder, write_whole
from ..models import MaskRCNN, load_weights

SOFTWARE = "mrcnn_lite predict"  # said in every PNG that is written here
OUR_PNG = rb".{37}tEXtSoftware\0" + SOFTWARE.encode()  # behind the signature and the size
OUR_JSON = rb'\[\n(\{"file_name": |\n\])'


def predict_images(options: argparse.Namespace) -> int:
    """Find the objects of every image; status 1 when there was an image that could not be read."""
    from tqdm import tqdm

    paths, failed = find_images(options.images)
    if not paths:
        raise ValueError(f"there is no image: {'; '.join(failed)}")
    results = Results(options, paths)
    model, class_names = load_weights(options.weights)
    if results.maps and not model.config.mask:
        raise ValueError(f"--masks: the network of {options.weights} has none")
    model.to(options.device)
    try:
        with tqdm(paths, unit="image", disable=len(paths) == 1) as bar:
            for number, path in enumerate(bar):
                try:
                    image = read_image(path)  # uint8 [3, H, W]
                    found = detect(model, image.to(options.device), options.score)
                except (ValueError, OSError) as error:  # one bad image does not end the rest
                    failed.append(str(error) if str(path) in str(error) else f"{path}: {error}")
                    continue
                files = results.write(number, image, found, class_names)
                what = f"{len(found['scores'])} objects with a score of {options.score} or more"
                bar.write("; ".join([f"{path.name}: {what}", *files]), file=sys.stdout)
    finally:  # what was found remains when somebody stops it, or a disk is full
        results.write_json()
    if failed:
        print(f"{len(failed)} failed:", *failed, sep="\n  ", file=sys.stderr)
    return 1 if failed else 0


def find_images(given: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the image files that files, folders and patterns stand for, in order and each once;
    and a sentence on each folder or pattern that stands for none."""
    images: dict[Path, Path] = {}
    failed = []
    for path in given:
        if os.path.isdir(path):
            found = [file for file in path.iterdir() if not file.name.startswith(".")]
        elif glob.has_magic(str(path)) and not os.path.exists(path):
            found = [Path(name) for name in glob.glob(str(path), recursive=True)]
        else:  # a file, or nothing: that is told when it is read
            images.setdefault(path.absolute(), path)
            continue
        found = sorted(file for file in found if file.suffix.lower() in IMAGES and file.is_file())
        if not found:
            failed.append(f"{path}: no PNG or JPEG file is there; name files or another folder")
        for file in found:
            images.setdefault(file.absolute(), file)
    return list(images.values()), failed


def output_names(images: Sequence[Path]) -> list[str]:
    """Return a PNG's name for every image: its stem, with a number where an earlier one has it."""
    names: dict[str, str] = {}
    for image in images:
        name, number = image.stem, 1
        # To some disks x.png and X.png are the same file, and so are the two forms of é.
        while (key := one_form(name).casefold()) in names:
            number += 1
            name = f"{image.stem}-{number}"
        names[key] = f"{name}.png"
    return list(names.values())


def detect(model: MaskRCNN, image: Tensor, score: float) -> dict[str, Any]:
    """Find the objects of an image, uint8 [3, H, W], from a score on.

    Returns:
        boxes [N, 4], labels [N] and scores [N], best first, of the branches masks, a `PastedMasks`,
        and keypoints [N, points, 3]; on the CPU.
    """
    pixels = image.float().div_(255)  # [3, H, W]; `image / 255` would hold two such for a moment

    def free(*_: Any) -> None:
        pixels.untyped_storage().resize_(0)

    # The backbone is given a smaller copy: from there on 24 megapixels would be 288 MB for nothing.
    hook = model.backbone.register_forward_pre_hook(free)
    try:
        with torch.inference_mode():
            (found,) = model([pixels], lazy_masks=True)
    finally:
        hook.remove()
    masks = found.pop("masks", None)
    count = sum(value >= score for value in found["scores"].tolist())
    found = {name: values[:count].cpu() for name, values in found.items()}
    if masks is None:
        return found
    probabilities = masks.probabilities[:count].cpu()
    return found | {"masks": replace(masks, probabilities=probabilities, boxes=found["boxes"])}


class Results:
    """The files that a prediction writes; none of them replaces what another program wrote.

    Args:
        options: of the command line: out, json, masks.
        images: the files that are read.

    Raises:
        ValueError: nothing is to be written, or something would be lost.
    """

    def __init__(self, options: argparse.Namespace, images: Sequence[Path]) -> None:
        if not (options.out or options.json or options.masks):
            raise ValueError("say what to write: --out FOLDER, --json FILE or --masks FOLDER")
        if options.masks is True and not options.out:
            raise ValueError("--masks needs a folder here, or --out")
        masks = options.out / "masks" if options.masks is True else options.masks
        if masks and masks.suffix.lower() in IMAGES:
            raise ValueError(
                f"--masks {masks}: looks like an image; write --masks after the images"
            )
        if options.out and masks and options.out.absolute() == masks.absolute():
            raise ValueError(f"--masks {masks}: is --out too, and the names are the same; name two")
        self.images, self.json, self.rows = images, options.json, []
        inputs = {(s.st_dev, s.st_ino) for s in (p.stat() for p in images if os.path.exists(p))}
        self.drawings = _targets(options.out, "--out", images, inputs)
        self.maps = _targets(masks, "--masks", images, inputs)
        if self.json:
            check_output(self.json, "--json", OUR_JSON)
        names = Counter(path.name for path in images)
        self.names = [p.name if names[p.name] == 1 else p.as_posix() for p in images]

    def write(
        self, number: int, image: Tensor, found: dict[str, Any], class_names: list[str]
    ) -> list[str]:
        """Write what was found in an image, the results of `detect`; return the files' names."""
        from ..draw import paint_instances

        files = []
        if self.drawings:
            painted = paint_instances(image, found, class_names, score_threshold=0)
            files.append(_write_png(self.drawings[number], painted))
        if self.json or self.maps:
            label_map = self._add_rows(number, found, class_names)
        if self.maps:
            files.append(_write_png(self.maps[number], label_map))
        return files

    def _add_rows(self, number: int, found: dict, class_names: list[str]) -> np.ndarray | None:
        """Note the objects in COCO's form; return their label map [H, W], best objects on top."""
        count, rows, label_map = len(found["scores"]), [], None
        if "masks" in found:
            masks = replace(found["masks"], threshold=MASK_THRESHOLD)
            label_map = np.zeros(masks.image_size, np.uint8 if count < 256 else np.uint16)
        for row in reversed(range(count)):
            x1, y1, x2, y2 = found["boxes"][row].tolist()
            label = int(found["labels"][row])
            values = {
                "file_name": self.names[number],
                "image_id": number + 1,
                "category_id": label,
                "category_name": class_names[label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(found["scores"][row]),
            }
            if label_map is not None:
                mask = masks[row].numpy()  # bool [H, W]
                label_map[mask] = row + 1
                values |= {"segmentation": encode_rle(mask), "label_map_value": row + 1}
            if "keypoints" in found:  # COCO's are pixels, of which this is the middle
                points = found["keypoints"][row] - torch.tensor([0.5, 0.5, 0])
                values["keypoints"] = points.flatten().tolist()
            rows.append(values)
        self.rows += reversed(rows)
        return label_map

    def write_json(self) -> None:
        """Write the rows noted so far, where this is wanted."""
        if self.json:
            rows = ",\n".join(map(json.dumps, self.rows))
            write_whole(self.json, f"[\n{rows}\n]\n".encode())


def _targets(
    folder: Path | None, option: str, images: Sequence[Path], inputs: set[tuple[int, int]]
) -> list[Path]:
    """The PNG of every image in a folder; `inputs` are devices and numbers of the images."""
    if folder is None:
        return []
    targets = [output_folder(folder, option) / name for name in output_names(images)]
    for target in targets:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in inputs:
            raise ValueError(f"{option} {folder}: {target} is an image to read; choose another one")
        check_output(target, option, OUR_PNG)
    return targets


def _write_png(path: Path, pixels: np.ndarray) -> str:
    """Write [H, W, 3] or a label map [H, W] of 8 or 16 bits."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    said, file = PngInfo(), io.BytesIO()
    said.add_text("Software", SOFTWARE)
    # Three times as fast as the default, and a tenth larger.
    Image.fromarray(pixels).save(file, "PNG", pnginfo=said, compress_level=3)
    write_whole(path, file.getbuffer())
    return str(path)
