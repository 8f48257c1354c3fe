"""The paper's functions, in torch only: each file first a loop to read, then the form to run."""

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
