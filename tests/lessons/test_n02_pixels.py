"""Notebook 02: its exercises in odd cases, its explorer and its pictures.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import functools

import numpy as np
import pytest
import torch
import torchvision
from test_kit_exercise import broken

from mrcnn_lite import ops
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n02_where_are_the_pixels import exercises as pixels
from mrcnn_lite.lessons.n02_where_are_the_pixels.explorer import (
    CURVES,
    IMAGE,
    STRIDES,
    RulerState,
    explore_ruler,
)
from mrcnn_lite.lessons.n02_where_are_the_pixels.pictures import read_along, read_at

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_right_variant_is_right():
    """The mistakes differ from the truth by their switch only."""
    assert find("02-sample").grade(pixels._sample_variant).passed


@pytest.mark.parametrize(
    ("form", "box"), [("coco", [3, 7, 3, 1]), ("inclusive", [3, 7, 5, 7]), ("voc", [4, 8, 6, 8])]
)
def test_half_open_by_hand(form, box):
    """Columns 3, 4 and 5 of row 7."""
    half_open = pixels._half_open(torch.tensor([box], dtype=torch.float32), form)
    assert half_open.tolist() == [[3, 7, 6, 8]]


@pytest.mark.parametrize("name", ["02-sample", "02-half-open"])
def test_an_error_is_no_known_mistake(name):
    words = find(name).grade(broken).message
    assert "ZeroDivisionError" in words and "Likely" not in words


def test_help_comes_one_difficulty_at_a_time():
    """No half and no clamp: the half is named first, the ends of the map wait."""
    variant = pixels._sample_variant
    function = functools.partial(variant, half=lambda _: 0.0, right=False)
    words = find("02-sample").grade(function).message
    assert "`aligned` is ignored" in words
    assert "and:" not in words


def test_two_mistakes_at_once():
    function = functools.partial(pixels._sample_variant, mirror=True, unit=lambda stride: stride)
    words = find("02-sample").grade(function).message
    assert "half an image pixel" in words
    assert "and: the weights are mirrored" in words


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("stride", STRIDES)
def test_a_reading_is_what_torchvision_samples(stride, aligned):
    generator = torch.Generator().manual_seed(stride)
    values = torch.rand(IMAGE // stride, generator=generator, dtype=torch.float64)
    grid = values.repeat(9, 1)[None, None]
    for x in torch.linspace(2 * stride, IMAGE - 2 * stride, 11).tolist():
        half = 0.75 * stride  # more than one element: aligned=False would enlarge a smaller box
        box = torch.tensor([[x - half, 2.0 * stride, x + half, 4.0 * stride]]).double()
        theirs = torchvision.ops.roi_align(grid, [box], 1, 1 / stride, 1, aligned)
        assert read_at(values, x, stride, aligned).value == pytest.approx(theirs.item())


def test_reading_along_is_reading_at():
    values = torch.rand(6, generator=torch.Generator().manual_seed(2))
    along = np.linspace(-40, 260, 61)
    for aligned in (False, True):
        each_one = [read_at(values, x, 32, aligned).value for x in along]
        assert read_along(values, along, 32, aligned).tolist() == each_one
    assert read_at(values, -40, 32, aligned=False).value == 0, "more than one element outside"


@pytest.mark.parametrize("stride", STRIDES)
def test_areas_read_a_ramp_exactly_and_points_half_an_element_too_far(stride):
    state = RulerState()
    state.stride = stride
    for x in range(stride, IMAGE - stride + 1, 3):
        state.x = x
        readings = state.readings()
        assert readings[True].value == pytest.approx(x)
        assert readings[False].value == pytest.approx(x + stride / 2)


def test_the_explorer_starts_where_the_notebook_is():
    png, text = RulerState().render()
    assert png.startswith(PNG)
    assert text.startswith("ramp at x = 64 px, stride 32: areas say 64.0000, points say 80.0000;")
    assert "0.5000 x 48.0000 (element 1) + 0.5000 x 80.0000 (element 2) = 64.0000" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", 100), ("stride", 8), ("curve", "wave"), ("curve", "edge")],
)
def test_every_control_changes_picture_and_words(name, value):
    explorer = explore_ruler()
    png, text = explorer.png, explorer.text
    explorer.controls[name].value = value
    assert explorer.png != png
    assert explorer.text != text


def test_a_model_can_be_looked_at_alone():
    explorer = explore_ruler()
    pictures = {explorer.set(model=m).png for m in explorer.controls["model"].options}
    assert len(pictures) == 3
    assert all(control.description for control in explorer.controls.values())
    assert explorer.text in explorer._repr_mimebundle_()[0]["text/plain"]


@pytest.mark.parametrize("curve", CURVES)
def test_the_map_holds_the_means_of_the_curve(curve):
    state = RulerState()
    state.curve = curve
    for stride in STRIDES:
        state.stride = stride
        assert len(state.values()) == IMAGE // stride
        fine = state.values().reshape(6, -1).mean(1)
        state.stride = 32
        assert np.allclose(fine, state.values()), "a mean of means"


def test_the_package_agrees_with_detectron2s_check():
    """detectron2, tests/layers/test_roi_align.py: the two tables of the notebook."""
    features = torch.arange(25.0).reshape(1, 1, 5, 5)
    box = torch.tensor([[1.0, 1.0, 3.0, 3.0]])
    steps = torch.arange(4.0)
    for aligned, first in ((False, 7.5), (True, 4.5)):
        table = first + 2.5 * steps[:, None] + 0.5 * steps
        assert torch.equal(ops.roi_align(features, [box], 4, 1.0, 0, aligned)[0, 0], table)
