"""Explorer of notebook 08: build a mask branch, and read its shapes, weights and work."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider
from ..kit.style import LOGITS, MASK
from .pictures import Block

POOLED = 14  # RoIAlign's output size for masks
CHANNELS = 256  # channels of every pyramid level
MLP_HIDDEN = (1024, 1024)  # the fully connected alternative of the paper's table 2e
GAP = 0.75  # between the blocks


@dataclass(frozen=True)
class Layer:
    """One layer of a head: what comes out of it, and what it costs per RoI."""

    name: str
    cells: int  # the output is cells x cells
    channels: int
    weights: int  # biases included
    macs: int  # multiplications (each with its addition), biases not counted


def mask_branch_layers(
    convs: int, width: int, mask_size: int, num_classes: int
) -> tuple[Layer, ...]:
    """The layers of an FPN mask branch, counted by hand."""
    layers, channels, cells = [], CHANNELS, POOLED
    for i in range(convs):
        macs = cells**2 * 9 * channels * width
        weights = 9 * channels * width + width
        layers.append(Layer(f"conv {i + 1}", cells, width, weights, macs))
        channels = width
    while cells < mask_size:
        cells *= 2
        # Kernel 2, stride 2: every output cell is written by exactly one input cell.
        macs = cells**2 * channels * width
        layers.append(Layer("deconv", cells, width, 4 * channels * width + width, macs))
        channels = width
    weights = channels * num_classes + num_classes
    macs = cells**2 * channels * num_classes
    layers.append(Layer("1×1 conv", cells, num_classes, weights, macs))
    return tuple(layers)


def mlp_layers(mask_size: int, num_classes: int) -> tuple[Layer, ...]:
    """The fully connected head of table 2e on the same input: 1024, 1024, then M^2 a class."""
    sizes = (CHANNELS * POOLED**2, *MLP_HIDDEN, num_classes * mask_size**2)
    return tuple(
        Layer(f"fc {i}", 1, out, into * out + out, into * out)
        for i, (into, out) in enumerate(pairwise(sizes), start=1)
    )


def totals(layers: Sequence[Layer]) -> tuple[int, int]:
    """Weights and multiplications of a head."""
    return sum(layer.weights for layer in layers), sum(layer.macs for layer in layers)


class HeadBuilder:
    """A mask branch that the reader puts together, beginning with the paper's."""

    def __init__(self) -> None:
        self.convs, self.width, self.mask_size, self.num_classes = 4, 256, 28, 80
        self._draw_axes()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers for the present settings."""
        return mask_branch_layers(self.convs, self.width, self.mask_size, self.num_classes)

    def render(self) -> tuple[bytes, str]:
        """The branch as blocks and bars, and its table."""
        self._move()
        return self.canvas.png(), self._numbers()

    def _numbers(self) -> str:
        layers = self.layers
        weights, macs = totals(layers)
        mlp_weights, mlp_macs = totals(mlp_layers(self.mask_size, self.num_classes))
        lines = [
            f"{weights:,} weights; fully connected {mlp_weights / weights:.1f} times as many",
            f"{'layer':10}{'output':>14}{'weights':>14}{'multiplications':>18}",
        ]
        for row in (Layer("RoIAlign", POOLED, CHANNELS, 0, 0), *layers):
            shape = f"{row.cells}×{row.cells}×{row.channels}"
            lines.append(f"{row.name:10}{shape:>14}{row.weights:14,}{row.macs:18,}")
        lines.append(f"{'total':10}{'':14}{weights:14,}{macs:18,}")
        lines.append(f"{'3 × fc':10}{'':14}{mlp_weights:14,}{mlp_macs:18,}")
        return "\n".join(lines)

    def _draw_axes(self) -> None:
        """Blocks in a row, and below them how weights and work are shared out."""
        fig = style.blank(7.6, 4.1)
        top = fig.add_axes((0.01, 0.5, 0.98, 0.5))
        left, right = (fig.add_axes((x, 0.07, 0.365, 0.34)) for x in (0.115, 0.62))
        top.set(xlim=(-0.3, 10.6), ylim=(-1.9, 1.25), aspect="equal")
        top.axis("off")
        self.canvas = Canvas(fig)
        self._make_blocks(top)
        self.bars = [self._make_bars(left), self._make_bars(right)]

    def _make_blocks(self, ax) -> None:
        self.blocks = [Block(ax, colour) for colour in (MASK, MASK, MASK, MASK, LOGITS)]
        for block in self.blocks:
            self.canvas.add_all(block.artists)
        settings = {"ha": "center", "va": "center", "fontsize": 15, "color": style.GREY}
        self.arrows = [self.canvas.add(ax.text(0, 0.05, "→", **settings)) for _ in self.blocks]

    def _make_bars(self, ax) -> tuple:
        ax.set(xlim=(0, 1.55), ylim=(3.6, -0.6), xticks=[0, 0.5, 1])
        ax.set_xticklabels(["0", "50 %", "100 %"])
        ax.set_yticks(range(4), ["3×3 convs", "deconv", "2nd deconv", "1×1 conv"])
        ax.tick_params(axis="y", length=0)
        colours = (MASK, MASK, MASK, LOGITS)
        bars = ax.barh(range(4), [0] * 4, height=0.62, color=colours, edgecolor=style.GREY, lw=0.8)
        counts = [ax.text(0, i, "", va="center", fontsize=style.SMALL) for i in range(4)]
        title = ax.text(0, -0.85, "", va="bottom", fontsize=style.NORMAL)
        self.canvas.add_all([*bars, *counts, title])
        return list(bars), counts, title

    def _move(self) -> None:
        layers = self.layers
        groups = _grouped(layers)
        self._draw_blocks(groups)
        names = "weights", "multiplications per RoI"
        for k, (name, (bars, labels, title)) in enumerate(zip(names, self.bars, strict=True)):
            total = totals(layers)[k]
            for group, bar, label in zip(groups, bars, labels, strict=True):
                count = totals(group)[k]
                bar.set_width(count / total)
                label.set(x=count / total + 0.03, text=f"{count:,}" if group else "none")
            title.set_text(f"{total:,} {name}")

    def _draw_blocks(self, groups: Sequence[Sequence[Layer]]) -> None:
        names = ("RoIAlign", f"{len(groups[0])} × conv 3×3", "deconv", "deconv", "1×1 conv")
        shapes = [(POOLED, CHANNELS)]
        shapes += [(group[-1].cells, group[-1].channels) if group else None for group in groups]
        x = 0.0
        for block, arrow, name, shape in zip(self.blocks, self.arrows, names, shapes, strict=True):
            for artist in (*block.artists, arrow):
                artist.set_visible(shape is not None)
            if shape is not None:
                end = block.place(x, 0, name, *shape)
                arrow.set_x(end + GAP / 2)
                x = end + GAP
        arrow.set_visible(False)  # nothing follows the logits


def _grouped(layers: Sequence[Layer]) -> tuple[list[Layer], ...]:
    """Convolutions, first deconvolution, second deconvolution, logits."""
    convs = [layer for layer in layers if layer.name.startswith("conv")]
    deconvs = [layer for layer in layers if layer.name == "deconv"]
    return convs, deconvs[:1], deconvs[1:], [layers[-1]]


def explore_head() -> Explorer:
    """The explorer of `HeadBuilder`, for a notebook cell to end with."""
    return Explorer(
        HeadBuilder(),
        [
            slider("convs", "3×3 convolutions", 0, 8),
            choice("width", "their channels", [32, 64, 128, 256, 512]),
            choice("mask_size", "mask size m", [14, 28, 56]),
            slider("num_classes", "classes", 1, 100),
        ],
        alt="A mask branch as blocks; bars show where its weights and its work are.",
    )
