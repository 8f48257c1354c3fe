"""Average precision from zero: by hand, and equal to both libraries on random data sets."""

import contextlib
import io
import random

import numpy as np
import pytest
import torch

from mrcnn_lite.evaluation.average_precision import average_precision, match, sample_precision

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
SIDE = 140  # pixels of the pictures: objects of all three sizes fit


def test_a_curve_by_hand():
    """Right, wrong, right of four objects: precision 1 up to recall 1/4, 2/3 up to 1/2, then 0."""
    curve = sample_precision(np.array([True, False, True]), 4)
    assert curve[:26].tolist() == [1.0] * 26
    assert curve[26:51] == pytest.approx([2 / 3] * 25)
    assert curve[51:].tolist() == [0.0] * 50


def test_three_images_by_hand():
    """One class, three images: a hit of IoU .8, a miss, a second detection of a found object."""

    def image(objects, found, scores):
        one = torch.ones(len(objects), dtype=torch.int64)
        target = {"boxes": torch.tensor(objects), "labels": one, "iscrowd": one * 0}
        sides = target["boxes"][:, 2:] - target["boxes"][:, :2]
        target["area"] = sides.prod(1)
        labels = torch.ones(len(found), dtype=torch.int64)
        boxes = torch.tensor(found).reshape(-1, 4)
        return {"boxes": boxes, "labels": labels, "scores": torch.tensor(scores)}, target

    pairs = [
        image([[0.0, 0, 50, 50]], [[0.0, 0, 50, 40], [0, 0, 50, 50]], [0.9, 0.6]),
        image([[0.0, 0, 50, 50]], [[60.0, 60, 99, 99]], [0.8]),
        image([[10.0, 10, 60, 60]], [[10.0, 10, 60, 60]], [0.7]),
    ]
    figures = average_precision([d for d, _ in pairs], [t for _, t in pairs], "box")
    # In order: right (.8), wrong, right (1), double. At .50 to .80: precision 1 up to recall 1/3
    # (34 of 101 points), then 2/3 up to 2/3 (33 points).
    low = (34 + 33 * 2 / 3) / 101
    # At .85 and above the first does not fit: wrong, wrong, right, then the double is right too:
    # precision 1/3, 2/4, so 1/2 up to recall 2/3 (67 points).
    high = 67 * 0.5 / 101
    assert figures["AP50"] == pytest.approx(low)
    assert figures["AP"] == pytest.approx((7 * low + 3 * high) / 10)
    assert np.isnan(figures["APs"]) and figures["APl"] != figures["APl"]
    assert figures["APm"] == pytest.approx(figures["AP"])


def test_the_later_of_two_equal_objects_is_taken_and_a_crowd_again_and_again():
    iou = np.array([[0.7, 0.7, 0.9], [0.7, 0.6, 0.9], [0.2, 0.2, 0.9], [0.1, 0.1, 0.9]])
    crowd = np.array([False, False, True])
    assert match(iou, crowd, crowd, np.array([0.5])).tolist() == [[1, 0, 2, 2]]


def data_set(seed: int) -> tuple[list[dict], list[dict]]:
    """Detections and objects of a few random pictures with everything that is awkward."""
    r = random.Random(seed)
    detections, targets = [], []
    crowded = r.random() < 0.15
    for _ in range(r.randint(1, 5)):
        objects = 0 if r.random() < 0.2 else r.randint(1, 6)
        found = 0 if r.random() < 0.2 else r.randint(1, 130 if crowded else 9)
        boxes = [rectangle(r) for _ in range(objects)]
        # Half of the detections are an object moved by a few pixels, some not moved at all.
        near = [
            shift(r, r.choice(boxes)) if boxes and r.random() < 0.6 else rectangle(r)
            for _ in range(found)
        ]
        classes = 1 if crowded else 3
        targets.append(
            as_arrays(boxes)
            | {
                "labels": torch.tensor([r.randint(1, classes) for _ in boxes], dtype=torch.int64),
                "iscrowd": torch.tensor([int(r.random() < 0.2) for _ in boxes], dtype=torch.uint8),
            }
        )
        detections.append(
            as_arrays(near)
            | {
                "labels": torch.tensor([r.randint(1, classes) for _ in near], dtype=torch.int64),
                "scores": torch.tensor([r.randint(1, 10) / 10 for _ in near]).double(),
            }
        )
    return detections, targets


def rectangle(r: random.Random) -> list[int]:
    width, height = (r.choice([3, 8, 30, 32, 40, 96, 120]) for _ in range(2))
    x, y = r.randint(0, SIDE - width), r.randint(0, SIDE - height)
    return [x, y, x + width, y + height]


def shift(r: random.Random, box: list[int]) -> list[int]:
    x1, y1, x2, y2 = (v + r.choice([0, 0, 0, 1, -1, 3]) for v in box)
    x1, y1 = min(max(x1, 0), SIDE - 2), min(max(y1, 0), SIDE - 2)
    return [x1, y1, min(max(x2, x1 + 1), SIDE), min(max(y2, y1 + 1), SIDE)]


def as_arrays(boxes: list[list[int]]) -> dict:
    """Boxes, masks with a corner missing, and their areas."""
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
        mask[y1 : y1 + (y2 - y1) // 3, x1 : x1 + (x2 - x1) // 3] = 0
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        "masks": masks,
        "area": masks.sum((1, 2)).double(),
    }


def as_coco(detections: list[dict], targets: list[dict], kind: str) -> tuple[dict, list[dict]]:
    from pycocotools import mask as mask_api

    def outline(mask: torch.Tensor) -> dict:
        return mask_api.encode(np.asfortranarray(mask.numpy()))

    def xywh(box: torch.Tensor) -> list[float]:
        x1, y1, x2, y2 = box.tolist()
        return [x1, y1, x2 - x1, y2 - y1]

    truth: dict = {
        "images": [{"id": i + 1, "height": SIDE, "width": SIDE} for i in range(len(targets))],
        "categories": [{"id": k, "name": str(k)} for k in (1, 2, 3)],
        "annotations": [],
        "info": {},
    }
    found = []
    for number, (detection, target) in enumerate(zip(detections, targets, strict=True), start=1):
        for row in range(len(target["labels"])):
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": number,
                    "category_id": int(target["labels"][row]),
                    "bbox": xywh(target["boxes"][row]),
                    "area": float(target["area"][row]),
                    "iscrowd": int(target["iscrowd"][row]),
                    "segmentation": outline(target["masks"][row]),
                }
            )
        for row in range(len(detection["labels"])):
            shape = (
                {"bbox": xywh(detection["boxes"][row])}
                if kind == "box"
                else {"segmentation": outline(detection["masks"][row])}
            )
            found.append(
                {
                    "image_id": number,
                    "category_id": int(detection["labels"][row]),
                    "score": float(detection["scores"][row]),
                    **shape,
                }
            )
    return truth, found


def libraries(truth: dict, found: list[dict], kind: str) -> list[np.ndarray]:
    """The twelve figures of pycocotools and of faster-coco-eval; -1 where there is nothing."""
    import copy

    import faster_coco_eval
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    name, answers = {"box": "bbox", "mask": "segm"}[kind], []
    with contextlib.redirect_stdout(io.StringIO()):
        objects = COCO()
        objects.dataset = copy.deepcopy(truth)
        objects.createIndex()
        evaluation = COCOeval(objects, objects.loadRes(copy.deepcopy(found)), name)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        answers.append(np.array(evaluation.stats[:12]))
        objects = faster_coco_eval.COCO(copy.deepcopy(truth))
        results = objects.loadRes(copy.deepcopy(found))
        evaluation = faster_coco_eval.COCOeval_faster(
            objects, results, name, print_function=lambda *words: None
        )
        evaluation.run()
        answers.append(np.array(evaluation.stats[:12]))
    return answers


@pytest.mark.parametrize("sets", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["box", "mask"])
def test_equals_both_libraries_on_random_sets(kind, sets):
    pytest.importorskip("pycocotools")
    measured = seed = 0
    while measured < sets:
        seed += 1
        detections, targets = data_set(seed)
        truth, found = as_coco(detections, targets, kind)
        if not truth["annotations"] or not found:
            continue  # the libraries refuse these; see the test below
        ours = average_precision(detections, targets, kind)
        mine = np.nan_to_num(np.array([ours[name] for name in NAMES]), nan=-1.0)
        for theirs in libraries(truth, found, kind):
            assert np.abs(mine - theirs).max() <= 1e-9, (seed, dict(zip(NAMES, mine - theirs)))
        measured += 1


def test_nothing_to_measure_and_nothing_found():
    _, targets = data_set(3)
    empty = as_arrays([]) | {"labels": torch.zeros(0, dtype=torch.int64)}
    nothing = empty | {"scores": torch.zeros(0)}
    no_object = empty | {"iscrowd": torch.zeros(0, dtype=torch.uint8)}
    assert all(np.isnan(v) for v in average_precision([nothing], [no_object]).values())
    some = [t | {"iscrowd": t["iscrowd"] * 0} for t in targets]
    found = average_precision([nothing] * len(some), some)
    assert found["AP"] == 0 and found["AR100"] == 0


def test_order_and_scale_of_scores_do_not_matter():
    detections, targets = data_set(12)
    before = average_precision(detections, targets, "box")
    changed = [d | {"scores": torch.exp(3 * d["scores"]) - 1} for d in detections]
    assert average_precision(changed, targets, "box") == pytest.approx(before, nan_ok=True)
    perfect = [t | {"scores": torch.ones(len(t["labels"]))} for t in targets]
    alone = [t | {"iscrowd": t["iscrowd"] * 0} for t in targets]
    assert average_precision(perfect, alone, "mask")["AP"] == 1.0


def test_bad_arguments_are_named():
    detections, targets = data_set(0)
    with pytest.raises(ValueError, match="kind is 'outline'"):
        average_precision(detections, targets, "outline")
    with pytest.raises(ValueError, match="images of detections"):
        average_precision([], targets)
