"""What the losses of step 1 should be, and what it means when they are not.

A network that knows nothing gives every class the same chance: the class loss starts at ln K, the
two yes-or-no losses (objectness, mask) at ln 2. A start far from there is a mistake that hours of
training would hide.
"""

import math

from ..config import Config

# Healthy starts over seeds lay at .96 to 1.03 times ln 2 (objectness), .85 to 1.14 times ln K, and
# 1 to 10 times ln 2 (mask: the last layers start with a spread of their own, which grows without
# norms); R50 with frozen, untrained batch norms at 0.6 to 1.5, 0.8 to 3.2, and 25 to 80. Keypoints
# begin at 1.00 to 1.02 times ln 3136, there at 1.17.
OBJECTNESS = (0.8, 1.25)
CLASSIFIER = (0.5, 1.6)
MASK = (0.5, 15.0)
KEYPOINT = (0.95, 1.5)


def check_first_losses(report: dict[str, float], config: Config) -> list[str]:
    """Compare the losses of a fresh network's first step with their expected values: one sentence
    for each odd value, none for a healthy start."""
    warnings = []
    if odd := _odd(report, "loss_objectness", math.log(2), "ln 2", OBJECTNESS):
        warnings.append(f"{odd}: the RPN is not fresh, or the images are not in 0..1")
    classes = config.num_classes
    if odd := _odd(report, "loss_classifier", math.log(classes), f"ln {classes}", CLASSIFIER):
        warnings.append(
            f"{odd}: a predictor with another start or number of classes, features that explode "
            "(frozen batch norms without trained weights), or too few positives to see"
        )
    if report.get("loss_mask") == 0:
        warnings.append(
            "loss_mask is 0 in the first step: no box matched an object; check that boxes and "
            "masks belong to the image and that the batch has objects"
        )
    elif odd := _odd(report, "loss_mask", math.log(2), "ln 2", MASK):
        warnings.append(f"{odd}: the mask predictor is not fresh, or its features explode")

    if report.get("loss_keypoint") == 0:
        warnings.append(
            "loss_keypoint is 0 in the first step: no labelled point lies in a box of its object; "
            "check that points are x, y and v, in pixels of their image"
        )
    elif config.keypoint:
        places = (4 * config.keypoint.pooled_size) ** 2
        formula = math.log(places), f"ln {places}"
        if odd := _odd(report, "loss_keypoint", *formula, KEYPOINT):
            warnings.append(f"{odd}: the keypoint predictor is not fresh, or its features explode")
    return warnings


def _odd(
    report: dict[str, float], name: str, expected: float, formula: str, band: tuple[float, float]
) -> str:
    """The beginning of a sentence when a loss is outside its band, else nothing."""
    value = report.get(name, expected)
    if band[0] * expected <= value <= band[1] * expected:
        return ""
    return f"{name} is {value:.3f} in the first step, expected about {expected:.3f} ({formula})"
