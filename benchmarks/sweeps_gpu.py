"""RoIAlign on a GPU over many sizes: how the ratio changes with RoIs, batch and picture.

    python -m benchmarks sweeps_gpu [--dry] [--store]
    python -m benchmarks.sweeps_gpu FILE.json PICTURE.png      draws what was stored

Float32, forward, kernels alone and what a user waits under autocast; everything else as in
`roi_align_gpu.py`. Each row of the table is one size.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import roi_align_gpu, roi_input
from benchmarks.gpu import Stage
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
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)


GOALS = {
    _what(field, value, kind): None
    for field, values in SWEEPS.items()
    for value in values
    for kind in KINDS
}


def gate(stage: Stage) -> list[Row]:
    """The numbers are those of `roi_align_gpu`, and so is the gate."""
    return [replace(row, benchmark=NAME) for row in roi_align_gpu.gate(stage)]


def run(stage: Stage) -> list[Row]:
    """Every size in turn; a rehearsal takes one."""
    rows: list[Row] = []
    for field, values in SWEEPS.items():
        for value in values[:1] if stage.dry else values:
            size = roi_input.size_of(stage)
            if not stage.dry:
                size = replace(size, **{field: value})
            rows += at(stage, size, field, value)
        if stage.dry:
            break
    return rows


def at(stage: Stage, size: roi_input.Size, field: str, value: Any) -> list[Row]:
    """Both ratios at one size."""
    boxes = roi_input.make_boxes(size, stage.device)
    found = (
        roi_align_gpu.kernels_alone(stage, size, boxes),
        roi_align_gpu.wall(stage, size, boxes),
    )
    sizes = {"field": field, "value": value}
    return [
        Row(NAME, _what(field, value, kind), r.ratio, "x", details=r.as_dict() | sizes)
        for kind, r in zip(KINDS, found, strict=True)
    ]


def draw(rows: list[Row], path: Path) -> None:
    """Draw ratio over size, one panel per sweep, with quartiles.

    Args:
        rows: as `run` gives them.
        path: of the picture.
    """
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
            places, values = range(len(own)), [r.value for r in own]
            errors = [[max(0.0, e) for e in part] for part in (low, high)]
            ax.errorbar(
                places, values, errors, marker=mark, linestyle=line, color=colour, label=kind
            )
        labels = [_label(_hashable(r.details["value"])) for r in own]
        ax.set_xticks(range(len(own)), labels, rotation=30, ha="right")
        ax.set(xlabel=TITLES[name], ylabel="times torchvision's speed", ylim=(0, None))
    axes[0, 0].legend(frameon=False)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def _hashable(value: Any) -> Any:
    """JSON knows no tuples."""
    return tuple(value) if isinstance(value, list) else value


def main() -> None:
    """Draw stored results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    draw(stored_rows(options.results), options.picture)


if __name__ == "__main__":
    main()
