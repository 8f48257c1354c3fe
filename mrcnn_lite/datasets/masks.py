"""Masks of polygons, polygons and boxes of masks."""

import numpy as np

from .rle import decode_rle

STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (row, column): right, down, left, up
# From a pixel corner, the pixels ahead to the left and to the right, per heading.
AHEAD = (((-1, 0), (0, 0)), ((0, 0), (0, -1)), ((0, -1), (-1, -1)), ((-1, -1), (-1, 0)))


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


def trace_polygon(mask: np.ndarray) -> list[float]:
    """The corners x, y, x, y, … of a mask ``[H, W]``, clockwise along the edges of its pixels.

    Only the part that holds the first pixel of the first row is traced, without its holes.
    """
    inside = np.pad(np.asarray(mask, dtype=bool), 1)
    row, column = start = tuple(np.argwhere(inside)[0].tolist())
    heading = 0  # on the top left corner of the first pixel, going right
    corners: list[float] = []
    while True:
        row, column = row + STEPS[heading][0], column + STEPS[heading][1]
        # The mask is always on the right of the walk.
        left, right = (inside[row + y, column + x] for y, x in AHEAD[heading])
        turn = -1 if left and right else 0 if right else 1
        if turn:
            corners += [float(column - 1), float(row - 1)]
            heading = (heading + turn) % 4
        if (row, column) == start and heading == 0:
            return corners


def mask_to_polygons(mask: np.ndarray) -> list[list[float]]:
    """The polygons of a mask ``bool or uint8[H, W]``, along the edges of its pixels, as in COCO.

    Each is a flat list x, y, x, y, … of one part. COCO's polygons have no holes: `polygons_to_mask`
    gives the mask back with its holes filled (`rle.encode_rle` keeps them).
    """
    polygons, rest = [], np.asarray(mask) != 0  # [H, W]
    while rest.any():
        polygons.append(trace_polygon(rest))
        rest = rest & (polygons_to_mask(polygons[-1:], *rest.shape) == 0)
    return polygons


def segmentation_to_mask(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """The mask ``uint8[H, W]`` of a COCO annotation's ``segmentation``, polygons or RLE.

    Raises:
        ValueError: When an RLE is malformed.
    """
    if isinstance(segmentation, dict):
        return decode_rle(segmentation)
    return polygons_to_mask(segmentation, height, width)
