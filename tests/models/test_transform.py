"""Images to a batch and back: sizes, padding, and what is refused."""

import pytest
import torch

from mrcnn_lite.config import ImageConfig
from mrcnn_lite.models.transform import batch_images, pad_targets, resize_factor

PLAIN = ImageConfig(min_size=32, max_size=64, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def target(height: int, width: int) -> dict:
    masks = torch.zeros(1, height, width, dtype=torch.uint8)
    masks[0, 4:12, 8:16] = 1
    boxes = torch.tensor([[8.0, 4, 16, 12]])
    return {"boxes": boxes, "labels": torch.tensor([1]), "masks": masks}


def test_resize_factor_by_hand():
    assert resize_factor((16, 24), PLAIN) == 2.0  # shorter side to 32
    assert resize_factor((16, 64), PLAIN) == 1.0  # ... but the longer one stops at 64


def test_images_are_normalised_and_padded_to_the_stride():
    batch, _ = batch_images([torch.ones(3, 32, 40), torch.zeros(3, 50, 32)], None, PLAIN)
    assert batch.pixels.shape == (2, 3, 64, 64)
    assert batch.sizes.tolist() == [[32, 40], [50, 32]]
    assert batch.pixels[0, :, :32, :40].eq(2).all()  # (1 - 0.5) / 0.25
    assert batch.pixels[1, :, :50, :32].eq(-2).all()
    assert batch.pixels[0, :, 32:].eq(0).all(), "padding is neutral grey, not black"
    assert batch.padded_size == (64, 64)


def test_boxes_and_masks_grow_with_the_image():
    _, targets = batch_images([torch.rand(3, 16, 24)], [target(16, 24)], PLAIN)
    assert targets[0]["boxes"].tolist() == [[16, 8, 32, 24]]
    assert targets[0]["masks"].shape == (1, 32, 48)
    assert targets[0]["masks"].sum() == 4 * 64


def test_the_learners_targets_stay_as_they_were():
    given = target(16, 24)
    batch_images([torch.rand(3, 16, 24)], [given], PLAIN)
    assert given["boxes"].tolist() == [[8, 4, 16, 12]]


def test_targets_are_padded_to_the_largest_count():
    none = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 16, 24, dtype=torch.uint8),
    }
    padded = pad_targets([target(16, 24), none], (32, 32), torch.zeros(1))
    assert padded.boxes.shape == (2, 1, 4)
    assert padded.valid.tolist() == [[True], [False]]
    assert padded.masks.shape == (2, 1, 32, 32)
    assert pad_targets([none], (32, 32), torch.zeros(1)).boxes.shape == (1, 1, 4)


@pytest.mark.parametrize("images", [[], None, torch.rand(3, 8, 8)])
def test_not_a_list_of_images(images):
    with pytest.raises(TypeError, match="non-empty list"):
        batch_images(images, None, PLAIN)
