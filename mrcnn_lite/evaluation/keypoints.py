"""COCO's average precision of keypoints (OKS-AP) from scratch, for any number of points.

What the intersection over union is for boxes, the object keypoint similarity (OKS) is for points:
exp(-d² / (2 s² k²)), averaged over the object's labelled points, where d is the distance in pixels,
s² the object's area, and k = 2σ the tolerance of the point. All else is as in `average_precision`,
with other rules where they surprise:

- Points of visibility 0 are left out; 1 (hidden) and 2 (seen) count alike.
- An object without a labelled point is ignored as a crowd is, but taken only once; its OKS measures
  how far the points are outside a box three times as wide and high around its own.
- Only the best 20 detections of an image and class count, and there is no figure for small objects.
- The area of a detection is that of the box around its points.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .average_precision import AREAS, by_class, over_classes

MOST = 20  # detections per image and class
# COCO's tolerances of a person's 17 points: nose, eyes, ears, shoulders, elbows, wrists, hips,
# knees, ankles.
PERSON_SIGMAS = [0.026] + [
    sigma for sigma in (0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089) for _ in "lr"
]


def object_keypoint_similarity(
    found: Tensor, truth: Tensor, boxes: Tensor, area: Tensor, sigmas: Sequence[float]
) -> Tensor:
    """OKS of every detection with every object.

    Args:
        found: detected points [N, points, 2 or 3], x and y in pixels; what follows is not used.
        truth: the objects' points [G, points, 3]: x, y, visibility.
        boxes: of the objects [G, 4].
        area: of the objects [G], in square pixels.
        sigmas: one tolerance per point.

    Returns:
        [N, G], float64, 0 to 1.

    Raises:
        ValueError: another number of points than of sigmas.
    """
    k2 = (2 * torch.tensor(sigmas, dtype=torch.float64)) ** 2  # [points]
    for name, points in {"found": found, "truth": truth}.items():
        if points.shape[1] != len(k2):
            raise ValueError(f"{name} has {points.shape[1]} points, sigmas {len(k2)}; give as many")
    xy = found[:, None, :, :2].double()  # [N, 1, points, 2]
    off = xy - truth[..., :2].double()  # [N, G, points, 2]
    labelled = truth[..., 2] > 0  # [G, points]
    unknown = ~labelled.any(dim=1)  # [G]
    corners = boxes.double()[:, None]  # [G, 1, 4]
    low, high = corners[..., :2], corners[..., 2:]
    side = high - low
    outside = (low - side - xy).clamp(min=0) + (xy - high - side).clamp(min=0)
    off = torch.where(unknown[:, None, None], outside, off)  # [N, G, points, 2]
    s2 = area.double()[:, None] + np.spacing(1)  # [G, 1]
    each = torch.exp(-off.square().sum(dim=3) / k2 / s2 / 2)  # [N, G, points]
    counts = labelled | unknown[:, None]  # [G, points]
    return (each * counts).sum(dim=2) / counts.sum(dim=1)  # [N, G]


def keypoint_average_precision(
    detections: Sequence[dict[str, Tensor]],
    targets: Sequence[dict[str, Tensor]],
    sigmas: Sequence[float],
) -> dict[str, float]:
    """Compute COCO's ten figures of keypoints.

    Args:
        detections: per image keypoints [N, points, 2 or 3], labels [N] and scores [N].
        targets: per image keypoints [G, points, 3], boxes [G, 4], labels, iscrowd and area [G].
        sigmas: one tolerance per point.

    Returns:
        AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl; NaN where there is nothing to measure
        on.

    Raises:
        ValueError: different numbers of images, or of points and sigmas.
    """
    if len(detections) != len(targets):
        raise ValueError(f"{len(detections)} images of detections, {len(targets)} of targets")

    def compare(d: dict, mine: Tensor, t: dict, theirs: Tensor) -> tuple[np.ndarray, np.ndarray]:
        points = d["keypoints"][mine]  # [N, points, 3]
        truth = (t[name][theirs] for name in ("keypoints", "boxes", "area"))
        low, high = torch.aminmax(points[..., :2].double(), dim=1)  # [N, 2]
        area = (high - low).prod(dim=1).numpy()  # [N]
        return area, object_keypoint_similarity(points, *truth, sigmas).numpy()

    pairs = []
    for detection, target in zip(detections, targets, strict=True):
        unknown = ~(target["keypoints"][..., 2] > 0).any(dim=1)  # [G]
        target = {**target, "ignored": target["iscrowd"].bool() | unknown}
        pairs.append(by_class(detection, target, compare, MOST))
    result = {}
    for area in ("all", "m", "l"):
        precision, recall = over_classes(pairs, AREAS[area], MOST)
        suffix = "" if area == "all" else area
        result |= {f"AP{suffix}": precision, f"AR{suffix}": recall}
        if area == "all":
            for name, row in (("50", 0), ("75", 5)):
                result |= {f"AP{name}": precision[:, row], f"AR{name}": recall[:, row]}
    order = [kind + name for kind in ("AP", "AR") for name in ("", "50", "75", "m", "l")]
    return {name: float(np.mean(result[name])) for name in order}
