"""Objects drawn over their image: mask, edge, box, class and score, keypoints.

Colour tells objects apart, the line style of the box tells classes apart, and a label says both in
words, so nothing depends on colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

# Okabe and Ito: eight colours that stay apart for every common kind of colour vision.
CYCLE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
SMALLEST = 480  # pixels of the longer side below which an image is enlarged, to make room for text
FILL, RIM = 0.38, 0.7  # opacity of a mask and of the rim that sets it off from its surroundings
BAND = 256  # rows that are blended at a time; colours are floats then, and need 12 bytes a pixel
DASHES = ((1, 0), (6, 4), (2, 3), (12, 4))  # drawn and empty, in line widths; by class


def colour(index: int) -> str:
    """The hex colour of a row, starting again after eight."""
    return CYCLE[index % len(CYCLE)]


def paint_instances(
    image: Tensor,
    instances: dict,
    class_names: Sequence[str],
    score_threshold: float = 0.5,
    show_boxes: bool = True,
    show_labels: bool = True,
) -> np.ndarray:
    """Paint objects over an image, without matplotlib's figures.

    Args:
        image: ``Tensor[3, H, W]`` in 0..1, or ``uint8``.
        instances: ``boxes`` ``Tensor[G, 4]``, ``labels`` ``int64[G]``, ``masks`` ``[G, H, W]`` or
            ``[G, 1, H, W]``, of which one is read at a time; detections have ``scores`` too,
            targets may have ``iscrowd``. Instead of masks or beside them ``keypoints``
            ``[G, N, 3]``: numbered discs, hollow where a point is hidden or its score is below 1/2.
        class_names: Index 0 is the background.
        score_threshold: Detections with a lower score are left out.
        show_boxes: Draw the boxes.
        show_labels: Write class and score.

    Returns:
        ``uint8[H', W', 3]``; small images are enlarged by a whole factor.
    """
    from PIL import Image, ImageDraw

    height, width = image.shape[1:]
    factor = max(1, -(-SMALLEST // max(height, width)))
    canvas = _canvas(image.detach().cpu(), factor)  # uint8 [H, W, 3]
    rows = _rows_to_draw(instances, score_threshold)
    line = max(2, round(max(canvas.shape[:2]) / 350))
    for row in rows if "masks" in instances else ():
        mask = instances["masks"][row].detach().cpu().reshape(1, height, width)
        _blend_mask(canvas, _enlarge(mask, factor, "bilinear")[0] >= 0.5, _rgb(row), line)
    painted = Image.fromarray(canvas.numpy())
    del canvas  # Pillow has a copy
    draw = ImageDraw.Draw(painted)
    boxes = (instances["boxes"].detach().cpu() * factor).tolist()
    for row in rows if show_boxes else ():
        dash = DASHES[(int(instances["labels"][row]) - 1) % 4]
        _draw_box(draw, boxes[row], colour(row), line, dash)
    for row in rows if "keypoints" in instances else ():
        points = instances["keypoints"][row].detach().cpu() * torch.tensor([factor, factor, 1])
        seen = 0.5 if "scores" in instances else 2
        _draw_points(draw, points.tolist(), colour(row), line, seen)
    if show_labels:
        labels = [(boxes[row], _label(instances, row, class_names), row) for row in rows]
        _write_labels(draw, labels)
    return np.asarray(painted)


def describe_instances(
    instances: dict, class_names: Sequence[str], score_threshold: float = 0.5
) -> str:
    """Say in words what `paint_instances` draws, one line per object.

    Args:
        instances: A target or a detection.
        class_names: Index 0 is the background.
        score_threshold: Detections with a lower score are left out.

    Returns:
        Lines such as ``star 0.98 box (12, 30, 44, 61) 517 pixels``; or "no objects".
    """
    lines = []
    for row in sorted(_rows_to_draw(instances, score_threshold)):
        corners = ", ".join(f"{value:.0f}" for value in instances["boxes"][row].tolist())
        said = f"{_label(instances, row, class_names)} box ({corners})"
        if "masks" in instances:
            said += f" {int((instances['masks'][row] >= 0.5).sum())} pixels"
        if "keypoints" in instances:
            spots = enumerate(instances["keypoints"][row].tolist())
            said += "".join(f" {n}:({x:.0f}, {y:.0f})" for n, (x, y, v) in spots if v > 0)
        lines.append(said)
    return "\n".join(lines) or "no objects"


def _rows_to_draw(instances: dict, score_threshold: float) -> list[int]:
    """The rows above the threshold, large boxes first so that small ones lie on top."""
    boxes = instances["boxes"]
    areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist()
    rows = range(len(areas))
    if "scores" in instances:
        rows = [row for row in rows if float(instances["scores"][row]) >= score_threshold]
    return sorted(rows, key=lambda row: -areas[row])


def _label(instances: dict, row: int, class_names: Sequence[str]) -> str:
    label = class_names[int(instances["labels"][row])]
    if "scores" in instances:
        label += f" {float(instances['scores'][row]):.2f}"
    if "iscrowd" in instances and int(instances["iscrowd"][row]):
        label += " (crowd)"
    return label


def _canvas(image: Tensor, factor: int) -> Tensor:
    """The enlarged image in bytes, ``uint8[H, W, 3]``, as a copy."""
    if image.dtype != torch.uint8 or factor > 1:
        image = image / 255 if image.dtype == torch.uint8 else image.float()
        image = (_enlarge(image, factor, "bicubic").clamp(0, 1) * 255).round().to(torch.uint8)
    return image.permute(1, 2, 0).clone(memory_format=torch.contiguous_format)  # [H, W, 3]


def _enlarge(image: Tensor, factor: int, mode: str) -> Tensor:
    """Enlarge ``[C, H, W]`` by a whole factor."""
    if factor == 1:
        return image
    image = image.float()[None]
    return F.interpolate(image, scale_factor=factor, mode=mode, align_corners=False)[0]


def _blend_mask(canvas: Tensor, mask: Tensor, colour: Tensor, line: int) -> None:
    """Tint the mask ``bool[H, W]``, draw its edge inside, and put a thin white rim around it."""
    if not mask.any():
        return
    near = line + 1  # work only where the mask and its rim are
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    part = tuple(
        slice(max(0, int(n.min()) - near), int(n.max()) + near + 1) for n in (rows, columns)
    )
    mask, canvas = mask[part], canvas[part]
    edge = mask & _grow(~mask, line)
    rim = _grow(mask, max(1, line // 2)) & ~mask
    for top in range(0, len(mask), BAND):
        band = slice(top, top + BAND)
        pixels = canvas[band].float()  # [BAND, W, 3]
        opacity = (FILL * mask[band]).masked_fill(edge[band], 1.0)[..., None]  # [BAND, W, 1]
        pixels += opacity * (255 * colour - pixels)
        pixels += RIM * rim[band][..., None] * (255 - pixels)
        canvas[band] = pixels.round().to(torch.uint8)


def _grow(mask: Tensor, radius: int) -> Tensor:
    """All pixels within a square of this radius around the mask, ``bool[H, W]``."""
    grown = mask.clone()
    for lines in (grown, grown.T):
        reach = 0
        while reach < radius:  # 1, 3, 7, 15, …: what was reached moves as a whole
            step = min(reach + 1, radius - reach)
            before = lines.clone()
            lines[step:] |= before[:-step]
            lines[:-step] |= before[step:]
            reach += step
    return grown


def _draw_box(
    draw: ImageDraw, box: list[float], colour: str, line: int, dash: tuple[int, int]
) -> None:
    x1, y1, x2, y2 = box
    sides = (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1)))
    drawn, period = dash[0] * line, (dash[0] + dash[1]) * line
    for (ax, ay), (bx, by) in sides:
        length = max(1e-6, abs(bx - ax) + abs(by - ay))
        ux, uy = (bx - ax) / length, (by - ay) / length
        starts = [0.0] if dash[1] == 0 else np.arange(0, length, period).tolist()
        for start in starts:
            stop = length if dash[1] == 0 else min(length, start + drawn)
            points = (ax + ux * start, ay + uy * start, ax + ux * stop, ay + uy * stop)
            draw.line(points, fill=colour, width=max(1, line // 2 + 1))


def _draw_points(
    draw: ImageDraw, points: list[list[float]], colour: str, line: int, seen: float
) -> None:
    """A disc and a number for each point; hollow where its third number is below `seen`."""
    radius = 2 * line
    for number, (x, y, v) in enumerate(points):
        if v > 0:
            around = x - radius, y - radius, x + radius, y + radius
            fill = colour if v >= seen else "white"
            draw.ellipse(around, fill=fill, outline=colour if v < seen else "white", width=line)
            at = x + radius, y - radius
            draw.text(at, str(number), fill="white", stroke_fill="black", stroke_width=1)


def _write_labels(draw: ImageDraw, labels: list[tuple[list[float], str, int]]) -> None:
    """Write each label near its box, where it hides the least of those already written."""
    from PIL import ImageFont

    width, height = draw.im.size
    font = ImageFont.load_default(size=max(13, round(max(width, height) / 42)))
    pad = 3
    taken: list[tuple[float, float, float, float]] = []
    for (x1, y1, x2, y2), label, row in labels:
        left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
        w, h = right - left + 2 * pad, bottom - top + 2 * pad
        spots = [(x, y) for y in (y1 - h, y2, y1, y2 - h) for x in (x1, x2 - w, (x1 + x2 - w) / 2)]
        spots = [(min(max(0, x), width - w), min(max(0, y), height - h)) for x, y in spots]
        hidden = [sum(_overlap((x, y, x + w, y + h), other) for other in taken) for x, y in spots]
        x, y = spots[int(np.argmin(hidden))]
        taken.append((x, y, x + w, y + h))
        draw.rectangle((x, y, x + w, y + h), fill=colour(row))
        ink = "black" if _rgb(row) @ torch.tensor([0.299, 0.587, 0.114]) > 0.5 else "white"
        draw.text((x + pad - left, y + pad - top), label, fill=ink, font=font)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _rgb(row: int) -> Tensor:
    """The colour of an object as ``Tensor[3]`` in 0..1."""
    return torch.tensor(list(bytes.fromhex(colour(row)[1:]))) / 255
