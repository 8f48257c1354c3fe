"""From the heads' numbers to detections, on cases small enough to follow by hand."""

import torch

from mrcnn_lite.config import BoxConfig, lite
from mrcnn_lite.models.postprocess import select_detections, select_masks, to_original_size

SIZE = torch.tensor([100.0, 100.0])


def logits(*scores: list[float]) -> torch.Tensor:
    """Logits whose softmax is the given scores (background first)."""
    return torch.tensor(scores).log()


def test_threshold_and_order():
    proposals = torch.tensor([[0.0, 0, 10, 10], [50.0, 50, 70, 70]])
    class_logits = logits([0.4, 0.58, 0.02], [0.1, 0.2, 0.7])
    found = select_detections(class_logits, torch.zeros(2, 3, 4), proposals, SIZE, BoxConfig())
    assert found["labels"].tolist() == [2, 1, 1]
    torch.testing.assert_close(found["scores"], torch.tensor([0.7, 0.58, 0.2]))
    assert found["boxes"][0].tolist() == [50, 50, 70, 70]


def test_a_box_rivals_its_own_class_only():
    proposals = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 9]])
    same = logits([0.1, 0.9, 1e-6], [0.2, 0.8, 1e-6])
    other = logits([0.1, 0.9, 1e-6], [0.2, 1e-6, 0.8])
    deltas = torch.zeros(2, 3, 4)
    count = [
        len(select_detections(case, deltas, proposals, SIZE, BoxConfig())["boxes"])
        for case in (same, other)
    ]
    assert count == [1, 2]


def test_boxes_are_clipped_and_the_tiny_dropped():
    proposals = torch.tensor([[90.0, 90, 120, 120], [200.0, 200, 220, 220]])
    class_logits = logits([0.1, 0.9], [0.1, 0.9])
    found = select_detections(class_logits, torch.zeros(2, 2, 4), proposals, SIZE, BoxConfig())
    assert found["boxes"].tolist() == [[90, 90, 100, 100]]


def test_no_proposal_no_detection():
    empty = torch.zeros(0, 4)
    found = select_detections(torch.zeros(0, 3), torch.zeros(0, 3, 4), empty, SIZE, BoxConfig())
    assert found["boxes"].shape == (0, 4)
    assert found["labels"].dtype == torch.int64


def test_the_box_branchs_class_picks_the_mask():
    mask_logits = torch.zeros(2, 3, 1, 1)
    mask_logits[0, 1], mask_logits[1, 2] = 5.0, -5.0
    labels = torch.tensor([1, 2])
    picked = select_masks(mask_logits, labels, competition="sigmoid")
    torch.testing.assert_close(picked.flatten(), torch.tensor([5.0, -5.0]).sigmoid())
    # With competition the same logit means less: the other classes take their share.
    rival = select_masks(mask_logits, labels, competition="softmax")
    assert rival[0] < picked[0]
    one = select_masks(mask_logits[:, :1], labels, competition="sigmoid")
    assert one.flatten().tolist() == [0.5, 0.5]


def test_detections_return_to_the_original_size():
    detection = {
        "boxes": torch.tensor([[2.0, 4, 6, 8]]),
        "labels": torch.tensor([1]),
        "scores": torch.tensor([0.9]),
        "mask_probabilities": torch.ones(1, 4, 4),
    }
    found = to_original_size(detection, (10.0, 20.0), (20, 40), lite())
    assert found["boxes"].tolist() == [[4, 8, 12, 16]]
    assert found["masks"].shape == (1, 1, 20, 40)
    assert int((found["masks"] >= 0.5).sum()) == 64
