"""Ten answers to "what are the features of a RoI?", each as the answer to three questions.

    roi       which rectangle of the map?                  box in px -> (x1, y1, x2, y2) in elements
    points    where in each bin, on one axis?              (first, last) -> Tensor[P, S]
    combine   what becomes of what is found there?         -> Tensor[C, P, P]

An `Operator` is one function for each. All ten are called in the same way, so that they can stand
in one table; where a library leaves no choice of the sampling ratio or of `aligned`, the argument
is ignored. Written to be read; what trains and predicts is `roi_align.py`.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ops import bilinear
from ...ops.checks import check_sampling, check_tensor
from ...ops.roi_align import roi_extent
from ...ops.roi_pool import round_half_away

Size = tuple[int, int]  # (h, w)


# Which rectangle? (box Tensor[4] px, scale, aligned, (h, w)) -> Tensor[4] in elements.


def exact_roi(box: Tensor, scale: float, aligned: bool, shape: Size) -> Tensor:
    """Nothing is rounded; `aligned` takes off half an element, without it 1 is the least length."""
    start, extent = roi_extent(box[None], scale, aligned)  # [1, 2] each
    return torch.cat([start[0], start[0] + extent[0]])  # [4]


def rounded_roi(box: Tensor, scale: float, aligned: bool, shape: Size) -> Tensor:
    """Corners go to the nearest element (RoIWarp: Dai et al. 2016, as the paper tests it)."""
    corners = round_half_away(box * scale)  # [4]
    return torch.cat([corners[:2], torch.maximum(corners[2:], corners[:2] + 1)])  # [4]


def inclusive_roi(box: Tensor, scale: float, aligned: bool, shape: Size) -> Tensor:
    """Corners are rounded and both belong to it (Fast R-CNN's RoIPool): 0 and 4 are 5 elements."""
    corners = round_half_away(box * scale)  # [4]
    return torch.cat([corners[:2], torch.maximum(corners[2:], corners[:2]) + 1])  # [4]


def longer_roi(box: Tensor, scale: float, aligned: bool, shape: Size) -> Tensor:
    """One whole element is added at the end (faster-rcnn.pytorch's RoIAlign: `+ 1.`)."""
    corners = box * scale  # [4]
    return torch.cat([corners[:2], torch.maximum(corners[2:] + 1, corners[:2])])  # [4]


def matterport_roi(box: Tensor, scale: float, aligned: bool, shape: Size) -> Tensor:
    """Pixel 0 goes to element 0, the last pixel to the last element (Mask_RCNN's `norm_boxes`)."""
    sides = box.new_tensor([shape[1], shape[0]] * 2)  # [4] of w, h, w, h
    pixels = box - box.new_tensor([0.0, 0.0, 1.0, 1.0])  # the last pixel that belongs to the box
    return pixels / (sides / scale - 1) * (sides - 1)  # [4]


# Where in each bin, on one axis? (first, last, size, ratio) -> Tensor[P, S].


def centres(first: float, last: float, size: int, ratio: int) -> Tensor:
    """RoIAlign: a bin in `ratio` equal parts, a point in the middle of each; 0: as it is long."""
    count = ratio if ratio > 0 else max(math.ceil((last - first) / size), 1)
    part = (torch.arange(size * count) + 0.5) / (size * count)  # [P * S]
    return (first + part * (last - first)).view(size, count)  # [P, S]


def edge_to_edge(first: float, last: float, size: int, ratio: int) -> Tensor:
    """TensorFlow's crop_and_resize: the first and last point lie on the edges of the RoI."""
    ends = (first, last) if size > 1 else ((first + last) / 2,) * 2
    return torch.linspace(*ends, size)[:, None]  # [P, 1]


def corners(first: float, last: float, size: int, ratio: int) -> Tensor:
    """faster-rcnn.pytorch: both ends of each bin, so that neighbours share them."""
    borders = torch.linspace(first, last, size + 1)  # [P + 1]
    return torch.stack([borders[:-1], borders[1:]], dim=1)  # [P, 2]


def thirds(first: float, last: float, size: int, ratio: int) -> Tensor:
    """mx-maskrcnn: two points that cut a bin into three."""
    begin = torch.arange(size)[:, None] + torch.tensor([1.0, 2.0]) / 3  # [P, 2]
    return first + begin * (last - first) / size  # [P, 2]


def overlapping_cells(first: float, last: float, size: int, ratio: int) -> Tensor:
    """RoIPool: half-open ranges of elements, rounded outwards, so that neighbours may overlap."""
    start, cells, bins = int(first), int(last - first), range(size)
    ends = [(i * cells // size, -(-(i + 1) * cells // size)) for i in bins]
    return start + torch.tensor(ends, dtype=torch.float32)  # [P, 2]


def disjoint_cells(first: float, last: float, size: int, ratio: int) -> Tensor:
    """The RoIPool of many explanations: every element in one range, the first ones are longer."""
    start, cells = int(first), int(last - first)
    borders = [-(-i * cells // size) for i in range(size + 1)]
    return start + torch.tensor(list(itertools.pairwise(borders)), dtype=torch.float32)  # [P, 2]


def whole_bins(first: float, last: float, size: int, ratio: int) -> Tensor:
    """Not points, but all between the two ends of each bin."""
    return corners(first, last, size, ratio)  # [P, 2]


# What becomes of it? (features Tensor[C, h, w], y Tensor[P, S], x Tensor[P, S]) -> Tensor[C, P, P].


def _values(features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The bilinear value at every point, with RoIAlign's border rule: Tensor[C, P, P, N]."""
    rows, columns = torch.broadcast_tensors(y[:, None, :, None], x[None, :, None, :])
    return bilinear(features, rows.to(features), columns.to(features)).flatten(-2)


def mean_of_points(features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The mean of the bilinear values."""
    return _values(features, y, x).mean(-1)  # [C, P, P]


def max_of_points(features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The largest of the bilinear values (the paper's Table 2c has both)."""
    return _values(features, y, x).amax(-1)  # [C, P, P]


def value_inside(features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """One value, and 0 as soon as a point leaves the outermost elements (TensorFlow)."""
    height, width = features.shape[-2:]
    inside_y = (y >= 0) & (y <= height - 1)  # [P, 1]
    inside_x = (x >= 0) & (x <= width - 1)  # [P, 1]
    return mean_of_points(features, y, x) * (inside_y & inside_x.T)  # [C, P, P]


def max_of_cells(features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The largest element of each rectangle of elements; an empty one gives 0."""
    height, width = features.shape[-2:]
    rows, columns = y.long().clamp(0, height).tolist(), x.long().clamp(0, width).tolist()
    out = features.new_zeros(len(features), len(rows), len(columns))  # [C, P, P]
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            if top < bottom and left < right:
                out[:, i, j] = features[:, top:bottom, left:right].amax((1, 2))
    return out


def hat_area(t: Tensor) -> Tensor:
    """The area, 0 to 1, under the hat 1 - |t| of an element from the far left up to t."""
    t = t.clamp(-1, 1)
    return 0.5 + t - 0.5 * t * t.abs()


def mean_of_area(features: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The mean over the whole bin, exactly (PrRoIPooling: Jiang et al. 2018).

    It is the limit of `mean_of_points` for ever more points, RoIAlign's border rule included.
    """
    rim = F.pad(features[None], (1, 1, 1, 1), mode="replicate")[0]  # the map as the rule extends it
    rows = _area_weights(y.to(features), features.shape[1])  # [P, N]
    columns = _area_weights(x.to(features), features.shape[2])  # [P, N]
    return rows @ rim @ columns.T  # [C, P, P]


def _area_weights(ends: Tensor, length: int) -> Tensor:
    """What each element adds to the mean of each bin on one axis: Tensor[P, N], N = length + 2."""
    clipped = ends.clamp(-1, length)  # [P, 2]; beyond there is 0
    area = hat_area(clipped[..., None] - torch.arange(-1, length + 1))  # [P, 2, N]
    return (area[:, 1] - area[:, 0]) / (ends[:, 1:] - ends[:, :1])


def exact_means(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    """`mean_of_area` of many boxes, Tensor[R, 4] in elements: Tensor[R, C, P, P]."""
    means = [
        mean_of_area(features, whole_bins(y1, y2, size, 0), whole_bins(x1, x2, size, 0))
        for x1, y1, x2, y2 in boxes.tolist()
    ]
    return torch.stack(means)  # [R, C, P, P]


@dataclass(frozen=True)
class Operator:
    """A definition of "the features of a RoI": three answers, and where it comes from."""

    name: str
    roi: Callable[[Tensor, float, bool, Size], Tensor]
    points: Callable[[float, float, int, int], Tensor]
    combine: Callable[[Tensor, Tensor, Tensor], Tensor]
    source: str

    def sampling(
        self, box: Tensor, size: int, scale: float, ratio: int, aligned: bool, shape: Size
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Where it reads a map of (h, w): RoI, Tensor[4]; rows, columns, Tensor[P, S] or [P, 2]."""
        roi = self.roi(box, scale, aligned, shape)  # [4]
        x1, y1, x2, y2 = roi.tolist()
        return roi, self.points(y1, y2, size, ratio), self.points(x1, x2, size, ratio)

    def __call__(
        self,
        features: Tensor,
        box: Tensor,
        size: int,
        scale: float,
        ratio: int = 2,
        aligned: bool = False,
    ) -> Tensor:
        """The features of one RoI.

        Args:
            features: Tensor[C, h, w].
            box: Tensor[4] of (x1, y1, x2, y2), pixels.
            size: P.
            scale: elements of the map per pixel.
            ratio: points per bin and axis; 0 or less is adaptive.
            aligned: whether element 0 of the map lies at 0.5.

        Returns:
            Tensor[C, P, P].

        Raises:
            TypeError, ValueError: a wrong shape or dtype, or a box without length.
        """
        check_sampling(scale, ratio)
        check_tensor(features, "features", "[C, h, w]")
        check_tensor(box, "box", "[4]")
        if not (box[2:] > box[:2]).all():
            raise ValueError(f"box must have x1 < x2 and y1 < y2, got {box.tolist()}")
        shape = (features.shape[-2], features.shape[-1])
        _, y, x = self.sampling(box, size, scale, ratio, aligned, shape)  # [P, S] each
        return self.combine(features, y, x)


ZOO = {
    operator.name: operator
    for operator in (
        Operator("RoIPool", inclusive_roi, overlapping_cells, max_of_cells, "torchvision"),
        Operator("RoIPool, disjoint", inclusive_roi, disjoint_cells, max_of_cells, "explanations"),
        Operator("RoIWarp", rounded_roi, centres, mean_of_points, "paper, Table 2c"),
        Operator("crop_and_resize", exact_roi, edge_to_edge, value_inside, "TensorFlow"),
        Operator("matterport", matterport_roi, edge_to_edge, value_inside, "Mask_RCNN"),
        Operator("RoIAlignAvg", longer_roi, corners, mean_of_points, "faster-rcnn.pytorch 0.4"),
        Operator("max of thirds", exact_roi, thirds, max_of_points, "mx-maskrcnn"),
        Operator("RoIAlign", exact_roi, centres, mean_of_points, "torchvision, detectron2, mmcv"),
        Operator("RoIAlign, max", exact_roi, centres, max_of_points, "mmcv; paper, Table 2c"),
        Operator("exact mean", exact_roi, whole_bins, mean_of_area, "PrRoIPooling"),
    )
}
