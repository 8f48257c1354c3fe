"""Average precision: perfect is 1, nothing is 0, and the figures are pycocotools' figures."""

import contextlib
import copy
import io
import math

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn_lite.datasets.shapes import Shapes
from mrcnn_lite.evaluation import coco as evaluation
from mrcnn_lite.evaluation.coco import METRICS, evaluate, evaluate_detections

COUNT = 12


class Fixed:
    """A list of samples as a data set."""

    class_names = Shapes.class_names

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


@pytest.fixture(scope="module")
def dataset():
    source = Shapes(COUNT, seed=5)
    return Fixed([source[index] for index in range(COUNT)])


def perfect(dataset):
    return [
        {
            "boxes": target["boxes"],
            "labels": target["labels"],
            "scores": torch.linspace(1, 0.5, len(target["labels"])),
            "masks": target["masks"][:, None].float(),
        }
        for _, target in (dataset[index] for index in range(len(dataset)))
    ]


def rows(detection, chosen):
    return {key: value[chosen] for key, value in detection.items()}


def noisy(dataset, seed, most=6):
    """Detections that are right, shifted, of the wrong class, doubled or missing."""
    random = np.random.default_rng(seed)
    found = []
    for detection in perfect(dataset):
        count = len(detection["labels"])
        chosen = random.integers(0, count, random.integers(0, most)) if count else []
        detection = rows(detection, torch.as_tensor(chosen, dtype=torch.int64))
        for row in range(len(chosen)):
            shift = tuple(random.integers(-4, 5, 2).tolist())
            detection["masks"][row] = detection["masks"][row].roll(shift, (1, 2)) * 0.6
            detection["boxes"][row] += torch.tensor([shift[1], shift[0]] * 2)
            if random.random() < 0.2:
                detection["labels"][row] = random.integers(1, 6)
        # rounded, so that ties occur
        detection["scores"] = torch.from_numpy(random.random(len(chosen)).round(1)).float()
        found.append(detection)
    return found


def test_perfect_is_one(dataset):
    result = evaluate_detections(perfect(dataset), dataset)
    assert result["images"] == COUNT
    for kind in ("mask", "box"):
        assert list(result[kind]) == list(METRICS)
        assert result[kind]["AP"] == pytest.approx(1)
        assert result[kind]["AP75"] == pytest.approx(1)
        assert math.isnan(result[kind]["APl"])  # no object of over 96 x 96 pixels


def test_nothing_is_zero(dataset):
    nothing = [rows(detection, slice(0, 0)) for detection in perfect(dataset)]
    result = evaluate_detections(nothing, dataset)
    assert result["mask"]["AP"] == result["box"]["AP50"] == 0
    empty = Fixed([sample for sample in dataset.samples if not len(sample[1]["labels"])][:1])
    result = evaluate_detections(perfect(empty), empty)
    assert math.isnan(result["mask"]["AP"])


def test_half_is_half():
    # One class, two objects, one found: precision 1 up to recall 0.5; 51 of the 101 recalls.
    image, target = Shapes(1, seed=2)[0]
    target["labels"][:] = 1
    data = Fixed([(image, {k: v[:2] if torch.is_tensor(v) else v for k, v in target.items()})])
    result = evaluate_detections([rows(perfect(data)[0], [0])], data)
    assert result["mask"]["AP"] == pytest.approx(51 / 101)


def test_crowds_count_neither_way(dataset):
    samples = copy.deepcopy(dataset.samples)
    index = next(i for i, (_, target) in enumerate(samples) if len(target["labels"]) >= 3)
    samples[index][1]["iscrowd"][0] = 1
    data = Fixed(samples)
    found = perfect(data)
    assert evaluate_detections(found, data)["mask"]["AP"] == pytest.approx(1)
    found[index] = rows(found[index], slice(1, None))  # the crowd is not found
    assert evaluate_detections(found, data)["mask"]["AP"] == pytest.approx(1)


def test_the_mask_threshold_is_reached_at_one_half(dataset):
    found = perfect(dataset)
    for detection in found:
        detection["masks"] = detection["masks"] * 0.1 + 0.4  # 0.5 inside, 0.4 outside
    assert evaluate_detections(found, dataset)["mask"]["AP"] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(12))
def test_equals_pycocotools(dataset, seed, monkeypatch):
    samples = copy.deepcopy(dataset.samples)
    for _, target in samples[seed % 3 :: 3]:
        target["iscrowd"][-1:] = 1
    data, captured = Fixed(samples), []
    found = noisy(data, seed, most=6 if seed else 150)  # seed 0: more than 100 in an image
    inner = evaluation._average_precision

    def keep(truth, found, kind):
        captured.append((copy.deepcopy(truth), copy.deepcopy(found), kind))
        return inner(truth, found, kind)

    monkeypatch.setattr(evaluation, "_average_precision", keep)
    ours = evaluate_detections(found, data)
    for (truth, results, kind), name in zip(captured, ("mask", "box"), strict=True):
        if not results:
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            objects = COCO()
            objects.dataset = truth
            objects.createIndex()
            unused = "segmentation" if kind == "bbox" else "bbox"
            for row in results:
                row.pop(unused)
            peer = COCOeval(objects, objects.loadRes(results), kind)
            peer.evaluate()
            peer.accumulate()
            peer.summarize()
        for metric, value in zip(METRICS, peer.stats, strict=False):
            expected = float("nan") if value < 0 else value
            assert ours[name][metric] == pytest.approx(expected, abs=1e-12, nan_ok=True), metric


class Oracle(torch.nn.Module):
    """A model that knows the answers by heart."""

    def __init__(self, answers):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.answers, self.calls = list(answers), []

    def forward(self, images):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.calls.append(len(images))
        first = sum(self.calls[:-1])
        return self.answers[first : first + len(images)]


def test_evaluate_runs_the_model(dataset, capsys):
    model, seen = Oracle(perfect(dataset)).train(), []
    result = evaluate(model, dataset, batch_size=5, progress=lambda it: (seen.append(1), it)[1])
    assert result["mask"]["AP"] == pytest.approx(1)
    assert result["images"] == COUNT
    assert model.calls == [5, 5, 2]
    assert seen == [1]
    assert model.training, "the mode is restored"
    few = Oracle(perfect(dataset))
    assert evaluate(few, dataset, limit=3)["images"] == 3
    assert capsys.readouterr().out == ""


def test_one_detection_list_per_image(dataset):
    with pytest.raises(ValueError, match=f"1 images, dataset {COUNT}"):
        evaluate_detections(perfect(dataset)[:1], dataset)
