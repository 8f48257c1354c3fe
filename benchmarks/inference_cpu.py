"""One image through Mask R-CNN R50-FPN on the CPU: ours against torchvision's, equal answers.

    python -m benchmarks.inference_cpu [--threads 2] [--seconds 40] [--json FILE]

Both networks have torchvision's defaults (shorter side 800 pixels, 1000 proposals, 100 detections)
and the same random weights. The answers are compared first: with other answers times mean nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.cpu import Report, command
from benchmarks.table import Different, Row, ratio
from benchmarks.timing import compare
from mrcnn_lite.lessons.n11_whole_network.reference_pair import (
    make_images,
    make_pair,
    one_class_at_a_time,
)

GOAL = 1.2
SIZE = (480, 640)  # becomes 800 x 1066
CLASSES = 91
TOLERANCE = 1e-3  # of scores and masks, and in pixels of boxes: float32 through 60 layers


def differences(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Compare two answers: each of our detections with the nearest of theirs in its class.

    The share of detections without a partner, and the largest difference of boxes (pixels), scores
    and masks (mean over the image) of the others.
    """
    apart = torch.cdist(found["boxes"], expected["boxes"], p=torch.inf)  # [N, N]
    apart = apart.masked_fill(found["labels"][:, None] != expected["labels"], torch.inf)
    gap, partner = apart.min(dim=1)  # [N]
    met = gap < 1.0
    scores = (found["scores"] - expected["scores"][partner]).abs()[met]
    masks = (found["masks"] - expected["masks"][partner]).abs().mean((1, 2, 3))[met]
    return {
        "without a partner": 1 - float(met.float().mean()),
        "boxes": float(gap[met].max()),
        "scores": float(scores.max()),
        "masks": float(masks.max()),
    }


def measure(seconds: float) -> Report:
    """Compare answers, then times."""
    ours, theirs = make_pair("v1", 0, torch.float32, {}, CLASSES)
    ours, theirs = ours.eval(), theirs.eval()
    images, _ = make_images([SIZE], 1, torch.float32)
    with torch.inference_mode(), one_class_at_a_time():
        found, expected = ours(images)[0], theirs(images)[0]
    gaps = differences(found, expected)
    print(f"{len(found['boxes'])} detections, torchvision's {len(expected['boxes'])}")
    print("  ".join(f"{name} {value:.1e}" for name, value in gaps.items()))
    if len(found["boxes"]) != len(expected["boxes"]) or not max(gaps.values()) <= TOLERANCE:
        raise Different("the answers differ: times would mean nothing")
    with torch.inference_mode():
        result = compare(lambda: theirs(images), lambda: ours(images), seconds)
    print(
        f"torchvision {result.peer_ms:.0f} ms, ours {result.ours_ms:.0f} ms: {result.ratio:.2f}x "
        f"(quartiles {result.low:.2f} to {result.high:.2f}, {result.rounds} rounds); goal {GOAL}x "
        f"{'met' if result.ratio >= GOAL else 'NOT met'}"
    )
    return {"differences": gaps, "inference": result.as_dict()}


def rows(report: Report) -> list[Row]:
    """The ratio of one image through R50-FPN."""
    what = "inference, R50-FPN, 480 x 640 at 800 pixels"
    return [ratio("inference_cpu", what, report["inference"], GOAL)]


def main() -> int:
    """Compare answers, then times; the exit status is 1 when answers differ."""
    return command(__doc__, measure, threads=2, seconds=(40.0, "for the comparison"))


if __name__ == "__main__":
    raise SystemExit(main())
