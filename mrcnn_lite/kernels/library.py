"""RoIAlign's kernels as operators of PyTorch: autograd, `torch.compile` and CUDA graphs know them.

An operator has a name, a signature of plain types, a fake form that says only which shape comes out
(for tracing), and its gradients, which are operators too.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..ops.rois import Grid, Rois
from .pyramid import coordinate_type
from .roi_align import launch
from .roi_align_backward import roi_align_backward
from .roi_align_boxes import roi_align_boxes_backward


@torch.library.custom_op("mrcnn_lite::roi_align", mutates_args=())
def roi_align_op(
    features: list[Tensor], place: Tensor, corners: Tensor, scales: list[float],
    size: list[int], samples: int, aligned: bool,
) -> Tensor:  # fmt: skip
    """See `roi_align.launch`."""
    return launch(features, place, corners, scales, size, samples, aligned)


@roi_align_op.register_fake
def _(features, place, corners, scales, size, samples, aligned):
    out = features[0].new_empty(len(place), *size, features[0].shape[1])  # [K, P, P, C]
    return out.permute(0, 3, 1, 2)  # [K, C, P, P]


@torch.library.custom_op("mrcnn_lite::roi_align_backward", mutates_args=())
def roi_align_backward_op(
    grad: Tensor, features: list[Tensor], place: Tensor, corners: Tensor, scales: list[float],
    samples: int, aligned: bool, deterministic: bool,
) -> list[Tensor]:  # fmt: skip
    """See `roi_align_backward.roi_align_backward`."""
    return roi_align_backward(
        grad, features, place, corners, scales, samples, aligned, deterministic
    )


@roi_align_backward_op.register_fake
def _(grad, features, place, corners, scales, samples, aligned, deterministic):
    return [torch.empty_like(f, memory_format=torch.channels_last) for f in features]


@torch.library.custom_op("mrcnn_lite::roi_align_boxes_backward", mutates_args=())
def roi_align_boxes_backward_op(
    grad: Tensor, features: list[Tensor], place: Tensor, corners: Tensor, scales: list[float],
    samples: int, aligned: bool,
) -> Tensor:  # fmt: skip
    """See `roi_align_boxes.roi_align_boxes_backward`."""
    return roi_align_boxes_backward(grad, features, place, corners, scales, samples, aligned)


@roi_align_boxes_backward_op.register_fake
def _(grad, features, place, corners, scales, samples, aligned):
    return torch.empty_like(corners)


def _keep(ctx: Any, inputs: tuple, output: Tensor) -> None:
    features, place, corners, *settings = inputs
    ctx.save_for_backward(place, corners, *features)
    ctx.settings = settings


def _backward(ctx: Any, grad: Tensor) -> tuple:
    place, corners, *features = ctx.saved_tensors
    scales, _, samples, aligned = ctx.settings
    to_maps = to_boxes = None
    if any(ctx.needs_input_grad[0]):
        to_maps = torch.ops.mrcnn_lite.roi_align_backward(
            grad, features, place, corners, scales, samples, aligned,
            torch.are_deterministic_algorithms_enabled(),
        )  # fmt: skip
    if ctx.needs_input_grad[2]:
        to_boxes = torch.ops.mrcnn_lite.roi_align_boxes_backward(
            grad, features, place, corners, scales, samples, aligned
        )
    return to_maps, None, to_boxes, None, None, None, None


torch.library.register_autograd("mrcnn_lite::roi_align", _backward, setup_context=_keep)


def roi_align(
    features: Sequence[Tensor], rois: Rois, scales: Sequence[float], grid: Grid
) -> Tensor:
    """The kernel form of `ops.roi_align.pool_rois`."""
    place = torch.stack([rois.image, rois.level], dim=1).int()  # [K, 2]
    corners = rois.corners.to(coordinate_type(features[0].dtype)).contiguous()  # [K, 4]
    args = (list(scales), list(grid.size), grid.samples, grid.aligned)
    return torch.ops.mrcnn_lite.roi_align(list(features), place, corners, *args)
