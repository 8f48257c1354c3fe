"""The exercises of notebook 03: see test_kit_exercise.py and test_exercise_matrix.py, too."""

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n03_roi_align import exercises as roi_align


def test_the_right_variants_are_right():
    """The mistakes differ from the truth by their switch only."""
    assert find("03-bilinear").grade(roi_align._bilinear_variant).passed
    assert find("03-roi-align").grade(roi_align._align_variant).passed
