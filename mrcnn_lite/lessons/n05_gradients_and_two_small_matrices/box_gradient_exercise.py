"""An exercise of notebook 05: how the value in the middle of a box changes with its edges."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...ops import roi_align
from ..kit.exercise import Exercise, FunctionGrader, combine, switches

CASES = 60


def _right_box(features: Tensor, box: Tensor, scale: float) -> Tensor:
    leaf = box.clone().requires_grad_()
    out = roi_align(features[None, None], [leaf[None]], 1, scale, 1, aligned=False)
    return torch.autograd.grad(out.sum(), leaf)[0]  # [4]


@switches(scaled=lambda scale: scale, half=0.5, swap=False, signs=1.0, cross=False, step=False)
def _box_variant(features: Tensor, box: Tensor, scale: float, how: Any) -> Tensor:
    """The gradient of a box, step by step."""
    x, y = ((box[:2] + box[2:]) / 2 * scale).tolist()
    top, left = int(y), int(x)
    v, u = (0.0, 0.0) if how.step else (y - top, x - left)
    v, u = (u, v) if how.cross else (v, u)
    (f1, f2), (f3, f4) = features[top : top + 2, left : left + 2]
    along_x = (1 - v) * (f2 - f1) + v * (f4 - f3)
    along_y = (1 - u) * (f3 - f1) + u * (f4 - f2)
    near = torch.stack([along_y, along_x] if how.swap else [along_x, along_y])  # [2]
    return torch.cat([near * how.signs, near]) * how.half * how.scaled(scale)  # [4]


BOX_MISTAKES = {
    "the chain ends at the map: a pixel of the box is `scale` elements, so multiply by scale.": {
        "scaled": lambda scale: 1
    },
    "the sample is the middle of the box, (x1 + x2) / 2: an edge moves it by half its own way.": {
        "half": 1.0
    },
    "x and y are swapped: the order is x1, y1, x2, y2.": {"swap": True},
    "the near edges have the wrong sign: x1 to the right moves the sample to the right, too.": {
        "signs": -1.0
    },
    "x1 and y1 get nothing, but the sample follows them as well.": {"signs": 0.0},
    "u and v are exchanged: the slope along x is mixed from the upper and the lower edge by "
    "1 - v and v.": {"cross": True},
    "this is the step from one element to the next; mix the steps on both sides of the cell.": {
        "step": True
    },
}


def _middles() -> Iterator[tuple[Any, ...]]:
    """Random maps and boxes of at least one element, their middle inside the map."""
    generator = torch.Generator().manual_seed(507)
    for k in range(CASES):
        h, w = (int(n) for n in torch.randint(4, 9, (2,), generator=generator))
        stride = (2, 4, 8)[k % 3]
        middle = torch.rand(2, generator=generator) * (torch.tensor([w, h]) - 1.2) + 0.1  # [2]
        half = 0.6 + torch.rand(2, generator=generator)  # [2]
        box = torch.cat([middle - half, middle + half]) * stride  # [4]
        yield torch.randn(h, w, generator=generator), box, 1 / stride


EXERCISES = (
    Exercise(
        "05-box-gradient",
        FunctionGrader(
            right=_right_box,
            cases=_middles,
            mistakes=combine(_box_variant, BOX_MISTAKES.items(), most=2),
            praise="{n} gradients agree with autograd.",
        ),
        (
            "Chain rule: how does the value change when the sample moves, and how does the sample "
            "move when an edge of the box does?",
            "Inside a cell the value changes along x by (1-v)(f2 - f1) + v(f4 - f3) per element, "
            "and along y by (1-u)(f3 - f1) + u(f4 - f2).",
            "The sample is at (x1 + x2) / 2 * scale, so a pixel of x1, and of x2, moves it by "
            "scale / 2 elements.",
        ),
    ),
)
