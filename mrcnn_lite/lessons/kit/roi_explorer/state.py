"""The RoI explorer's state, checked, and the numbers that `mrcnn_lite.ops` gives for it."""

import math
from typing import Any

import torch
import traitlets as t
from torch import Tensor

from ....ops import box_iou, roi_align, roi_pool
from ....ops.bilinear import corners
from ..grid import rows_of
from ..roi import Samples, Windows, samples_of, windows_of
from .maps import named_maps

STRIDES = (4, 8, 16, 32)
LARGEST_MAP = 32  # of the reader's own numbers
OWN_STRIDE = 32
SLIDE = 128  # steps of a slide along x
SIDES = ("x1", "y1", "x2", "y2")


class RoIState(t.HasTraits):
    """A RoI on a map; every trait can be set, read and observed.

    Attributes:
        view: "both" operators side by side, or "pool" for RoIPool alone.
        map: "article", "ramp", "smooth", "channel" (a trained network's), or "own".
        own: the numbers of the map "own", a list of rows.
        box: the RoI (x1, y1, x2, y2), image px.
        stride: image px per element; below the map's own, cells are cut into smaller ones.
        size: P, bins per axis.
        sampling_ratio: samples per bin and axis; 0 is adaptive.
        aligned: whether element 0 of the map lies at 0.5 instead of 0.
        overlap: whether cells in several bins of RoIPool are counted.
        gradient: whether the cells show what the outputs send back to them.
        arrows: whether the edges show how the outputs change with them.
        chosen_only: whether gradient and arrows are the chosen bin's, instead of the sum of all.
        slide: whether the chart shows the chosen bin along a slide, instead of the last steps.
        bin, sample: which bin, and which of its samples, is explained; counted from 1.
    """

    view = t.Enum(("both", "pool"), "both").tag(sync=True)
    maps = t.List(t.Dict()).tag(sync=True)
    map = t.Unicode("article").tag(sync=True)
    own = t.List(t.List(t.Float())).tag(sync=True)
    box = t.List(t.Float(), default_value=[10.0, 10.0, 124.0, 124.0]).tag(sync=True)
    stride = t.Enum(STRIDES, 32).tag(sync=True)
    size = t.Int(2, min=1, max=7).tag(sync=True)
    sampling_ratio = t.Int(2, min=0, max=8).tag(sync=True)
    aligned = t.Bool(False).tag(sync=True)
    overlap = t.Bool(False).tag(sync=True)
    gradient = t.Bool(False).tag(sync=True)
    arrows = t.Bool(False).tag(sync=True)
    chosen_only = t.Bool(False).tag(sync=True)
    slide = t.Bool(False).tag(sync=True)
    bin = t.Int(1, min=1, max=49).tag(sync=True)
    sample = t.Int(1, min=1).tag(sync=True)

    def __init__(self, **state: Any):
        """Begin with the article's example, or with some traits set."""
        maps = [dict(entry) for entry in named_maps()]
        state = {"maps": maps, "own": maps[1]["rows"], **state}
        unknown = sorted(set(state) - set(STATE))
        if unknown:
            raise ValueError(f"no trait named {unknown[0]!r}; there are {sorted(STATE)}")
        super().__init__(**state)

    @t.validate("box")
    def _check_box(self, proposal: t.Bunch) -> list[float]:
        box = [float(corner) for corner in proposal["value"]]
        finite = all(map(math.isfinite, box))
        if len(box) != 4 or not finite or box[2] <= box[0] or box[3] <= box[1]:
            raise t.TraitError(f"box must be (x1, y1, x2, y2) with x1 < x2 and y1 < y2, got {box}")
        return box

    @t.validate("own")
    def _check_own(self, proposal: t.Bunch) -> list[list[float]]:
        rows = [[float(number) for number in row] for row in proposal["value"]]
        if not rows or not rows[0] or len({len(row) for row in rows}) > 1:
            raise t.TraitError("own must be rows of numbers, all of the same length")
        if max(len(rows), len(rows[0])) > LARGEST_MAP:
            raise t.TraitError(f"own must be at most {LARGEST_MAP} x {LARGEST_MAP}")
        for index, row in enumerate(rows):
            if not all(map(math.isfinite, row)):
                raise t.TraitError(f"own: row {index} holds a number that is not finite")
        return rows

    @t.validate("map")
    def _check_map(self, proposal: t.Bunch) -> str:
        names = [entry["key"] for entry in named_maps()] + ["own"]
        if proposal["value"] not in names:
            raise t.TraitError(f"map must be one of {names}, got {proposal['value']!r}")
        return proposal["value"]

    def features(self) -> Tensor:
        """The map that is shown, Tensor[1, 1, h, w]."""
        own = {"key": "own", "rows": self.own, "stride": OWN_STRIDE}
        entry = next(entry for entry in (*self.maps, own) if entry["key"] == self.map)
        parts = max(int(entry["stride"] / self.stride), 1)
        rows = torch.tensor(entry["rows"], dtype=torch.float64)  # [h, w]
        return rows.repeat_interleave(parts, 0).repeat_interleave(parts, 1)[None, None]

    def _pooled(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """What RoIPool and RoIAlign give for some boxes, Tensor[R, P * P] each."""
        args = (features, [boxes], self.size, 1 / self.stride)
        pool = roi_pool(*args)[:, 0].flatten(1)  # [R, P * P]
        align = roi_align(*args, self.sampling_ratio, aligned=self.aligned)[:, 0].flatten(1)
        return pool, align

    def outputs(self) -> tuple[Tensor, Tensor]:
        """What `mrcnn_lite.ops` gives for the state, two Tensor[P, P]: RoIPool's and RoIAlign's."""
        pooled = self._pooled(self.features(), torch.tensor([self.box], dtype=torch.float64))
        return tuple(out[0].unflatten(0, (self.size, self.size)) for out in pooled)

    def chosen(self) -> int:
        """The chosen bin, counted from 0."""
        return min(self.bin, self.size**2) - 1

    def gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """RoIPool's and RoIAlign's gradients of the map, [h, w], and RoIAlign's of the box, [4]."""
        features = self.features().requires_grad_()
        box = torch.tensor([self.box], dtype=torch.float64, requires_grad=True)
        bins = slice(self.chosen(), self.chosen() + 1) if self.chosen_only else slice(None)
        pool, align = (out[0, bins].sum() for out in self._pooled(features, box))
        (of_pool,) = torch.autograd.grad(pool, features)
        of_align, of_box = torch.autograd.grad(align, (features, box))
        return of_pool[0, 0], of_align[0, 0], of_box[0]

    def slides(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Where x1 can be, and the chosen output there: RoIPool, RoIAlign, its slope per px.

        Where the RoI is stands first; then from the left to the right of the map.
        """
        box = torch.tensor(self.box, dtype=torch.float64)  # [4]
        room = self.features().shape[-1] * self.stride - (box[2] - box[0])
        ends = min(0.0, self.box[0]), max(float(room), self.box[0])
        x1 = torch.cat([box[:1], torch.linspace(*ends, SLIDE + 1, dtype=torch.float64)])  # [N]
        to_right = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)  # [4]
        boxes = (box + (x1 - box[0])[:, None] * to_right).requires_grad_()  # [N, 4]
        pool, align = (out[:, self.chosen()] for out in self._pooled(self.features(), boxes))
        (slope,) = torch.autograd.grad(align.sum(), boxes)  # [N, 4]
        return x1, pool.detach(), align.detach(), slope @ to_right

    def windows(self) -> Windows:
        """The cells that RoIPool looks at."""
        return windows_of(self.box, self.size, 1 / self.stride, *self.features().shape[-2:])

    def samples(self) -> Samples:
        """Where RoIAlign samples."""
        args = (self.box, self.size, 1 / self.stride)
        return samples_of(*args, self.sampling_ratio, self.aligned)

    def describe(self) -> str:
        """The state and what is shown of it, in words and numbers."""
        pool, align = self.outputs()
        both = self.view == "both"
        corners = ", ".join(f"{corner:g}" for corner in self.box)
        lines = [
            f"map {self.map!r}, RoI ({corners}) px, stride {self.stride:g}, "
            f"{self.size} x {self.size} bins" + "," * both
        ]
        if both:
            ratio = self.sampling_ratio or "adaptive"
            lines.append(f"sampling_ratio {ratio}, aligned={self.aligned}")
        lines += ["RoIPool:", rows_of(pool)]
        lines += ["RoIAlign:", rows_of(align)] if both else []
        lines += [self._describe_sample()] if both else []
        lines += self._describe_windows() if self.overlap else []
        lines += self._describe_gradients() if self.gradient or self.arrows else []
        if self.slide:
            _, pooled, aligned, slope = (float(numbers[0]) for numbers in self.slides())
            lines.append(
                f"bin {self.chosen() + 1}: RoIAlign {aligned:.4f}, RoIPool {pooled:.4f}; "
                f"RoIAlign's slope to the right {slope:.4f} per px"
            )
        return "\n".join(lines)

    def _describe_sample(self) -> str:
        """The chosen sample of the chosen bin: what is read at its four corners."""
        features, name = self.features()[0, 0], f"bin {self.chosen() + 1}"
        x, y = (at.reshape(self.size**2, -1)[self.chosen()] for at in self.samples().points())
        if not len(x):
            return f"{name} has no sample: 0"
        k = min(self.sample, len(x)) - 1
        ends = [corners(torch.tensor(at[k]), n) for at, n in zip((y, x), features.shape)]
        (rows, v, inside_y), (columns, u, inside_x) = ((e[:2], float(e[2]), e[3]) for e in ends)
        weights = ((1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u)
        values = [float(features[row, column]) for row in rows for column in columns]
        terms = " + ".join(f"{w:.4f} x {value:.4f}" for w, value in zip(weights, values))
        total = sum(w * value for w, value in zip(weights, values))
        shown = f"  {terms} = {total:.4f}" if inside_x and inside_y else "  outside the map: 0"
        return f"{name}, sample {k + 1} of {len(x)} at x = {x[k]:.4f}, y = {y[k]:.4f}:\n{shown}"

    def _describe_windows(self) -> list[str]:
        windows, stride = self.windows(), self.stride
        x1, y1, x2, y2 = windows.box
        box, pixels = torch.tensor([self.box]), torch.tensor([windows.box]) * stride
        counts = windows.counts(*self.features().shape[-2:])
        return [
            f"window {(x2 - x1) * stride:g} x {(y2 - y1) * stride:g} px, "
            f"IoU with the RoI {float(box_iou(box, pixels)):.4f}",
            f"window: columns {_span((x1, x2))}, rows {_span((y1, y2))}",
            "columns of the bins: " + ", ".join(map(_span, windows.columns)),
            "rows of the bins:    " + ", ".join(map(_span, windows.rows)),
            f"cells in more than one bin: {(counts > 1).sum()} of {(counts > 0).sum()}",
        ]

    def _describe_gradients(self) -> list[str]:
        of_pool, of_align, of_box = self.gradients()
        what = f"output {self.chosen() + 1}" if self.chosen_only else "the sum of the outputs"
        learn = [int((gradient != 0).sum()) for gradient in (of_align, of_pool)]
        slopes = "  ".join(f"{name} {slope:.4f}" for name, slope in zip(SIDES, of_box.tolist()))
        lines = [
            f"{learn[0]} of {of_align.numel()} cells learn from {what} (RoIPool: {learn[1]})",
            f"gradient of the map, adding up to {of_align.sum():.4f}:",
            rows_of(of_align),
        ]
        return lines * self.gradient + [f"gradient of the edges, per px: {slopes}"] * self.arrows


STATE = tuple(name for name, trait in vars(RoIState).items() if isinstance(trait, t.TraitType))


def _span(cells: tuple[int, int]) -> str:
    """A half-open range as people say it."""
    first, end = cells
    if end <= first:
        return "none"
    return f"{first}" if end == first + 1 else f"{first}-{end - 1}"
