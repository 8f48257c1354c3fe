"""The table of differences between this network and torchvision's, stage by stage.

    python -m benchmarks.parity              3 seeds x 3 image sizes, v1 and v2, float64 and float32
    python -m benchmarks.parity --quick      one seed and one size
    python -m benchmarks.parity --itself     torchvision's float32 gradients in two memory layouts

Every number is the largest over the seeds and sizes. The exit status is 1 when a bound is broken.
What is compared, and how, is told in `mrcnn_lite/lessons/n11_whole_network/parity.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from benchmarks import table
from benchmarks.cpu import Report, command
from mrcnn_lite.lessons.n11_whole_network.parity import (
    Row,
    compare_detections,
    compare_training,
    distance,
    gradients,
)
from mrcnn_lite.lessons.n11_whole_network.reference_pair import VERSIONS, make_images, make_pair

# (H, W) of the two images of a batch: one is not resized, some are enlarged, some shrunk.
SIZES = ([(128, 160), (131, 128)], [(97, 143), (211, 120)], [(300, 200), (256, 384)])
SEEDS = (0, 1, 2)


def rows_of(version: str, dtype: torch.dtype, seed: int, sizes: list) -> Iterator[Row]:
    """Compare one pair of networks on one batch, in evaluation and in training."""
    ours, theirs = make_pair(version, seed, dtype)
    images, targets = make_images(sizes, seed, dtype)
    yield from compare_detections(ours, theirs, images)
    yield from compare_training(ours, theirs, images, targets)


def worst(version: str, dtype: torch.dtype, seeds: tuple, sizes: tuple) -> list[Row]:
    """The row of each stage that comes nearest to its bound, over all seeds and sizes."""
    found: dict[str, Row] = {}
    for seed in seeds:
        for pair in sizes:
            for row in rows_of(version, dtype, seed, pair):
                known = found.get(row.stage)
                if known is None or row.difference / row.bound > known.difference / known.bound:
                    found[row.stage] = row
    return list(found.values())


def from_itself(version: str, seeds: tuple, sizes: tuple) -> float:
    """How far torchvision's float32 gradients are from its own in another memory layout."""
    worst_of_all = 0.0
    for seed in seeds:
        for pair in sizes:
            _, theirs = make_pair(version, seed, torch.float32)
            images, targets = make_images(pair, seed, torch.float32)
            found = []
            for layout in (torch.contiguous_format, torch.channels_last):
                torch.manual_seed(seed)  # its sampler draws from the global generator
                losses = theirs.train().to(memory_format=layout)(images, [dict(t) for t in targets])
                found.append(gradients(theirs, losses))
            worst_of_all = max(worst_of_all, distance(*found))
    return worst_of_all


def measure(quick: bool, itself: bool) -> Report:
    """Print the table, or torchvision's distance from itself."""
    seeds, sizes = (SEEDS[:1], SIZES[1:2]) if quick else (SEEDS, SIZES)
    if itself:
        gaps = {version: from_itself(version, seeds, sizes) for version in VERSIONS}
        for version, gap in gaps.items():
            print(f"{version} float32 gradients, two layouts: {gap:.1e}")
        return {"itself": gaps}
    start, found, all_hold = time.perf_counter(), {}, True
    for version in VERSIONS:
        for dtype in (torch.float64, torch.float32):
            name = f"{version} {str(dtype).removeprefix('torch.')}"
            print(f"{name}, largest of {len(seeds)} seeds x {len(sizes)} image sizes", flush=True)
            worst_rows = worst(version, dtype, seeds, sizes)
            for row in worst_rows:
                mark = "" if row.holds else "  BROKEN"
                print(f"  {row.stage:<32} {row.difference:8.1e}  bound {row.bound:7.1e}{mark}")
            all_hold &= all(row.holds for row in worst_rows)
            found[name] = {
                row.stage: {"difference": row.difference, "bound": row.bound} for row in worst_rows
            }
    message = "all bounds hold" if all_hold else "A BOUND IS BROKEN"
    print(f"{message}; {time.perf_counter() - start:.0f} s")
    return {"all_hold": all_hold, "table": found}


def rows(report: Report) -> list[table.Row]:
    """In each precision the stage that comes nearest to its bound."""
    nearest = []
    for name, stages in report["table"].items():
        stage, entry = max(stages.items(), key=lambda s: s[1]["difference"] / s[1]["bound"])
        goal = table.Goal(entry["bound"], at_most=True)
        what = f"{name}, nearest to its bound: {stage}"
        nearest.append(table.Row("parity", what, entry["difference"], "", goal))
    return nearest


def main() -> int:
    """Print the table; write it as JSON where asked; status 1 when a bound is broken."""
    quick, itself = (False, "one seed and one size"), (False, "torchvision against itself")
    return command(__doc__, measure, quick=quick, itself=itself)


if __name__ == "__main__":
    raise SystemExit(main())
