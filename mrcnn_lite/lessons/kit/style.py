"""The look of every figure in the course: colours, sizes, and how a figure reaches the page.

Pictures are made with `matplotlib.figure.Figure` and never with pyplot, so that no figure is left
open and none shows itself a second time. A figure is shown by `show`, together with words and
numbers: a reader who cannot see it loses nothing, and a notebook test compares the numbers.
"""

import base64
import io
import sys
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ...draw import CYCLE

# Okabe and Ito's colours, in the order in which objects get them.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, BLACK = CYCLE

GREY = "#6E6E6E"  # axes and remarks: 5:1 on white, still readable
PALE = "#D9D9D9"  # grid lines
FASTER = "#DCDCDC"  # the part of the network that Faster R-CNN already has
MASK = "#FBE3B5"  # the parts that Mask R-CNN adds or changes
LOGITS = "#B9DDF1"  # its result

# What a loss is called in figures, and its line: colour and dashes tell it apart.
LOSSES = {
    "loss_objectness": ("RPN: object?", BLUE, "-"),
    "loss_rpn_box_reg": ("RPN: box", SKY, (0, (1, 1))),
    "loss_classifier": ("class", VERMILION, "-"),
    "loss_box_reg": ("box", ORANGE, (0, (4, 1.5))),
    "loss_mask": ("mask", GREEN, (0, (6, 1.5, 1, 1.5))),
}

SEQUENTIAL = "viridis"  # the one colour map of the course: from purple, little, to yellow, much

SMALL, NORMAL, LARGE = 8, 9.5, 11.5  # font sizes in points
SCREEN_DPI = 100  # one inch of figure is 100 px on the page
FILE_DPI = 160  # and 160 px in the file, so that it is sharp on a dense screen

LOOK: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same figure everywhere
    "font.size": NORMAL,
    "axes.titlesize": LARGE,
    "axes.titlelocation": "left",
    "axes.labelsize": NORMAL,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=CYCLE),
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",
    "lines.linewidth": 1.8,
    "figure.dpi": SCREEN_DPI,
}


def figure(
    rows: int = 1, columns: int = 1, width: float = 7.0, height: float = 3.5, **grid: Any
) -> tuple[Figure, Any]:
    """A figure in the course's look, with its axes.

    Args:
        rows, columns: the grid of axes.
        width, height: inches; one inch is 100 px on the page, and 8 inches is a full page.
        **grid: passed to `Figure.subplots`, for instance `width_ratios` or `sharey`.

    Returns:
        `(figure, axes)`: one `Axes`, or a NumPy array of them, as `Figure.subplots` returns.
    """
    fig = blank(width, height, "constrained")
    return fig, fig.subplots(rows, columns, **grid)


def mosaic(
    plan: list[list[str]], width: float = 7.0, height: float = 3.5, **grid: Any
) -> tuple[Figure, Any]:
    """A figure whose axes are laid out by `plan`, rows of names: (figure, axes by name)."""
    fig = blank(width, height, "constrained")
    return fig, fig.subplot_mosaic(plan, **grid)


def blank(width: float, height: float, layout: str = "none") -> Figure:
    """A figure in the course's look without axes, which are placed by hand."""
    mpl.rcParams.update(LOOK)
    fig = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(fig)
    return fig


def encode_png(pixels: np.ndarray, level: int = 6) -> bytes:
    """Encode an image as PNG."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG", compress_level=level)
    return out.getvalue()


def few_colours(png: bytes) -> bytes:
    """The same figure with 256 colours, which keeps notebooks small."""
    out, image = io.BytesIO(), Image.open(io.BytesIO(png)).convert("RGB")
    # an octree keeps rare colours, such as those of thin lines; a median cut drops them
    few = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.putpalette([255 if value > 251 else value for value in few.getpalette()])  # white is white
    few.save(out, format="PNG", optimize=True)
    return out.getvalue()


def figure_png(fig: Figure) -> bytes:
    """The figure as a PNG of 256 colours."""
    raw = io.BytesIO()
    fig.savefig(raw, dpi=FILE_DPI, facecolor="white", bbox_inches="tight", pad_inches=0.06)
    return few_colours(raw.getvalue())


def show(fig: Figure, *, alt: str, text: str = "") -> None:
    """Show a figure, with what it says in words and numbers, and let go of it.

    The page gets the figure and, under it, the caption `text`. The plain-text form of the output
    holds `alt` and `text`, for screen readers, for terminals and for the notebook tests, which
    cannot compare images.

    Args:
        fig: the figure; it is closed if pyplot made it.
        alt: what a reader who cannot see the figure should know about it, in one sentence.
        text: the caption: words and numbers, the same on every machine (four decimals).
    """
    from IPython.display import display  # only notebooks have it

    png = figure_png(fig)
    width = round(int.from_bytes(png[16:20], "big") * SCREEN_DPI / FILE_DPI)  # PNG's header has it
    data = {
        "image/png": base64.b64encode(png).decode("ascii"),
        "text/plain": f"Picture: {alt}",
    }
    display(data, raw=True, metadata={"image/png": {"width": width, "alt": alt}})
    if text:
        print(text)
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(fig)
