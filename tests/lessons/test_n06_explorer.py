"""The pyramid explorer without a browser: state to picture and numbers, quick enough to drag."""

import re

import pytest
import torch
import torchvision
from explorer_tools import check_bundle

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit import style
from mrcnn_lite.lessons.n06_feature_pyramids import pictures as draw
from mrcnn_lite.lessons.n06_feature_pyramids.explorer import (
    SIZES,
    STRIDES,
    PyramidState,
    explore_pyramid,
    levels_of,
)

PNG = b"\x89PNG\r\n\x1a\n"


def overlaps(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"IoU (\d\.\d{4})", text)]


def test_it_starts_with_the_article():
    png, text = PyramidState().render()
    assert png.startswith(PNG)
    assert text.splitlines()[0].endswith("P3, stride 8")
    assert overlaps(text) == [0.9019, 0.7932, 0.6584, 0.5077]
    assert "3.0255, then floor" in text
    assert "14.25 x 14.25 elements" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 300), ("height", 40), ("left", 11), ("top", 13), ("rule", "round")],
)
def test_it_follows_every_control(name, value):
    explorer = explore_pyramid()
    png, text = explorer.png, explorer.text
    explorer.controls[name].value = value
    assert explorer.png != png
    assert explorer.text != text
    assert getattr(explorer.state, name) == value


def test_the_rules_are_torchvisions_and_matterports():
    sizes = torch.tensor([16.0, 79, 80, 111, 112, 158, 159, 223, 224, 316, 317, 447, 448, 1024])
    squares = torch.stack([sizes * 0, sizes * 0, sizes, sizes], 1)
    mapper = torchvision.ops.poolers.LevelMapper(2, 5)
    assert torch.equal(levels_of(sizes, "floor"), mapper([squares]) + 2)
    assert levels_of(sizes, "round").tolist() == [2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5]


@pytest.mark.parametrize("rule", ["floor", "round"])
def test_the_page_says_what_the_rule_says(rule):
    explorer = explore_pyramid(rule=rule)
    for width, height in ((16, 16), (111, 111), (200, 200), (300, 32), (400, 400), (900, 900)):
        explorer.set(width=width, height=height)
        size = torch.tensor([(width * height) ** 0.5])
        level = int(levels_of(size, rule))
        assert f": P{level}, stride {2**level}\n" in explorer.text
        assert (
            f"stride {2**level:2}: IoU" in explorer.text.split("  <- its level")[0].split("\n")[-1]
        )


def test_the_windows_are_roi_pools():
    """A map of ones with zeros outside the window: RoIPool of the box must not see any change."""
    generator = torch.Generator().manual_seed(6)
    state = PyramidState()
    for _ in range(20):
        left, top = torch.randint(0, 65, (2,), generator=generator).tolist()
        width, height = torch.randint(16, 200, (2,), generator=generator).tolist()
        state.left, state.top, state.width, state.height = left, top, width, height
        windows, iou, shift = state.rounding()
        for stride, window, share, moved in zip(STRIDES, windows, iou, shift):
            x1, y1, x2, y2 = (window / stride).int().tolist()
            noise = torch.rand(1, 1, 352 // stride, 352 // stride, generator=generator)
            cut = torch.full_like(noise, -1.0)
            cut[..., y1:y2, x1:x2] = noise[..., y1:y2, x1:x2]
            pooled = [ops.roi_pool(f, [state.box[None]], 1, 1 / stride) for f in (noise, cut)]
            assert torch.equal(*pooled), "what is outside the window does not matter"
            assert pooled[0].item() == noise[..., y1:y2, x1:x2].max(), "all of the window does"
            assert share == pytest.approx(ops.box_iou(state.box[None], window[None]).item())
            assert moved <= stride / 2


def test_errors_of_a_level_come_back_after_its_stride():
    explorer = explore_pyramid()
    first, second = (overlaps(explorer.set(left=left).text) for left in (10, 18))
    assert first[:2] == second[:2] and first[3] != second[3]


def test_controls_are_labelled_and_one_line_is_announced():
    check_bundle(explore_pyramid)


# --- The still pictures -------------------------------------------------------------------------


def words_of(fig) -> list[str]:
    return [text.get_text() for ax in fig.axes for text in ax.texts]


def test_the_pyramid_names_its_maps():
    words = words_of(draw.pyramid_figure(192))
    assert {"C2", "C5", "P2", "P5", "stride 8\n24 × 24"} <= set(words)
    assert words.count("1×1") == words.count("3×3") == 4 and words.count("×2") == 3


def test_boxes_carry_level_and_size():
    boxes = torch.tensor([[10.0, 10, 124, 124], [200, 60, 240, 100]])
    fig = draw.levels_figure(boxes, torch.tensor([3, 2]), 300, 200)
    assert words_of(fig) == ["P3\n114 × 114", "P2   40 × 40"]
    assert style.figure_png(fig).startswith(PNG)


def test_the_hatched_parts_are_where_the_rules_differ():
    sizes = torch.tensor(SIZES, dtype=torch.float32)
    rules = {rule: levels_of(sizes, rule) for rule in ("floor", "round")}
    fig = draw.rules_figure(sizes, rules)
    spans = [patch for patch in fig.axes[0].patches if patch.get_hatch()]
    ends = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in spans]
    half = 2**-0.5
    expected = [(224 * half / 2, 112), (224 * half, 224), (448 * half, 448)]
    assert ends == [pytest.approx(pair, rel=0.005) for pair in expected]
    assert words_of(fig) == ["P2", "P3", "P4", "P5"] * 2


def test_each_curve_is_named():
    curves = {"one": [0.1, 0.2, 0.3], "two": [0.2, 0.3, 0.4], "three": [0.5, 0.6, 0.7]}
    fig = draw.overlap_figure([16, 112, 896], curves)
    assert words_of(fig) == list(curves)
    assert len(fig.axes[0].lines) == 3
