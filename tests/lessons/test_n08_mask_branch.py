"""Notebook 08: what a mask branch holds and costs, counted, built and drawn."""

import pytest
from explorer_tools import check_controls, check_quick
from torch import nn

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.n08_mask_branch import exercises
from mrcnn_lite.lessons.n08_mask_branch.explorer import (
    explore_head,
    mask_branch_layers,
    mlp_layers,
    totals,
)
from mrcnn_lite.lessons.n08_mask_branch.pictures import block_size, draw_mask_branch, draw_two_heads
from mrcnn_lite.models.mask_head import MaskHead, MaskRCNNPredictor


@pytest.mark.parametrize("case", exercises.CASES)
def test_the_right_branch_has_the_weights_of_the_formula(case):
    channels, num_classes, size = case
    convs, deconvs = 4 * (9 * channels**2 + channels), {14: 0, 28: 1, 56: 2}[size]
    expected = convs + deconvs * (4 * channels**2 + channels) + (channels + 1) * num_classes
    for branch in (exercises._branch(*case), exercises._hollow(case)):
        assert exercises._count(branch) == expected


def test_a_module_is_no_function():
    verdict = find("08-mask-head").grade(nn.Identity())
    assert not verdict.passed and "the function itself" in verdict.message


def four_times_the_same(channels, num_classes, mask_size):
    return exercises._branch(channels, num_classes, mask_size, shared=True)


class Interpolated(nn.Module):
    def __init__(self, channels, num_classes, mask_size):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(4))
        self.after, self.last = (
            nn.Conv2d(channels, channels, 1),
            nn.Conv2d(channels, num_classes, 1),
        )
        self.size = mask_size

    def forward(self, x):
        for conv in self.convs:
            x = conv(x).relu()
        return self.last(self.after(nn.functional.interpolate(x, self.size)).relu())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (four_times_the_same, "the same convolution is used four times"),
        (lambda *case: Interpolated(*case), "nn.Upsample and a 1x1 convolution"),
        (lambda *case: exercises._branch(*case, convs=1), "there should be four, not 1"),
    ],
)
def test_first_tries_are_named(build, words):
    verdict = find("08-mask-head").grade(build)
    assert not verdict.passed and words in verdict.message


@pytest.mark.parametrize("num_classes", [1, 5])
@pytest.mark.parametrize("convs", [0, 2])
def test_counted_weights_are_the_modules_weights(convs, num_classes):
    head = MaskHead(256, (32,) * convs)
    predictor = MaskRCNNPredictor(head.out_channels, 32, num_classes)
    counted, _ = totals(mask_branch_layers(convs, 32, 28, num_classes))
    assert counted == sum(p.numel() for m in (head, predictor) for p in m.parameters())


def test_counts_of_the_paper():
    assert totals(mask_branch_layers(4, 256, 28, 80))[0] == 2_643_280
    assert totals(mask_branch_layers(4, 256, 28, 91)) == (2_646_107, 532_066_304)
    assert totals(mlp_layers(28, 80))[0] == 116_718_848


def test_every_control_changes_picture_and_numbers():
    check_controls(explore_head, {"convs": 3, "width": 64, "mask_size": 56, "num_classes": 7})
    check_quick(explore_head, [{"mask_size": size} for size in [14, 28, 56] * 5])


def test_bigger_maps_are_bigger_blocks():
    assert block_size(28, 256)[0] > block_size(14, 256)[0]
    assert block_size(14, 256)[1] > block_size(14, 80)[1]


@pytest.mark.parametrize("draw", [draw_mask_branch, draw_two_heads])
def test_figures_can_be_drawn(draw):
    assert figure_png(draw()).startswith(b"\x89PNG")
