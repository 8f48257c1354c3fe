"""Mask RoIs of a whole batch in a fixed number of rows: the plain loss and gradients, where all
positives fit; an even sample of them, where they do not."""

import pytest
import torch

from mrcnn_lite.config import lite
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.filled_masks import FilledRoIHeads, fill_masks, rows_of_batch
from mrcnn_lite.models.roi_heads import RoIFeatures
from mrcnn_lite.models.transform import Targets

SIZE, B, R, G = (64, 96), 3, 8, 4
MASK = {"rois": 6, "channels": (8,), "hidden": 8, "pooled_size": 4}


def heads(classes: int, batch_rois: int):
    """The plain RoI heads and those with filled rows, in float64, with the same weights."""
    config = lite(classes).with_(mask={**MASK, "batch_rois": batch_rois})
    torch.manual_seed(0)
    plain, filled = MaskRCNN(config, variants=False).double(), MaskRCNN(config).double()
    filled.load_state_dict(plain.state_dict())
    fill_masks(filled)
    assert type(filled.roi_heads) is FilledRoIHeads
    return plain.roi_heads, filled.roi_heads


def sampled(positives: tuple[int, ...]):
    """RoIs of three images, the positives first, and the objects that they are matched with."""
    g = torch.Generator().manual_seed(1)
    corner = torch.rand(B, R, 2, generator=g, dtype=torch.float64) * 40
    sides = torch.rand(B, R, 2, generator=g, dtype=torch.float64) * 24 + 4
    boxes = torch.cat([corner, corner + sides], dim=2)  # [B, R, 4]
    matched = torch.randint(G, (B, R), generator=g)
    labels = torch.randint(1, 5, (B, R), generator=g)
    labels[torch.arange(R) >= torch.tensor(positives)[:, None]] = 0
    masks = (torch.rand(B, G, *SIZE, generator=g) < 0.5).to(torch.uint8)
    none = torch.zeros(0)
    return (boxes, matched, labels), Targets(none, none, masks, none, none)


def loss_and_gradients(roi_heads, rois, targets) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(2)
    x = torch.randn(B, 48, 16, 24, generator=g, dtype=torch.float64).requires_grad_()
    loss = roi_heads.mask_losses({"0": x}, rois, SIZE, targets)["loss_mask"]
    parts = [*roi_heads.mask_head.parameters(), *roi_heads.mask_predictor.parameters()]
    return [loss, *torch.autograd.grad(loss, [x, *parts])]


def assert_equal(found, wanted) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_rows_by_hand():
    positive = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]]).bool()
    image, row = rows_of_batch(positive, 5)
    assert image.tolist() == [0, 1, 2, 0, 2] and row.tolist() == [0, 0, 0, 1, 1]
    image, row = rows_of_batch(positive, 7)  # all six, and one that counts for nothing
    assert (image[5], row[5]) == (0, 2) and (image[6], row[6]) == (1, 1)
    assert len(rows_of_batch(positive, 100)[0]) == 12


@pytest.mark.parametrize("classes", [6, 40])  # with 40, the mask of one class is computed
@pytest.mark.parametrize("positives", [(5, 0, 2), (6, 1, 2), (8, 0, 3), (0, 0, 0)])
def test_loss_and_gradients_are_the_plain_ones_where_all_fit(positives, classes):
    """9 rows; more than `mask.rois` of an image are not asked for by the plain form either."""
    plain, filled = heads(classes, 3)
    seen = []
    filled.mask_head.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    wanted = loss_and_gradients(plain, *sampled(positives))
    assert_equal(loss_and_gradients(filled, *sampled(positives)), wanted)
    assert seen == [9] and (wanted[0] > 0) == any(positives)


def test_of_more_positives_each_image_keeps_its_first_ones():
    plain, filled = heads(6, 2)  # 6 rows
    found = loss_and_gradients(filled, *sampled((5, 1, 4)))
    assert_equal(found, loss_and_gradients(plain, *sampled((3, 1, 2))))


def test_with_room_for_every_roi_nothing_is_left_out():
    plain, filled = heads(6, 6)  # as many as `mask.rois`
    found = loss_and_gradients(filled, *sampled((8, 8, 8)))
    assert_equal(found, loss_and_gradients(plain, *sampled((8, 8, 8))))


def test_a_pool_of_ones_own_is_asked_image_by_image():
    class Own(RoIFeatures):
        def forward(self, features, boxes, image_shapes):
            assert isinstance(boxes, list) and len(boxes) == B
            return super().forward(features, boxes, image_shapes)

    plain, filled = heads(6, 3)
    filled.mask_roi_pool.__class__ = Own
    found = loss_and_gradients(filled, *sampled((5, 0, 2)))
    assert_equal(found, loss_and_gradients(plain, *sampled((5, 0, 2))))
