"""The paper's functions, in torch only: pooling, suppression, matching and masks as a loop to
read and a fast form.

What is imported from here, such as `from ..ops import nms`, checks its arguments: kinds, shapes,
devices, and on a CPU every value. The file behind it, `from ..ops.nms import nms`, has the same
function without checks, for callers inside the package that made the arguments themselves. What a
network computes is a user's: features, logits and deltas are checked once, where they come in, with
`ops.checks.check_finite`.
"""

from .backend import backend, register_kernel, set_backend, use_backend
from .layers import MultiScaleRoIAlign, RoIAlign, RoIPool
from .public import (
    assign_levels,
    batched_nms,
    best_objects,
    bilinear,
    box_area,
    box_convert,
    box_iou,
    clip_boxes,
    clip_boxes_to_image,
    crop_masks,
    decode_boxes,
    encode_boxes,
    masks_to_boxes,
    multiscale_roi_align,
    nms,
    nms_mask,
    paste_masks,
    remove_small_boxes,
    roi_align,
    roi_pool,
)

__all__ = [
    "MultiScaleRoIAlign", "RoIAlign", "RoIPool", "assign_levels", "backend", "batched_nms",
    "best_objects", "bilinear", "box_area", "box_convert", "box_iou", "clip_boxes",
    "clip_boxes_to_image", "crop_masks", "decode_boxes", "encode_boxes", "masks_to_boxes",
    "multiscale_roi_align", "nms", "nms_mask", "paste_masks", "register_kernel",
    "remove_small_boxes", "roi_align", "roi_pool", "set_backend", "use_backend",
]  # fmt: skip
