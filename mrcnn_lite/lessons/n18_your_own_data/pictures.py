"""What the network was given: crops of training; broken runs, or how their losses went."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ...draw import paint_instances
from ..kit import style
from ..kit.grid import write

LOWEST, HIGHEST = 0.01, 300.0  # of the logarithmic axis
IMAGES, CURVES = 2, 3  # in one row; only large images have labels that can be read
TALLER = 1.6  # a row of images, in rows of curves


def draw_crops(
    rows: Mapping[str, Sequence[tuple[Tensor, dict]]], class_names: Sequence[str]
) -> Figure:
    """Crops with their masks, a row of as many for each title."""
    count = len(next(iter(rows.values())))
    fig, axes = style.figure(len(rows), count, 8, 8 / count * len(rows) + 0.4, squeeze=False)
    for (title, samples), line in zip(rows.items(), axes, strict=True):
        line[0].set_title(title, loc="left")
        for ax, (image, target) in zip(line, samples, strict=True):
            ax.imshow(paint_instances(image, target, class_names, show_labels=False))
            ax.axis("off")
    return fig


def draw_failures(
    images: Mapping[str, tuple[Tensor, dict | None]],
    class_names: Sequence[str],
    curves: Mapping[str, Sequence[float]],
    healthy: Sequence[float],
) -> Figure:
    """Images with their targets first, then curves over that of a healthy run."""
    names = [*images, *curves]
    above, below = _plan(list(images), IMAGES), _plan(list(curves), CURVES)
    rows = {"height_ratios": [TALLER] * len(above) + [1.0] * len(below), "empty_sentinel": ""}
    fig, axes = style.mosaic(above + below, 8, 1.9 * sum(rows["height_ratios"]), **rows)
    for name in names:
        axes[name].set_title(name, fontsize=style.NORMAL)
    for name, (image, target) in images.items():
        _draw_target(axes[name], image, target, class_names)
    for name, values in curves.items():
        _draw_curve(axes[name], values, healthy)
    return fig


def _plan(names: list[str], per_row: int) -> list[list[str]]:
    """Rows of a mosaic of `IMAGES` x `CURVES` columns; "" where a row is not full."""
    width = IMAGES * CURVES // per_row
    padded = names + [""] * (-len(names) % per_row)
    rows = [padded[k : k + per_row] for k in range(0, len(padded), per_row)]
    return [[name for name in row for _ in range(width)] for row in rows]


def _draw_target(ax: Axes, image: Tensor, target: dict | None, names: Sequence[str]) -> None:
    """The image as the network got it; names in the figure's own letters, which stay readable."""
    height, width = image.shape[1:]
    pixels = image.permute(1, 2, 0).numpy()  # [H, W, 3]
    if target is not None:
        pixels = paint_instances(image, target, names, show_labels=False)
    ax.imshow(pixels, extent=(0, width, height, 0), interpolation="antialiased")
    ax.axis("off")
    for box, label in zip(target["boxes"], target["labels"]) if target else ():
        x, y = (float(v) for v in box[:2].clamp(min=0))
        write(ax, x, y, names[int(label)], ha="left", va="bottom" if y > 8 else "top")


def _draw_curve(ax, values: Sequence[float], healthy: Sequence[float]) -> None:
    steps = len(healthy)
    ax.plot(range(1, steps + 1), healthy, color=style.PALE, lw=4)
    shown = np.clip(values, LOWEST * 1.2, HIGHEST / 1.2)
    ax.plot(range(1, len(shown) + 1), shown, color=style.BLUE, lw=1.3)
    if len(shown) < steps:
        last = shown[-1] if len(shown) else healthy[0]
        ax.plot(len(shown) + 1, last, "x", color=style.VERMILION, ms=9, mew=2.5)
    ax.set(yscale="log", ylim=(LOWEST, HIGHEST), xlim=(0, steps + 1))
    ax.set(yticks=[0.1, 1, 10, 100], yticklabels=["0.1", "1", "10", "100"], xticks=[1, steps])
    ax.minorticks_off()
