"""From a data set to batches: which images share one, and how much of it is padding."""

from itertools import islice

import pytest
import torch

from mrcnn_lite.config import lite, resnet50_fpn
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models.transform import batch_images
from mrcnn_lite.training import training_batches
from mrcnn_lite.training.recipe import tall_images

WIDE, TALL = [(96, 128), (85, 128), (96, 96)], [(128, 96), (128, 85)]


class Photographs:
    """Grey images without objects, of which two in five are tall."""

    class_names = ("background", "object")

    def __init__(self, sizes):
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        return torch.full((3, *self.sizes[index]), 0.5), {
            "boxes": torch.zeros(0, 4),
            "labels": torch.zeros(0, dtype=torch.int64),
            "masks": torch.zeros(0, *self.sizes[index], dtype=torch.uint8),
            "image_id": index,
            "iscrowd": torch.zeros(0, dtype=torch.uint8),
        }


MIXED = Photographs([*WIDE, *TALL] * 8)


def whole_images(**training):
    """Images of 96 pixels, 160 at most, whole."""
    return lite(2).with_(
        image={"min_size": 96, "max_size": 160, "size_divisible": 8},
        training={"crop_size": 0, **training},
    )


def pixels(config, steps):
    """Pixels that are computed, and those of the images among them."""
    computed = seen = 0
    for images, targets in islice(training_batches(config, MIXED, 0)(0), steps):
        batch, _ = batch_images(images, targets, config.image)
        computed += batch.pixels[:, 0].numel()
        seen += int(batch.sizes.prod(dim=1).sum())
    return computed, seen


@pytest.mark.parametrize(("images", "before", "after"), [(2, 1.15, 1.08), (8, 1.5, 1.25)])
def test_batches_by_orientation_pad_less(images, before, after):
    """Counted over two passes: without, from `before` times the images' pixels on; with, at most
    `after` times."""
    steps = 2 * len(MIXED) // images
    computed, seen = pixels(whole_images(batch_size=images, by_orientation=False), steps)
    fewer, same = pixels(whole_images(batch_size=images), steps)
    assert seen == same
    assert computed / seen > before and fewer / seen < after, (computed / seen, fewer / seen)


def test_they_go_on_where_they_were_left():
    batches = training_batches(whole_images(batch_size=4), MIXED, 7)
    ids = [[target["image_id"] for target in targets] for _, targets in islice(batches(0), 25)]
    rest = [[target["image_id"] for target in targets] for _, targets in islice(batches(13), 12)]
    assert ids[13:] == rest


def test_only_whole_images_of_both_kinds_have_orientations():
    config = whole_images()
    assert tall_images(config, MIXED) == [height > width for height, width in MIXED.sizes]
    assert tall_images(resnet50_fpn(2), MIXED) is not None
    assert tall_images(whole_images(by_orientation=False), MIXED) is None
    assert tall_images(whole_images(crop_size=64), MIXED) is None  # crops are squares
    for alike in (Photographs(WIDE), Photographs(TALL), Shapes(None, seed=1)):
        assert tall_images(config, alike) is None
