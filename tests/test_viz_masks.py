"""Pictures of the mask notebooks: the scene they stand on, and that they can be drawn."""

import pytest
import torch

from mrcnn_lite.lessons.kit import style
from mrcnn_lite.lessons.kit.cat import CLASS_NAMES, cat_scene, disc_mask, mask_box
from mrcnn_lite.lessons.kit.mask_journeys import draw_prediction, draw_training, veil
from mrcnn_lite.lessons.n08_mask_branch.pictures import block_size, draw_mask_branch, draw_two_heads


def test_disc_by_hand():
    assert disc_mask(4, (2, 2), 1).tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]
    assert disc_mask(220, (110, 110), 100).sum().item() == pytest.approx(31416, rel=1e-3)


def test_mask_box_is_half_open():
    mask = torch.zeros(6, 8)
    mask[2, 3:5] = 1
    assert mask_box(mask).tolist() == [3, 2, 5, 3]


def test_the_scene_keeps_the_conventions():
    scene = cat_scene(96)
    assert scene.image.shape == (3, 96, 96)
    assert scene.image.min() >= 0 and scene.image.max() <= 1
    assert scene.masks.shape == (2, 96, 96) and scene.masks.dtype == torch.uint8
    assert [CLASS_NAMES[i] for i in scene.labels] == ["cat", "ball"]
    for mask, box in zip(scene.masks, scene.boxes):
        assert mask_box(mask).tolist() == box.tolist()
    assert not (scene.masks[0] & scene.masks[1]).any()


def test_veil_leaves_the_rest_alone():
    image, pixels = torch.full((3, 7, 7), 0.2), torch.zeros(7, 7, dtype=torch.bool)
    pixels[1:6, 1:6] = True
    painted = veil(image, pixels, "#FFFFFF")
    assert torch.equal(painted[:, ~pixels], image[:, ~pixels])
    assert painted[:, 1, 1].tolist() == [1, 1, 1]  # the outline
    assert painted[0, 3, 3].item() == pytest.approx(0.6)  # half of 0.2, half of 1


def test_bigger_maps_are_bigger_blocks():
    assert block_size(28, 256)[0] > block_size(14, 256)[0]
    assert block_size(14, 256)[1] > block_size(14, 80)[1]


def test_pictures_can_be_drawn():
    scene = cat_scene(64)
    logits, pasted = torch.randn(4, 7, 7), torch.rand(64, 64)
    box, target = scene.boxes[0], torch.rand(7, 7)
    for fig in (
        draw_mask_branch(),
        draw_two_heads(),
        draw_training(scene, box, logits, target, CLASS_NAMES),
        draw_prediction(scene, box, logits, pasted, CLASS_NAMES),
    ):
        assert style.figure_png(fig).startswith(b"\x89PNG")
