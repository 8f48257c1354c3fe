"""RoIAlign's kernels as custom operators of PyTorch, for autograd, `torch.compile`, CUDA graphs.

An operator has a name, a signature of plain types, a fake form that says only which shape comes out
(for tracing), and its gradients, which are operators too.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..ops.rois import Grid, Rois
from .pyramid import coordinate_type
from .roi_align import roi_align_op
from .roi_align_backward import roi_align_backward
from .roi_align_boxes import roi_align_boxes_backward


def _keep(ctx: Any, inputs: tuple, output: Tensor) -> None:
    features, map_index, corners, *settings = inputs
    ctx.save_for_backward(map_index, corners, *features)
    ctx.settings = settings


def _backward(ctx: Any, grad: Tensor) -> tuple:
    map_index, corners, *features = ctx.saved_tensors
    scales, _, samples, aligned = ctx.settings
    args = (grad, features, map_index, corners, scales, samples, aligned)
    to_maps = to_boxes = None
    if any(ctx.needs_input_grad[0]):
        to_maps = roi_align_backward(*args, torch.are_deterministic_algorithms_enabled())
    if ctx.needs_input_grad[2]:
        to_boxes = roi_align_boxes_backward(*args)
    return to_maps, None, to_boxes, None, None, None, None


roi_align_op.register_autograd(_backward, setup_context=_keep)


def roi_align(
    features: Sequence[Tensor], rois: Rois, scales: Sequence[float], grid: Grid
) -> Tensor:
    """The kernel form of `ops.roi_align.pool_rois`."""
    map_index = torch.stack([rois.image, rois.level], dim=1).int()  # [K, 2]
    corners = rois.corners.to(coordinate_type(features[0].dtype)).contiguous()  # [K, 4]
    args = (list(scales), list(grid.size), grid.samples, grid.aligned)
    return roi_align_op(list(features), map_index, corners, *args)
