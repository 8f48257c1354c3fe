"""The operations as users call them: arguments are checked at the door, and only there.

At the end stands for every operation what is asked of each argument; before that, as functions,
what a line cannot say.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .bilinear import bilinear
from .boxes import (
    FORMATS,
    box_area,
    box_convert,
    box_iou,
    clip_boxes,
    clip_boxes_to_image,
    decode_boxes,
    encode_boxes,
    remove_small_boxes,
)
from .checks import (
    check_choice,
    check_finite,
    check_positive,
    check_same_device,
    check_sampling,
    check_share,
    check_size,
    check_tensor,
    checked,
)
from .masks import RULES, crop_masks, masks_to_boxes, paste_masks
from .matching import best_objects
from .multiscale import assign_levels, multiscale_roi_align, pyramid_scales
from .nms import batched_nms, nms, nms_mask
from .roi_align import roi_align
from .roi_pool import roi_pool
from .rois import split_rois


def _weights(weights: Sequence[float], name: str) -> None:
    if len(weights) != 4:
        raise ValueError(f"{name} must be four numbers for (dx, dy, dw, dh), got {weights}")
    for row, weight in enumerate(weights):
        check_positive(weight, f"{name}[{row}]")


def _image_size(size: tuple[int, int] | Tensor, name: str) -> None:
    check_finite(size if isinstance(size, Tensor) else torch.tensor(size).double(), "image_size")


def _threshold(threshold: float | None, name: str) -> None:
    if threshold is not None:
        check_share(threshold, name)


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
        raise ValueError(
            f"matched: row {row} is {int(matched[row])}, but there are {len(masks)} masks: "
            f"0 to {len(masks) - 1}"
        )


def _first_row(bad: Tensor) -> int | None:
    """The first row that is True; None on a GPU, which would have to be waited for."""
    return int(bad.nonzero()[0]) if bad.device.type == "cpu" and bad.any() else None


def _pooling(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    spatial_scale: float,
    sampling_ratio: int = 1,
    **_: Any,
) -> None:
    check_sampling(spatial_scale, sampling_ratio)
    _rois(input, boxes, "input")


def _rois(input: Tensor, boxes: Tensor | Sequence[Tensor], name: str) -> None:
    """RoIs, in either of torchvision's two forms, of a feature map."""
    if 0 in input.shape[2:]:
        raise ValueError(f"{name} must have at least one row and column, got {list(input.shape)}")
    if isinstance(boxes, Tensor):
        _floats(boxes, "boxes", "float [K, 5]")
    elif not isinstance(boxes, (list, tuple)):
        raise TypeError(f"boxes must be a tensor [K, 5] or a list, got {type(boxes).__name__}")
    elif len(boxes) != len(input):
        raise ValueError(f"boxes has {len(boxes)} entries for {len(input)} image(s) in {name}")
    else:
        for b, one in enumerate(boxes):
            _floats(one, f"boxes[{b}]", "float [R, 4]")
    image, corners = split_rois(input, boxes)
    check_same_device(**{name: input, "boxes": corners})
    if input.dtype not in (torch.float16, torch.bfloat16, corners.dtype):
        raise TypeError(
            f"boxes are {corners.dtype} and {name} is {input.dtype}; "
            f"give boxes.to(input.dtype) or features.to(boxes.dtype)"
        )
    given = boxes[:, 0] if isinstance(boxes, Tensor) else image
    row = _first_row((image < 0) | (image >= len(input)) | (image != given))
    if row is not None:
        raise ValueError(
            f"boxes: row {row} has image index {given[row].item():g}, but {name} holds "
            f"{len(input)} image(s): whole numbers 0 to {len(input) - 1} are allowed"
        )


def _floats(tensor: Tensor, name: str, shape: str) -> None:
    check_tensor(tensor, name, shape)
    check_finite(tensor, name)


def _pyramid(
    features: Sequence[Tensor],
    boxes: Sequence[Tensor],
    image_size: tuple[int, int],
    sampling_ratio: int,
    **_: Any,
) -> None:
    """RoIs of maps that belong together."""
    if isinstance(features, Tensor) or not features:
        raise TypeError("features must be a list of maps, finest first, with at least one level")
    for l, feature in enumerate(features):
        _floats(feature, f"features[{l}]", "float [B, C, h, w]")
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
    check_sampling(scales[0], sampling_ratio)
    _rois(features[0], boxes, "features[0]")


fmt = check_choice(FORMATS)
rule = check_choice(RULES)

box_area = checked(box_area, boxes="[..., 4]", fmt=fmt)
box_convert = checked(box_convert, boxes="[..., 4]", in_fmt=fmt, out_fmt=fmt)
box_iou = checked(box_iou, boxes1="[..., N, 4]", boxes2="[..., G, 4]", fmt=fmt)
clip_boxes = checked(clip_boxes, boxes="[..., 4]", image_size=_image_size)
clip_boxes_to_image = checked(clip_boxes_to_image, boxes="[..., 4]", size=_image_size)
decode_boxes = checked(
    decode_boxes, deltas="float [..., 4]", boxes="float [..., 4]", weights=_weights
)
encode_boxes = checked(
    encode_boxes, gt="float [..., 4]", proposals="float [..., 4]", weights=_weights
)
remove_small_boxes = checked(remove_small_boxes, boxes="float [N, 4]", min_size=check_positive)

nms = checked(nms, boxes="float [N, 4]", scores="float [N]", iou_threshold=check_share)
batched_nms = checked(
    batched_nms, boxes="float [N, 4]", scores="float [N]", idxs="[N]", iou_threshold=check_share
)
nms_mask = checked(
    nms_mask,
    _problems,
    boxes="float [..., N, 4] where valid",
    scores="float [...] where valid",
    valid="bool [...]",
    iou_threshold=check_share,
)
best_objects = checked(
    best_objects,
    _objects,
    objects="[B, G, 4] where valid",
    valid="bool [B, G]",
    boxes="[..., A, 4]",
)

bilinear = checked(bilinear, _samples, features="float [C, h, w]", y="float [...]", x="float [...]")
roi_align = checked(roi_align, _pooling, input="float [B, C, h, w]", output_size=check_size)
roi_pool = checked(roi_pool, _pooling, input="float [B, C, h, w]", output_size=check_size)
assign_levels = checked(assign_levels, boxes="float [..., 4]", canonical_scale=check_positive)
multiscale_roi_align = checked(
    multiscale_roi_align, _pyramid, output_size=check_size, canonical_scale=check_positive
)

crop_masks = checked(
    crop_masks,
    _matched,
    masks="[G, H, W]",
    boxes="float [K, 4]",
    matched="int64 [K]",
    size=_mask_size,
)
paste_masks = checked(
    paste_masks,
    masks="float [N, M, M]",
    boxes="float [N, 4]",
    image_size=check_size,
    threshold=_threshold,
    rule=rule,
)
masks_to_boxes = checked(masks_to_boxes, masks="[N, H, W]")
