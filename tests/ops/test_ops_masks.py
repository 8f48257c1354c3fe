"""Mask targets and pasting."""

import pytest
import torch
import torch.nn.functional as F
from cases import random_boxes
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

from mrcnn_lite.ops import crop_masks, paste_masks, roi_align, use_backend

RULES = ["torchvision", "pixel_centres"]


def disc(diameter, centre, size):
    """A filled circle: Tensor[1, H, W] of 0 and 1; a pixel counts when its centre is inside."""
    axis = torch.arange(size) + 0.5 - centre
    return (axis[:, None] ** 2 + axis**2 <= (diameter / 2) ** 2)[None].to(torch.uint8)


def iou(a, b):
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_crop_equals_torchvision(dtype):
    masks = (torch.rand(4, 60, 75, generator=torch.Generator().manual_seed(0)) > 0.4).to(dtype)
    boxes, matched = random_boxes(40, 60, 0) - 8, torch.arange(40) % 4
    boxes[0] = torch.tensor([3.0, 3, 3, 3])  # no area
    boxes[1] = torch.tensor([200.0, 200, 260, 260])  # far outside
    boxes[2] = torch.tensor([0.0, 0, 75, 60])  # everything
    truth = project_masks_on_boxes(masks.double(), boxes.double(), matched, 28)
    exact = crop_masks(masks, boxes.double(), matched, 28, aligned=False)
    torch.testing.assert_close(exact, truth, rtol=0, atol=1e-10)
    found = crop_masks(masks, boxes, matched, 28, aligned=False)
    # A float32 coordinate near 75 is known to 4e-6, and a mask may jump by 1 from one pixel to
    # the next: so much either library may differ from the truth.
    for float32 in (found, project_masks_on_boxes(masks, boxes, matched, 28)):
        torch.testing.assert_close(float32.double(), truth, rtol=0, atol=2e-5)
    assert found.shape == (40, 28, 28) and found.dtype == torch.float32


@pytest.mark.parametrize("aligned", [False, True])
def test_crop_is_adaptive_roi_align(aligned):
    masks = torch.rand(3, 20, 25, dtype=torch.float64)
    boxes, matched = random_boxes(12, 20, 1).double() + 0.01, torch.arange(12) % 3
    boxes[:, 2:] += 0.5
    found = crop_masks(masks, boxes, matched, 5, aligned=aligned)
    rois = torch.cat([matched[:, None].double(), boxes], dim=1)
    expected = roi_align(masks[:, None], rois, 5, 1.0, 0, aligned=aligned)[:, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    with use_backend("reference"):
        slow = crop_masks(masks[:, :8, :9], boxes[:4], matched[:4], 3, aligned=aligned)
    fast = crop_masks(masks[:, :8, :9], boxes[:4], matched[:4], 3, aligned=aligned)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)


def test_boxes_of_very_different_sizes_keep_their_order():
    masks = (torch.rand(2, 300, 300) > 0.5).byte()
    sides = torch.tensor([10.0, 290, 40, 5, 250, 120])
    boxes = torch.cat([torch.full((6, 2), 3.0), 3 + sides[:, None].repeat(1, 2)], dim=1)
    matched = torch.tensor([0, 1, 0, 1, 0, 1])
    found = crop_masks(masks, boxes, matched, 7, aligned=False)
    expected = project_masks_on_boxes(masks, boxes, matched, 7)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_half_pixel_of_the_target():
    """A mirror-symmetric disc: torchvision's target leans to one side, the aligned one does not."""
    mask, box = disc(120, 64, 128), torch.tensor([[4.0, 4, 124, 124]])
    lean = [
        float((t - t.flip(-1)).abs().max())
        for t in (crop_masks(mask, box, torch.tensor([0]), 28, aligned=a) for a in (False, True))
    ]
    assert lean[0] > 0.2
    assert lean[1] < 1e-4


def test_soft_targets_have_a_floor_of_loss():
    target = crop_masks(
        disc(120, 64, 128), torch.tensor([[4.0, 4, 124, 124]]), torch.tensor([0]), 28
    )
    fractions = float(((target > 0) & (target < 1)).float().mean())
    floor = float(F.binary_cross_entropy(target, target))
    assert fractions == pytest.approx(0.133, abs=0.002)
    assert floor == pytest.approx(0.0534, abs=0.001)


def test_nothing_to_crop_or_paste():
    none = torch.zeros(0, 4)
    matched = torch.zeros(0, dtype=torch.int64)
    assert crop_masks(torch.zeros(0, 9, 9), none, matched, 28).shape == (0, 28, 28)
    assert crop_masks(torch.zeros(3, 9, 9), none, matched, 28).shape == (0, 28, 28)
    assert paste_masks(torch.zeros(0, 28, 28), none, (9, 8)).shape == (0, 9, 8)
    assert paste_masks(torch.zeros(0, 28, 28), none, (9, 8), threshold=0.5).dtype == torch.bool


def test_twenty_eight_pixels_become_twenty_nine():
    mask, box = torch.ones(1, 28, 28), torch.tensor([[50.0, 50, 78, 78]])
    areas = [int(paste_masks(mask, box, (128, 128), r, 0.5).sum()) for r in RULES]
    assert areas == [841, 784]


def test_paste_equals_torchvision():
    boxes, masks = random_boxes(60, 100, 2) - 15, torch.rand(60, 28, 28)
    boxes[0] = torch.tensor([-5.0, -5, 130, 120])  # larger than the image
    boxes[1, 2:] = boxes[1, :2]  # no area
    kept = (boxes[:, 2:] > 2).all(1) & (boxes[:, :2] < 90).all(1)  # torchvision dies off the image
    boxes, masks = boxes[kept], masks[kept]
    found = paste_masks(masks, boxes, (100, 110), rule="torchvision")
    expected = paste_masks_in_image(masks[:, None], boxes, (100, 110))[:, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    decided = (expected - 0.5).abs() > 1e-6
    assert torch.equal(
        paste_masks(masks, boxes, (100, 110), threshold=0.5)[decided], (expected >= 0.5)[decided]
    )


def test_pixel_centres_equals_grid_sample():
    """detectron2's rule: sample the mask at the centre of every pixel of the image."""
    boxes, masks = random_boxes(25, 60, 3).double() - 5, torch.rand(25, 14, 14).double()
    boxes[:, 2:] += 0.3
    h, w = 50, 64
    y = (torch.arange(h) + 0.5 - boxes[:, 1:2]) / (boxes[:, 3:] - boxes[:, 1:2]) * 2 - 1  # [N, H]
    x = (torch.arange(w) + 0.5 - boxes[:, 0:1]) / (boxes[:, 2:3] - boxes[:, 0:1]) * 2 - 1
    grid = torch.stack(
        [x[:, None].expand(-1, h, -1), y[:, :, None].expand(-1, -1, w)], dim=3
    )  # [N, H, W, 2]
    expected = F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]
    found = paste_masks(masks, boxes, (h, w), rule="pixel_centres")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_reference_backend(rule):
    boxes, masks = random_boxes(6, 14, 4) - 2, torch.rand(6, 5, 5)
    fast = paste_masks(masks, boxes, (14, 12), rule)
    fast_bool = paste_masks(masks, boxes, (14, 12), rule, threshold=0.5)
    with use_backend("reference"):
        slow = paste_masks(masks, boxes, (14, 12), rule)
        slow_bool = paste_masks(masks, boxes, (14, 12), rule, threshold=0.5)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-6)
    assert torch.equal(fast_bool, slow_bool)


@pytest.mark.parametrize("rule", RULES)
def test_empty_reversed_and_distant_boxes(rule):
    boxes = torch.tensor(
        [
            [5.0, 5, 5, 5],
            [9, 9, 4, 4],
            [500, 500, 600, 600],
            [-90, -90, -50, -50],
            [-1e6, 0, 1e6, 9],
        ]
    )
    out = paste_masks(torch.ones(5, 28, 28), boxes, (20, 30), rule, threshold=0.5)
    assert out.shape == (5, 20, 30)
    assert not out[2:4].any()
    assert out[4, 4].all()
    if rule == "pixel_centres":
        assert not out[:2].any()


@pytest.mark.parametrize("shape", ["disc", "bar", "ring"])
@pytest.mark.parametrize("diameter", [16, 40, 90])
def test_pasting_inverts_cropping(shape, diameter):
    """Through 28 x 28 and back: the best of the rules loses little, at any sub-pixel position."""
    worst = 1.0
    for shift in (0.0, 0.3, 0.7):
        mask = disc(diameter, 64 + shift, 128)
        if shape == "bar":
            mask[:, :, 70:] = 0
        if shape == "ring":
            mask = mask - disc(diameter / 2, 64 + shift, 128)
        rows, columns = mask[0].any(1).nonzero()[:, 0], mask[0].any(0).nonzero()[:, 0]
        box = torch.tensor([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]).float()
        target = crop_masks(mask, box, torch.tensor([0]), 28, aligned=True)
        again = paste_masks(target, box, (128, 128), "pixel_centres", threshold=0.5)
        worst = min(worst, iou(again, mask.bool()))
    assert worst >= 0.94


def test_the_two_half_pixels_cost_small_objects_most():
    """Claim E20: mean IoU of a small disc with itself under the four pairs of rules."""
    scores = {}
    for aligned in (False, True):
        for rule in RULES:
            found = []
            for step in range(5):
                mask = disc(12.6, 32 + step / 5, 64)
                rows, columns = mask[0].any(1).nonzero()[:, 0], mask[0].any(0).nonzero()[:, 0]
                box = torch.tensor([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]).float()
                target = crop_masks(mask, box, torch.tensor([0]), 28, aligned=aligned)
                pasted = paste_masks(target, box, (64, 64), rule, threshold=0.5)
                found.append(iou(pasted, mask.bool()))
            scores[aligned, rule] = sum(found) / len(found)
    assert scores[True, "pixel_centres"] > 0.999
    assert scores[False, "torchvision"] < 0.9
    assert scores[False, "torchvision"] < scores[True, "torchvision"] < 0.95
    assert scores[False, "torchvision"] < scores[False, "pixel_centres"] < 0.95


def test_mixed_precision_does_not_round_targets():
    mask, box = disc(40, 32, 64), torch.tensor([[12.0, 12, 52, 52]])
    plain = crop_masks(mask, box, torch.tensor([0]), 28)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(crop_masks(mask, box, torch.tensor([0]), 28), plain)
        pasted = paste_masks(plain, box, (64, 64))
    assert torch.equal(pasted, paste_masks(plain, box, (64, 64)))
