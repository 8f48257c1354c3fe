"""Large images, searched in tiles that overlap."""

import torch
from torch import Tensor

from ..ops import batched_nms
from .mask_rcnn import MaskRCNN
from .postprocess import Detection, PastedMasks

NEAR = 2.0  # pixels: a box that ends this near to its tile's border was probably cut by it


def tile_windows(size: tuple[int, int], tile: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Cover an image with tiles.

    Args:
        size: (height, width) of the image.
        tile, overlap: side of a tile, and what neighbours share at least; pixels.

    Returns:
        (x1, y1, x2, y2) of each, row by row; the last ones end with the image.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"overlap is {overlap}; give 0 to {tile - 1}, less than tile {tile}")

    def starts(side: int) -> list[int]:
        last = max(side - tile, 0)
        return [*range(0, last, tile - overlap), last]

    height, width = size
    corners = [(x, y) for y in starts(height) for x in starts(width)]
    return [(x, y, min(x + tile, width), min(y + tile, height)) for x, y in corners]


@torch.inference_mode()
def detect_in_tiles(
    model: MaskRCNN, image: Tensor, tile: int, overlap: int, nms_iou: float = 0.5
) -> Detection:
    """Find the objects of a large image tile by tile, at the size that the network was trained for.

    A detection that ends at a border inside the image was cut there and is dropped: a neighbour has
    the object whole, if it is not larger than the overlap. Doubles fall to NMS within classes.

    Args:
        model: in evaluation mode; it resizes each tile as it would an image.
        image: Tensor[3, H, W] in 0..1.
        tile, overlap: see `tile_windows`; the overlap at least as large as an object.
        nms_iou: boxes of a class that overlap by more are one object.

    Returns:
        boxes [N, 4] in pixels of the image, labels [N], scores [N], best first, and masks, pasted
        when asked for: `masks[i]` is [H, W], see `PastedMasks`.
    """
    size = tuple(image.shape[-2:])
    parts: dict[str, list[Tensor]] = {"boxes": [], "labels": [], "scores": [], "masks": []}
    for x1, y1, x2, y2 in tile_windows(size, tile, overlap):
        (found,) = model([image[:, y1:y2, x1:x2]], lazy_masks=True)
        boxes = found["boxes"] + found["boxes"].new_tensor([x1, y1, x1, y1])  # [N, 4]
        border = boxes.new_tensor([x1, y1, x2, y2])
        inside = border != boxes.new_tensor([0, 0, size[1], size[0]])  # [4]
        whole = ~((boxes - border).abs() < NEAR).logical_and(inside).any(dim=1)  # [N]
        values = (boxes, found["labels"], found["scores"], found["masks"].probabilities)
        for name, value in zip(parts, values, strict=True):
            parts[name].append(value[whole])
    boxes, labels, scores, probabilities = (torch.cat(part) for part in parts.values())
    keep = batched_nms(boxes, scores, labels, nms_iou)
    masks = PastedMasks(probabilities[keep], boxes[keep], size, model.roi_heads.config.mask.paste)
    return {"boxes": boxes[keep], "labels": labels[keep], "scores": scores[keep], "masks": masks}
