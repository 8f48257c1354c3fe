"""Work counted from shapes, and the roof above it: arithmetic and bytes decide what is possible.

A GPU has two limits: how many operations it computes in a second, and how many bytes its memory
delivers. Work with few operations per byte (a low *intensity*) waits for memory, however fast the
arithmetic is. All numbers here are computed from shapes and data sheets; none is measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ..kit import style

GIGA, TERA = 1e9, 1e12
LOWEST, HIGHEST = 0.03, 3e4  # intensities on the axis, operations per byte
# Operations that only make room, or rename.
FREE = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "detach")


@dataclass(frozen=True)
class Work:
    """What some calls cost.

    Attributes:
        flops: additions and multiplications.
        numbers: read and written, when each operation reads its inputs and writes its outputs.
        needed: the part of them that products and convolutions read and write; the rest belongs to
            operations that could be fused into these.
    """

    flops: float = 0.0
    numbers: float = 0.0
    needed: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Both together."""
        return Work(
            self.flops + other.flops, self.numbers + other.numbers, self.needed + other.needed
        )

    def __mul__(self, factor: float) -> "Work":
        """The same so many times."""
        return Work(self.flops * factor, self.numbers * factor, self.needed * factor)


class _Counter(TorchDispatchMode):
    """Adds up the work of every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if func.is_view or packet.__name__ in FREE:
            return out
        moved = sum(_numbers(leaf) for leaf in tree_leaves((args, kwargs, out)))
        if packet in flop_registry:
            flops = flop_registry[packet](*args, **(kwargs or {}), out_val=out)
            self.work += Work(flops, moved, moved)
        else:
            made = sum(leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor))
            self.work += Work(made, moved, 0.0)
        return out


def _numbers(leaf: Any) -> int:
    """How many numbers a tensor keeps in memory; what `expand` repeats is kept once."""
    if not isinstance(leaf, Tensor):
        return 0
    return prod(size for size, step in zip(leaf.shape, leaf.stride(), strict=True) if step)


def count_work(call: Callable[[], object]) -> Work:
    """Count what the operations of a call compute and move; tensors on "meta" will do."""
    with _Counter() as counter:
        call()
    return counter.work


@dataclass(frozen=True)
class Machine:
    """What a data sheet promises.

    Attributes:
        name: of the GPU.
        bandwidth: bytes per second from memory.
        peak: operations per second, by bytes per number: 4 for float32, 2 for 16 bits (tensor
            cores, dense).
    """

    name: str
    bandwidth: float
    peak: dict[int, float]

    def seconds(self, flops: float, size: float, itemsize: int) -> float:
        """The least time that some work can take."""
        return max(flops / self.peak[itemsize], size / self.bandwidth)

    def ridge(self, itemsize: int) -> float:
        """The intensity, operations per byte, at which the two limits meet."""
        return self.peak[itemsize] / self.bandwidth


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("T4", 320 * GIGA, {4: 8.1 * TERA, 2: 65 * TERA}),
        Machine("A100 80 GB", 2039 * GIGA, {4: 19.5 * TERA, 2: 312 * TERA}),
        Machine("H100", 3350 * GIGA, {4: 67 * TERA, 2: 989 * TERA}),
        Machine("H200", 4800 * GIGA, {4: 67 * TERA, 2: 989 * TERA}),
    )
}


@dataclass(frozen=True)
class Stage:
    """A part of the network with what it computes and moves.

    Attributes:
        name: in a word or two.
        flops: operations.
        size: bytes.
    """

    name: str
    flops: float
    size: float

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / self.size


def draw_roof(ax: Axes, machine: Machine, itemsize: int) -> None:
    """Draw a GPU's roof on logarithmic axes."""
    x = np.array([LOWEST, machine.ridge(itemsize), HIGHEST])
    y = np.minimum(x * machine.bandwidth, machine.peak[itemsize]) / TERA
    ax.plot(x, y, color=style.BLACK)
    ax.axvline(x[1], color=style.GREY, linestyle=":", linewidth=1.2)


def plain_axes(ax: Axes) -> None:
    """Prepare logarithmic axes for a roof: operations per byte, and tera-operations per second."""
    ax.set(xscale="log", yscale="log", xlim=(LOWEST, HIGHEST), ylim=(1e-2, 2e3))
    ax.set_xlabel("operations per byte (each line is 10 times the one before)")
    ax.set_ylabel("10¹² operations per second")
    ax.grid(color=style.PALE, linewidth=0.7)


def roofline_picture(stages: Sequence[Stage], machine: Machine, itemsize: int) -> Figure:
    """Stages below the roof: where each one's bound lies, numbered as in the list at the side."""
    fig, axes = style.mosaic([["roof", "list"]], 8.2, 4.0, width_ratios=(2.3, 1))
    ax, words = axes["roof"], axes["list"]
    plain_axes(ax)
    draw_roof(ax, machine, itemsize)
    ridge = machine.ridge(itemsize)
    ax.set_title(f"{machine.name}, {8 * itemsize} bits, by its data sheet", fontsize=style.NORMAL)
    words.axis("off")
    words.set(xlim=(0, 1), ylim=(len(stages) + 0.5, -1.2))
    words.text(0, -0.8, "blue: memory decides\norange: arithmetic decides", va="center")
    for k, stage in enumerate(stages):
        top = min(stage.intensity * machine.bandwidth, machine.peak[itemsize]) / TERA
        waits = stage.intensity < ridge
        look = {"color": style.BLUE if waits else style.ORANGE, "marker": "o" if waits else "s"}
        # Neighbours with nearly the same intensity hang one below the other.
        near = sum(0.6 < other.intensity / stage.intensity < 1.6 for other in stages[:k])
        y = top / 3**near
        ax.plot([stage.intensity] * 2, [top, y], color=style.PALE, linewidth=1)
        ax.plot(stage.intensity, y, ms=13, linestyle="none", zorder=3, **look)
        ink = "white" if waits else style.BLACK
        ax.text(stage.intensity, y, str(k + 1), color=ink, ha="center", va="center_baseline",
                fontsize=style.SMALL, zorder=4)  # fmt: skip
        words.text(0, k + 0.4, f"{k + 1}  {stage.name}", va="center")
    return fig


def error_picture(errors: dict[str, Tensor], unit: str) -> Figure:
    """Histograms of errors on one logarithmic axis, one below the other."""
    edges = np.logspace(-7, 2, 46)
    fig, axes = style.figure(len(errors), 1, 7.4, 1.0 + 1.1 * len(errors), sharex=True)
    for ax, (title, values), face in zip(np.atleast_1d(axes), errors.items(), style.CYCLE):
        shown = values.double().clamp(edges[0] * 1.01, edges[-1] * 0.99).numpy()
        ax.hist(shown, edges, color=face, edgecolor="white", linewidth=0.4)
        ax.axvline(float(values.median().clamp(min=edges[0])), color=style.BLACK, linestyle="--")
        ax.set_xscale("log")
        ax.set_yticks([])
        ax.set_title(title, fontsize=style.NORMAL)
    ax.set_xlabel(f"error, {unit} (dashed: the median)")
    return fig


def spread_picture(steps: Tensor, title: str) -> Figure:
    """How sums in many orders differ from the exact sum, in units of the last place."""
    fig, ax = style.figure(width=7.0, height=2.4)
    low, high = float(steps.min().floor()), float(steps.max().ceil())
    edges = np.arange(low - 0.5, high + 1.5)
    ax.hist(steps.numpy(), edges, color=style.BLUE, edgecolor="white")
    ax.axvline(0, color=style.BLACK, linestyle="--")
    ax.set_xlabel("units of the last place away from the exact sum (dashed)")
    ax.set_ylabel("orders")
    ax.set_title(title, fontsize=style.NORMAL)
    return fig
