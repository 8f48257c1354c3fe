"""Explorer of notebook 09: move a proposal over a cat; watch target, loss and gradient."""

import math
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from torch import Tensor

from ... import ops
from ...models.losses import mask_loss
from ..kit import style
from ..kit.canvas import Canvas
from ..kit.cat import CAT, CLASS_NAMES, cat_scene, stand_in_logits
from ..kit.explorer import Explorer, choice, slider, toggle
from ..kit.grid import draw_box, move_box

FOREGROUND_IOU = 0.5  # a proposal is positive from here on
ROUNDING = 1e-4  # a cell this near to 0 or 1 is meant to be 0 or 1


@dataclass(frozen=True)
class Comparison:
    """What training would compute for one proposal."""

    iou: float  # with the cat's box
    target: Tensor  # [M, M]
    probability: Tensor  # [M, M], of the cat's channel
    loss: float
    floor: float  # the smallest loss that any network can reach on this target
    gradient: Tensor  # [C, M, M], of the loss by the logits


def target_floor(target: Tensor) -> float:
    """The loss of the best possible logits for a target: its entropy, 0 only for hard targets."""
    target = target.clamp(0, 1)  # sums of weights may end a rounding error above 1
    return (torch.special.entr(target) + torch.special.entr(1 - target)).mean().item()


def fractions(target: Tensor) -> Tensor:
    """The cells of a target through which the outline runs."""
    return (target > ROUNDING) & (target < 1 - ROUNDING)


class MaskTarget:
    """A proposal over the image of a cat."""

    def __init__(self):
        self.left, self.top, self.width, self.height = 14, 18, 84, 92
        self.mask_size = 28
        self.sharpness = 6.0
        self.competition = "sigmoid"
        self.aligned = False
        self.scene = cat_scene()
        self._draw_axes()

    @property
    def box(self) -> Tensor:
        """The proposal, Tensor[4], clipped to the image, as the RPN clips its proposals."""
        corners = (self.left, self.top, self.left + self.width, self.top + self.height)
        side = self.scene.image.shape[-1]
        return torch.tensor(corners, dtype=torch.float32).clamp(0, side)

    def compare(self) -> Comparison:
        """Match, cut the target, compare, differentiate: the steps of training, in order."""
        box = self.box[None]  # [1, 4]
        iou = ops.box_iou(box, self.scene.boxes[:1]).item()
        target = ops.crop_masks(
            self.scene.masks, box, torch.tensor([0]), self.mask_size, aligned=self.aligned
        )  # [1, M, M]
        logits = stand_in_logits(self.scene, box[0], self.mask_size, self.sharpness)
        logits.requires_grad_()
        valid = torch.tensor([iou >= FOREGROUND_IOU])
        loss = mask_loss(logits, target, torch.tensor([CAT]), valid, self.competition)
        (gradient,) = torch.autograd.grad(loss, logits)
        squash = torch.sigmoid if self.competition == "sigmoid" else lambda x: x.softmax(dim=1)
        probability = squash(logits.detach())[0, CAT]  # [M, M]
        floor = target_floor(target)
        return Comparison(iou, target[0], probability, loss.item(), floor, gradient[0])

    def render(self) -> tuple[bytes, str]:
        """The proposal on the image, its target, the prediction, and who receives gradient."""
        result = self.compare()
        self._move(result)
        return self.canvas.png(), self._numbers(result)

    def _numbers(self, result: Comparison) -> str:
        size = self.mask_size
        fractional = fractions(result.target).float().mean().item()
        corners = ", ".join(f"{value:.0f}" for value in self.box.tolist())
        positive = result.iou >= FOREGROUND_IOU
        verdict = "a positive" if positive else "no positive: it never reaches the mask branch"
        shares = ", ".join(
            f"{name} {share:.0%}" for name, share in zip(CLASS_NAMES, _shares(result), strict=True)
        )
        return "\n".join(
            [
                f"loss {result.loss:.4f} ({self.competition})",
                f"proposal  [{corners}], IoU with the cat's box {result.iou:.4f}: {verdict}",
                f"target    {size}×{size}, mean {result.target.mean():.4f}, "
                f"{fractional:.1%} of the cells are fractions",
                f"floor     {result.floor:.4f} for the sigmoid on this target; "
                f"ln 2 = {math.log(2):.4f}",
                f"gradient  {shares if positive else 'none, the loss is exactly 0'}",
            ]
        )

    def _draw_axes(self) -> None:
        """Left the scene, right target and prediction above one gradient map per channel."""
        fig = style.blank(7.6, 4.0)
        ax = fig.add_axes((0.005, 0.03, 0.46, 0.87))
        self.canvas = Canvas(fig)
        self._draw_scene(ax)
        self.frame = self.canvas.add(draw_box(ax, (0, 0, 1, 1), style.VERMILION))
        self.target = self._panel((0.5, 0.49, 0.22, 0.41))
        self.probability = self._panel((0.76, 0.49, 0.22, 0.41))
        self.channels = [
            self._panel((0.5 + 0.122 * i, 0.075, 0.112, 0.2), style.SMALL)
            for i in range(len(CLASS_NAMES))
        ]
        fig.text(0.5, 0.4, "size of the gradient, channel by channel", fontsize=style.NORMAL)
        fig.text(0.5, 0.02, "dark 0, bright 1", fontsize=style.SMALL, color=style.GREY)

    def _draw_scene(self, ax: Axes) -> None:
        _, height, width = self.scene.image.shape
        ax.imshow(self.scene.image.permute(1, 2, 0).numpy(), extent=(0, width, height, 0))
        x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5  # the pixels' centres
        outline = {"levels": [0.5], "colors": "white", "linewidths": 1.2}
        ax.contour(x.numpy(), y.numpy(), self.scene.masks[0].numpy(), **outline)
        ax.set(xlim=(-2, width + 2), ylim=(height + 2, -2))  # a box on the edge stays in view
        ax.set_title("a cat and a proposal")
        ax.axis("off")

    def _panel(self, position: tuple, size: float = style.NORMAL) -> tuple:
        """A map that changes, with a title that changes."""
        ax = self.canvas.figure.add_axes(position)
        ax.set(xticks=[], yticks=[])
        image = self.canvas.add(ax.imshow(torch.zeros(2, 2), vmin=0, vmax=1, extent=(0, 1, 1, 0)))
        return image, self.canvas.add(ax.text(0, -0.05, "", va="bottom", fontsize=size))

    def _move(self, result: Comparison) -> None:
        move_box(self.frame, self.box)
        _set(self.target, result.target, "target")
        _set(self.probability, result.probability, f"{self.competition} of channel cat")
        # A cell's gradient is at most 1 / M^2, because the loss is a mean over the cells.
        cells = result.target.numel()
        shares = _shares(result)
        for i, panel in enumerate(self.channels):
            _set(panel, result.gradient[i].abs() * cells, f"{CLASS_NAMES[i]}\n{shares[i]:.0%}")


def _shares(result: Comparison) -> list[float]:
    """How the gradient is shared out among the channels."""
    sums = result.gradient.abs().sum(dim=(1, 2))  # [C]
    return (sums / sums.sum().clamp(min=1e-12)).tolist()


def _set(panel: tuple, values: Tensor, title: str) -> None:
    image, text = panel
    image.set_data(values.numpy())
    text.set_text(title)


def explore_target() -> Explorer:
    """The explorer of `MaskTarget`, for a notebook cell to end with."""
    return Explorer(
        MaskTarget(),
        [
            slider("left", "left edge (px)", 0, 90),
            slider("top", "top edge (px)", 0, 90),
            slider("width", "width (px)", 10, 130),
            slider("height", "height (px)", 10, 130),
            slider("sharpness", "sharpness of logits", 0.0, 20.0, 0.5),
            choice("mask_size", "mask size m", [7, 14, 28, 56]),
            choice("competition", "competition", ["sigmoid", "softmax"]),
            toggle("aligned", "aligned target"),
        ],
        alt="A proposal over a cat; its mask target, the prediction, and the gradient per channel.",
    )
