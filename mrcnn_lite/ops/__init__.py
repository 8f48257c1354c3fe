"""The paper's functions, in torch only: each file first a loop to read, then the form to run.

What is imported from here checks its arguments: types, shapes, devices, and on a CPU every value.
Callers inside the package that made the arguments themselves take the same function without checks,
by its short name, from the file:

    from ..ops.boxes import clip, decode, encode, pairwise_iou  # clip_boxes, ..., box_iou
    from ..ops.masks import crop, paste                         # crop_masks, paste_masks
    from ..ops.matching import best_overlaps                    # best_objects
    from ..ops.multiscale import pool_pyramid                   # multiscale_roi_align
    from ..ops.nms import suppress, suppress_in_groups          # nms_mask, batched_nms

What a network gives (features, logits, deltas) is a user's: check it once, where it comes in, with
`ops.checks.check_finite`.
"""

from mrcnn_lite.ops.backend import backend, register_kernel, set_backend, use_backend
from mrcnn_lite.ops.bilinear import bilinear
from mrcnn_lite.ops.boxes import (
    box_area,
    box_convert,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
)
from mrcnn_lite.ops.masks import crop_masks, paste_masks
from mrcnn_lite.ops.matching import best_objects
from mrcnn_lite.ops.multiscale import assign_levels, multiscale_roi_align
from mrcnn_lite.ops.nms import batched_nms, nms, nms_mask
from mrcnn_lite.ops.roi_align import roi_align
from mrcnn_lite.ops.roi_pool import roi_pool
from mrcnn_lite.ops.torchvision_names import (
    MultiScaleRoIAlign,
    RoIAlign,
    RoIPool,
    clip_boxes_to_image,
    masks_to_boxes,
    remove_small_boxes,
)

__all__ = [
    "MultiScaleRoIAlign",
    "RoIAlign",
    "RoIPool",
    "assign_levels",
    "backend",
    "batched_nms",
    "best_objects",
    "bilinear",
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes",
    "clip_boxes_to_image",
    "crop_masks",
    "decode_boxes",
    "encode_boxes",
    "masks_to_boxes",
    "multiscale_roi_align",
    "nms",
    "nms_mask",
    "paste_masks",
    "register_kernel",
    "remove_small_boxes",
    "roi_align",
    "roi_pool",
    "set_backend",
    "use_backend",
]
