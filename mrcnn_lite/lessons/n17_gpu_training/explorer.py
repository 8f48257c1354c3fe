"""The roofline explorer: where each stage of a training step lies, and the least time it takes."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider, toggle
from .work import MACHINES, NAMES, SIZE, TERA, Stage, step_stages

SIZES = {"800 x 1344": SIZE, "512 x 512": (512, 512), "1024 x 1024": (1024, 1024)}
LOWEST, HIGHEST = 0.03, 3e4  # intensities on the axis, operations per byte


class RooflineState:
    """A training step and a GPU, both as chosen."""

    def __init__(self) -> None:
        self.machine = "H100"
        self.images = 2
        self.size = SIZE
        self.rois = 512
        self.mask_rois = 128
        self.itemsize = 2
        self.fused = False
        figure, axes = style.mosaic([["roof", "times"]], 8.2, 3.5, width_ratios=(1.35, 1))
        self.canvas = Canvas(figure)
        self._draw_roof(axes["roof"])
        self._draw_times(axes["times"])

    def _draw_roof(self, ax: Axes) -> None:
        """Left the roof over the intensity, with the stages as numbered points below it."""
        ax.set(xscale="log", yscale="log", xlim=(LOWEST, HIGHEST), ylim=(1e-2, 2e3))
        ax.set_xlabel("operations per byte (each line is 10 times the one before)")
        ax.set_ylabel("10¹² operations per second")
        ax.grid(color=style.PALE, linewidth=0.7)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_formatter(NullFormatter())
        add = self.canvas.add
        self.roof = add(ax.plot([], [], color=style.BLACK)[0])
        self.ridge = add(ax.plot([], [], ":", color=style.GREY)[0])
        self.title = add(ax.text(0.03, 0.95, "", transform=ax.transAxes, va="top"))
        self.points = [add(ax.plot([], [], ls="none", ms=12)[0]) for _ in NAMES]
        # Numbers as markers: much quicker to draw than texts.
        look = {"ls": "none", "ms": 5.5, "mew": 0.3}
        marks = [f"${k + 1}$" for k in range(len(NAMES))]
        self.labels = [add(ax.plot([], [], marker=mark, **look)[0]) for mark in marks]

    def _draw_times(self, ax: Axes) -> None:
        """Right the time of each stage at the bound."""
        ax.set(xscale="log", xlim=(1e-3, 1e3), ylim=(len(NAMES) - 0.5, -0.7))
        ax.set_yticks(range(len(NAMES)), [f"{name}  {k + 1}" for k, name in enumerate(NAMES)])
        ax.tick_params(axis="y", length=0, labelsize=style.NORMAL, colors=style.BLACK)
        ax.set_xlabel("ms at the bound, computed")
        ax.grid(axis="x", color=style.PALE, linewidth=0.7)
        add, small = self.canvas.add, {"va": "center", "fontsize": style.SMALL}
        self.bars = [add(ax.plot([], [], "-", lw=7, solid_capstyle="butt")[0]) for _ in NAMES]
        self.numbers = [add(ax.text(1, k, "", **small)) for k in range(len(NAMES))]

    def stages(self) -> list[Stage]:
        """The stages of what is chosen."""
        args = (self.images, tuple(self.size), self.rois, self.mask_rois)
        return step_stages(*args, self.itemsize, self.fused)

    def milliseconds(self, stage: Stage) -> float:
        """The least time of a stage."""
        itemsize = 4 if stage.name == NAMES[-1] else self.itemsize
        return 1e3 * MACHINES[self.machine].seconds(stage.flops, stage.size, itemsize)

    def render(self) -> tuple[bytes, str]:
        """The figure and the numbers."""
        stages = self.stages()
        self.draw(stages)
        return self.canvas.png(), self.describe(stages)

    def draw(self, stages: list[Stage]) -> Figure:
        """Put the roof, the points and the bars where they belong."""
        machine, itemsize = MACHINES[self.machine], self.itemsize
        ridge, peak = machine.ridge(itemsize), machine.peak[itemsize] / TERA
        slope = machine.bandwidth / TERA
        self.roof.set_data([LOWEST, ridge, HIGHEST], [LOWEST * slope, peak, peak])
        self.ridge.set_data([ridge, ridge], [1e-2, peak])
        self.title.set_text(f"{machine.name}, {8 * itemsize} bits (data sheet)")
        for k, stage in enumerate(stages):
            at, waits = stage.intensity, stage.intensity < ridge
            near = sum(0.5 < other.intensity / at < 2 for other in stages[:k])
            y = min(at * slope, peak) / 3**near  # alike ones hang one below the other
            colour = style.BLUE if waits else style.ORANGE
            self.points[k].set(data=([at], [y]), marker="o" if waits else "s", color=colour)
            self.labels[k].set(data=([at], [y]), color="white" if waits else style.BLACK)
            ms = max(self.milliseconds(stage), 1e-3)
            self.bars[k].set(data=([1e-3, ms], [k, k]), color=colour)
            self.numbers[k].set(x=ms * 1.3, text=f"{self.milliseconds(stage):.2f}")
        return self.canvas.figure

    def describe(self, stages: list[Stage]) -> str:
        """Operations, bytes and least times, stage by stage."""
        ridge = MACHINES[self.machine].ridge(self.itemsize)
        times = [self.milliseconds(stage) for stage in stages]
        waits = [t for t, stage in zip(times, stages) if stage.intensity < ridge]
        lines = [
            f"at least {sum(times):.2f} ms for the step, computed, not measured; memory decides "
            f"{100 * sum(waits) / sum(times):.0f}% of it",
            f"{self.machine}, {8 * self.itemsize} bits: memory decides below {ridge:.0f} "
            "operations per byte",
            f"{'':18}10^9 operations       MB  per byte       ms",
        ]
        for k, (stage, ms) in enumerate(zip(stages, times)):
            lines.append(
                f"{k + 1} {stage.name:16}{stage.flops / 1e9:16.2f}{stage.size / 1e6:9.1f}"
                f"{stage.intensity:10.1f}{ms:9.3f}"
            )
        return "\n".join(lines)


def explore_roofline(**settings: object) -> Explorer:
    """The explorer of a step below a GPU's roof; `settings` are where its controls begin."""
    controls = [
        choice("machine", "GPU, by data sheet", list(MACHINES)),
        choice("itemsize", "type of the numbers", [("float32", 4), ("16 bits", 2)]),
        slider("images", "images in a batch", 1, 16),
        choice("size", "image size", list(SIZES.items())),
        choice("rois", "RoIs per image", (64, 128, 256, 512)),
        choice("mask_rois", "masks per image", (16, 32, 64, 128)),
        toggle("fused", "single-element work fused"),
    ]
    alt = "The stages of a training step below a GPU's roof, and the least time of each."
    return Explorer(RooflineState(), controls, alt, width=840).set(**settings)
