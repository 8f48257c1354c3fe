"""RoIAlign on a GPU over many sizes: how the ratio changes with RoIs, batch and image.

    python -m benchmarks sweeps_gpu [--dry] [--store]
    python -m benchmarks.sweeps_gpu FILE.json FIGURE.png      draws what was stored

Float32, forward, kernels alone and what a user waits under autocast; everything else as in
`roi_align_gpu.py`. Each row of the table is one size.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import roi_input
from benchmarks.gpu import Measures, Runner
from benchmarks.roi_align_gpu import gate, kernels_alone, wall  # noqa: F401 (the numbers are its)
from benchmarks.table import Row, stored_rows

NAME = "sweeps_gpu"
SWEEPS: dict[str, tuple[Any, ...]] = {
    "rois": (64, 128, 256, 512, 1024, 2048, 4096),
    "images": (1, 2, 4, 8, 16),
    "image": ((320, 320), (480, 640), (800, 1344), (1024, 1024), (1344, 2016)),
}
TITLES = {"rois": "RoIs in all", "images": "images in a batch", "image": "pixels of an image"}
KINDS = ("kernels alone, fp32", "what a user waits, bf16")


def _what(field: str, value: Any, kind: str) -> str:
    return f"RoIAlign forward, {TITLES[field]} {_label(value)}, {kind}"


def _label(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


GOALS = {
    _what(field, value, kind): None
    for field, values in SWEEPS.items()
    for value in values
    for kind in KINDS
}


def run(runner: Runner) -> Measures:
    """Every size in turn; a rehearsal takes one."""
    every = [(field, value) for field, values in SWEEPS.items() for value in values]
    for field, value in every[:1] if runner.dry else every:
        size = roi_input.size_of(runner, **{field: value})
        boxes = roi_input.make_boxes(size, runner.device)
        for kind, call in zip(KINDS, (kernels_alone, wall), strict=True):
            result = call(runner, size, boxes)
            yield _what(field, value, kind), result, "x", {"field": field, "value": value}


def draw(rows: list[Row], path: Path) -> None:
    """Draw ratio over size, one panel per sweep, with quartiles, and save it."""
    import matplotlib.pyplot as plt

    from mrcnn_lite.lessons.kit.style import CYCLE

    fields = [f for f in SWEEPS if any(row.details.get("field") == f for row in rows)]
    fig, axes = plt.subplots(
        1, len(fields), figsize=(4 * len(fields), 3.2), layout="constrained", squeeze=False
    )
    marks = dict(zip(KINDS, (("o", "-"), ("s", "--")), strict=True))
    for ax, name in zip(axes[0], fields, strict=True):
        for (kind, (mark, line)), colour in zip(marks.items(), CYCLE, strict=False):
            own = [r for r in rows if r.what.endswith(kind) and r.details.get("field") == name]
            low = [r.value - r.details["low"] for r in own]
            high = [r.details["high"] - r.value for r in own]
            errors = [[max(0.0, e) for e in part] for part in (low, high)]
            look = {"marker": mark, "linestyle": line, "color": colour, "label": kind}
            ax.errorbar(range(len(own)), [r.value for r in own], errors, **look)
        labels = [_label(r.details["value"]) for r in own]
        ax.set_xticks(range(len(own)), labels, rotation=30, ha="right")
        ax.set(xlabel=TITLES[name], ylabel="times torchvision's speed", ylim=(0, None))
    axes[0, 0].legend(frameon=False)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main() -> None:
    """Draw stored results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("figure", type=Path)
    options = parser.parse_args()
    if options.figure.exists():
        parser.error(f"{options.figure} exists; choose another name")
    draw(stored_rows(options.results), options.figure)


if __name__ == "__main__":
    main()
