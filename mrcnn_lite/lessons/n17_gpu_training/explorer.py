"""The roofline explorer: where each stage of a training step lies, and the least time it takes."""

from matplotlib.ticker import NullFormatter

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider, toggle
from .pictures import HIGHEST, LOWEST, MACHINES, TERA, Machine, Stage, plain_axes
from .work import NAMES, SIZE, step_stages

SIZES = {"800 x 1344": SIZE, "512 x 512": (512, 512), "1024 x 1024": (1024, 1024)}


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
        self._board: _Board | None = None

    def stages(self) -> list[Stage]:
        """The stages of what is chosen."""
        args = (self.images, tuple(self.size), self.rois, self.mask_rois)
        return step_stages(*args, self.itemsize, self.fused)

    def milliseconds(self, stage: Stage) -> float:
        """The least time of a stage."""
        itemsize = 4 if stage.name == NAMES[-1] else self.itemsize
        return 1e3 * MACHINES[self.machine].seconds(stage.flops, stage.size, itemsize)

    def render(self) -> tuple[bytes, str]:
        """The picture and the numbers."""
        if self._board is None:
            self._board = _Board()
        stages = self.stages()
        return self._board.draw(self, stages), self.describe(stages)

    def describe(self, stages: list[Stage]) -> str:
        """What the picture says, in words and numbers."""
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


class _Board:
    """Left the roof with the numbered stages, right the time of each at the bound."""

    def __init__(self) -> None:
        fig, axes = style.mosaic([["roof", "times"]], 8.2, 3.5, width_ratios=(1.35, 1))
        roof, times = axes["roof"], axes["times"]
        plain_axes(roof)
        for axis in (roof.xaxis, roof.yaxis):
            axis.set_minor_formatter(NullFormatter())
        times.set(xscale="log", xlim=(1e-3, 1e3), ylim=(len(NAMES) - 0.5, -0.7))
        times.set_yticks(range(len(NAMES)), [f"{name}  {k + 1}" for k, name in enumerate(NAMES)])
        times.tick_params(axis="y", length=0, labelsize=style.NORMAL, colors=style.BLACK)
        times.set_xlabel("ms at the bound, computed")
        times.grid(axis="x", color=style.PALE, linewidth=0.7)
        self.canvas = Canvas(fig)
        add = self.canvas.add
        self.roof = add(roof.plot([], [], color=style.BLACK)[0])
        self.ridge = add(roof.plot([], [], ":", color=style.GREY)[0])
        self.title = add(roof.text(0.03, 0.95, "", transform=roof.transAxes, va="top"))
        self.points = [add(roof.plot([], [], ls="none", ms=12)[0]) for _ in NAMES]
        # Numbers as markers: much quicker to draw than texts.
        look = {"ls": "none", "ms": 5.5, "mew": 0.3}
        marks = [f"${k + 1}$" for k in range(len(NAMES))]
        self.labels = [add(roof.plot([], [], marker=mark, **look)[0]) for mark in marks]
        self.bars = [add(times.plot([], [], "-", lw=7, solid_capstyle="butt")[0]) for _ in NAMES]
        small = {"va": "center", "fontsize": style.SMALL}
        self.words = [add(times.text(1, k, "", **small)) for k in range(len(NAMES))]

    def draw(self, state: RooflineState, stages: list[Stage]) -> bytes:
        """Draw one state."""
        machine, itemsize = MACHINES[state.machine], state.itemsize
        ridge, peak = machine.ridge(itemsize), machine.peak[itemsize] / TERA
        low = LOWEST * machine.bandwidth / TERA
        self.roof.set_data([LOWEST, ridge, HIGHEST], [low, peak, peak])
        self.ridge.set_data([ridge, ridge], [1e-2, peak])
        self.title.set_text(f"{machine.name}, {8 * itemsize} bits (data sheet)")
        for k, stage in enumerate(stages):
            self._place(k, stages, machine, itemsize)
            ms = state.milliseconds(stage)
            colour = style.BLUE if stage.intensity < ridge else style.ORANGE
            self.bars[k].set_data([1e-3, max(ms, 1e-3)], [k, k])
            self.bars[k].set_color(colour)
            self.words[k].set(x=max(ms, 1e-3) * 1.3, text=f"{ms:.2f}")
        return self.canvas.png()

    def _place(self, k: int, stages: list[Stage], machine: Machine, itemsize: int) -> None:
        """Put one numbered point below the roof; alike ones hang one below the other."""
        at = stages[k].intensity
        near = sum(0.5 < other.intensity / at < 2 for other in stages[:k])
        y = min(at * machine.bandwidth, machine.peak[itemsize]) / TERA / 3**near
        waits = at < machine.ridge(itemsize)
        self.points[k].set_data([at], [y])
        self.points[k].set_marker("o" if waits else "s")
        self.points[k].set_color(style.BLUE if waits else style.ORANGE)
        self.labels[k].set_data([at], [y])
        self.labels[k].set_color("white" if waits else style.BLACK)


def explore_roofline(**settings: object) -> Explorer:
    """The explorer of a training step below a GPU's roof.

    Args:
        **settings: where to start: machine, images, size, rois, mask_rois, itemsize, fused.

    Returns:
        An explorer that can be displayed, and moved with `set`.
    """
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
