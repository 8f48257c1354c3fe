"""The confusion matrix: made by hand, and with one class against average precision's recall."""

import numpy as np
import pytest
import torch

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.evaluation.average_precision import (
    AREAS,
    MOST,
    by_class,
    overlap,
    precision_and_recall,
)
from mrcnn_lite.evaluation.confusion import confusion_matrix, precision_recall_f1


def found(boxes, labels, scores):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {
        "boxes": boxes,
        "labels": torch.tensor(labels, dtype=torch.int64),
        "scores": torch.tensor(scores),
    }


def truth(boxes, labels, crowd=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    crowd = torch.tensor(crowd or [0] * len(boxes))
    return {"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64), "iscrowd": crowd}


A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]


def test_by_hand():
    """A is found, B confused, C missed; a box on nothing, a double, one too weak."""
    objects = truth([A, B, C], [1, 1, 2])
    boxes = [A, B, [50, 50, 60, 60], [0, 0, 10, 9], C]
    answers = found(boxes, [1, 2, 2, 1, 2], [0.9, 0.8, 0.7, 0.6, 0.4])
    matrix = confusion_matrix([answers], [objects], 3, kind="box")
    assert matrix.tolist() == [[0, 1, 1], [0, 1, 1], [1, 0, 0]]
    precision, recall, f1 = precision_recall_f1(matrix)
    assert precision.tolist() == [0.5, 0.0]
    assert recall.tolist() == [0.5, 0.0]
    assert f1.tolist() == [0.5, 0.0]
    weaker = confusion_matrix([answers], [objects], 3, score_threshold=0.4, kind="box")
    assert weaker.tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 1]]


def test_a_better_score_takes_the_object_whatever_its_class():
    answers = found([A, A], [2, 1], [0.9, 0.8])
    matrix = confusion_matrix([answers], [truth([A], [1])], 3, kind="box")
    assert matrix.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_crowds_count_neither_way():
    objects = truth([A, B], [1, 1], crowd=[1, 0])
    answers = found([[1, 1, 9, 9], [0, 0, 5, 5]], [1, 2], [0.9, 0.8])
    matrix = confusion_matrix([answers], [objects], 3, kind="box")
    assert matrix.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_nothing_found_and_nothing_there():
    nothing = found([], [], [])
    assert confusion_matrix([nothing], [truth([A], [1])], 2, kind="box").tolist() == [
        [0, 0],
        [1, 0],
    ]
    empty = truth([], [])
    matrix = confusion_matrix([found([A], [1], [0.9])], [empty], 2, kind="box")
    assert matrix.tolist() == [[0, 1], [0, 0]]
    precision, recall, f1 = precision_recall_f1(torch.zeros(2, 2, dtype=torch.int64))
    assert precision.isnan() and recall.isnan() and f1.isnan()


@pytest.mark.parametrize("seed", range(3))
def test_masks_of_one_class_give_the_recall_of_average_precision(seed):
    """With one class there is nothing to confuse: recall at IoU 0.5 is COCO's AR at 0.5."""
    shapes, random = Shapes(6, seed=seed), torch.Generator().manual_seed(seed)
    answers, targets = [], []
    for index in range(len(shapes)):
        target = {**shapes[index][1]}
        target["labels"] = torch.ones_like(target["labels"])
        shift = int(torch.randint(0, 12, (), generator=random))
        masks = target["masks"].roll(shift, dims=2)
        scores = torch.rand(len(masks), generator=random)
        answers.append({**target, "masks": masks[:, None].float(), "scores": scores})
        targets.append(target)
    matrix = confusion_matrix(answers, targets, 2, score_threshold=0.0)
    assert int(matrix[1].sum()) == sum(len(t["labels"]) for t in targets)

    def compare(d, mine, t, theirs):
        return overlap(d["masks"][mine], t["masks"][theirs], np.zeros(len(theirs), bool))

    images = [by_class(a, t, compare)[1] for a, t in zip(answers, targets) if len(t["labels"])]
    reached = precision_and_recall(images, AREAS["all"], MOST)[1][0]
    _, recall, _ = precision_recall_f1(matrix)
    assert np.isclose(float(recall), reached)


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match="choose 'mask' or 'box'"):
        confusion_matrix([], [], 2, kind="pixels")
    with pytest.raises(ValueError, match="1 images of detections, 0 of targets"):
        confusion_matrix([found([A], [1], [0.9])], [], 2)
