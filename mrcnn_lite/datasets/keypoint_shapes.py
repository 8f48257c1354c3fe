"""Keypoint shapes: drawn triangles, rectangles and stars whose corners are keypoints with names.

As a person's joints the corners have names: a star has a head, two hands and two feet, a triangle
no hands, a rectangle no head. A dot near the head's end says which corner is which, at any angle;
left and right are those of the picture where the head is up. Of an object's symmetric positions the
head is the one nearest to up. Boxes leave a margin around the object: its corners would else lie on
the edges of its box, and outside of most proposals, where no point is trained (notebook 15).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .drawing import Drawn
from .shapes import Shapes

# Clockwise from the head, in degrees in the object's own axes (`draw_shape`).
CORNERS = {
    "triangle": {"head": 0, "right foot": 120, "left foot": 240},
    "rectangle": {"right hand": 45, "right foot": 135, "left foot": 225, "left hand": 315},
    "star": {"head": 0, "right hand": 72, "right foot": 144, "left foot": 216, "left hand": 288},
}
# Where the corners lie: one head's direction in degrees, the angle between the symmetric ones, and
# how far the corners are from the centre, in half sides.
LAYOUT = {"triangle": (60, 120, 1.0), "rectangle": (0, 90, 2**0.5), "star": (0, 72, 1.0)}
CLASS_NAMES = ["background", *CORNERS]
NAMES = ["head", "left hand", "right hand", "left foot", "right foot"]
FLIP_PAIRS = [(1, 2), (3, 4)]
# The corners are exact, so the tolerance is a choice: between that of COCO's eyes, 0.025, and that
# of its shoulders, 0.079.
SIGMAS = [0.05] * len(NAMES)
DOT = 0.35  # of the way from the centre to the head
DOT_RADIUS = 0.17  # of the shorter half side
MARGIN = 0.125  # of the box's side, at each edge
SEEN_WITHIN = 2.5  # pixels around a corner, of whose own pixels half must be seen


class KeypointShapes(Shapes):
    """A sequence of drawn images like `Shapes`, with keypoints `Tensor[G, 5, 3]` in the targets.

    A corner of visibility 2 is seen, of 1 lies behind another object, and of 0 outside the image or
    is not there at all (a triangle's hands); the last has x = y = 0. Boxes hold the visible part
    and the marked corners, with a margin. Arguments and errors as of `Shapes`.
    """

    class_names = CLASS_NAMES
    keypoint_names = NAMES
    flip_pairs = FLIP_PAIRS  # of indices that change places when the image is mirrored
    sigmas = SIGMAS  # one tolerance per point, for OKS (`evaluation.keypoints`)

    def _draw(
        self, random: np.random.Generator, index: int, **how: Any
    ) -> tuple[Tensor, dict, list[Drawn]]:
        how = {"names": list(CORNERS), "mark": _paint_dot, **how}
        image, target, objects = super()._draw(random, index, **how)
        points = np.zeros((len(objects), len(NAMES), 3), dtype=np.float32)  # [G, points, 3]
        for row, drawn, mask in zip(points, objects, target["masks"].numpy(), strict=True):
            kind = CLASS_NAMES[drawn.label]
            head, reach = _head(drawn), LAYOUT[kind][2]
            for name, angle in CORNERS[kind].items():
                x, y = _in_image(drawn, head + angle, reach)
                if 0 <= x < self.size and 0 <= y < self.size:
                    seen = _is_seen(drawn, mask, x, y)
                    row[NAMES.index(name)] = x, y, 2 if seen else 1
        target["keypoints"] = torch.from_numpy(points)
        target["boxes"] = self._boxes(target["boxes"], target["keypoints"])
        return image, target, objects

    def _boxes(self, boxes: Tensor, points: Tensor) -> Tensor:
        """Boxes [G, 4] around the masks' boxes and the marked corners, with a margin."""
        marked = points[..., 2:] > 0  # [G, points, 1]
        low = torch.where(marked, points[..., :2], torch.inf).amin(dim=1).minimum(boxes[:, :2])
        high = torch.where(marked, points[..., :2], -torch.inf).amax(dim=1).maximum(boxes[:, 2:])
        margin = MARGIN * (high - low)  # [G, 2]
        return torch.cat([low - margin, high + margin], dim=1).clamp(0, self.size)  # [G, 4]


def _axes(drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """The matrix from the object's own axes to pixels, and the centre in the image, float64.

    u and v are linear in x and y, so three pixels tell everything.
    """
    u, v, _ = (part.astype(np.float64) for part in drawn.shape)
    to_own = np.array([[w[0, -1] - w[0, 0], w[-1, 0] - w[0, 0]] for w in (u, v)]) / (len(u) - 1)
    to_image = np.linalg.inv(to_own)  # [2, 2]
    rows, columns = drawn.in_image
    top = rows.start - drawn.in_shape[0].start
    left = columns.start - drawn.in_shape[1].start
    first = np.array([left + 0.5, top + 0.5])  # the centre of the window's first pixel
    return to_image, first - to_image @ [u[0, 0], v[0, 0]]


def _in_image(drawn: Drawn, degrees: float, reach: float) -> tuple[float, float]:
    """x and y of a point in the object's own polar coordinates."""
    to_image, centre = _axes(drawn)
    angle = np.deg2rad(degrees)
    x, y = centre + to_image @ (reach * np.array([np.cos(angle), np.sin(angle)]))
    return float(x), float(y)


def _head(drawn: Drawn) -> float:
    """The direction of the head, in degrees in the object's own axes: the one nearest to up."""
    first, step, _ = LAYOUT[CLASS_NAMES[drawn.label]]
    angles = first + step * np.arange(360 // step)
    arms = _axes(drawn)[0] @ [np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))]  # [2, N]
    return float(angles[np.argmin(arms[1] / np.linalg.norm(arms, axis=0))])


def _is_seen(drawn: Drawn, mask: np.ndarray, x: float, y: float) -> bool:
    """Whether half of the object's pixels around its corner are left in its mask ``[H, W]``."""
    inside = drawn.shape[2][drawn.in_shape] < 0
    down, right = np.ogrid[drawn.in_image]
    near = inside & (np.hypot(right + 0.5 - x, down + 0.5 - y) < SEEN_WITHIN)
    return bool(mask[drawn.in_image][near].sum() >= max(1, near.sum()) / 2)


def _paint_dot(image: np.ndarray, drawn: Drawn) -> None:
    """A dot towards the head: black on a light object, white on a dark one."""
    x, y = _in_image(drawn, _head(drawn), DOT)
    radius = max(1.5, DOT_RADIUS * np.linalg.norm(_axes(drawn)[0], axis=0).min())
    down, right = np.ogrid[drawn.in_image]
    cover = np.clip(radius + 0.5 - np.hypot(right + 0.5 - x, down + 0.5 - y), 0, 1)
    part = image[:, *drawn.in_image]
    inside = drawn.shape[2][drawn.in_shape] < 0
    tone = 0.0 if part[:, inside].mean() > 0.5 else 1.0
    part += (cover * inside).astype(np.float32) * (np.float32(tone) - part)
