"""Notebook 15: the explorer of a dragged point, and what its questions say."""

import torch
from explorer_tools import check_controls

from mrcnn_lite.lessons.n15_keypoints import exercises
from mrcnn_lite.lessons.n15_keypoints.explorer import HeatMap, explore_heat_map

PLACES = [0.01 + 0.02 * step for step in range(50)]  # of the sliders


def test_every_control_changes_picture_and_numbers():
    check_controls(explore_heat_map, {"side": 40.3, "x": 0.31, "y": 0.71, "width": 2.0})


def test_what_the_answers_say():
    """Two places in five are lost; a bell loses none; the centre's error grows; the rim has none
    to fit."""
    state = HeatMap()

    def errors(**values: float) -> dict[str, float]:
        vars(state).update(values)
        return state.errors(state.look()[2])

    assert sum(errors(x=x, y=0.51)["torchvision"] > 2 for x in PLACES) == 19
    assert max(errors(x=x, width=1.0)["torchvision"] for x in PLACES) < 0.6
    small, large = (errors(side=side, width=2.0, x=0.31, y=0.31) for side in (16.3, 120.3))
    assert large["centre"] > 4 * small["centre"]
    assert max(small["quadratic"], large["quadratic"]) < 0.01
    assert errors(side=56.3, x=0.01)["quadratic"] > 0.05


def test_the_variants_without_a_mistake_are_the_right_answers():
    """Each named mistake is one switch away from the right answer, and nothing else."""
    for right, variant, cases in (
        (exercises._loss, exercises._loss_variant, exercises._loss_cases),
        (exercises._decode, exercises._decode_variant, exercises._decode_cases),
    ):
        for case in cases():
            assert torch.allclose(right(*case).float(), variant(*case).float(), atol=1e-4)
