"""How often a reader who said "sure" was right: the calibration of the reader's own predictions."""

import math
from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from ..kit import progress
from ..kit.predictions import CALIBRATION, SURENESS
from ..kit.style import BLUE, GREY, figure

PROMISED = {"sure": 0.95, "think so": 0.7, "guess": 0.4}  # what the words should mean, if you like
EXAMPLE = {"sure": (0.8, 20), "think so": (0.7, 14), "guess": (0.45, 9)}  # chance, answers

Counts = dict[str, tuple[int, int]]  # right answers, all answers


def own_answers() -> Counts:
    """The reader's predictions by how sure they were; empty where none is kept."""
    kept = [value.split(": ") for value in progress.recall(CALIBRATION).values()]
    counts = {}
    for level in SURENESS:
        answers = [how for said, how in kept if said == level]
        if answers:
            counts[level] = (answers.count("right"), len(answers))
    return counts


def drawn_answers(seed: int = 19) -> Counts:
    """An example: the answers of a reader who is right with the chances of `EXAMPLE`."""
    generator = torch.Generator().manual_seed(seed)
    return {
        level: (int((torch.rand(count, generator=generator) < chance).sum()), count)
        for level, (chance, count) in EXAMPLE.items()
    }


def interval(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval (1927) of a share: where the true one lies, 95 times of 100."""
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return middle - half, middle + half


def curve(counts: Mapping[str, tuple[int, int]]) -> Figure:
    """The share of right answers for each word, its interval, and what the word promises."""
    fig, ax = figure(width=6.0, height=3.4)
    levels = [level for level in reversed(SURENESS) if level in counts]
    for x, level in enumerate(levels):
        right, count = counts[level]
        low, high = interval(right, count)
        ax.plot([x, x], [low, high], color=BLUE, lw=3, solid_capstyle="round")
        ax.plot(x, right / count, "o", color=BLUE, ms=9, label="right" if x == 0 else None)
        ax.plot(x + 0.12, PROMISED[level], "D", mfc="white", mec=GREY, ms=8,
                label="promised" if x == 0 else None)  # fmt: skip
        ax.annotate(f"{right} of {count}", (x, right / count), xytext=(-12, 0), ha="right",
                    textcoords="offset points", va="center")  # fmt: skip
    ax.set(ylim=(0, 1.05), xlim=(-0.6, len(levels) - 0.4), ylabel="share of right answers")
    ax.set_xticks(range(len(levels)), levels)
    ax.legend(loc="lower right")
    return fig
