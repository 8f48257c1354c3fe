"""A cat and a ball, drawn by code: the image on which notebooks 09 and 10 explain the masks."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import ops
from ...datasets.masks import mask_boxes

CLASS_NAMES = ("background", "ball", "cat", "dog")
BALL, CAT = 1, 2
OVERSAMPLING = 3  # the image is drawn this much finer and averaged, so that edges are smooth
SHAPES = ("disc", "cat", "whole box")
SEEN = 14  # cells of a true mask that the stand-in for a network sees: RoIAlign's
DOG_LIKENESS = 0.8  # how much it takes the cat for a dog

# Everything is drawn in units of the image's side: 0 is left or top, 1 is right or bottom.
CAT_BOX = (0.0625, 0.195, 0.742, 0.898)
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
    """An image with its objects, in the conventions of the package."""

    image: Tensor  # [3, H, W] in 0..1
    masks: Tensor  # [G, H, W] uint8
    boxes: Tensor  # [G, 4], the tight boxes of the masks
    labels: Tensor  # [G], indices into CLASS_NAMES


def cat_scene(size: int = 128) -> Scene:
    """A cat that has lost interest in its ball."""
    y, x = (axis / size for axis in _pixel_centres(size))
    masks = torch.stack([_cat(x, y), _ellipse(x, y, TOY)]).to(torch.uint8)  # [G, H, W]
    image = _paint(OVERSAMPLING * size)[None]
    return Scene(
        image=F.avg_pool2d(image, OVERSAMPLING)[0],  # [3, H, W]
        masks=masks,
        boxes=torch.from_numpy(mask_boxes(masks.numpy())),  # [G, 4]
        labels=torch.tensor([CAT, BALL]),
    )


def true_mask(shape: str, box: Tensor, size: int) -> Tensor:
    """The pixels [H, W] of one of `SHAPES` that fills a box: those whose centre lies in it."""
    y, x = _pixel_centres(size)
    u, v = (x - box[0]) / (box[2] - box[0]), (y - box[1]) / (box[3] - box[1])  # 0..1 in the box
    inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    if shape == "disc":
        return inside & _ellipse(u, v, (0.5, 0.5, 0.5, 0.5))
    if shape == "cat":
        x1, y1, x2, y2 = CAT_BOX
        return inside & _cat(x1 + u * (x2 - x1), y1 + v * (y2 - y1))
    return inside


def stand_in_logits(scene: Scene, box: Tensor, mask_size: int, sharpness: float) -> Tensor:
    """Logits [1, C, M, M] of a network that nobody trained: it sees 14 x 14 of the true masks."""
    boxes = box.expand(len(scene.masks), 4)  # [G, 4]
    seen = ops.crop_masks(scene.masks, boxes, torch.arange(len(boxes)), SEEN, aligned=True)
    seen = F.interpolate(seen[None], size=(mask_size, mask_size), mode="bilinear")[0]  # [G, M, M]
    cat, ball = (2 * seen - 1).unbind()  # [M, M] each, -1..1
    background = -torch.maximum(cat, ball)
    return sharpness * torch.stack([background, ball, cat, DOG_LIKENESS * cat])[None]


def _cat(x: Tensor, y: Tensor) -> Tensor:
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
    cat = _cat(x, y)
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
