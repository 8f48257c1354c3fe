"""Row 7: masks hold 0 and 1; all else is refused where it enters, with image, value and cure."""

import pytest
import torch

from mrcnn_lite.config import lite
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.transform import check_targets
from mrcnn_lite.training import TrainingRun

IMAGES = [torch.rand(3, 64, 64) for _ in range(2)]


def batch(masks, **more):
    """Two images; the second has these masks [2, 64, 64]."""
    boxes = torch.tensor([[4.0, 4, 30, 30], [20, 20, 60, 60]])
    labels = torch.tensor([1, 2])
    good = torch.zeros(2, 64, 64, dtype=torch.uint8)
    good[:, 25:28, 25:28] = 1
    targets = [{"boxes": boxes, "labels": labels, "masks": m} for m in (good, masks(good))]
    targets[1] |= more
    return IMAGES, targets


def numbered(good):
    """Each mask holds the number of its object: the map times (map == number)."""
    return good * torch.tensor([1, 2], dtype=torch.uint8)[:, None, None]


WRONG = {
    "0 and 255": (lambda m: m * 255, 255),
    "instance numbers": (numbered, 2),
    "numbers as int64": (lambda m: numbered(m).long(), 2),
    "-1 for ignored": (lambda m: m.to(torch.int8) - (m == 0).to(torch.int8), -1),
    "0 and 255 as floats": (lambda m: m.float() * 255, 255.0),
    "probabilities": (lambda m: m.float() * 0.5, 0.5),
    "0 and 1 / 255": (lambda m: m.float() / 255, 1 / 255),
    "NaN": (lambda m: m.float().masked_fill(m == 1, float("nan")), float("nan")),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("call", ["the network", "a training run", "lite of 3 classes"])
def test_row_7_other_values_are_refused(name, call):
    masks, value = WRONG[name]
    images, targets = batch(masks, image_id=17, file_name="x.png")
    with pytest.raises(ValueError) as error:  # noqa: PT012
        if call == "the network":
            MaskRCNN(lite(3)).train()(images, targets)
        elif call == "a training run":
            TrainingRun(lite(3), ["background", "a", "b"]).step((images, targets), 0.0)
        else:
            check_targets(images, targets, 3)
    text = str(error.value)
    assert text.startswith("targets[1]['masks'][") and "(file_name x.png, image_id 17)" in text
    assert f"holds {torch.tensor(value).item()}; masks hold 0 and 1: give (masks > 0)" in text
    assert "masks == number" in text


def test_row_7_the_row_is_named():
    images, targets = batch(lambda m: m * torch.tensor([1, 7], dtype=torch.uint8)[:, None, None])
    with pytest.raises(ValueError, match=r"targets\[1\]\['masks'\]\[1\] holds 7;"):
        check_targets(images, targets, 3)


@pytest.mark.parametrize("kind", [torch.uint8, torch.bool, torch.int64, torch.float32])
def test_row_7_0_and_1_pass_in_any_type(kind):
    images, targets = batch(lambda m: m.to(kind))
    check_targets(images, targets, 3)
    losses = MaskRCNN(lite(3)).train()(images, targets)
    assert all(value.isfinite() for value in losses.values())


def test_row_7_no_object_and_whole_masks_pass():
    images, targets = batch(torch.ones_like)
    targets[0] = {name: value[:0] for name, value in targets[0].items()}
    check_targets(images, targets, 3)
