"""Drawn corners: where the picture has them, named the same at any angle, fairly labelled."""

import numpy as np
import pytest
import torch

from mrcnn_lite.datasets import KeypointShapes
from mrcnn_lite.datasets.keypoint_shapes import CORNERS, FLIP_PAIRS, NAMES, SIGMAS
from mrcnn_lite.datasets.masks import mask_boxes


@pytest.fixture(scope="module")
def targets():
    dataset = KeypointShapes(200, seed=7)
    return [dataset[index][1] for index in range(200)]


@pytest.fixture(scope="module")
def objects(targets):
    """(class name, keypoints [5, 3], mask [H, W]) of every object."""
    kinds = list(CORNERS)
    return [
        (kinds[label - 1], points, mask)
        for target in targets
        for label, points, mask in zip(target["labels"], target["keypoints"], target["masks"])
    ]


def test_form_of_a_sample(targets):
    image, target = KeypointShapes(3, seed=7)[2]
    again, same = KeypointShapes(None, seed=7)[2]
    assert torch.equal(image, again) and torch.equal(target["keypoints"], same["keypoints"])
    assert image.shape == (3, 128, 128) and 0 <= image.min() <= image.max() <= 1
    for t in targets:
        points = t["keypoints"]
        assert points.shape == (len(t["labels"]), len(NAMES), 3)
        assert points.dtype == torch.float32
        boxes, tight = t["boxes"], torch.from_numpy(mask_boxes(t["masks"].numpy()))
        assert (boxes[:, :2] <= tight[:, :2]).all() and (boxes[:, 2:] >= tight[:, 2:]).all()
        assert boxes.dtype == torch.float32 and (boxes >= 0).all() and (boxes <= 128).all()
        unknown = points[..., 2] == 0
        assert (points[unknown] == 0).all()
        inside = (points[..., :2] >= 0) & (points[..., :2] < 128)
        assert inside.all()
    assert len(SIGMAS) == len(NAMES) and {i for pair in FLIP_PAIRS for i in pair} <= {0, 1, 2, 3, 4}


def test_no_corner_lies_near_an_edge_of_its_box_but_at_the_image_s(targets):
    for t in targets:
        sides = (t["boxes"][:, 2:] - t["boxes"][:, :2])[:, None]  # [G, 1, 2]
        share = (t["keypoints"][..., :2] - t["boxes"][:, None, :2]) / sides
        cut = ((t["boxes"] == 0) | (t["boxes"] == 128)).any(dim=1)
        inside = ((share > 0.09) & (share < 0.91)).all(dim=2)
        assert (inside | cut[:, None] | (t["keypoints"][..., 2] == 0)).all()


def test_every_visibility_occurs_and_absent_corners_are_unknown(objects):
    seen = torch.cat([points[:, 2] for _, points, _ in objects])
    counts = torch.bincount(seen.long(), minlength=3)
    assert (counts > 50).all(), counts
    for kind, points, _ in objects:
        absent = [NAMES.index(name) for name in NAMES if name not in CORNERS[kind]]
        assert (points[absent] == 0).all()


def test_seen_corners_lie_at_the_edge_of_the_mask(objects):
    """A disc of 3 px around a convex corner holds some of the object, but more of others."""
    shares = []
    y, x = np.mgrid[:128, :128] + 0.5
    for _, points, mask in objects:
        for px, py, v in points.tolist():
            near = np.hypot(x - px, y - py) < 3
            if v == 2 and near.sum() > 26:  # not cut by the border
                shares.append(float(mask.numpy()[near].mean()))
    assert len(shares) > 400
    assert min(shares) > 0 and max(shares) < 0.6


def test_an_unhidden_object_lies_between_its_corners(objects):
    """The corners' extremes are the mask's box, to a pixel: wrong coordinates cannot pass."""
    checked = 0
    for kind, points, mask in objects:
        if (points[:, 2] == 2).sum() < len(CORNERS[kind]):
            continue
        spots = points[points[:, 2] == 2][:, :2]
        box = torch.from_numpy(mask_boxes(mask[None].numpy()))[0]
        corners = torch.cat([spots.amin(0), spots.amax(0)])
        assert (corners - box).abs().max() < 2.5, (kind, corners, box)
        checked += 1
    assert checked > 200


def test_left_and_right_are_the_pictures_where_the_head_is_up(objects):
    """Clockwise: head, right hand, right foot, left foot, left hand."""
    order = [NAMES.index(n) for n in ("head", "right hand", "right foot", "left foot", "left hand")]
    for _, points, _ in objects:
        x, y = points[order][points[order][:, 2] > 0][:, :2].double().T
        if len(x) > 2:
            area = (x * y.roll(-1) - x.roll(-1) * y).sum()
            assert area > 0, "clockwise with y downwards"


def test_the_dot_is_nearest_to_the_head():
    """In the picture: of a star's seen tips the head is the one that the dot is nearest to."""
    dataset = KeypointShapes(60, seed=5)
    right = total = 0
    for index in range(60):
        image, target = dataset[index]
        for label, points, mask in zip(target["labels"], target["keypoints"], target["masks"]):
            if label != 1 or (points[[0, 3, 4], 2] < 2).any():
                continue  # whole triangles
            inside = image[:, mask.bool()]  # [3, N]
            odd = (inside - inside.median(1).values[:, None]).norm(dim=0)
            rows, columns = mask.nonzero().T
            weight = odd * (odd > 0.5 * odd.max())
            dot = torch.stack([(columns + 0.5) * weight, (rows + 0.5) * weight]).sum(1)
            gaps = (points[[0, 3, 4], :2] - dot / weight.sum()).norm(dim=1)
            right, total = right + int(gaps.argmin() == 0), total + 1
    assert total > 20 and right >= 0.9 * total, (right, total)
