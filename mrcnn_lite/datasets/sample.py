"""The small sample in ``data/sample``: eight drawn pictures in COCO's format.

It has everything that a COCO file can hold: polygons of one and of several parts, both kinds of
RLE, a crowd region, a picture without objects, and category ids with gaps. To write it again:

    python -m mrcnn_lite.datasets.sample data/sample
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from .coco_writer import write_coco
from .masks import mask_boxes
from .shapes import CLASS_NAMES, Shapes

SEED, SIZE = 2024, 112  # pixels; noise does not compress, and 128 would make 330 KB
PICTURES = (0, 11, 17, 22, 29, 33, 42, 49)  # the last one has no object
CROWD = (22, (0, 1, 2))  # in this picture these three triangles become one crowd region
CATEGORY_IDS = (1, 2, 4, 7, 9)


class SampleShapes:
    """The eight pictures as a data set."""

    class_names = CLASS_NAMES

    def __init__(self) -> None:
        self.shapes = Shapes(None, SEED, SIZE)

    def __len__(self) -> int:
        return len(PICTURES)

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        """Draw one of them.

        Args:
            index: 0 to 7.

        Returns:
            Image and target, as every data set.
        """
        image, target = self.shapes[PICTURES[index]]
        if PICTURES[index] == CROWD[0]:
            target = join_to_crowd(target, CROWD[1])
        return image, {**target, "image_id": index}


def join_to_crowd(target: dict, members: tuple[int, ...]) -> dict:
    """Replace some objects of one class by a single crowd region, put last.

    Args:
        target: With its objects.
        members: Rows of the objects.

    Returns:
        The new target.
    """
    others = [row for row in range(len(target["labels"])) if row not in members]
    crowd = target["masks"][list(members)].amax(0, keepdim=True)  # [1, H, W]
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
    """Write the sample.

    Args:
        folder: Receives ``instances.json`` and ``images/``.

    Returns:
        The path of the annotation file.
    """
    return write_coco(SampleShapes(), folder, category_ids=CATEGORY_IDS)


if __name__ == "__main__":
    write_sample(sys.argv[1])
