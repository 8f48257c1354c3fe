"""COCO's average precision from scratch, for reading; `evaluation.coco` computes the same faster.

A detection is right when it overlaps an object of its class enough, and no better detection has
taken that object. Going through the detections of all images from the best score down, precision is
the share of right ones so far, recall the share of objects found so far. Average precision (AP) is
the mean over 101 recalls of the best precision that is reached at that recall or beyond.

Rules that surprise, all of them COCO's:

- Detections look for objects one image and one class at a time, best score first; each takes the
  free object that it overlaps most (of equals the later one), if by at least the threshold.
- Only the best 100 detections of an image *and class* count (or the best 1 or 10, for recall).
- Crowd regions are neither found nor missed. A detection that fits no free object may lie on one,
  any number of them may, and then counts neither as right nor as wrong. The overlap with a crowd is
  the share of the *detection* that lies inside.
- AP of an area range ignores the objects outside it, and detections outside it that match none.
- Of equal scores the earlier image comes first. Classes without any object take no part.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..ops import box_area

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
SMALL, MEDIUM, HUGE = 32.0**2, 96.0**2, 1e10  # square pixels
AREAS = {"all": (0, HUGE), "s": (0, SMALL), "m": (SMALL, MEDIUM), "l": (MEDIUM, HUGE)}
MOST = 100  # detections per image and class
MASK_THRESHOLD = 0.5


def average_precision(
    detections: Sequence[dict[str, Tensor]],
    targets: Sequence[dict[str, Tensor]],
    kind: str = "mask",
) -> dict[str, float]:
    """Compute COCO's twelve figures.

    Args:
        detections: per image boxes [N, 4], labels [N], scores [N] and, for masks, masks [N, H, W]
            or [N, 1, H, W] (probabilities, or 0 and 1).
        targets: per image boxes [G, 4], labels [G], iscrowd [G], area [G] and masks [G, H, W].
        kind: "mask" or "box": what overlaps are measured on.

    Returns:
        AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl; NaN where there is nothing
        to measure on.

    Raises:
        ValueError: an unknown kind, or different numbers of images.
    """
    if kind not in ("mask", "box"):
        raise ValueError(f"kind is {kind!r}; choose 'mask' or 'box'")
    if len(detections) != len(targets):
        raise ValueError(f"{len(detections)} images of detections, {len(targets)} of targets")
    part = "boxes" if kind == "box" else "masks"

    def compare(d: dict, mine: Tensor, t: dict, theirs: Tensor) -> tuple[np.ndarray, np.ndarray]:
        return overlap(d[part][mine], t[part][theirs], t["iscrowd"][theirs].bool().numpy())

    pairs = [by_class(d, t, compare) for d, t in zip(detections, targets, strict=True)]

    def figures(area: str, limit: int = MOST) -> tuple[np.ndarray, np.ndarray]:
        return over_classes(pairs, AREAS[area], limit)

    precision, recall = figures("all")  # [classes, thresholds, 101] and so on
    result = {"AP": precision, "AP50": precision[:, 0], "AP75": precision[:, 5]}
    by_area = {name: figures(name) for name in ("s", "m", "l")}
    result |= {f"AP{name}": values[0] for name, values in by_area.items()}
    result |= {f"AR{limit}": figures("all", limit)[1] for limit in (1, 10)}
    result |= {"AR100": recall} | {f"AR{name}": values[1] for name, values in by_area.items()}
    return {name: float(np.mean(values)) for name, values in result.items()}


def over_classes(
    pairs: Sequence[dict[int, tuple[dict, dict]]], area: tuple[float, float], limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """The curves of all classes that have an object to find.

    Args:
        pairs: each image by class, see `by_class`.
        area, limit: see `precision_and_recall`.

    Returns:
        Precision [classes, thresholds, 101] and recall [classes, thresholds]; NaN without objects.
    """
    labels = sorted({label for image in pairs for label, (_, t) in image.items() if len(t["area"])})
    classes = [[image[label] for image in pairs if label in image] for label in labels]
    curves = [precision_and_recall(images, area, limit) for images in classes]
    curves = [curve for curve in curves if curve is not None]
    if not curves:
        return np.full((1, 10, 101), np.nan), np.full((1, 10), np.nan)
    return np.stack([p for p, _ in curves]), np.stack([r for _, r in curves])


def precision_and_recall(
    images: Sequence[tuple[dict, dict]], area: tuple[float, float], limit: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The curve of one class over all images.

    Args:
        images: (detections, objects) of each image, see `by_class`.
        area: smallest and largest area that counts, both included.
        limit: detections per image that count.

    Returns:
        Precision at the 101 recalls [T, 101] and the largest recall [T], for each IoU threshold;
        None when no object counts.
    """
    scores, right, counted, total = [], [], [], 0
    for detections, objects in images:
        ignored = objects["ignored"] | _outside(objects["area"], area)  # [G]
        matched = match(detections["iou"][:limit], objects["crowd"], ignored)  # [thresholds, N]
        on_ignored = np.append(ignored, False)[matched]  # [thresholds, N]; -1 is the appended one
        aside = on_ignored | ((matched < 0) & _outside(detections["area"][:limit], area))
        scores.append(detections["scores"][:limit])
        right.append((matched >= 0) & ~aside)
        counted.append(~aside)
        total += int((~ignored).sum())
    if total == 0:
        return None
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right, counted = (np.concatenate(part, axis=1)[:, order] for part in (right, counted))
    curves = [sample_precision(r[c], total) for r, c in zip(right, counted, strict=True)]
    return np.stack(curves), right.sum(axis=1) / total


def sample_precision(right: np.ndarray, total: int) -> np.ndarray:
    """Precision at 101 recalls, of which the mean is the average precision.

    Args:
        right: bool [N], whether each detection is right, best score first.
        total: objects that there are to find.

    Returns:
        [101], at each recall the best precision reached there or further on; 0 beyond the end.
    """
    hits = np.cumsum(right)  # [N]
    precision = hits / np.arange(1, len(right) + 1)
    # From the right: a later, higher precision can be had at every smaller recall as well.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]  # [N]
    first = np.searchsorted(hits / total, RECALLS)  # [101], the detection that reaches the recall
    return np.append(envelope, 0.0)[np.minimum(first, len(right))]


def match(
    iou: np.ndarray,
    crowd: np.ndarray,
    ignored: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
) -> np.ndarray:
    """Let the detections of one image and class choose their objects, best score first.

    Args:
        iou: [N, G], rows in order of the score.
        crowd: bool [G]; a crowd may be taken again and again.
        ignored: bool [G]; taken only by detections that fit nothing else.
        thresholds: [T].

    Returns:
        [T, N] the object of each detection, -1 for none.
    """
    matched = np.full((len(thresholds), len(iou)), -1)
    groups = np.flatnonzero(~ignored), np.flatnonzero(ignored)  # in order of choice
    for row, threshold in zip(matched, thresholds, strict=True):
        free = np.ones(len(crowd), dtype=bool)
        for n, overlaps in enumerate(iou):
            for group in groups:
                candidates = group[free[group] & (overlaps[group] >= min(threshold, 1 - 1e-10))]
                if len(candidates):
                    # The last of the largest: argmax of the reversed list.
                    best = candidates[::-1][np.argmax(overlaps[candidates[::-1]])]
                    row[n], free[best] = best, crowd[best]
                    break
    return matched


def _outside(areas: np.ndarray, area: tuple[float, float]) -> np.ndarray:
    return (areas < area[0]) | (areas > area[1])


def by_class(
    detection: dict[str, Tensor],
    target: dict[str, Tensor],
    compare: Callable[[dict, Tensor, dict, Tensor], tuple[np.ndarray, np.ndarray]],
    most: int = MOST,
) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
    """Sort one image by class: detections, best first, with their overlaps; objects.

    Args:
        detection, target: the image's; `target["ignored"]`, if any, says which objects need not be
            found, else its crowds are those.
        compare: called with the detection and some of its rows, the target and some of its rows;
            gives areas of detections [N] and overlaps [N, G].
        most: detections per class that count.

    Returns:
        For each class ({"scores": [N], "area": [N], "iou": [N, G]}, {"area": [G], "crowd": [G],
        "ignored": [G]}).
    """
    result = {}
    for label in {*detection["labels"].tolist(), *target["labels"].tolist()}:
        mine = (detection["labels"] == label).nonzero()[:, 0]  # [N]
        order = np.argsort(-detection["scores"][mine].double().numpy(), kind="stable")
        mine = mine[order.copy()][:most]
        theirs = (target["labels"] == label).nonzero()[:, 0]  # [G]
        areas, iou = compare(detection, mine, target, theirs)
        scores = detection["scores"][mine].double().numpy()
        detections = {"scores": scores, "area": areas, "iou": iou}
        crowd, ignored = (
            flags[theirs].bool().numpy()
            for flags in (target["iscrowd"], target.get("ignored", target["iscrowd"]))
        )
        area = target["area"][theirs].double().numpy()
        objects = {"area": area, "crowd": crowd, "ignored": ignored}
        result[label] = detections, objects
    return result


def overlap(
    detections: Tensor, objects: Tensor, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Areas of detections and their overlaps with the objects.

    Args:
        detections: boxes [N, 4] or masks [N, H, W] or [N, 1, H, W].
        objects: boxes [G, 4] or masks [G, H, W].
        crowd: bool [G]; there the overlap is the share of the detection that lies inside.

    Returns:
        Areas [N] and overlaps [N, G], float64.
    """
    if detections.ndim == 2:
        a, b = detections.double(), objects.double()
        sides = torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])
        both = sides.clamp(min=0).prod(dim=2).numpy()  # [N, G]
        area, area_b = box_area(a).numpy(), box_area(b).numpy()  # [N], [G]
    else:
        a, b = (m.flatten(1).double() for m in (detections >= MASK_THRESHOLD, objects != 0))
        both = (a @ b.T).numpy()  # [N, G]
        area, area_b = a.sum(dim=1).numpy(), b.sum(dim=1).numpy()  # [N], [G]
    total = np.where(crowd, area[:, None], area[:, None] + area_b - both)  # [N, G]
    return area, np.divide(both, total, out=np.zeros_like(both), where=total > 0)
