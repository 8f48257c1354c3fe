"""The traffic explorer: choose what one program owns, see its share and the bytes that move."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from ..kit import style
from ..kit.canvas import Canvas
from ..kit.explorer import Explorer, choice, slider, toggle
from .traffic import LAYOUTS, Plan, Traffic, predict_traffic

MEGA = 1e6
BLOCKS = (8, 16, 32, 64, 128, 256)
COUNTS = (10, 100, 300, 1000)
BARS = ("asked: boxes", "asked: map", "moved: map", "moved: output")
LEAST, MOST = 1e-3, 1e5  # MB, ends of the logarithmic axis


class KernelTrafficState:
    """A kernel's division of the work, and what it costs."""

    def __init__(self) -> None:
        self.layout = "channels last"
        self.block_c = 128
        self.whole_row = True
        self.itemsize = 4
        self.channels = 256
        self.size = 7
        self.sampling_ratio = 2
        self.count = 1000
        ratios = {"width": 8.0, "height": 3.4, "width_ratios": (1, 1.35)}
        figure, axes = style.mosaic([["output", "bars"]], **ratios)
        self.canvas = Canvas(figure)
        self._draw_output(axes["output"])
        self._draw_bars(axes["bars"])

    def _draw_output(self, ax: Axes) -> None:
        """Left a RoI's output with the programs' borders."""
        ax.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
        ax.set(xlabel="bins, row by row", ylabel="channels")
        ax.spines[:].set_visible(True)
        ax.set_title("One RoI's output, by program", fontsize=style.NORMAL)
        add, corner = self.canvas.add, {"ha": "right", "va": "bottom", "fontsize": style.SMALL}
        self.grid = add(ax.add_collection(LineCollection([], colors=style.GREY)))
        self.owned = add(ax.add_patch(Rectangle((0, 0), 1, 1, fc=style.BLUE, ec=style.BLACK)))
        white = {"fc": "white", "ec": "none", "alpha": 0.85, "pad": 2}
        self.note = add(ax.text(0.98, 0.97, "", bbox=white, **corner))

    def _draw_bars(self, ax: Axes) -> None:
        """Right the bytes on a logarithmic axis."""
        rows = range(len(BARS))
        ax.set(xscale="log", xlim=(LEAST, MOST), ylim=(len(BARS) - 0.5, -0.6))
        ax.set_xlabel("MB (each line is 10 times the one before)")
        ax.set_xticks([10.0**n for n in range(-3, 6)])
        ax.grid(axis="x", color=style.PALE, linewidth=0.8)
        ax.set_yticks(rows, BARS)
        ax.tick_params(axis="y", length=0, labelsize=style.NORMAL, colors=style.BLACK)
        colours, add = (style.BLUE, style.BLUE, style.ORANGE, style.ORANGE), self.canvas.add
        self.stems = add(ax.hlines(rows, LEAST, 1, colors=colours, linewidth=3))
        heads = [ax.plot([], [], shape, color=c, ms=9)[0] for shape, c in zip("oosD", colours)]
        self.heads = self.canvas.add_all(heads)
        self.numbers = [add(ax.text(1, k - 0.22, "", ha="center")) for k in rows]

    def traffic(self) -> Traffic:
        """The counts for what is chosen."""
        plan = Plan(self.layout, self.block_c, self.whole_row, self.itemsize)
        return predict_traffic(plan, self.count, self.channels, self.size, self.sampling_ratio)

    def share(self) -> tuple[int, int]:
        """How much of a RoI's output program 0 owns."""
        if self.layout == "channels last":
            return (self.size if self.whole_row else 1), min(self.block_c, self.channels)
        return (1 if self.layout == "one number" else 32), 1

    def render(self) -> tuple[bytes, str]:
        """The figure and the numbers."""
        traffic, (bins, channels) = self.traffic(), self.share()
        across, down = self.size**2, self.channels
        step_x, step_y = min(bins / across, 1), channels / down
        # Borders closer than a pixel or two would be a grey board.
        x = np.arange(step_x, 1 - 1e-9, step_x) if self.layout != "32 numbers" else ()
        y = np.arange(step_y, 1 - 1e-9, step_y)
        lines = [[(t, 0), (t, 1)] for t in x] + [[(0, t), (1, t)] for t in y if len(y) < 70]
        self.grid.set(segments=lines, linewidth=min(1.0, 25 / max(len(lines), 1)))
        self.owned.set_bounds(0, 0, step_x, max(step_y, 0.012))
        self.note.set_text(f"blue: program 0\n{bins} × {channels} of {across} × {down}")
        sizes = (traffic.asked_boxes, traffic.asked, traffic.moved, traffic.output)
        self.stems.set_segments([[(LEAST, k), (s / MEGA, k)] for k, s in enumerate(sizes)])
        for k, (head, number, size) in enumerate(zip(self.heads, self.numbers, sizes)):
            head.set_data([size / MEGA], [k])
            number.set(x=min(size / MEGA, MOST / 12), text=f"{_mega(size)} MB")
        return self.canvas.png(), self.describe(traffic)

    def describe(self, traffic: Traffic) -> str:
        """What the figure says, in numbers."""
        bins, channels = self.share()
        lines = [
            f"{_mega(traffic.asked + traffic.asked_boxes)} MB asked for, "
            f"{_mega(traffic.moved + traffic.output)} MB moved at least, "
            f"{traffic.programs} programs",
            f"{self.count} RoIs, {self.size} x {self.size} bins, {self.channels} channels of "
            f"{self.itemsize} bytes, ratio {self.sampling_ratio}",
            f"one program: {bins} x {channels} = {bins * channels} output numbers, "
            f"{traffic.reads} reads of the map for each",
            f"sectors per 32 numbers of a load: {traffic.sectors:.2f}, at best {self.itemsize}",
            f"asked for:  map {_mega(traffic.asked)} MB, boxes {_mega(traffic.asked_boxes)} MB",
            f"moved:      map {_mega(traffic.moved)} MB, output {_mega(traffic.output)} MB; "
            f"{traffic.moved / traffic.output:.2f} of the map per output number",
        ]
        if self.layout != "channels last":
            wish = "a row of bins" if self.whole_row else "one bin"
            lines.append(
                f"(channels last only: {self.block_c} channels per program, {wish}; not used here)"
            )
        return "\n".join(lines)


def _mega(amount: float) -> str:
    """Bytes as megabytes, one decimal."""
    return f"{amount / MEGA:.1f}"


def explore_kernel_traffic(**settings: object) -> Explorer:
    """The explorer of a kernel's traffic; `settings` are where its controls begin."""
    controls = [
        choice("layout", "one program owns", list(zip(_NAMES, LAYOUTS))),
        choice("block_c", "channels per program", BLOCKS),
        toggle("whole_row", "a row of bins, not one"),
        choice("itemsize", "type of the features", [("float32", 4), ("bfloat16", 2)]),
        slider("channels", "channels", 16, 512, 16),
        choice("size", "output size", [("7 x 7", 7), ("14 x 14", 14)]),
        slider("sampling_ratio", "sampling ratio", 1, 3),
        choice("count", "RoIs", COUNTS),
    ]
    alt = "A RoI's output divided among programs, and the bytes asked for and moved."
    return Explorer(KernelTrafficState(), controls, alt, width=800).set(**settings)


_NAMES = ("one number (NCHW)", "32 neighbouring numbers (NCHW)", "channels of a bin (NHWC)")
