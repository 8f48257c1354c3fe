"""The arms differ in what they say and in nothing else; their figures are COCO's."""

import json

import pytest
import torch

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.evaluation.coco import evaluate
from mrcnn_lite.lessons.n14_paper_tables import runs
from mrcnn_lite.lessons.n14_paper_tables.arms import ARMS, FINEST, align, start, with_pools
from mrcnn_lite.models import load_weights
from mrcnn_lite.training.optimizer import Muon
from mrcnn_lite.training.recipe import HELD_OUT_SEED

WEIGHTS = runs.FOLDER.parent / "weights" / "shapes_lite.safetensors"
RPN = ("loss_objectness", "loss_rpn_box_reg")
BOX = ("loss_classifier", "loss_box_reg")


def first_losses(arm: str, seed: int = 0) -> dict[str, float]:
    run, images = start(arm, seed)
    image, target = images[0]
    return run.step(([image], [target]), 0.0)


@pytest.fixture(scope="module")
def usual():
    return first_losses("lite")


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != "lite"])
def test_an_arm_changes_what_it_says(arm, usual):
    losses = first_losses(arm)
    assert all(losses[name] == usual[name] for name in RPN)
    if arm == "AdamW":  # what it changes comes after the losses
        assert losses == usual
        kinds = [type(start(name, 0)[0].optimizer) for name in ("lite", arm)]
        assert kinds == [Muon, torch.optim.AdamW]
        return
    box_pooling = " at " in arm or "sample" in arm
    assert any(losses[name] != usual[name] for name in BOX) == box_pooling
    if arm == "no masks":
        assert "loss_mask" not in losses
    else:
        assert losses["loss_mask"] != usual["loss_mask"]


def test_seeds_share_nothing(usual):
    other = first_losses("lite", seed=1)
    assert all(other[name] != usual[name] for name in RPN + BOX)


@pytest.mark.parametrize("branch", ["box_roi_pool", "mask_roi_pool"])
def test_the_finest_map_and_align_are_the_usual_pools(branch):
    usual, changed = start("lite", 0)[0].model.eval(), start("lite", 0)[0].model.eval()
    with_pools(align, FINEST)(changed)
    with torch.no_grad():
        features = usual.features(torch.rand(2, 3, 128, 128))
    corners = torch.rand(2, 5, 2, 2) * 128  # of five boxes in each of two images
    boxes = torch.cat([corners.amin(dim=2), corners.amax(dim=2)], dim=2)
    inputs = features, [*boxes], [(128, 128)] * 2
    wanted, found = (getattr(model.roi_heads, branch)(*inputs) for model in (usual, changed))
    torch.testing.assert_close(found, wanted)


def test_figures_are_cocos():
    model, _ = load_weights(WEIGHTS)
    found, objects = runs.measure(model, 12, twice=True)
    figures = evaluate(model, Shapes(12, HELD_OUT_SEED))
    for kind in ("mask", "box"):
        mine = runs.summary(found, objects, kind)
        for name in ("AP", "AP50", "AP75"):
            assert mine[name] == pytest.approx(figures[kind][name], abs=1e-5)
    other = runs.summary(found, objects, "mask, torchvision's paste")
    assert other["AP"] != runs.summary(found, objects, "mask")["AP"]


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_run_is_made_once_and_again_bit_by_bit(tmp_path, one_thread):
    line = runs.run("lite", 3, steps=2, images=2, folder=tmp_path)
    results, line = tmp_path / runs.RESULTS, json.loads(json.dumps(line))
    results.write_text(json.dumps(line) + "\n" + '{"arm": "li')
    assert runs.differences("lite", 3, tmp_path) == []
    results.write_text(json.dumps(line | {"curve": [[50, 1.0, 0.5]]}) + "\n")
    assert runs.differences("lite", 3, tmp_path) == ["curve"]
    with pytest.raises(ValueError, match="no run of 'lite' with seed 4"):
        runs.differences("lite", 4, tmp_path)
    plan = {"seeds": 4, "first_seed": 0}
    assert ("lite", 3) not in [*runs.pending(plan, ["lite"], tmp_path)]
    assert len([*runs.pending(plan, [*ARMS], tmp_path)]) == 4 * len(ARMS) - 1


def test_stored_runs_are_the_plans_and_none_is_there_twice():
    plan, lines = runs.read_plan(), runs.read_results()
    made = [(line["arm"], line["seed"]) for line in lines]
    assert lines and len(set(made)) == len(made)
    files = {path.name for path in (runs.FOLDER / "detections").iterdir()}
    assert files == {runs.detections_file(*each).name for each in made}
    for line in lines:
        assert line["arm"] in ARMS and line["seed"] in runs.seeds(plan)
        assert (line["steps"], line["images"]) == (plan["steps"], plan["images"])
        assert len(line["curve"]) == plan["steps"] // runs.CURVE_EVERY


@pytest.mark.slow
def test_a_stored_run_begins_as_it_did(one_thread):
    """Bit by bit on one kind of processor; elsewhere the first digits."""
    plan = runs.read_plan()
    stored = runs.read_results()[0]
    arm, seed = stored["arm"], stored["seed"]
    _, first, curve = runs.train(arm, seed, plan["steps"], stop=runs.CURVE_EVERY)
    assert first == pytest.approx(stored["first"], rel=1e-5)
    if first == stored["first"]:
        assert curve == stored["curve"][:1]
    else:
        assert curve[0] == pytest.approx(stored["curve"][0], rel=0.05)


def test_the_plan_names_arms_that_exist():
    plan = runs.read_plan()
    for row in plan["rows"]:
        for side in ("first", "second"):
            arm, _, paste = row[side].partition(": ")
            assert arm in ARMS
            assert paste in ("", "torchvision's paste")
            assert not paste or arm in runs.PASTED_TWICE
        assert row["hypothesis"] in ("more", "no difference")
    assert plan["seeds"] >= 8
