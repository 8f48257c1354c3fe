"""The small sample in ``data/sample``: eight drawn images in COCO's format.

It has everything that a COCO file can hold: polygons of one and of several parts, both kinds of
RLE, a crowd region, an image without objects, and category ids with gaps. To write it again:

    python -m tools.sample data/sample
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from mrcnn_lite.datasets.masks import mask_boxes
from mrcnn_lite.datasets.shapes import CLASS_NAMES, Shapes
from mrcnn_lite.lessons.n18_your_own_data.export import write_coco

SEED, SIZE = 2024, 112  # pixels; noise does not compress, and 128 would make 330 KB
COUNT = 8  # the last one is the first image without objects
CATEGORY_IDS = (1, 2, 4, 7, 9)


class SampleShapes:
    """The eight images as a data set; the first that can has its repeated class as a crowd."""

    class_names = CLASS_NAMES

    def __init__(self) -> None:
        drawn, empty, crowd = [], None, None
        shapes = Shapes(None, SEED, SIZE)
        for image, target in map(shapes.__getitem__, range(1000)):
            labels = target["labels"].tolist()
            repeated = [row for row, label in enumerate(labels) if labels.count(label) > 1]
            if not labels:
                empty = empty or (image, target)
            elif len(drawn) < COUNT - 1:
                if crowd is None and repeated and len(labels) > 3:
                    crowd = [row for row in repeated if labels[row] == labels[repeated[0]]]
                    target = _join_to_crowd(target, crowd)
                drawn.append((image, target))
            if empty and len(drawn) == COUNT - 1:
                break
        self.samples = [*drawn, empty]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        """Give image and target number 0 to 7."""
        image, target = self.samples[index]
        return image, {**target, "image_id": index}


def _join_to_crowd(target: dict, members: list[int]) -> dict:
    """Replace some objects of one class by a single crowd region, put last."""
    others = [row for row in range(len(target["labels"])) if row not in members]
    crowd = target["masks"][members].amax(0, keepdim=True)  # [1, H, W]
    masks = torch.cat([target["masks"][others], crowd])  # [G, H, W]
    return {
        **target,
        "boxes": torch.from_numpy(mask_boxes(masks.numpy())),
        "labels": target["labels"][[*others, members[0]]],
        "masks": masks,
        "iscrowd": torch.tensor([0] * len(others) + [1], dtype=torch.uint8),
        "area": masks.sum((1, 2)).to(torch.float32),
    }


def write_sample(folder: str | Path) -> Path:
    """Write ``instances.json`` and ``images/`` into a folder; gives the path of the file."""
    return write_coco(SampleShapes(), folder, category_ids=CATEGORY_IDS)


if __name__ == "__main__":
    write_sample(sys.argv[1])
