"""How a mask is predicted: one detection on its way back to the image."""

from matplotlib.figure import Figure
from torch import Tensor

from ...draw import paint_instances
from ..kit import style
from ..kit.cat import CLASS_NAMES, Scene
from ..kit.mask_figures import arrow, draw_stack, show_map, show_scene

ARROWS = (
    ((0.275, 0.74), (0.37, 0.74)),
    ((0.64, 0.74), (0.73, 0.74)),
    ((0.85, 0.555), (0.85, 0.485)),
    ((0.725, 0.23), (0.63, 0.23)),
    ((0.375, 0.23), (0.275, 0.23)),
)


def draw_prediction(scene: Scene, box: Tensor, logits: Tensor, pasted: Tensor) -> Figure:
    """From a box [4] and its logits [C, M, M] to the mask pasted into the image [H, W]."""
    fig, label = style.blank(7.6, 3.9), int(scene.labels[0])
    first = show_scene(fig, (0.01, 0.54, 0.25, 0.4), scene, box, "1  box and class")
    first.text(float(box[0]), float(box[1]) - 3, CLASS_NAMES[label], color=style.VERMILION)
    stack = fig.add_axes((0.375, 0.5, 0.24, 0.46))
    stack.set_title("2  logits of this box", fontsize=style.NORMAL)
    draw_stack(stack, logits, CLASS_NAMES, label)
    probability, title = logits[label].sigmoid(), f"3  {CLASS_NAMES[label]}, sigmoid"
    show_map(fig, (0.74, 0.58, 0.22, 0.35), probability, title)
    show_map(fig, (0.74, 0.03, 0.22, 0.4), pasted, "4  pasted into the image")
    pixels = pasted >= 0.5
    show_map(fig, (0.385, 0.03, 0.22, 0.4), pixels.float(), "5  at least 0.5")
    found = {"boxes": box[None], "labels": scene.labels[:1], "masks": pixels[None]}
    drawn = paint_instances(scene.image, found, CLASS_NAMES, show_labels=False)
    last = fig.add_axes((0.01, 0.03, 0.25, 0.4))
    last.imshow(drawn, interpolation="antialiased")
    last.set_title("6  drawn", fontsize=style.NORMAL)
    last.axis("off")
    for start, end in ARROWS:
        arrow(fig, start, end)
    return fig
