"""What a network confuses, at one score threshold: the matrix that users decide with.

Average precision looks at all score thresholds at once; whoever uses a network chooses one.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .average_precision import match, overlap


def confusion_matrix(
    detections: Sequence[dict[str, Tensor]],
    targets: Sequence[dict[str, Tensor]],
    num_classes: int,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.5,
    kind: str = "mask",
) -> Tensor:
    """Count which class was found for objects of which class.

    Best score first, each detection takes the free object, of *any* class, that it overlaps most,
    if by at least the threshold. (Average precision looks at the objects of its class only.) What
    fits a crowd region and nothing else is not counted.

    Args:
        detections: per image labels [N], scores [N] and masks [N, H, W] or [N, 1, H, W] in 0..1
            (or boxes [N, 4]).
        targets: per image labels [G], iscrowd [G] and masks [G, H, W] (or boxes [G, 4]).
        num_classes: C, the background counted in.
        score_threshold, iou_threshold: of a detection that counts, and of a match.
        kind: "mask" or "box": what overlaps are measured on.

    Returns:
        int64[C, C]: row the true class, column the class found. Column 0 holds the objects that
        were missed, row 0 the detections that fit no free object.

    Raises:
        ValueError: an unknown kind, or different numbers of images.
    """
    if kind not in (parts := {"mask": "masks", "box": "boxes"}):
        raise ValueError(f"kind is {kind!r}; choose 'mask' or 'box'")
    if len(detections) != len(targets):
        raise ValueError(f"{len(detections)} images of detections, {len(targets)} of targets")
    matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)  # [C, C]
    for found, truth in zip(detections, targets, strict=True):
        order = found["scores"].argsort(descending=True, stable=True)
        order = order[found["scores"][order] >= score_threshold]  # [N]
        crowd = truth["iscrowd"].bool().numpy()  # [G]
        _, iou = overlap(found[parts[kind]][order], truth[parts[kind]], crowd)  # [N, G]
        labels = found["labels"][order]
        matrix += tally(labels, truth["labels"], iou, crowd, num_classes, iou_threshold)
    return matrix


def tally(
    labels: Tensor, objects: Tensor, iou: np.ndarray, crowd: np.ndarray, classes: int, least: float
) -> Tensor:
    """Return one image's matrix int64[C, C] from the classes of its detections [N], best first, and
    of its objects [G], their overlaps [N, G], which are crowds [G], C and the smallest overlap."""
    matrix = torch.zeros(classes, classes, dtype=torch.int64)  # [C, C]
    matched = match(iou, crowd, crowd, np.array([least]))[0]  # [N], -1 for none
    truth = [*objects.tolist(), 0]  # the appended one is nothing
    for label, row in zip(labels.tolist(), matched.tolist()):
        if row < 0 or not crowd[row]:
            matrix[truth[row], label] += 1
    for row in set(range(len(crowd))) - set(matched.tolist()):
        matrix[truth[row], 0] += int(not crowd[row])
    return matrix


def precision_recall_f1(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Read a confusion matrix int64[C, C] class by class.

    Returns:
        precision, the share of what was found of a class that is right; recall, the share of its
        objects that were found as such; F1, their harmonic mean: float64[C - 1] each, NaN where
        there is nothing to divide by.
    """
    right = matrix.diagonal()[1:].double()  # [C - 1]
    found, objects = matrix.sum(dim=0)[1:], matrix.sum(dim=1)[1:]  # [C - 1] each
    return right / found, right / objects, 2 * right / (found + objects)
