"""The operations as users call them: arguments are checked at the door, and only there.

At the end stands for every operation what is asked of each argument; before that, as functions,
what a line cannot say.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import boxes as box
from .bilinear import bilinear
from .checks import (
    check_finite,
    check_positive,
    check_same_device,
    check_sampling,
    check_share,
    check_size,
    check_tensor,
    checked,
)
from .masks import crop_masks
from .matching import best_objects
from .multiscale import multiscale_roi_align, pyramid_scales
from .nms import batched_nms, nms, nms_mask
from .paste import RULES, paste_masks
from .roi_align import roi_align
from .roi_pool import roi_pool
from .rois import Boxes, assign_levels, split_rois
from .torchvision_names import clip_boxes_to_image, masks_to_boxes, remove_small_boxes


def _weights(weights: Sequence[float], name: str) -> None:
    if len(weights) != 4:
        raise ValueError(f"{name} must be four numbers for (dx, dy, dw, dh), got {weights}")
    for row, weight in enumerate(weights):
        check_positive(weight, f"{name}[{row}]")


def _image_size(size: tuple[int, int] | Tensor, name: str) -> None:
    check_finite(size if isinstance(size, Tensor) else torch.tensor(size).double(), name)


def _mask_size(size: int, name: str) -> None:
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{name} must be a positive int, got {size!r}")


def _problems(boxes: Tensor, scores: Tensor, valid: Tensor, **_: Any) -> None:
    if scores.shape != boxes.shape[:-1] or valid.shape != scores.shape:
        sizes = _sizes(boxes=boxes, scores=scores, valid=valid)
        raise ValueError(f"{sizes} must have shapes [..., N, 4], [..., N] and [..., N]")


def _objects(objects: Tensor, valid: Tensor, boxes: Tensor, **_: Any) -> None:
    shared = boxes.dim() == 2 or (boxes.dim() == 3 and len(boxes) == len(objects))
    if valid.shape != objects.shape[:2] or not valid.shape[1] or not shared:
        sizes = _sizes(objects=objects, valid=valid, boxes=boxes)
        shapes = "[B, G, 4], [B, G], and [A, 4] or [B, A, 4], with G at least 1"
        raise ValueError(f"{sizes} must have shapes {shapes}")


def _samples(y: Tensor, x: Tensor, **_: Any) -> None:
    if y.shape != x.shape:
        raise ValueError(f"{_sizes(y=y, x=x)} must have the same shape")


def _sizes(**tensors: Tensor) -> str:
    return ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())


def _matched(masks: Tensor, matched: Tensor, **_: Any) -> None:
    row = _first_row((matched < 0) | (matched >= len(masks)))
    if row is not None:
        raise ValueError(f"matched: row {row} is {int(matched[row])}, not 0 to {len(masks) - 1}")


def _first_row(bad: Tensor) -> int | None:
    """The first row that is True; None on a GPU, which would have to be waited for."""
    return int(bad.nonzero()[0]) if bad.device.type == "cpu" and bad.any() else None


def _pooling(
    input: Tensor,
    boxes: Boxes,
    spatial_scale: float,
    sampling_ratio: int = 1,
    name: str = "input",
    **_: Any,
) -> None:
    """RoIs, in either of torchvision's two forms, of a feature map."""
    check_sampling(spatial_scale, sampling_ratio)
    if 0 in input.shape[2:]:
        raise ValueError(f"{name} must have at least one row and column, got {list(input.shape)}")
    if isinstance(boxes, Tensor):
        check_tensor(boxes, "boxes", "[K, 5]")
        check_finite(boxes, "boxes")
    elif not isinstance(boxes, (list, tuple)):
        raise TypeError(f"boxes must be a tensor [K, 5] or a list, got {type(boxes).__name__}")
    elif len(boxes) != len(input):
        raise ValueError(f"boxes has {len(boxes)} entries for {len(input)} image(s) in {name}")
    else:
        for b, one in enumerate(boxes):
            check_tensor(one, f"boxes[{b}]", "[R, 4]")
            check_finite(one, f"boxes[{b}]")
    image, corners = split_rois(input, boxes)
    check_same_device(**{name: input, "boxes": corners})
    if input.dtype not in (torch.float16, torch.bfloat16, corners.dtype):
        raise TypeError(
            f"boxes are {corners.dtype} and {name} is {input.dtype}; "
            f"give boxes.to(input.dtype) or features.to(boxes.dtype)"
        )
    if isinstance(boxes, Tensor):
        row = _first_row((image < 0) | (image >= len(input)) | (image != boxes[:, 0]))
        if row is not None:
            raise ValueError(
                f"boxes: row {row} has image index {boxes[row, 0].item():g}, but {name} holds "
                f"{len(input)} image(s): whole numbers 0 to {len(input) - 1} are allowed"
            )


def _pyramid(
    features: Sequence[Tensor],
    boxes: Boxes,
    image_size: tuple[int, int],
    sampling_ratio: int,
    **_: Any,
) -> None:
    """RoIs of maps that belong together."""
    if isinstance(features, Tensor) or not features:
        raise TypeError("features must be a list of maps, finest first, with at least one level")
    for l, feature in enumerate(features):
        check_tensor(feature, f"features[{l}]", "[B, C, h, w]")
        check_finite(feature, f"features[{l}]")
        if feature.shape[:2] != features[0].shape[:2] or feature.dtype != features[0].dtype:
            raise ValueError(
                f"features[{l}] is {feature.dtype} {list(feature.shape)}; batch size, channels and "
                f"dtype must be those of features[0], {features[0].dtype} {list(features[0].shape)}"
            )
    for side, length in zip(("height", "width"), image_size, strict=True):
        check_positive(length, f"image_size ({side})")
    scales = pyramid_scales(features, image_size)
    if scales != sorted(scales, reverse=True) or scales[0] / scales[-1] > 2 ** (len(scales) - 1):
        raise ValueError(
            f"features must come finest first and halve from level to level; against image_size "
            f"{tuple(image_size)} their scales are {scales}"
        )
    _pooling(features[0], boxes, scales[0], sampling_ratio, "features[0]")


box_area = checked(box.box_area, boxes="any [..., 4]", fmt=box.FORMATS)
box_convert = checked(
    box.box_convert, boxes="any [..., 4]", in_fmt=box.FORMATS, out_fmt=box.FORMATS
)
box_iou = checked(box.box_iou, boxes1="any [..., N, 4]", boxes2="any [..., G, 4]", fmt=box.FORMATS)
clip_boxes = checked(box.clip_boxes, boxes="any [..., 4]", image_size=_image_size)
clip_boxes_to_image = checked(clip_boxes_to_image, boxes="any [..., 4]", size=_image_size)
decode_boxes = checked(box.decode_boxes, deltas="[..., 4]", boxes="[..., 4]", weights=_weights)
encode_boxes = checked(box.encode_boxes, gt="[..., 4]", proposals="[..., 4]", weights=_weights)
remove_small_boxes = checked(remove_small_boxes, boxes="[N, 4]", min_size=check_positive)

nms = checked(nms, boxes="[N, 4]", scores="[N]", iou_threshold=check_share)
batched_nms = checked(
    batched_nms, boxes="[N, 4]", scores="[N]", idxs="any [N]", iou_threshold=check_share
)
nms_mask = checked(
    nms_mask,
    _problems,
    boxes="[..., N, 4] where valid",
    scores="[...] where valid",
    valid="bool [...]",
    iou_threshold=check_share,
)
best_objects = checked(
    best_objects,
    _objects,
    objects="any [B, G, 4] where valid",
    valid="bool [B, G]",
    boxes="any [..., A, 4]",
)

bilinear = checked(bilinear, _samples, features="[C, h, w]", y="[...]", x="[...]")
roi_align = checked(roi_align, _pooling, input="[B, C, h, w]", output_size=check_size)
roi_pool = checked(roi_pool, _pooling, input="[B, C, h, w]", output_size=check_size)
assign_levels = checked(assign_levels, boxes="[..., 4]", canonical_scale=check_positive)
multiscale_roi_align = checked(
    multiscale_roi_align, _pyramid, output_size=check_size, canonical_scale=check_positive
)

crop_masks = checked(
    crop_masks,
    _matched,
    masks="any [G, H, W]",
    boxes="[K, 4]",
    matched="int64 [K]",
    size=_mask_size,
)
paste_masks = checked(
    paste_masks,
    masks="[N, M, M]",
    boxes="[N, 4]",
    image_size=check_size,
    threshold=check_share,
    rule=RULES,
)
masks_to_boxes = checked(masks_to_boxes, masks="any [N, H, W]")
