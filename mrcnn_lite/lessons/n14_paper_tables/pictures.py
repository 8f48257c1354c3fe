"""Figures of notebook 14: a forest of intervals, and the curves of every seed."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..kit import style
from .statistics import Outcome, Study

# Of the first and of the second arm of a row: colour, dashes, marker.
ARMS = ((style.VERMILION, (0, (4, 1.5)), "s"), (style.BLUE, "-", "o"))


def paper_gain(row: dict) -> float | None:
    """What the paper reports for a row, in points of AP; None where it gives no numbers."""
    paper = row["paper"]
    return paper["second"] - paper["first"] if "first" in paper else None


def contrast(row: dict) -> str:
    """What a row subtracts, such as "lite less MLP", and of which figure if not of mask AP."""
    figure = "" if row["metric"] == "mask AP" else f" ({row['metric']})"
    return f"{row['second']} less {row['first']}{figure}"


def forest(outcomes: Sequence[Outcome]) -> Figure:
    """Every row's difference: the seeds, their mean and interval, the paper's number, a verdict."""
    fig, ax = style.figure(width=8, height=0.46 * len(outcomes) + 1)
    margin = 100 * outcomes[0].row["margin"]
    ax.axvspan(-margin, margin, color=style.PALE, alpha=0.6, lw=0, label="margin of the plan")
    ax.axvline(0, color=style.GREY, lw=0.8)
    for y, outcome in enumerate(outcomes):
        points = 100 * outcome.differences
        ax.plot(points, [y + 0.22] * len(points), ".", color=style.SKY, ms=5, zorder=2)
        if len(points):
            ends = [[100 * outcome.low], [100 * outcome.high]], [y, y]
            ax.plot(*ends, color=style.BLUE, lw=2.2, zorder=3)
            fill = "white" if "seeds" in outcome.verdict else style.BLUE
            ax.plot(points.mean(), y, "o", mfc=fill, mec=style.BLUE, ms=6, zorder=4)
        gain = paper_gain(outcome.row)
        if gain is not None:
            ax.plot(gain, y - 0.22, "D", color=style.ORANGE, mec=style.BLACK, mew=0.5, ms=5)
        place = {"xy": (1.02, y), "xycoords": ("axes fraction", "data"), "va": "center"}
        ax.annotate(outcome.verdict.replace(" (", "\n("), **place, fontsize=style.SMALL)
    legend = ((".", style.SKY, "a seed"), ("o", style.BLUE, "mean (hollow: seeds are missing)"))
    for marker, colour, label in legend:
        ax.plot([], [], marker, color=colour, label=label)
    ax.plot([], [], color=style.BLUE, lw=2.2, label="95 % interval")
    ax.plot([], [], "D", color=style.ORANGE, mec=style.BLACK, mew=0.5, ms=5, label="the paper")
    names = [textwrap.fill(contrast(outcome.row), 36) for outcome in outcomes]
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0, labelcolor=style.BLACK)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel="difference, in points of AP")
    fig.legend(loc="outside upper center", ncols=5)
    return fig


def curves(ax: Axes, study: Study, row: dict, chosen: int | None = None) -> None:
    """The loss of both arms in all seeds: the mask branch's, of a box row the others' sum."""
    box = row["metric"].startswith("box")
    for side, (colour, dashes, _) in zip((row["first"], row["second"]), ARMS):
        for seed in study.seeds(row["first"], row["second"]):
            step, total, mask = np.transpose(study.lines[side.partition(": ")[0], seed]["curve"])
            width, alpha = (2.4, 1) if seed == chosen else (1, 0.6 if chosen is None else 0.25)
            loss = total - mask if box else mask
            ax.plot(step, loss, color=colour, ls=dashes, lw=width, alpha=alpha)
        ax.plot([], [], color=colour, ls=dashes, label=side)
    ax.set(xlabel="step", title="losses without the mask's" if box else "mask loss")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.2 * (high - low))  # room for the legend
    ax.legend(loc="upper right", ncols=2)


def pairs(ax: Axes, first: np.ndarray, second: np.ndarray, chosen: int | None = None) -> None:
    """A line for each seed, from the first arm's number to the second's."""
    for place, ends in enumerate(zip(first, second)):
        bold = place == chosen
        width, alpha = (2.4, 1) if bold else (1.2, 0.7 if chosen is None else 0.3)
        ax.plot([0, 1], ends, color=style.GREY, lw=width, alpha=alpha, zorder=1)
        for x, (colour, _, marker) in enumerate(ARMS):
            ax.plot(x, ends[x], marker, color=colour, ms=8 if bold else 5, alpha=alpha)
    top = 1.08 * np.max([*first, *second], initial=0.001)
    ax.set(xlim=(-0.4, 1.4), ylim=(0, top))  # from 0: a gain looks no larger than it is
