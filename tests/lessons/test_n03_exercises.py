"""The exercises of notebook 03: see test_kit_exercise.py and test_exercise_matrix.py, too."""

import pytest
import torch
import torch.nn.functional as F

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n03_roi_align import exercises as roi_align
from mrcnn_lite.ops import bilinear


def test_the_right_variants_are_right():
    """The mistakes differ from the truth by their switch only."""
    assert find("03-bilinear").grade(roi_align._bilinear_variant).passed
    assert find("03-roi-align").grade(roi_align._align_variant).passed


@pytest.mark.parametrize("border", ["zeros", "border"])
def test_grid_sample_with_its_default_corner_rule_is_named(border):
    def sampled(features, y, x):
        height, width = features.shape
        grid = torch.tensor([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1]).view(1, 1, 1, 2)
        options = {"padding_mode": border, "align_corners": False}
        return F.grid_sample(features[None, None], grid, **options).squeeze()

    words = find("03-bilinear").grade(sampled).message
    assert "grid_sample got 2 * x / (w - 1) - 1 with align_corners=False" in words


@pytest.mark.parametrize("slip", ["// size", "% size"])
def test_the_notebooks_loop_with_another_bin_is_named(slip):
    """Section 4's loop, with `i // size` or `i % size` where `i // ratio` belongs."""

    def loop(features, boxes, size, scale, ratio, aligned):
        out = torch.zeros(len(boxes), len(features), size, size)
        part = (torch.arange(size * ratio) + 0.5) / (size * ratio)
        for r, (x1, y1, x2, y2) in enumerate((boxes * scale - 0.5 * aligned).tolist()):
            y, x = (a + part * max(b - a, 1 - aligned) for a, b in ((y1, y2), (x1, x2)))
            values = bilinear(
                features, *(at.flatten() for at in torch.meshgrid(y, x, indexing="ij"))
            )
            for k, value in enumerate(values.view(len(features), -1).T):
                i, j = divmod(k, size * ratio)
                p, q = (i // size, j // size) if slip == "// size" else (i % size, j % size)
                out[r, :, p, q] += value / ratio**2
        return out

    assert f"not to i {slip}" in find("03-roi-align").grade(loop).message
