"""Masks of polygons, and the boxes of masks."""

import numpy as np

from .rle import decode_rle


def mask_boxes(masks: np.ndarray) -> np.ndarray:
    """Half-open boxes ``float32[G, 4]`` of masks ``bool or uint8[G, H, W]``.

    A single pixel (x, y) gives (x, y, x + 1, y + 1), an empty mask four zeros.
    """
    height, width = masks.shape[1:]
    rows, columns = masks.any(axis=2), masks.any(axis=1)  # [G, H] and [G, W]
    boxes = np.stack(
        [
            columns.argmax(axis=1),
            rows.argmax(axis=1),
            width - columns[:, ::-1].argmax(axis=1),
            height - rows[:, ::-1].argmax(axis=1),
        ],
        axis=1,
    )  # [G, 4]
    return (boxes * rows.any(axis=1)[:, None]).astype(np.float32)


def polygons_to_mask(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """The union of polygons as a mask, by the rule of the COCO tools.

    The rule (walk the polygon at five times the resolution, toggle columns) is intricate, and
    evaluation compares with masks made by it, so faster-coco-eval does it instead of our own code.

    Args:
        polygons: Each a flat list x, y, x, y, … in pixels.
        height, width: Of the mask.

    Returns:
        ``uint8[H, W]``; what lies outside the image is cut off.
    """
    from faster_coco_eval.core import mask as mask_api

    parts = mask_api.frPyObjects(polygons, height, width)
    return mask_api.decode(mask_api.merge(parts))


def segmentation_to_mask(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """The mask ``uint8[H, W]`` of a COCO annotation's ``segmentation``, polygons or RLE.

    Raises:
        ValueError: When an RLE is malformed.
    """
    if isinstance(segmentation, dict):
        return decode_rle(segmentation)
    return polygons_to_mask(segmentation, height, width)
