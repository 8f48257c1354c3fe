"""Boxes of masks."""

import numpy as np


def mask_boxes(masks: np.ndarray) -> np.ndarray:
    """Half-open boxes of masks: a single pixel (x, y) gives (x, y, x + 1, y + 1).

    Args:
        masks: ``bool or uint8[G, H, W]``.

    Returns:
        ``float32[G, 4]``; an empty mask gives four zeros.
    """
    boxes = np.zeros((len(masks), 4), dtype=np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
        if len(rows):
            box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
