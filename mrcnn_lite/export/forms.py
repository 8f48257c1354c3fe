"""Suppression and RoIAlign in operations that an exporter can write down.

Suppression is the equation of `ops.nms`, iterated until nothing changes: a loop of the graph
(`while_loop`, ONNX's Loop), so the answer is exact, however long the chain of boxes is.

RoIAlign is ONNX's own operator, which every runtime has as one fast function. For PyTorch's own
format the tensor form of `ops.roi_align` serves.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor

from ..ops.backend import forget_kernels, register_kernel, use_backend
from ..ops.boxes import pairwise_iou
from ..ops.nms import largest_at_most
from ..ops.rois import Grid, Rois


@contextmanager
def exportable(**forms: Callable) -> Iterator[None]:
    """Inside the ``with`` operations take these forms, by name, and no tensor changes its class,
    which an exporter cannot follow."""
    with use_backend("auto"), patch.object(Tensor, "as_subclass", lambda self, _: self):
        for name, form in forms.items():
            register_kernel(name, "cpu", form)
        try:
            yield
        finally:
            forget_kernels("cpu")


def suppress_form(
    boxes: Tensor, valid: Tensor, groups: Tensor | None, iou_threshold: float | Tensor
) -> Tensor:
    """See `ops.nms.suppress`; the threshold may be a Tensor[] too."""
    given = isinstance(iou_threshold, Tensor)  # an input of the graph: its caller has rounded it
    limit = iou_threshold if given else largest_at_most(iou_threshold, boxes.dtype)
    conflict = pairwise_iou(boxes, boxes) > limit
    if groups is not None:
        conflict = conflict & (groups[:, :, None] == groups[:, None])  # [B, N, N]
    conflict = conflict.to(boxes.dtype).triu(diagonal=1)  # [B, N, N]

    def changed(keep: Tensor, before: Tensor) -> Tensor:
        # Not any(): ONNX takes the largest of no values, and the loop would never end.
        return (keep != before).sum() > 0

    def once_more(keep: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        kept = keep.view(valid.shape).to(conflict.dtype)  # [B, N]
        suppressed = (kept[:, None] @ conflict)[:, 0]  # [B, N]
        return (valid & (suppressed == 0)).flatten(), keep.clone()

    # One dimension: with several, the strides of a tensor without rows differ from its copy's.
    start = valid.flatten().clone(), ~valid.flatten()  # [B * N] each
    keep, _ = torch._higher_order_ops.while_loop(changed, once_more, start)
    return keep.view(valid.shape)  # [B, N]


def suppress_onnx(
    boxes: Tensor, valid: Tensor, groups: Tensor | None, iou_threshold: Tensor
) -> Tensor:
    """See `suppress_form`, without groups: ONNX's own operator, which compares as few boxes as it
    can."""
    problems, n = valid.shape
    # It sorts by score: the boxes, which come best first, get falling ones; above 0 if valid.
    scores = torch.arange(n, 0, -1, dtype=boxes.dtype) * valid  # [B, N]
    limits = torch.tensor([n]), iou_threshold.view(1), torch.zeros(1)
    rows = torch.ones_like(scores).sum().int().item()  # how many are kept nobody knows before
    torch._check(rows >= 0)
    kind = {"dtype": torch.int64, "shape": (rows, 3), "version": 11}
    inputs = boxes, scores[:, None], *limits
    kept = torch.onnx.ops.symbolic("NonMaxSuppression", inputs, **kind)  # problem, 0, row
    index = kept[:, 0] * n + kept[:, 2]
    found = torch.zeros(problems * n).scatter(0, index, (index >= 0).to(torch.float32))
    return found.view(valid.shape) > 0  # [B, N]


def roi_align_onnx(
    features: Sequence[Tensor], rois: Rois, scales: Sequence[float], grid: Grid
) -> Tensor:
    """See `ops.roi_align.pool_rois`."""

    def align(feature: Tensor, scale: float) -> Tensor:
        settings = {
            "mode": "avg",
            "output_height": grid.size[0],
            "output_width": grid.size[1],
            "sampling_ratio": max(grid.samples, 0),  # 0 is adaptive; runtimes refuse less
            "spatial_scale": float(scale),
            # "half_pixel" is `aligned`; both are written out, since defaults differ by version.
            "coordinate_transformation_mode": "half_pixel" if grid.aligned else "output_half_pixel",
        }
        inputs = feature, rois.corners, rois.image
        kind = {"dtype": feature.dtype, "shape": pooled_shape(feature, rois, grid), "version": 16}
        return torch.onnx.ops.symbolic("RoiAlign", inputs, settings, **kind)  # [K, C, P, P]

    return by_level(align, features, rois, scales)


def roi_pool_onnx(
    features: Sequence[Tensor], rois: Rois, scales: Sequence[float], grid: Grid
) -> Tensor:
    """`ops.roi_pool` of every RoI on its level, as ONNX's own operator."""
    rows = torch.cat([rois.image[:, None].to(rois.corners.dtype), rois.corners], dim=1)  # [K, 5]

    def pool(feature: Tensor, scale: float) -> Tensor:
        settings = {"pooled_shape": [*grid.size], "spatial_scale": float(scale)}
        kind = {"dtype": feature.dtype, "shape": pooled_shape(feature, rois, grid), "version": 1}
        return torch.onnx.ops.symbolic("MaxRoiPool", (feature, rows), settings, **kind)

    return by_level(pool, features, rois, scales)


def pooled_shape(feature: Tensor, rois: Rois, grid: Grid) -> tuple[int, ...]:
    """(K, C, P, P)."""
    return rois.image.shape[0], feature.shape[1], *grid.size


def by_level(
    pool: Callable, features: Sequence[Tensor], rois: Rois, scales: Sequence[float]
) -> Tensor:
    """Every level pools every RoI, and each RoI takes its own: so no size depends on how many boxes
    a level has."""
    pooled: Tensor | None = None
    for level, pair in enumerate(zip(features, scales, strict=True)):
        mine = (rois.level == level)[:, None, None, None]  # [K, 1, 1, 1]
        here = pool(*pair)  # [K, C, P, P]
        pooled = here if pooled is None else torch.where(mine, here, pooled)
    return pooled


def translations() -> dict:
    """ONNX operators for two of PyTorch's that the exporter lacks."""
    from onnxscript import opset20 as op

    def sort(self, stable=True, dim=-1, descending=False):
        # Where values are equal TopK takes the lower index first, by its definition: it is stable.
        length = op.Gather(op.Shape(self), op.Constant(value_ints=[dim]))
        return op.TopK(self, length, axis=dim, largest=int(descending), sorted=1)

    def fmax(a, b):
        return op.Max(a, b)  # they differ for NaN alone, which an exported network does not see

    def select_scatter(self, src, dim, index):
        if self.shape[dim] == 1:  # all is written: a batch of one image
            return op.Unsqueeze(src, op.Constant(value_ints=[dim]))
        source = op.Unsqueeze(src, op.Constant(value_ints=[dim]))
        rows = op.Expand(op.Constant(value_ints=[index]), op.Shape(source))
        return op.ScatterElements(self, rows, source, axis=dim)

    return {
        torch.ops.aten.sort.stable: sort,
        torch.ops.aten.fmax.default: fmax,
        torch.ops.aten.select_scatter.default: select_scatter,
    }
