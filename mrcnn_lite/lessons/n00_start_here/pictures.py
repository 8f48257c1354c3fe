"""The whole network as a strip: the paper's Figure 1, drawn from what a network computes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

from ...models.intermediate import IntermediateOutputs
from ...ops import box_iou, roi_align
from ..kit import style
from ..kit.detections import corners_of
from ..kit.grid import draw_box
from ..kit.style import FASTER, MASK

Position = tuple[float, ...]  # in parts of the figure

WIDTH, HEIGHT = 8.0, 3.5  # inches
PROPOSALS = 12  # drawn; all of them would hide the image
MARGIN = 6  # px around the box in its close-up
# Letter, name, colour, detail, and where the caption's middle is (in parts of the figure).
BLOCKS = (
    ("A", "body + pyramid", FASTER, "strides 4, 8, 16, 32", (0.274, 0.17)),
    ("B", "RPN", FASTER, "{proposals} proposals", (0.485, 0.17)),
    ("C", "RoIAlign", MASK, "", (0.645, 0.5)),
    ("D", "box branch", FASTER, "{answer}", (0.803, 0.77)),
    ("E", "mask branch", MASK, "{mask} × {mask} cells", (0.803, 0.29)),
)
# From, to: image, pyramid, RPN, a RoIAlign for each branch, then the branches.
ARROWS = (
    ((0.158, 0.52), (0.186, 0.52)),
    ((0.372, 0.52), (0.4, 0.52)),
    ((0.567, 0.56), (0.6, 0.7)),
    ((0.567, 0.46), (0.6, 0.3)),
    ((0.69, 0.77), (0.735, 0.77)),
    ((0.69, 0.27), (0.735, 0.28)),
)
BOX_CELLS = 7  # of the box branch's RoIAlign
POOLED = ((0.605, 0.68), (0.605, 0.17))  # left and bottom of what the two RoIAligns gave


def draw_pipeline(
    outputs: IntermediateOutputs, class_names: Sequence[str], row: int = 0, letters: bool = False
) -> Figure:
    """The stages of Figure 1 from left to right, each with what it computed."""
    fig = style.blank(WIDTH, HEIGHT)
    pixels = outputs.image.permute(1, 2, 0).numpy()
    _caption(fig, (0.0775, 0.17), "image", " × ".join(map(str, outputs.image.shape)), "white")
    _image(fig, (0.0, 0.34, 0.155), pixels)
    _pyramid(fig, outputs.features)
    ax = _image(fig, (0.4075, 0.34, 0.155), 0.45 * pixels + 0.55)
    lines = corners_of(outputs.proposals[:PROPOSALS])
    ax.add_collection(LineCollection(lines, colors=style.BLUE, linewidths=0.9))
    for place, values in zip(POOLED, (box_features(outputs, row), outputs.pooled[row])):
        _image(fig, (*place, 0.08), values.mean(0).numpy())
        note = {"ha": "center", "va": "top", "fontsize": style.SMALL, "color": style.GREY}
        cells = values.shape[-1]
        fig.text(place[0] + 0.04, place[1] - 0.02, f"{cells} × {cells} per RoI", **note)
    answer = _answers(fig, outputs, class_names, row)
    facts = {"proposals": len(outputs.proposals), "answer": answer,
             "mask": outputs.mask_logits.shape[-1]}  # fmt: skip
    for letter, name, colour, detail, position in BLOCKS:
        titles = (letter, "", "white") if letters else (name, detail.format(**facts), colour)
        _caption(fig, position, *titles)
    arrow = {"arrowstyle": "-|>", "mutation_scale": 11, "color": style.GREY, "lw": 1.4}
    for start, end in ARROWS:
        fig.add_artist(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **arrow))
    return fig


def box_features(outputs: IntermediateOutputs, row: int) -> Tensor:
    """What the box branch reads of the proposal that became a detection, [C, 7, 7].

    The lite network reads every box from the finest level of the pyramid.
    """
    overlap = box_iou(outputs.detections["boxes"][row : row + 1], outputs.proposals)  # [1, R]
    proposal, level = outputs.proposals[overlap.argmax()], outputs.features[0]
    scale = level.shape[-1] / outputs.image.shape[-1]
    return roi_align(level[None], [proposal[None]], BOX_CELLS, scale, 2, aligned=False)[0]


def _image(fig: Figure, position: Position, pixels: np.ndarray, extent: tuple = ()) -> Axes:
    """An image at (left, bottom, width) in parts of the figure, as high as it has to be."""
    left, bottom, width = position
    ratio = pixels.shape[0] / pixels.shape[1] * WIDTH / HEIGHT
    ax = fig.add_axes((left, bottom, width, width * ratio))
    ax.imshow(pixels, extent=extent or (0, pixels.shape[1], pixels.shape[0], 0))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _pyramid(fig: Figure, features: Sequence[Tensor]) -> None:
    """The levels one behind the other, the finest in front."""
    positions = ((0.193, 0.34, 0.12), (0.257, 0.5, 0.082), (0.308, 0.62, 0.056), (0.344, 0.7, 0.03))
    for values, position in reversed(list(zip(features, positions))):
        ax = _image(fig, position, values.mean(0).numpy())
        ax.spines[:].set(visible=True, color="white", linewidth=1.6)


def _answers(fig: Figure, outputs: IntermediateOutputs, names: Sequence[str], row: int) -> str:
    """The box and the mask of one detection; returns its class and score."""
    detections, pixels = outputs.detections, outputs.image.permute(1, 2, 0).numpy()  # [H, W, 3]
    label, score = int(detections["labels"][row]), float(detections["scores"][row])
    x1, y1, x2, y2 = box = detections["boxes"][row].tolist()
    side = int(max(x2 - x1, y2 - y1)) + 2 * MARGIN  # a square window around the box
    left, top = int((x1 + x2 - side) / 2), int((y1 + y2 - side) / 2)
    rows, columns = (np.arange(start, start + side) for start in (top, left))
    height, width, _ = pixels.shape
    crop = pixels[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]  # [N, N, 3]
    extent = (left, left + side, top + side, top)
    draw_box(_image(fig, (0.885, 0.61, 0.112), crop, extent), box, style.BLUE)
    _image(fig, (0.885, 0.13, 0.112), outputs.mask_logits[row, label].sigmoid().numpy())
    return f"{names[label]} {score:.2f}"


def _caption(fig: Figure, position: Position, title: str, detail: str, colour: str) -> None:
    """A coloured name, and a line of detail below it."""
    x, y = position
    centred = {"ha": "center", "va": "center"}
    box = {"boxstyle": "round,pad=0.35", "fc": colour, "ec": style.GREY, "lw": 0.8}
    fig.text(x, y, title, fontsize=style.NORMAL, bbox=box, **centred)
    fig.text(x, y - 0.1, detail, fontsize=style.SMALL, color=style.GREY, **centred)
