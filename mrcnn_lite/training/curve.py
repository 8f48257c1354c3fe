"""The log of a run as a picture: how its losses fell."""

import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..files import write_whole
from ..models import WEIGHTS
from .checkpoint import CONFIG, CURVE, LOG

# Okabe and Ito's colours, which the colour-blind tell apart, and dashes for print.
LINES = {
    "loss": ("all", "#000000", "-"),
    "validation_loss": ("all, held out", "#CC79A7", ":"),
    "loss_objectness": ("objectness", "#0072B2", "-"),
    "loss_rpn_box_reg": ("RPN boxes", "#56B4E9", "--"),
    "loss_classifier": ("classes", "#D55E00", "-"),
    "loss_box_reg": ("boxes", "#E69F00", "--"),
    "loss_mask": ("masks", "#009E73", "-."),
    "loss_keypoint": ("keypoints", "#CC79A7", "-"),
}
LAST_LINES = 5  # of the log, whose mean is what a run has reached: one step's loss is chance
FEW = 50  # points up to which each has a mark


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; half a line, left by a crash, is none."""
    lines = (folder / LOG).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def draw_curve(folder: Path) -> None:
    """Draw the losses of a run's log over its steps, as `loss.png` beside it, where there is
    Matplotlib: a run on a machine without it has its log."""
    if not find_spec("matplotlib"):
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    log = read_log(folder)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss (logarithmic)", yscale="log")
    for name, (label, colour, style) in LINES.items():
        points = [(line["step"], line[name]) for line in log if line.get(name, 0) > 0]
        if points:
            marker = "." if len(points) < FEW else ""
            axes.plot(*zip(*points, strict=True), style, marker=marker, color=colour, label=label)
    figure.legend(loc="outside lower center", ncols=4, handlelength=3)
    axes.grid(color="#cccccc", linewidth=0.6)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    write_whole(folder / CURVE, picture.getbuffer())


def reached(folder: Path) -> str:
    """Return what a run has come to: its last losses, and where its files are."""
    log = read_log(folder)
    last = [line for line in log if "loss" in line][-LAST_LINES:] or [{}]
    parts = [
        f"{label} {sum(line[name] for line in last) / len(last):.3f}"
        for name, (label, *_) in LINES.items()
        if name in last[-1]
    ]
    held_out = [line["validation_loss"] for line in log if "validation_loss" in line][-1:]
    parts += [f"held out {value:.3f}" for value in held_out]
    files = ", ".join(name for name in (WEIGHTS, LOG, CURVE, CONFIG) if (folder / name).exists())
    return f"losses at the end: {', '.join(parts)}; {folder} has {files}"
