"""What `intermediate_outputs` keeps is what the network computes, for images of any size."""

import pytest
import torch

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import maskrcnn_lite
from mrcnn_lite.models.intermediate import intermediate_outputs


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return maskrcnn_lite()


@pytest.mark.parametrize("crop", [(128, 128), (70, 100)])
def test_the_stages_lead_to_the_models_answer(model, crop):
    image = Shapes(1, seed=5)[0][0][:, : crop[0], : crop[1]]
    inside = intermediate_outputs(model.train(), image)
    assert model.training, "the mode is restored"
    with torch.inference_mode():
        (found,) = model.eval()([image])
    assert len(found["boxes"]) > 0
    for name, value in found.items():
        torch.testing.assert_close(inside.detections[name], value)
    assert [level.shape[0] for level in inside.features] == [48] * 4
    assert inside.pooled.shape[0] == inside.mask_logits.shape[0] == len(found["boxes"])


def test_proposals_lie_in_the_image(model):
    image = Shapes(1, seed=5)[0][0][:, :70, :100]  # enlarged on its way into the network
    boxes = intermediate_outputs(model, image).proposals
    assert (boxes >= 0).all()
    assert boxes[:, 2].max() <= 100.01
    assert boxes[:, 3].max() <= 70.01
    assert boxes[:, 2].max() > 70, "in pixels of the image, not of the enlarged one"
