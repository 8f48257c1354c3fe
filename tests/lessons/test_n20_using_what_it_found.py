"""Notebook 20: drawn coins, the photograph's truth, stored runs, explorer, exercises."""

import numpy as np
import pytest
import torch
from explorer_tools import check_controls

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.evaluation.coco import evaluate
from mrcnn_lite.evaluation.confusion import confusion_matrix
from mrcnn_lite.lessons.kit.detections import stand_in
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n20_using_what_it_found import coins, photograph, runs, scenes
from mrcnn_lite.lessons.n20_using_what_it_found.explorer import OneThreshold, explore_threshold
from mrcnn_lite.models import load_weights


@pytest.mark.parametrize("drawing", coins.DRAWINGS)
def test_drawn_coins_lie_beside_one_another(drawing):
    drawn = coins.DrawnCoins(4, 5, drawing)
    for index in range(len(drawn)):
        image, target = drawn[index]
        assert torch.equal(image, drawn[index][0])
        assert torch.equal(image[0], image[1]) and image.min() >= 0 and image.max() <= 1
        assert target["masks"].sum(dim=0).max() <= 1
        assert (target["area"] > 0).all()
    with pytest.raises(IndexError):
        drawn[4]


def test_each_drawing_adds_what_it_says():
    table = {d: coins.DrawnCoins(3, 5, d)[0][0][0] for d in coins.DRAWINGS}
    inner = {d: coins.DrawnCoins(3, 5, d)[0][1]["masks"].sum(dim=0).bool() for d in coins.DRAWINGS}
    spread = {d: (table[d][~inner[d]].std(), table[d][inner[d]].std()) for d in coins.DRAWINGS}
    even = 1.2 * coins.NOISE  # anti-aliased edges are more than noise
    assert spread["plain"][0] < even and spread["relief"][0] < even
    assert spread["background"][0] > even and spread["both"][0] > even
    assert coins.DrawnCoins(1, 5, size=256)[0][1]["area"].numel() > 8


def test_a_coin_at_the_border_is_drawn_in_its_part():
    for index in range(6):
        image, target = coins.DrawnCoins(6, 9, "plain")[index]
        for mask in target["masks"].bool():
            assert abs(image[0][mask].std()) < 0.05  # one grey, so the mask fits what is drawn


def test_the_photograph_has_24_coins():
    image, target = photograph.coins_photograph()
    assert image.shape == (3, 303, 384) and len(target["labels"]) == 24
    assert target["area"].min() > 1000 and target["masks"].sum(dim=0).max() == 1
    with pytest.raises(IndexError):
        photograph.OnePhotograph()[1]


def test_stored_runs_are_complete_and_the_networks_are_theirs():
    rows = {(r["drawing"], r["seed"]): r for r in runs.read_results("drawing")}
    assert set(rows) == {(d, seed) for d in coins.DRAWINGS for seed in runs.SEEDS}
    pictures = {(r["pictures"], r["turned"], r["seed"]) for r in runs.read_results("pictures")}
    counts = [(0 if c == runs.ENDLESS else c, False) for c in runs.PICTURES] + [(runs.TURNED, True)]
    assert pictures == {(*count, seed) for count in counts for seed in runs.SEEDS}
    for drawing in ("plain", "both"):
        net, names = load_weights(runs.weights_file(drawing))
        net.transform.min_size = runs.PHOTOGRAPH_SIDE
        ap = evaluate(net, photograph.OnePhotograph())["mask"]["AP"]
        assert names == coins.CLASS_NAMES
        assert ap == pytest.approx(rows[drawing, 0]["photograph"]["AP"], abs=0.02)


def test_a_run_looks_at_every_step_and_gives_the_average():
    seen = []
    net = runs.trained(coins.DrawnCoins(4, 0), 0, 2, look=lambda run, step, _: seen.append(step))
    assert seen == [1, 2] and not net.training
    again = runs.trained(coins.DrawnCoins(4, 0), 0, 2)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters()))


def test_scenes():
    shapes = Shapes(3, seed=4)
    half, grey = (scenes.Changed(shapes, change) for change in (scenes.halved, scenes.greyed))
    image, target = shapes[1]
    small, less = half[1]
    assert small.shape == (3, 64, 64) and less["masks"].shape[1:] == (64, 64)
    assert torch.allclose(4 * less["area"], target["area"], rtol=0.2)
    assert torch.equal(*grey[1][0][:2]) and len(grey) == 3
    dot = torch.zeros(1, 9, 9, dtype=torch.uint8)
    dot[0, 4, 4] = 1
    assert scenes.widened(dot, 2).sum() == 25
    film = scenes.frames(image, target, side=32, step=16, count=3)
    assert torch.equal(film[1][0], image[:, :32, 16:48])
    for frame, who, masks in film:
        assert frame.shape == (3, 32, 32) and len(who) == len(masks)
        share = masks.sum(dim=(1, 2)) / target["area"][who]
        assert (share >= scenes.MIN_SHARE).all()


def explore():
    shapes = Shapes(4, seed=3)
    samples = [shapes[i] for i in range(4)]
    found = [stand_in(*sample).detections for sample in samples]
    return explore_threshold(samples, found, shapes.class_names)


def test_every_control_changes_picture_and_numbers():
    check_controls(explore, {"score": 0.9, "iou": 0.8, "image": 1}, only_text=("iou",))


def test_the_explorers_numbers_are_the_packages():
    shapes = Shapes(4, seed=3)
    samples = [shapes[i] for i in range(4)]
    found = [stand_in(*sample).detections for sample in samples]
    state = OneThreshold(samples, found, shapes.class_names)
    for score in (0.1, 0.6):
        matrix = confusion_matrix(found, [t for _, t in samples], 6, score)
        assert torch.equal(state.at(score, 0.5), matrix)
        objects = int(matrix[1:].sum())
        assert np.isclose(state.figures(score)["recall"], int(matrix.diagonal().sum()) / objects)


@pytest.mark.parametrize("exercise", ["20-f1", "20-tiles"])
def test_exercises_answer_anything(exercise):
    grade = find(exercise).grade
    assert grade(None).message.startswith("Not yet")
    assert "ZeroDivisionError" in grade(lambda *given: 1 / 0).message
    assert "not numbers" in grade(lambda *given: "a word").message
    assert "function itself" in grade(17).message
