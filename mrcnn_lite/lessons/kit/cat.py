"""A cat and a ball, drawn by code: the picture on which notebooks 09 and 10 explain the masks."""

from dataclasses import dataclass

import torch
from torch import Tensor

CLASS_NAMES = ("background", "ball", "cat", "dog")
BALL, CAT = 1, 2
OVERSAMPLING = 3  # the picture is drawn this much finer and averaged, so that edges are smooth

# Everything is drawn in units of the picture's side: 0 is left or top, 1 is right or bottom.
BODY = (0.42, 0.66, 0.21, 0.19)  # centre x, y and radii of an ellipse
HEAD = (0.60, 0.40, 0.145, 0.125)
LEGS = ((0.31, 0.84, 0.055, 0.055), (0.50, 0.84, 0.055, 0.055))
EARS = (((0.475, 0.38), (0.49, 0.20), (0.60, 0.30)), ((0.61, 0.29), (0.71, 0.19), (0.73, 0.37)))
TAIL = (0.235, 0.47, 0.13, 0.045)  # centre, radius and half thickness of an arc
TIP = (0.255, 0.34, 0.045, 0.045)
TOY = (0.83, 0.79, 0.085, 0.085)
EYES = ((0.565, 0.385, 0.016, 0.024), (0.655, 0.385, 0.016, 0.024))
NOSE = (0.612, 0.435, 0.014, 0.010)


@dataclass(frozen=True)
class Scene:
    """A picture with its objects, in the conventions of the package."""

    image: Tensor  # [3, H, W] in 0..1
    masks: Tensor  # [G, H, W] uint8
    boxes: Tensor  # [G, 4], the tight boxes of the masks
    labels: Tensor  # [G], places in CLASS_NAMES


def disc_mask(size: int, centre: tuple[float, float], radius: float) -> Tensor:
    """A disc: every pixel whose centre lies inside belongs to it."""
    y, x = _pixel_centres(size)
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    return inside.to(torch.uint8)  # [H, W]


def mask_box(mask: Tensor) -> Tensor:
    """The tight box around a mask: half open, so its width is the number of columns."""
    rows, columns = mask.nonzero(as_tuple=True)  # [N], [N]
    ends = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return torch.stack(ends).float()  # [4]


def cat_scene(size: int = 128) -> Scene:
    """A cat that has lost interest in its ball."""
    y, x = (axis / size for axis in _pixel_centres(size))
    masks = torch.stack([inside_cat(x, y), _ellipse(x, y, TOY)])  # [G, H, W]
    image = _paint(OVERSAMPLING * size)[None]
    return Scene(
        image=torch.nn.functional.avg_pool2d(image, OVERSAMPLING)[0],  # [3, H, W]
        masks=masks.to(torch.uint8),
        boxes=torch.stack([mask_box(mask) for mask in masks]),  # [G, 4]
        labels=torch.tensor([CAT, BALL]),
    )


def inside_cat(x: Tensor, y: Tensor) -> Tensor:
    """Whether points lie in the cat's silhouette."""
    cx, cy, radius, half = TAIL
    arc = (((x - cx) ** 2 + (y - cy) ** 2).sqrt() - radius).abs() < half
    tail = arc & ((x < cx + 0.02) | (y > cy + 0.02))
    parts = [_ellipse(x, y, shape) for shape in (BODY, HEAD, TIP, *LEGS)]
    parts += [_triangle(x, y, corners) for corners in EARS]
    return torch.stack([tail, *parts]).any(dim=0)


def _paint(size: int) -> Tensor:
    """Wall, floor, ball, cat, face, from back to front."""
    y, x = (axis / size for axis in _pixel_centres(size))
    image = torch.stack([0.93 - 0.10 * y, 0.91 - 0.08 * y, 0.86 - 0.02 * x])  # [3, H, W]
    fur = 0.06 * torch.sin(60 * (x + 0.6 * y))
    cat = inside_cat(x, y)
    layers = [
        (y > 0.82, (0.72, 0.66, 0.58)),
        (_ellipse(x, y, TOY), (0.85, 0.38, 0.15)),
        (cat, (0.36, 0.37, 0.42)),
        (_ellipse(x, y, EYES[0]) | _ellipse(x, y, EYES[1]), (0.95, 0.88, 0.35)),
        (_ellipse(x, y, NOSE), (0.90, 0.55, 0.60)),
    ]
    for inside, colour in layers:
        image = torch.where(inside, torch.tensor(colour)[:, None, None], image)
    return (image + torch.where(cat, fur, 0)).clamp(0, 1)


def _ellipse(x: Tensor, y: Tensor, shape: tuple[float, float, float, float]) -> Tensor:
    cx, cy, rx, ry = shape
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1


def _triangle(x: Tensor, y: Tensor, corners: tuple[tuple[float, float], ...]) -> Tensor:
    sides = []
    for i in range(3):
        (ax, ay), (bx, by) = corners[i], corners[(i + 1) % 3]
        sides.append((bx - ax) * (y - ay) - (by - ay) * (x - ax))
    turn = torch.stack(sides)
    return (turn >= 0).all(dim=0) | (turn <= 0).all(dim=0)


def _pixel_centres(size: int) -> tuple[Tensor, Tensor]:
    """y and x of every pixel's centre, [H, W] each."""
    axis = torch.arange(size) + 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x
