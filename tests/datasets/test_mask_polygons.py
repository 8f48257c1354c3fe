"""Masks to polygons and back, by the rule of the COCO tools."""

import numpy as np
import pytest

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.datasets.masks import mask_to_polygons, polygons_to_mask


def test_by_hand():
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 2:5] = 1
    assert mask_to_polygons(mask) == [[5, 1, 5, 3, 2, 3, 2, 1]]
    mask[3, 0] = 1  # a second part
    assert mask_to_polygons(mask) == [[5, 1, 5, 3, 2, 3, 2, 1], [1, 3, 1, 4, 0, 4, 0, 3]]
    assert mask_to_polygons(np.zeros((3, 3))) == []


def test_a_hole_is_filled():
    ring = np.ones((3, 3), np.uint8)
    ring[1, 1] = 0
    assert polygons_to_mask(mask_to_polygons(ring), 3, 3).sum() == 9


@pytest.mark.parametrize("seed", range(4))
def test_drawn_shapes_come_back_pixel_by_pixel(seed):
    for mask in Shapes(1, seed=seed)[0][1]["masks"].numpy():
        again = polygons_to_mask(mask_to_polygons(mask), *mask.shape)
        assert (again >= mask).all()
        holes = again.astype(int) - mask  # an object under another one may have a hole
        assert holes.sum() == 0 or _filled(mask).sum() == again.sum()


def _filled(mask):
    """The mask with its holes: what cannot be reached from outside, step by step."""
    outside = np.pad(np.zeros_like(mask), 1, constant_values=1).astype(bool)
    free = np.pad(mask == 0, 1, constant_values=True)
    while True:
        grown = outside.copy()
        grown[1:] |= outside[:-1]
        grown[:-1] |= outside[1:]
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown &= free
        if (grown == outside).all():
            return ~outside[1:-1, 1:-1]
        outside = grown
