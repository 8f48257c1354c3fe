"""Pictures of notebook 15: objects with their points, a peak that gets lost, errors by size."""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from ...draw import CYCLE
from ..kit import style
from ..kit.grid import draw_box

# One sign and colour for each point: none is told apart by its colour alone.
SIGNS = ("o", "s", "D", "^", "v")
# And for each decoder.
DECODERS = {
    "torchvision": ("x", style.VERMILION),
    "centre": ("s", style.SKY),
    "quadratic": ("o", style.ORANGE),
}


def draw_objects(
    ax: Axes, image: Tensor, keypoints: Tensor, names: Sequence[str], boxes: Tensor | None = None
) -> None:
    """An image [3, H, W] with its points [G, N, 3]: full if visible, hollow if hidden."""
    height, width = image.shape[1:]
    ax.imshow(image.permute(1, 2, 0), extent=(0, width, height, 0))
    ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    for n, name in enumerate(names):
        for v, face in ((2, CYCLE[n]), (1, "none")):
            x, y = keypoints[keypoints[:, n, 2] == v][:, n, :2].T
            look = {"mec": "white" if v == 2 else CYCLE[n], "mfc": face, "ms": 7, "mew": 1.2}
            look["path_effects"] = [] if v == 2 else [withStroke(linewidth=3, foreground="white")]
            ax.plot(x, y, SIGNS[n], ls="", label=name if v == 2 else None, **look)
    for box in boxes if boxes is not None else []:
        draw_box(ax, box, "white", linewidth=1, linestyle="--")


def draw_lost_peak(logits: Tensor, side: float, point: Tensor, found: Tensor) -> Figure:
    """A map [M, M] over its box, what torchvision makes of it, the point [2] and its answer [2]."""
    pixels = -int(-side // 1)  # rounded up
    resized = F.interpolate(logits[None, None], (pixels, pixels), mode="bicubic")[0, 0]
    fig, axes = style.figure(1, 2, width=7.4, height=3.5)
    titles = f"the map: {len(logits)} × {len(logits)} cells", f"resized: {pixels} × {pixels} pixels"
    for ax, values, title in zip(axes, (logits, resized), titles):
        scale = {"cmap": style.SEQUENTIAL, "vmin": 0, "vmax": float(logits.max())}
        shown = ax.imshow(values, extent=(0, side, side, 0), **scale)
        ring = {"mfc": "none", "mec": "white", "ms": 14, "mew": 1.5, "ls": ""}
        ax.plot(*point, "o", label="the point", **ring)
        ax.set(title=title, xlabel="x (px)", xlim=(0, side), ylim=(side, 0))
    axes[0].set(ylabel="y (px)")
    fig.colorbar(shown, ax=axes, label="logit", shrink=0.8)
    sign, colour = DECODERS["torchvision"]
    cross = {"color": colour, "mew": 2.5, "ms": 10, "ls": ""}
    axes[1].plot(*found, sign, label="torchvision's answer", clip_on=False, **cross)
    axes[1].legend(loc="upper right", labelcolor="white")
    return fig


def draw_errors(sizes: Sequence[str], errors: Mapping[str, Sequence[float]]) -> Figure:
    """The mean error of each decoder, in pixels, by the size of the box."""
    fig, ax = style.figure(width=5.6, height=2.9)
    for name, values in errors.items():
        sign, colour = DECODERS[name]
        ax.plot(sizes, values, sign + "-", color=colour, label=name, ms=7)
    top = 1.1 * max(max(values) for values in errors.values())
    ax.set(ylabel="mean error (px)", xlabel="longer side of the box (px)", ylim=(0, top))
    ax.legend(loc="lower left")
    return fig
