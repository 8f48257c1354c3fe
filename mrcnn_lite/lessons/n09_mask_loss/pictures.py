"""How a mask is trained: one proposal on its way to the mask loss."""

from matplotlib.figure import Figure
from torch import Tensor

from ..kit import style
from ..kit.cat import CLASS_NAMES, Scene
from ..kit.mask_figures import arrow, draw_stack, show_map, show_scene


def draw_training(scene: Scene, box: Tensor, logits: Tensor, target: Tensor) -> Figure:
    """From a proposal [4] to the loss: its logits [C, M, M] above, its target [M, M] below."""
    fig, label = style.blank(7.6, 4.0), int(scene.labels[0])
    show_scene(fig, (0.01, 0.24, 0.25, 0.475), scene, box, "a proposal")
    draw_stack(fig.add_axes((0.34, 0.47, 0.25, 0.5)), logits, CLASS_NAMES, label)
    probability, title = logits[label].sigmoid(), f"channel {CLASS_NAMES[label]}"
    chosen = show_map(fig, (0.61, 0.58, 0.16, 0.3), probability, title)
    truth = show_map(fig, (0.61, 0.1, 0.16, 0.3), target, "target")
    size = f"{target.shape[0]}×{target.shape[1]}"
    chosen.set_xlabel(f"sigmoid, {size}", fontsize=style.SMALL)
    truth.set_xlabel(f"{size}, the cat's share 0…1", fontsize=style.SMALL)
    arrow(fig, (0.268, 0.6), (0.335, 0.7), "RoIAlign,\nmask branch", (-0.035, 0.09))
    arrow(fig, (0.555, 0.76), (0.603, 0.76))
    arrow(fig, (0.268, 0.34), (0.603, 0.25), "cut out the true mask, scale it", (0.0, 0.05))
    arrow(fig, (0.785, 0.73), (0.85, 0.53))
    arrow(fig, (0.785, 0.25), (0.85, 0.45))
    fig.text(0.915, 0.49, "binary\ncross\nentropy", ha="center", va="center", fontsize=style.LARGE)
    return fig
