"""The keypoint branch: targets, loss and decoders against loops, torchvision and tiny answers."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.detection import keypoint_rcnn, roi_heads

from mrcnn_lite.models.keypoint_head import (
    KeypointHead,
    KeypointRCNNPredictor,
    decode_keypoints,
    keypoint_loss,
    keypoint_targets,
    peak_offset,
)

BOXES = torch.tensor([[10.0, 20, 42, 52], [0, 0, 7, 90], [3.25, 4.5, 30, 11]], dtype=torch.float64)


def random_points(boxes, number=9, seed=0):
    """Points in and around boxes, of every visibility."""
    g = torch.Generator().manual_seed(seed)
    share = torch.rand(len(boxes), number, 2, generator=g, dtype=boxes.dtype) * 1.2 - 0.1
    xy = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
    v = torch.randint(0, 3, (len(boxes), number, 1), generator=g)
    return torch.cat([xy, v], dim=2)


def random_logits(size, n=5, k=3, seed=1):
    return torch.randn(
        k, n, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def peaks_at(places, size, sharpness=2.0):
    """Log-probabilities of round peaks at x, y [..., 2], in cells: [..., M, M]."""
    line = torch.arange(size, dtype=torch.float64) + 0.5
    x = (line - places[..., 0, None]) ** 2
    y = (line - places[..., 1, None]) ** 2
    return -(y[..., :, None] + x[..., None, :]) / sharpness**2


def keypoint_targets_loop(keypoints, boxes, size):
    """`keypoint_targets`, one point at a time."""
    cells = torch.zeros(keypoints.shape[:2], dtype=torch.int64)
    valid = torch.zeros(keypoints.shape[:2], dtype=torch.bool)
    for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        for n, (x, y, v) in enumerate(keypoints[k].tolist()):
            if v > 0 and x1 <= x < x2 and y1 <= y < y2:
                column, row = int((x - x1) * size / (x2 - x1)), int((y - y1) * size / (y2 - y1))
                cells[k, n], valid[k, n] = row * size + column, True
    return cells, valid


def decode_keypoints_loop(logits, boxes):
    """`decode_keypoints` with the quadratic fit, one map at a time: Tensor[K, N, 3]."""
    size = logits.shape[-1]
    points = torch.zeros(*logits.shape[:2], 3, dtype=logits.dtype)
    for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        for n, logit in enumerate(logits[k]):
            row, column = divmod(int(logit.argmax()), size)
            x, y = column + 0.5, row + 0.5
            if 0 < column < size - 1:
                x += peak_offset(*logit[row, column - 1 : column + 2])
            if 0 < row < size - 1:
                y += peak_offset(*logit[row - 1 : row + 2, column])
            places = logit.flatten().softmax(dim=0).view(size, size)  # [M, M]
            nine = places[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            x, y = x1 + x / size * (x2 - x1), y1 + y / size * (y2 - y1)
            points[k, n] = torch.tensor([x, y, nine.sum()])
    return points


def test_same_branch_as_torchvisions_and_same_initial_weights():
    torch.manual_seed(3)
    ours = nn.Sequential(KeypointHead(8, (16, 16)), KeypointRCNNPredictor(16, 5))
    torch.manual_seed(3)
    theirs = nn.Sequential(
        keypoint_rcnn.KeypointRCNNHeads(8, (16, 16)), keypoint_rcnn.KeypointRCNNPredictor(16, 5)
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=0, atol=0)
    x = torch.randn(2, 8, 14, 14)
    assert ours(x).shape == (2, 5, 56, 56)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)


def test_targets_by_hand():
    """A box of 8 x 4 pixels and 4 x 4 cells: a cell is 2 wide and 1 high."""
    box = torch.tensor([[10.0, 20, 18, 24]])
    points = torch.tensor(
        [[[10.0, 20, 2], [13.9, 21.5, 1], [17.99, 23.99, 2], [9.9, 21, 2], [12, 22, 0]]]
    )
    cells, valid = keypoint_targets(points, box, 4)
    assert cells.tolist() == [[0, 5, 15, 0, 0]]
    assert valid.tolist() == [[True, True, True, False, False]]


def test_targets_are_the_loops_and_torchvisions():
    points = random_points(BOXES)
    for size in (7, 56):
        ours = keypoint_targets(points, BOXES, size)
        for one, other in zip(ours, keypoint_targets_loop(points, BOXES, size), strict=True):
            assert torch.equal(one, other)
        cells, valid = roi_heads.keypoints_to_heatmap(points, BOXES, size)
        assert torch.equal(ours[0], cells) and torch.equal(ours[1].long(), valid)
    assert 0 < int(ours[1].sum()) < ours[1].numel()


def test_a_point_on_the_right_edge_is_outside_unless_torchvisions_rule_is_asked_for():
    x1, y1, x2, y2 = BOXES[0].tolist()
    points = torch.tensor([[[x2, y1, 2], [x1, y2, 2], [x1, y1, 2]]], dtype=torch.float64)
    assert keypoint_targets(points, BOXES[:1], 56)[1].tolist() == [[False, False, True]]
    ours = keypoint_targets(points, BOXES[:1], 56, closed_edge=True)
    cells, valid = roi_heads.keypoints_to_heatmap(points, BOXES[:1], 56)
    assert torch.equal(ours[0], cells) and torch.equal(ours[1].long(), valid)
    assert ours[0].tolist() == [[55, 55 * 56, 0]]


def test_a_point_one_rounding_before_the_edge_has_the_last_cell():
    box = torch.tensor([[0.1, 0.1, 0.7, 0.7]])
    before = torch.nextafter(box[0, 2], torch.tensor(0.0))
    cells, valid = keypoint_targets(before.expand(1, 1, 3), box, 56)
    assert valid.all() and cells.tolist() == [[56 * 56 - 1]]


def test_a_box_without_size_has_no_cell():
    """Padded rows of a batch."""
    cells, valid = keypoint_targets(torch.ones(1, 2, 3), torch.ones(1, 4), 56)
    assert not valid.any() and not cells.any()


def test_loss_of_equal_logits_is_the_logarithm_of_the_number_of_places():
    cells, valid = keypoint_targets(random_points(BOXES), BOXES, 56)
    loss = keypoint_loss(torch.zeros(3, 9, 56, 56), cells, valid)
    assert float(loss) == pytest.approx(math.log(3136), abs=1e-5)


def test_loss_is_the_loops_and_torchvisions_and_hidden_points_count():
    points, logits = random_points(BOXES), random_logits(56, 9)
    cells, valid = keypoint_targets(points, BOXES, 56)
    assert {1, 2} == set(points[..., 2][valid].int().tolist())
    loss = keypoint_loss(logits, cells, valid)
    loop = [
        logits[k, n].logsumexp((0, 1)) - logits[k, n].flatten()[cells[k, n]]
        for k in range(3)
        for n in range(9)
        if valid[k, n]
    ]
    torch.testing.assert_close(loss, sum(loop) / len(loop), rtol=1e-12, atol=0)
    theirs = roi_heads.keypointrcnn_loss(logits, [BOXES], [points], [torch.arange(3)])
    torch.testing.assert_close(loss, theirs, rtol=1e-12, atol=0)


def test_without_a_valid_point_the_loss_is_zero_and_in_the_graph():
    logits = torch.full((1, 2, 4, 4), -1e30, requires_grad=True)
    cells, valid = torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2, dtype=torch.bool)
    loss = keypoint_loss(logits, cells, valid)
    loss.backward()
    assert math.copysign(1, loss.item()) == 1 and loss.item() == 0  # torchvision's is -0.0
    assert not logits.grad.any()
    assert keypoint_loss(logits[:0], cells[:0], valid[:0]).item() == 0


def test_loss_refuses_what_would_broadcast():
    with pytest.raises(ValueError, match=r"\(2, 5, 4, 4\), \(2, 5\), \(5,\); give"):
        keypoint_loss(torch.zeros(2, 5, 4, 4), torch.zeros(2, 5), torch.ones(5, dtype=torch.bool))


def test_gradcheck():
    cells, valid = keypoint_targets(random_points(BOXES[:1], 6), BOXES[:1], 2)
    logits = random_logits(2, 6, 1).requires_grad_()
    assert valid.any() and not valid.all()
    assert torch.autograd.gradcheck(lambda x: keypoint_loss(x, cells, valid), (logits,))


def test_peak_of_three_values_by_hand():
    """-(x - 0.25)^2 at -1, 0 and 1; then a border, a plateau and a lonely peak."""
    before = torch.tensor([-1.5625, -torch.inf, 2.0, -torch.inf], dtype=torch.float64)
    peak = torch.tensor([-0.0625, 1.0, 2.0, 0.0], dtype=torch.float64)
    after = torch.tensor([-0.5625, 0.0, 2.0, -torch.inf], dtype=torch.float64)
    assert peak_offset(before, peak, after).tolist() == [0.25, 0, 0, 0]


def test_decoder_finds_the_middle_of_a_smooth_peak():
    """Exact for a parabola; also after the branch's own bilinear enlargement."""
    g = torch.Generator().manual_seed(0)
    places = torch.rand(3, 5, 2, generator=g, dtype=torch.float64) * 48 + 4  # of 56 cells
    sides = (BOXES[:, 2:] - BOXES[:, :2])[:, None]
    wanted = BOXES[:, None, :2] + places / 56 * sides
    small = F.interpolate(peaks_at(places / 2, 28), scale_factor=2.0, mode="bilinear")
    for logits in (peaks_at(places, 56), small):
        found, scores = decode_keypoints(logits, BOXES)
        torch.testing.assert_close(found[..., :2], wanted, rtol=0, atol=1e-9)
        assert torch.equal(found[..., 2], scores)
        centre, _ = decode_keypoints(logits, BOXES, "centre")
        off = ((centre - found)[..., :2].abs() / sides * 56).amax()
        assert 0.4 < off <= 0.5 + 1e-9  # cells


def test_decoder_is_the_loops():
    logits = random_logits(7)
    logits[0, 0] = 0
    logits[0, 1, 0, 3] = logits[1, 1, 6, 6] = 9  # at the border
    found, _ = decode_keypoints(logits, BOXES)
    torch.testing.assert_close(found, decode_keypoints_loop(logits, BOXES), rtol=1e-9, atol=1e-9)


def test_scores_are_probabilities_that_the_box_does_not_change():
    logits = random_logits(56)
    logits[0, 0, 5, 5] = 30
    scores = decode_keypoints(logits, BOXES)[1]
    assert ((scores > 0) & (scores <= 1)).all() and float(scores[0, 0]) > 0.999
    again = decode_keypoints(logits + 100, BOXES * 3)[1]
    torch.testing.assert_close(again, scores)


def test_torchvisions_decoder():
    boxes = torch.cat([BOXES, torch.tensor([[5.0, 5, 5.5, 90]], dtype=torch.float64)]).float()
    logits = random_logits(56, k=4).float()
    ours = decode_keypoints(logits, boxes, "torchvision")
    for one, other in zip(ours, roi_heads.heatmaps_to_keypoints(logits, boxes), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert (ours[0][..., 2] == 1).all()


@pytest.mark.parametrize("decoder", ["quadratic", "centre", "torchvision"])
def test_no_rois(decoder):
    points, scores = decode_keypoints(torch.zeros(0, 5, 56, 56), torch.zeros(0, 4), decoder)
    assert points.shape == (0, 5, 3) and scores.shape == (0, 5)


def test_an_unknown_decoder_is_named():
    with pytest.raises(ValueError, match="decoder is 'cubic'; give quadratic or centre or"):
        decode_keypoints(torch.zeros(1, 1, 4, 4), torch.ones(1, 4), "cubic")
