"""The traffic explorer: choose what one program owns, see its share and the bytes that move."""

import numpy as np
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
        self._board: _Board | None = None

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
        """The picture and the numbers."""
        if self._board is None:
            self._board = _Board()
        traffic = self.traffic()
        return self._board.draw(self, traffic), self.describe(traffic)

    def describe(self, traffic: Traffic) -> str:
        """What the picture says, in words and numbers."""
        bins, channels = self.share()
        numbers = bins * channels
        per_output = traffic.moved / (traffic.output * 1.0)
        waiting = []
        if self.layout != "channels last":
            wish = "a row of bins" if self.whole_row else "one bin"
            waiting = [
                f"(channels last only: {self.block_c} channels per program, {wish}; not used here)"
            ]
        return "\n".join(
            [
                f"{_mega(traffic.asked + traffic.asked_boxes)} MB asked for, "
                f"{_mega(traffic.moved + traffic.output)} MB moved at least, "
                f"{traffic.programs} programs",
                f"{self.count} RoIs, {self.size} x {self.size} bins, {self.channels} channels of "
                f"{self.itemsize} bytes, ratio {self.sampling_ratio}",
                f"one program: {bins} x {channels} = {numbers} output numbers, "
                f"{traffic.reads} reads of the map for each",
                f"sectors per 32 numbers of a load: {traffic.sectors:.2f}, at best {self.itemsize}",
                f"asked for:  map {_mega(traffic.asked)} MB, boxes {_mega(traffic.asked_boxes)} MB",
                f"moved:      map {_mega(traffic.moved)} MB, output {_mega(traffic.output)} MB; "
                f"{per_output:.2f} of the map per output number",
                *waiting,
            ]
        )


def _mega(amount: float) -> str:
    """Bytes as megabytes, one decimal."""
    return f"{amount / MEGA:.1f}"


class _Board:
    """Left a RoI's output with the programs' borders, right the bytes on a logarithmic axis."""

    def __init__(self) -> None:
        plan = [["output", "bars"]]
        fig, axes = style.mosaic(plan, width=8.0, height=3.4, width_ratios=(1, 1.35))
        output, bars = axes["output"], axes["bars"]
        output.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
        output.set(xlabel="bins, row by row", ylabel="channels")
        output.spines[:].set_visible(True)
        output.set_title("One RoI's output, by program", fontsize=style.NORMAL)
        bars.set(xscale="log", xlim=(LEAST, MOST), ylim=(len(BARS) - 0.5, -0.6))
        bars.set_xlabel("MB (each line is 10 times the one before)")
        bars.set_xticks([10.0**n for n in range(-3, 6)])
        bars.grid(axis="x", color=style.PALE, linewidth=0.8)
        bars.set_yticks(range(len(BARS)), BARS)
        bars.tick_params(axis="y", length=0, labelsize=style.NORMAL, colors=style.BLACK)
        self.canvas = Canvas(fig)
        add = self.canvas.add
        self.grid = add(output.add_collection(LineCollection([], colors=style.GREY)))
        self.owned = add(output.add_patch(Rectangle((0, 0), 1, 1, fc=style.BLUE, ec=style.BLACK)))
        note = {"ha": "right", "va": "bottom", "fontsize": style.SMALL}
        white = {"fc": "white", "ec": "none", "alpha": 0.85, "pad": 2}
        self.note = add(output.text(0.98, 0.97, "", bbox=white, **note))
        colours = (style.BLUE, style.BLUE, style.ORANGE, style.ORANGE)
        self.stems = add(bars.hlines(range(len(BARS)), LEAST, 1, colors=colours, linewidth=3))
        self.heads = [
            add(bars.plot([], [], shape, color=colour, ms=9)[0])
            for shape, colour in zip("oosD", colours)
        ]
        self.words = [add(bars.text(1, k - 0.22, "", ha="center")) for k in range(len(BARS))]

    def draw(self, state: KernelTrafficState, traffic: Traffic) -> bytes:
        """Draw one state."""
        bins, channels = state.share()
        across, down = state.size**2, state.channels
        step_x, step_y = min(bins / across, 1), channels / down
        # Borders closer than a pixel or two would be a grey board.
        x = np.arange(step_x, 1 - 1e-9, step_x) if state.layout != "32 numbers" else ()
        y = np.arange(step_y, 1 - 1e-9, step_y)
        lines = [[(t, 0), (t, 1)] for t in x] + [[(0, t), (1, t)] for t in y if len(y) < 70]
        self.grid.set_segments(lines)
        self.grid.set_linewidth(min(1.0, 25 / max(len(lines), 1)))
        self.owned.set_bounds(0, 0, step_x, max(step_y, 0.012))
        self.note.set_text(f"blue: program 0\n{bins} × {channels} of {across} × {down}")
        sizes = (traffic.asked_boxes, traffic.asked, traffic.moved, traffic.output)
        segments = []
        for k, (head, words, size) in enumerate(zip(self.heads, self.words, sizes)):
            at = size / MEGA
            segments.append([(LEAST, k), (at, k)])
            head.set_data([at], [k])
            words.set(x=min(at, MOST / 12), text=f"{_mega(size)} MB")
        self.stems.set_segments(segments)
        return self.canvas.png()


def explore_kernel_traffic(**settings: object) -> Explorer:
    """The explorer of a kernel's traffic.

    Args:
        **settings: where to start: layout, block_c, whole_row, itemsize, channels, size,
            sampling_ratio, count.

    Returns:
        An explorer that can be displayed, and moved with `set`.
    """
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
