"""Figures of notebook 16: who computes what, which sectors a load touches, how many bytes move."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from ..kit import style
from .traffic import SECTOR

FIRST = (style.BLUE, style.ORANGE)  # of programs 0 and 1; the others are pale
MOST = 36  # sectors that a panel has room for


def vector_figure(count: int, block: int) -> Figure:
    """A vector cut into blocks: one program each, and the lanes of the last one that are masked."""
    programs = -(-count // block)
    fig, ax = style.figure(width=7.4, height=1.5)
    for lane in range(programs * block):
        program, exists = lane // block, lane < count
        face = FIRST[program] if program < 2 else style.PALE
        look = {"fc": face} if exists else {"fc": "white", "hatch": "////", "ls": "--"}
        ax.add_patch(Rectangle((lane, 0), 0.92, 1, ec=style.GREY, lw=1, **look))
        ink = {"color": style.BLACK if exists else style.GREY}
        label = str(lane) if exists else "–"
        ax.text(lane + 0.46, 0.5, label, ha="center", va="center", **ink,
                bbox={"fc": "white", "ec": "none", "pad": 1.2, "alpha": 0.85})  # fmt: skip
    for program in range(programs):
        middle = (program + 0.5) * block - 0.04
        ax.text(middle, 1.2, f"program {program}", ha="center", va="bottom")
    ax.text(programs * block - 0.04, -0.2, "masked: hatched", ha="right", va="top",
            fontsize=style.SMALL, color=style.GREY)  # fmt: skip
    ax.set(xlim=(-0.2, programs * block + 0.2), ylim=(-0.75, 1.8))
    ax.axis("off")
    return fig


def owners_figure(panels: Mapping[str, ArrayLike], size: int) -> Figure:
    """Which program computes which number of a RoI's output."""
    fig, axes = style.figure(1, len(panels), width=8.2, height=3.5, sharey=True)
    for ax, (title, owners) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        array = np.asarray(owners)
        channels, bins = array.shape
        for (channel, cell), owner in np.ndenumerate(array):
            face = FIRST[owner] if owner < 2 else "white"
            ax.add_patch(Rectangle((cell, channel), 1, 1, fc=face, ec=style.PALE, lw=0.8))
            ink = "white" if owner == 0 else style.BLACK
            centre = {"ha": "center", "va": "center", "fontsize": style.SMALL - 0.5}
            ax.text(cell + 0.5, channel + 0.5, str(owner), color=ink, **centre)
        _borders(ax, array)
        ax.set(xlim=(-0.05, bins + 0.05), ylim=(channels + 0.05, -0.05), aspect="equal")
        ax.set_xticks(np.arange(bins) + 0.5, [f"{b // size},{b % size}" for b in range(bins)])
        ax.set_yticks(np.arange(channels) + 0.5, [str(c) for c in range(channels)])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel("bin (row, column)")
        ax.set_title(title, fontsize=style.NORMAL)
    np.atleast_1d(axes)[0].set_ylabel("channel")
    return fig


def _borders(ax: Axes, owners: np.ndarray) -> None:
    """Lines where one program's numbers end and another's begin."""
    framed = np.pad(owners, 1, constant_values=-1)
    level = np.argwhere(framed[1:, 1:-1] != framed[:-1, 1:-1])
    upright = np.argwhere(framed[1:-1, 1:] != framed[1:-1, :-1])
    lines = [((c, r), (c + 1, r)) for r, c in level] + [((c, r), (c, r + 1)) for r, c in upright]
    ax.add_collection(LineCollection(lines, colors=style.BLACK, linewidths=1.4, zorder=2))


def sectors_figure(panels: Sequence[tuple[str, ArrayLike]], itemsize: int = 4) -> Figure:
    """The sectors that each load brings, and the numbers in them that are used."""
    fig, axes = style.figure(1, len(panels), width=8.0, height=4.3)
    for ax, (title, addresses) in zip(np.atleast_1d(axes), panels, strict=True):
        asked = set(np.asarray(addresses).reshape(-1).tolist())
        lines = sorted({address // SECTOR for address in asked})
        if len(lines) > MOST:
            raise ValueError(f"{title}: {len(lines)} sectors, and {MOST} can be drawn")
        per_line = SECTOR // itemsize
        for row, line in enumerate(lines):
            for slot in range(per_line):
                used = line * SECTOR + slot * itemsize in asked
                look = {"fc": style.BLUE} if used else {"fc": "white"}
                ax.add_patch(Rectangle((slot, row), 0.94, 0.84, ec=style.GREY, lw=0.8, **look))
            label = f"{line * SECTOR:,}".replace(",", " ")
            ax.text(-0.3, row + 0.42, label, ha="right", va="center", fontsize=style.SMALL)
        share = len(asked) / (len(lines) * per_line)
        remark = f"sectors: {len(lines)}, used: {share:.1%}"
        ax.text(per_line / 2, len(lines) + 0.2, remark, ha="center", va="top")
        ax.set(xlim=(-3.4, per_line + 0.2), ylim=(14.2, -0.3))
        ax.set_title(title, fontsize=style.NORMAL, loc="center")
        ax.axis("off")
    return fig


def traffic_figure(rows: Mapping[str, tuple[float, float]]) -> Figure:
    """Bytes asked for and bytes moved, step by step."""
    fig, ax = style.figure(width=7.8, height=0.62 * len(rows) + 0.8)
    at = np.arange(len(rows))
    asked, moved = np.array(list(rows.values())).T
    looks = ({"color": style.BLUE}, {"color": style.ORANGE, "hatch": "////", "ec": "white"})
    labels = ("asked for by all loads", "moved by memory at least, output included")
    for shift, values, look, label in zip((-0.2, 0.2), (asked, moved), looks, labels):
        ax.barh(at + shift, values, height=0.38, label=label, **look)
        for row, value in enumerate(values):
            ax.text(value + asked.max() / 120, row + shift, f"{value:,.0f}", va="center",
                    fontsize=style.SMALL)  # fmt: skip
    ax.set_yticks(at, list(rows))
    ax.tick_params(axis="y", length=0, labelsize=style.NORMAL, colors=style.BLACK)
    ax.set(xlabel="MB", xlim=(0, asked.max() * 1.1))
    ax.invert_yaxis()
    ax.legend(loc="lower right", fontsize=style.NORMAL)
    return fig
