"""OKS and OKS-AP from zero: by hand, as a loop, and equal to pycocotools on random data sets."""

import contextlib
import io
import math
import random

import numpy as np
import pytest
import torch

from mrcnn_lite.evaluation.keypoints import (
    PERSON_SIGMAS,
    keypoint_average_precision,
    object_keypoint_similarity,
)

NAMES = ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]
SIDE = 200


def oks_loop(found, truth, box, area, sigmas):
    """OKS of one detection with one object, as COCO's evaluation page and code say."""
    total = count = 0
    x1, y1, x2, y2 = box
    known = any(v > 0 for _, _, v in truth)
    for (x, y), (tx, ty, v), sigma in zip(found, truth, sigmas, strict=True):
        if known and v == 0:
            continue
        dx, dy = x - tx, y - ty
        if not known:  # outside of three boxes side by side
            dx = max(0, x1 - (x2 - x1) - x) + max(0, x - x2 - (x2 - x1))
            dy = max(0, y1 - (y2 - y1) - y) + max(0, y - y2 - (y2 - y1))
        total += math.exp(-(dx * dx + dy * dy) / (2 * area * (2 * sigma) ** 2))
        count += 1
    return total / count


def data_set(seed):
    """Images with ties, crowds, objects without labelled points, several classes and points."""
    r = random.Random(seed)
    points = r.choice([1, 2, 5, 17])
    sigmas = PERSON_SIGMAS if points == 17 else [r.choice([0.03, 0.05, 0.1]) for _ in range(points)]
    detections, targets = [], []
    for _ in range(r.randint(1, 5)):
        there, found = [], []
        for _ in range(r.randint(0, 5)):
            width, height = (r.choice([20, 40, 70, 130]) for _ in range(2))
            x, y = r.randint(0, SIDE - width), r.randint(0, SIDE - height)
            labels = [r.choice([0, 1, 2, 2]) for _ in range(points)] if r.random() < 0.8 else None
            where = [(x + r.random() * width, y + r.random() * height) for _ in range(points)]
            spots = [
                (px, py, v) if v else (0.0, 0.0, 0)
                for (px, py), v in zip(where, labels or [0] * points, strict=True)
            ]
            row = {"boxes": [x, y, x + width, y + height], "keypoints": spots}
            row |= {"area": width * height * r.choice([0.5, 0.8]), "labels": r.randint(1, 2)}
            there.append(row | {"iscrowd": int(r.random() < 0.15)})
            for _ in range(r.choice([0, 1, 1, 1, 2, 9])):
                off = r.choice([0.0, 1.0, 3.0, 10.0])
                moved = [(px + r.gauss(0, off), py + r.gauss(0, off), 1.0) for px, py in where]
                label = row["labels"] if r.random() < 0.9 else r.randint(1, 2)
                found.append({"keypoints": moved, "labels": label, "scores": r.randint(1, 10) / 10})
        targets.append(as_tensors(there, points))
        detections.append(as_tensors(found, points))
    return detections, targets, sigmas


def as_tensors(rows, points):
    shapes = {"boxes": (-1, 4), "keypoints": (-1, points, 3)}
    kinds = {"labels": torch.int64, "iscrowd": torch.uint8}
    return {
        name: torch.tensor([row.get(name, 0) for row in rows if name in row] or [])
        .to(kinds.get(name, torch.float64))
        .reshape(shapes.get(name, (-1,)))
        for name in ("boxes", "keypoints", "labels", "area", "iscrowd", "scores")
    }


def pycocotools(detections, targets, sigmas):
    """pycocotools' ten figures; -1 where there is nothing to measure."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = {"images": [], "annotations": [], "info": {}}
    truth["categories"] = [{"id": k, "name": str(k)} for k in (1, 2)]
    found = []
    for number, (d, t) in enumerate(zip(detections, targets, strict=True), start=1):
        truth["images"].append({"id": number, "height": SIDE, "width": SIDE})
        for i in range(len(t["labels"])):
            x1, y1, x2, y2 = t["boxes"][i].tolist()
            truth["annotations"].append({
                "id": len(truth["annotations"]) + 1,
                "image_id": number,
                "category_id": int(t["labels"][i]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": float(t["area"][i]),
                "iscrowd": int(t["iscrowd"][i]),
                "keypoints": t["keypoints"][i].flatten().tolist(),
                "num_keypoints": int((t["keypoints"][i, :, 2] > 0).sum()),
            })  # fmt: skip
        found += [
            {"image_id": number, "category_id": label, "score": score, "keypoints": points}
            for label, score, points in zip(
                d["labels"].tolist(), d["scores"].tolist(), d["keypoints"].flatten(1).tolist()
            )
        ]
    if not truth["annotations"] or not found:
        return None  # it refuses these
    with contextlib.redirect_stdout(io.StringIO()):
        objects = COCO()
        objects.dataset = truth
        objects.createIndex()
        evaluation = COCOeval(objects, objects.loadRes(found), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.array(evaluation.stats)


def test_a_point_by_hand():
    """Area 400, σ 0.05: s = 20, k = 0.1, so 2 px off is one tolerance: exp(-1/2)."""
    found = torch.tensor([[[12.0, 10.0], [30.0, 30.0]]])
    truth = torch.tensor([[[10.0, 10.0, 2], [30.0, 30.0, 1]]])
    box, area = torch.tensor([[10.0, 10, 30, 30]]), torch.tensor([400.0])
    sigmas = [0.05, 0.05]
    both = object_keypoint_similarity(found, truth, box, area, sigmas)
    assert float(both) == pytest.approx((math.exp(-0.5) + 1) / 2, abs=1e-12)
    truth[0, 1, 2] = 0  # not labelled: only the first point counts
    one = object_keypoint_similarity(found, truth, box, area, sigmas)
    assert float(one) == pytest.approx(math.exp(-0.5), abs=1e-12)
    with pytest.raises(ValueError, match="found has 2 points, sigmas 1"):
        object_keypoint_similarity(found, truth, box, area, [0.05])


def test_tensor_form_is_the_loop():
    pairs = 0
    for seed in range(10):
        detections, targets, sigmas = data_set(seed)
        for d, t in zip(detections, targets, strict=True):
            truth = t["keypoints"], t["boxes"], t["area"]
            fast = object_keypoint_similarity(d["keypoints"], *truth, sigmas)
            assert fast.shape == (len(d["labels"]), len(t["labels"]))
            for n, g in np.ndindex(*fast.shape):
                points = d["keypoints"][n, :, :2].tolist()
                spots, box, area = (part[g].tolist() for part in truth)
                assert float(fast[n, g]) == pytest.approx(
                    oks_loop(points, spots, box, area, sigmas), abs=1e-12
                )
                pairs += 1
    assert pairs > 100


def test_equals_pycocotools_on_200_random_sets():
    pytest.importorskip("pycocotools")
    measured = seed = 0
    while measured < 200:
        seed += 1
        detections, targets, sigmas = data_set(seed)
        theirs = pycocotools(detections, targets, sigmas)
        if theirs is None:
            continue
        ours = keypoint_average_precision(detections, targets, sigmas)
        assert list(ours) == NAMES
        mine = np.nan_to_num(np.array(list(ours.values())), nan=-1.0)
        assert np.abs(mine - theirs).max() <= 1e-9, (seed, dict(zip(NAMES, mine - theirs)))
        measured += 1


def test_perfect_nothing_and_bad():
    _, targets, sigmas = data_set(4)
    for t in targets:
        t["iscrowd"] = t["iscrowd"] * 0
        t["keypoints"][..., 2] = 2  # points (0, 0) that are called known
    perfect = [{**t, "scores": torch.ones(len(t["labels"]))} for t in targets]
    assert keypoint_average_precision(perfect, targets, sigmas)["AP"] == 1.0
    nothing = [{name: value[:0] for name, value in p.items()} for p in perfect]
    assert keypoint_average_precision(nothing, targets, sigmas)["AP"] == 0.0
    assert math.isnan(keypoint_average_precision(nothing, nothing, sigmas)["AP"])
    with pytest.raises(ValueError, match="0 images of detections"):
        keypoint_average_precision([], targets, sigmas)


def test_sigmas_of_a_person_are_cocos():
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    assert evaluation.Params("keypoints").kpt_oks_sigmas.round(3).tolist() == PERSON_SIGMAS
