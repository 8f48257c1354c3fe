"""Exercises of notebook 20: F1 at a score threshold, and the detections of tiles merged."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...ops import nms
from ..kit.exercise import Exercise, FunctionGrader, Mistake, switches

NEAR, OVERLAP = 2.0, 0.5  # pixels; IoU above which two boxes are one object

# --- F1 at a threshold ----------------------------------------------------------------------------


def _lists() -> Iterator[tuple[list[float], list[bool], int, float]]:
    """Scores, whether each detection is right, how many objects there are, and a threshold."""
    yield [0.9, 0.8, 0.5, 0.3], [True, False, True, True], 4, 0.5
    yield [0.9, 0.8, 0.7], [True, True, True], 3, 0.5
    yield [0.4, 0.2], [True, False], 2, 0.5  # nothing is left
    yield [0.9], [False], 2, 0.1  # nothing is right
    yield [], [], 3, 0.5
    generator = torch.Generator().manual_seed(20)
    for _ in range(12):
        count = int(torch.randint(2, 15, (), generator=generator))
        scores = (torch.rand(count, generator=generator) * 10).round().div(10).tolist()
        right = (torch.rand(count, generator=generator) < 0.7).tolist()
        missed = int(torch.randint(0, 6, (), generator=generator))
        yield [round(score, 1) for score in scores], right, max(1, sum(right)) + missed, 0.5


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@switches(
    keeps=lambda score, threshold: score >= threshold,
    precision=lambda hits, kept, every: hits / kept if kept else 0.0,
    recall=lambda hits, objects, every_hit, kept: hits / objects,
    mean=_harmonic,
)
def _f1(scores: list[float], right: list[bool], objects: int, threshold: float, how: Any) -> float:
    kept = [hit for score, hit in zip(scores, right) if how.keeps(score, threshold)]
    precision = how.precision(sum(kept), len(kept), len(scores))
    return how.mean(precision, how.recall(sum(kept), objects, sum(right), len(kept)))


F1_MISTAKES = (
    Mistake("a score that equals the threshold is kept: compare with >=.",
            partial(_f1, keeps=lambda score, threshold: score > threshold)),
    Mistake("the threshold is not used. Drop the weaker detections first.",
            partial(_f1, keeps=lambda score, threshold: True)),
    Mistake("this is the mean of precision and recall. F1 is the harmonic mean, "
            "2 · p · r / (p + r).", partial(_f1, mean=lambda p, r: (p + r) / 2)),
    Mistake("recall is divided by the objects that any detection found. Divide by all that there "
            "are.", partial(_f1, recall=lambda hits, objects, every, kept: hits / max(1, every))),
    Mistake("precision is divided by all detections. Divide by those above the threshold.",
            partial(_f1, precision=lambda hits, kept, every: hits / max(1, every))),
    Mistake("precision and recall have the same denominator here. Precision divides by what was "
            "kept, recall by the objects.",
            partial(_f1, recall=lambda hits, objects, every, kept: hits / max(1, kept))),
    Mistake("this is right / (right + wrong + missed). In F1 the right ones count twice.",
            partial(_f1, mean=lambda p, r: p * r / (p + r - p * r) if p + r else 0.0)),
    Mistake("where nothing is kept or nothing is right there is no 0 / 0: F1 is 0.",
            partial(_f1, precision=lambda hits, kept, every: hits / kept,
                    mean=lambda p, r: 2 * p * r / (p + r))),
)  # fmt: skip

# --- Tiles merged ---------------------------------------------------------------------------------


def _tiles() -> Iterator[tuple[Tensor, Tensor, Tensor, tuple[int, int]]]:
    """Boxes in their tiles, scores, the window of each, and (height, width) of the image."""
    left, right, below = [0, 0, 32, 32], [20, 0, 52, 32], [20, 12, 52, 44]
    size = (44, 52)
    alone = [[4.0, 5, 14, 17]], [0.9], [left]
    edge = [[0.0, 5, 10, 17], [22.0, 3, 32, 11]], [0.9, 0.8], [left, right]  # at the image's edge
    twice = [[21.0, 8, 29, 18], [1.0, 8, 9, 18]], [0.8, 0.9], [left, right]  # one is cut off
    double = [[22.0, 8, 29, 18], [3.0, 8, 9, 18]], [0.8, 0.9], [left, right]
    lower = [[4.0, 6, 20, 30], [4.0, 0.5, 20, 18]], [0.7, 0.9], [right, below]
    for boxes, scores, windows in (alone, edge, twice, double, lower):
        yield torch.tensor(boxes), torch.tensor(scores), torch.tensor(windows).float(), size
    generator = torch.Generator().manual_seed(20)
    for _ in range(8):
        corner = torch.rand(12, 2, generator=generator) * 20
        boxes = torch.cat([corner, corner + 3 + torch.rand(12, 2, generator=generator) * 8], dim=1)
        rows = torch.randint(0, 3, (12,), generator=generator)
        windows = torch.tensor([left, right, below]).float()[rows]
        yield boxes, torch.rand(12, generator=generator), windows, size


@switches(
    shift=lambda x, y: [x, y, x, y],
    inner=lambda windows, size: windows != windows.new_tensor([0, 0, size[1], size[0]]),
    near=NEAR,
    first_nms=lambda boxes, moved: moved,
    suppress=True,
)
def _merged(boxes: Tensor, scores: Tensor, windows: Tensor, size: tuple, how: Any) -> Tensor:
    x1, y1, _, _ = windows.unbind(1)  # [N] each
    moved = boxes + torch.stack(how.shift(x1, y1), dim=1)  # [N, 4]
    cut = ((moved - windows).abs() < how.near) & how.inner(windows, size)  # [N, 4]
    whole = ~cut.any(dim=1)
    moved, rivals, scores = moved[whole], how.first_nms(boxes, moved)[whole], scores[whole]
    order = scores.argsort(descending=True)
    return moved[nms(rivals, scores, OVERLAP) if how.suppress else order]


def _zero(x: Tensor, y: Tensor) -> list[Tensor]:
    return [x * 0] * 4


TILE_MISTAKES = (
    Mistake("the boxes still stand in their tiles: add the window's x1 and y1.",
            partial(_merged, shift=_zero)),
    Mistake("only the first corner moved. A tile's place is added to both corners.",
            partial(_merged, shift=lambda x, y: [x, y, x * 0, y * 0])),
    Mistake("x and y are exchanged: the window is (x1, y1, x2, y2).",
            partial(_merged, shift=lambda x, y: [y, x, y, x])),
    Mistake("what ends at a border inside the image was cut by its tile; drop it, its neighbour "
            "has it whole.", partial(_merged, near=-1.0)),
    Mistake("objects at the edge of the *image* are dropped too, and no other tile has them.",
            partial(_merged, inner=lambda windows, size: torch.ones_like(windows, dtype=bool))),
    Mistake("doubles are left. Two tiles saw the object: nms(boxes, scores, 0.5).",
            partial(_merged, suppress=False)),
    Mistake("NMS compared the boxes inside their tiles. Move them into the image first.",
            partial(_merged, first_nms=lambda boxes, moved: boxes)),
)  # fmt: skip


EXERCISES = (
    Exercise(
        "20-f1",
        FunctionGrader(
            right=_f1,
            cases=_lists,
            mistakes=F1_MISTAKES,
            praise="the F1 of {n} lists, some of which have nothing to divide by.",
        ),
        (
            "First keep the detections whose score reaches the threshold; count them, and the "
            "right ones among them.",
            "Precision is right / kept, recall is right / objects. Nothing kept: precision 0.",
            "F1 = 2 · precision · recall / (precision + recall), and 0 where that is 0 / 0.",
        ),
    ),
    Exercise(
        "20-tiles",
        FunctionGrader(
            right=_merged,
            cases=_tiles,
            mistakes=TILE_MISTAKES,
            praise="{n} images put together from their tiles.",
        ),
        (
            "windows[:, [0, 1, 0, 1]] are x1, y1, x1, y1 of each box's tile: add them.",
            "A side is cut where it is within 2 pixels of its window's side, and that side is not "
            "one of the image (0, 0, width, height).",
            "Keep the boxes without a cut side, then ops.nms(boxes, scores, 0.5).",
        ),
    ),
)
