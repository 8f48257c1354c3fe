"""One picture through Mask R-CNN R50-FPN on the CPU: ours against torchvision's, equal answers.

    python -m benchmarks.inference_cpu [--threads 2] [--seconds 40] [--json FILE]

Both networks have torchvision's defaults (shorter side 800 pixels, 1000 proposals, 100 detections)
and the same random weights. The answers are compared first: with other answers times mean nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.timing import compare, provenance
from mrcnn_lite.lessons.n11_whole_network.reference_pair import (
    make_pictures,
    make_twins,
    one_class_at_a_time,
)

GOAL = 1.2
SIZE = (480, 640)  # becomes 800 x 1066
CLASSES = 91
TOLERANCE = 1e-3  # of scores and masks, and in pixels of boxes: float32 through 60 layers


def differences(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, float]:
    """Compare two answers: each of our detections with the nearest of theirs in its class.

    Returns:
        The share of detections without a partner, and the largest difference of boxes (pixels),
        scores and masks (mean over the picture) of the others.
    """
    apart = torch.cdist(found["boxes"], wanted["boxes"], p=torch.inf)  # [N, N]
    apart = apart.masked_fill(found["labels"][:, None] != wanted["labels"], torch.inf)
    gap, partner = apart.min(dim=1)  # [N]
    met = gap < 1.0
    scores = (found["scores"] - wanted["scores"][partner]).abs()[met]
    masks = (found["masks"] - wanted["masks"][partner]).abs().mean((1, 2, 3))[met]
    return {
        "without a partner": 1 - float(met.float().mean()),
        "boxes": float(gap[met].max()),
        "scores": float(scores.max()),
        "masks": float(masks.max()),
    }


def main(size: tuple[int, int] = SIZE, settings: dict | None = None) -> int:
    """Compare answers, then times; the exit status is 1 when answers differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="CPU threads for both")
    parser.add_argument("--seconds", type=float, default=40.0, help="for the comparison")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    facts = provenance("torchvision")
    print("  ".join(f"{key} {value}" for key, value in facts.items()))

    ours, theirs = make_twins("v1", 0, torch.float32, settings or {}, CLASSES)
    ours, theirs = ours.eval(), theirs.eval()
    images, _ = make_pictures([size], 1, torch.float32)
    with torch.inference_mode(), one_class_at_a_time():
        found, wanted = ours(images)[0], theirs(images)[0]
    gaps = differences(found, wanted)
    print(f"{len(found['boxes'])} detections, torchvision's {len(wanted['boxes'])}")
    print("  ".join(f"{name} {value:.1e}" for name, value in gaps.items()))
    equal = len(found["boxes"]) == len(wanted["boxes"]) and max(gaps.values()) <= TOLERANCE
    if not equal:
        print("the answers differ: times would mean nothing")
        return 1

    with torch.inference_mode():
        result = compare(lambda: theirs(images), lambda: ours(images), options.seconds)
    print(
        f"torchvision {result.peer_ms:.0f} ms, ours {result.ours_ms:.0f} ms: {result.ratio:.2f}x "
        f"(quartiles {result.low:.2f} to {result.high:.2f}, {result.rounds} rounds); goal {GOAL}x "
        f"{'met' if result.ratio >= GOAL else 'NOT met'}"
    )
    if options.json:
        report = {"provenance": facts, "differences": gaps, "inference": result.as_dict()}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
