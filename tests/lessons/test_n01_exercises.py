"""The exercises of notebook 01, with answers as learners write them.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import functools
import json
import math

import pytest
import torch
from source_tree import ROOT

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n01_roi_pool import exercises as roi_pool
from mrcnn_lite.ops.roi_pool import round_half_away


def cells(stem: str) -> list[dict]:
    return json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]


def test_the_right_variant_is_right():
    """The mistakes differ from the truth by their switch only."""
    assert find("01-roi-pool").grade(roi_pool._variant).passed


def clipped_corners(features, box, size, scale):
    """The answer of a reader: corners moved onto the map, one side each, before the bins."""
    height, width = features.shape
    x1, y1, x2, y2 = (int(round_half_away(number * scale)) for number in torch.tensor(box))
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width - 1), min(y2, height - 1)
    step_y, step_x = (max(end - start + 1, 1) / size for start, end in ((y1, y2), (x1, x2)))
    out = torch.zeros(size, size)
    for i in range(size):
        rows = features[y1 + math.floor(i * step_y) : y1 + math.ceil((i + 1) * step_y)]
        for j in range(size):
            part = rows[:, x1 + math.floor(j * step_x) : x1 + math.ceil((j + 1) * step_x)]
            if part.numel():
                out[i, j] = part.max()
    return out


def test_a_readers_clipping_is_named():
    assert "corners of the window are moved" in find("01-roi-pool").grade(clipped_corners).message


def test_two_mistakes_at_once():
    function = functools.partial(roi_pool._variant, inclusive=0, reduce=torch.mean)
    words = find("01-roi-pool").grade(function).message
    assert "both rounded corners" in words
    assert "and: this is the mean" in words


def test_help_comes_one_difficulty_at_a_time():
    """The notebook's own loop is wrong in several ways; the first to be named are the halves."""
    sources = ["".join(c["source"]) for c in cells("01_roi_pool") if c["cell_type"] == "code"]
    scope = {"math": math, "torch": torch, "grid": torch.zeros(6, 6), "stride": 32}
    scope["proposal"] = torch.tensor([[10.0, 10.0, 124.0, 124.0]])
    for name in ("bins", "roi_pool_toy"):
        (source,) = [source for source in sources if source.startswith(f"def {name}(")]
        exec(source.split("\n\n\n")[0], scope)

    def toy(features, box, size, scale):
        return scope["roi_pool_toy"](features, torch.tensor(box), size, 1 / scale)

    assert "Likely: Python's round" in find("01-roi-pool").grade(toy).message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (torch.zeros(6, 6), "split 3 + 2 and 2 + 3"),
        (torch.zeros(5, 5), "6 x 6"),
        (torch.full((6, 6), math.nan), "6 x 6"),
        ("map", "6 x 6"),
    ],
)
def test_maps_that_discriminate_nothing(answer, words):
    verdict = find("01-discriminating-map").grade(answer)
    assert not verdict.passed
    assert words in verdict.message


def test_the_articles_map_tells_only_one_split():
    torch.manual_seed(1)
    words = find("01-discriminating-map").grade(torch.randn(1, 1, 6, 6)).message
    assert "disjoint split 3 + 2" in words
    assert "2 + 3" not in words
