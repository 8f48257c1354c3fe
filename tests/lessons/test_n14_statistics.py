"""Notebook 14's statistics: equal to what they stand for, and right as often as they promise."""

import itertools
import json

import numpy as np
import pytest
from explorer_tools import check_controls

from mrcnn_lite.lessons.n14_paper_tables import runs
from mrcnn_lite.lessons.n14_paper_tables.explorer import explore_rows
from mrcnn_lite.lessons.n14_paper_tables.pictures import forest
from mrcnn_lite.lessons.n14_paper_tables.statistics import (
    Study,
    draw_images,
    draw_seeds,
    interval,
    sign_flip_p,
    verdict,
    weighted_ap,
)

ROW = {"hypothesis": "more", "margin": 0.02}
SAME = {"hypothesis": "no difference", "margin": 0.02}


def some_detections(random, images=12, number=150, skill=0.6):
    """Detections that know nothing of objects but how many there are; scores are all different."""
    objects = np.zeros((images, 4), dtype=int)
    objects[:, 1:] = np.random.default_rng(images).integers(0, 3, (images, 3))  # in every run
    found = {"image": np.sort(random.integers(images, size=number)).astype(np.uint8)}
    found["label"] = random.integers(1, 4, number).astype(np.uint8)
    found["score"] = random.permutation(number).astype(np.float32) / number
    for kind in ("mask", "box"):
        found[kind] = random.random((number, runs.THRESHOLDS)) < skill
        for image, label in itertools.product(range(images), (1, 2, 3)):  # no more than there are
            mine = np.flatnonzero((found["image"] == image) & (found["label"] == label))
            found[kind][mine[objects[image, label] :]] = False
        found[f"wrong {kind}"] = np.where(found[kind][:, 0], 0, random.integers(1, 3, number))
    return found, objects


def resample(found, objects, drawn):
    """The set of these images, one after the other, really written down."""
    where = [np.flatnonzero(found["image"] == image) for image in drawn]
    rows = np.concatenate(where)
    copies = np.concatenate([np.full(len(w), k) for k, w in enumerate(where)])
    return {name: value[rows] for name, value in found.items()} | {"image": copies}, objects[drawn]


def test_ap_from_weights_is_ap_of_the_resampled_images():
    random = np.random.default_rng(0)
    found, objects = some_detections(random)
    drawn = [np.arange(12), np.full(12, 3), *random.integers(12, size=(20, 12))]
    weights = np.stack([np.bincount(d, minlength=12) for d in drawn], axis=1)
    for kind in ("mask", "box"):
        aps = weighted_ap(found, objects, kind, weights)
        for ap, images in zip(aps.T, drawn):
            figures = runs.summary(*resample(found, objects, images), kind)
            wanted = [figures[name] for name in ("AP", "AP50", "AP75")]
            assert [ap.mean(), ap[0], ap[5]] == pytest.approx(wanted, abs=1e-5)  # 5 digits kept


def test_images_are_drawn_with_replacement_the_same_at_every_call():
    weights = draw_images(7, 500)
    assert weights.shape == (7, 500) and (weights.sum(axis=0) == 7).all()
    assert abs(weights.mean(axis=1) - 1).max() < 0.15
    assert abs((weights == 0).mean() - (6 / 7) ** 7) < 0.02
    assert (weights == draw_images(7, 500)).all()


@pytest.mark.parametrize("number", [1, 3, 5, 8])
def test_p_is_that_of_all_signs_tried(number):
    differences = np.random.default_rng(number).normal(0.3, 1, number)
    means = [np.dot(s, differences) for s in itertools.product((1, -1), repeat=number)]
    wanted = np.mean([abs(m) >= abs(sum(differences)) - 1e-12 for m in means])
    assert sign_flip_p(differences) == pytest.approx(wanted)
    assert sign_flip_p(abs(differences)) == pytest.approx(2 / 2**number)


def test_the_interval_is_efrons():
    replicates = np.arange(1000) / 1000
    assert interval(0.4995, replicates) == pytest.approx((0.025, 0.975), abs=2e-3)
    low, high = interval(0.3, replicates)  # 30 % below: z = -0.524, so ends at -3.009 and 0.911
    assert (low, high) == pytest.approx((0.00131, 0.8189), abs=2e-3)
    assert interval(0.2, np.full(50, 0.2)) == (0.2, 0.2)
    assert all(np.isfinite(interval(5.0, replicates)))


def test_the_interval_covers_about_as_often_as_it_says():
    random, seeds, images, rounds = np.random.default_rng(1), 8, 60, 400
    weights, covered = draw_images(images, rounds), []
    for _ in range(300):
        each = 0.3 * random.normal(size=(seeds, 1)) + 2 * random.normal(size=images)
        each = each + random.normal(size=(seeds, images))  # of a difference whose truth is 0
        low, high = interval(each.mean(), draw_seeds(each @ weights / images))
        covered.append(low < 0 < high)
    assert 0.90 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize(
    ("low", "high", "row", "words"),
    [
        (0.01, 0.05, ROW, "reproduced"),
        (-0.05, -0.01, ROW, "reversed"),
        (-0.01, 0.01, ROW, "no difference at this scale"),
        (0.005, 0.015, ROW, "no difference at this scale (+)"),
        (-0.015, -0.005, ROW, "no difference at this scale (-)"),
        (-0.01, 0.03, ROW, "undecided"),
        (-0.01, 0.01, SAME, "reproduced"),
        (0.005, 0.015, SAME, "reproduced (+)"),
        (0.01, 0.05, SAME, "undecided"),
        (0.03, 0.05, SAME, "reversed"),
        (-0.05, -0.03, SAME, "reversed"),
        (-0.05, 0.05, SAME, "undecided"),
    ],
)
def test_verdicts_are_the_plans(low, high, row, words):
    assert verdict(low, high, row, 8, 8) == words
    assert verdict(low, high, row, 7, 8) == "undecided (7 of 8 seeds)"


@pytest.fixture
def study(tmp_path):
    """Three rows: one with 3 of 3 seeds, one with 2, one with none; made-up detections."""
    random = np.random.default_rng(5)
    row = {"table": "2", "paper": {"metric": "AP", "first": 20.0, "second": 25.0}, **ROW}
    pairs = {"a": ("pool at 4", "lite"), "b": ("MLP", "lite"), "c": ("softmax", "lite")}
    rows = [
        row | {"name": name, "metric": "mask AP", "first": first, "second": second}
        for name, (first, second) in pairs.items()
    ]
    rows[2]["paper"] = {"metric": "not in the paper"}
    plan = {"seeds": 3, "first_seed": 0, "steps": 100, "images": 12, "rows": rows}
    (tmp_path / runs.PLAN).write_text(json.dumps(plan))
    (tmp_path / "detections").mkdir()
    lines = []
    for arm, seeds, skill in (("lite", 3, 0.9), ("pool at 4", 3, 0.4), ("MLP", 2, 0.9)):
        for seed in range(seeds):
            found, objects = some_detections(random, skill=skill)
            np.savez_compressed(runs.detections_file(arm, seed, tmp_path), **found)
            figures = {kind: runs.summary(found, objects, kind) for kind in ("mask", "box")}
            curve = [[50, 3.0, 0.6 - 0.01 * seed], [100, 2.0, 0.4 + skill / 10]]
            lines.append({"arm": arm, "seed": seed, "curve": curve, **figures})
    (tmp_path / runs.RESULTS).write_text("\n".join(map(json.dumps, lines)) + "\n")
    made = Study(tmp_path)
    made.objects = objects
    return made


def test_a_row_with_all_with_some_and_without_seeds(study):
    whole, part, none = (study.outcome(row) for row in study.plan["rows"])
    assert whole.seeds == (0, 1, 2) and part.seeds == (0, 1) and none.seeds == ()
    assert whole.verdict == "reproduced" and whole.low > 0 and whole.p == 0.25
    assert part.verdict == "undecided (2 of 3 seeds)"
    assert none.verdict == "undecided (0 of 3 seeds)" and np.isnan(none.low)
    assert whole.low <= whole.differences.mean() <= whole.high
    picture = forest([whole, part, none])
    shown = [text.get_text() for text in picture.axes[0].texts]
    assert "reproduced" in shown and len(shown) == 3


def test_the_explorer_shows_what_is_chosen(study):
    changes = {"row": "2: b", "figure": "AP75", "seed": 1}
    check_controls(lambda: explore_rows(study), changes, only_text=())
    assert "no seed is finished yet" in explore_rows(study).set(row="2: c").text
