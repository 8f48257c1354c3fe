"""Explorer of notebook 14: choose a row of the plan, a figure and a seed."""

import io

import numpy as np

from ..kit import style
from ..kit.explorer import Explorer, choice
from .pictures import curves, pairs
from .statistics import Outcome, Study

# What the controls call a figure, and its name in the results.
FIGURES = {"AP": "AP", "AP50": "AP50", "AP75": "AP75",
           "doubles per image": "twice", "false finds per image": "false"}  # fmt: skip
ALL = "all"


class Rows:
    """One row of the plan: curves of both arms and their figures, in all seeds or in one."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.rows = {f"{row['table']}: {row['name']}": row for row in study.plan["rows"]}
        begun = (name for name, r in self.rows.items() if study.seeds(r["first"], r["second"]))
        self.row, self.figure, self.seed = next(begun, next(iter(self.rows))), "AP", ALL
        self._outcomes: dict[str, Outcome] = {}

    def outcome(self) -> Outcome:
        """What the finished seeds say about the chosen row."""
        if self.row not in self._outcomes:
            self._outcomes[self.row] = self.study.outcome(self.rows[self.row])
        return self._outcomes[self.row]

    def stored(self, side: str, figure: str) -> np.ndarray:
        """A figure of one arm in the finished seeds, [S]."""
        arm, _, paste = side.partition(": ")
        kind = self.rows[self.row]["metric"].split()[0] + (f", {paste}" if paste else "")
        seeds = self.outcome().seeds
        return np.array([self.study.lines[arm, seed][kind][figure] for seed in seeds])

    def render(self) -> tuple[bytes, str]:
        """Left the curves, right the pairs; below them the numbers."""
        row, outcome = self.rows[self.row], self.outcome()
        seeds = outcome.seeds
        chosen = self.seed if self.seed in seeds else None
        fig, (left, right) = style.figure(1, 2, width=8, height=3.4, width_ratios=(3, 2))
        sides = row["first"], row["second"]
        curves(left, self.study, row, chosen)
        place = None if chosen is None else seeds.index(chosen)
        pairs(right, *(self.stored(side, FIGURES[self.figure]) for side in sides), place)
        right.set_xticks([0, 1], [side.replace(": ", ":\n") for side in sides])
        right.set_title(self.figure)
        out = io.BytesIO()
        fig.savefig(out, dpi=style.SCREEN_DPI, facecolor="white")
        return out.getvalue(), "\n".join(self._words(sides, outcome, chosen))

    def _words(self, sides: tuple[str, str], outcome: Outcome, chosen: int | None) -> list[str]:
        number, planned = len(outcome.seeds), self.study.plan["seeds"]
        if not number:
            return [f"{sides[1]} less {sides[0]}: no seed is finished yet ({planned} planned)"]
        here = slice(None) if chosen is None else [outcome.seeds.index(chosen)]
        which = f"mean of {number} seeds" if chosen is None else f"seed {chosen}"
        before, after = (self.stored(side, FIGURES[self.figure])[here].mean() for side in sides)
        gain = after - before
        lines = [
            f"{self.figure}, {sides[1]} less {sides[0]}: {gain:+.4f} ({which})",
            f"{outcome.row['metric']} in all seeds: {outcome.differences.mean():+.4f}, interval "
            f"{outcome.low:+.4f} to {outcome.high:+.4f}; p {outcome.p:.4f}; {outcome.verdict}",
        ]
        for side in sides:
            figures = [f"{n} {self.stored(side, k)[here].mean():.3f}" for n, k in FIGURES.items()]
            lines.append(f"{side}: {', '.join(figures)}")
        return lines


def explore_rows(study: Study) -> Explorer:
    """The explorer of `Rows`, for a notebook cell to end with."""
    state = Rows(study)
    seeds = sorted({seed for _, seed in study.lines})
    return Explorer(
        state,
        [
            choice("row", "row", list(state.rows)),
            choice("figure", "figure", list(FIGURES)),
            choice("seed", "seed", [ALL, *seeds]),
        ],
        alt="Left the losses of both arms, right their figures, a line for each seed.",
    )
