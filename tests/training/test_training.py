"""Training: the schedule, one step, resuming, two processes, and the command line on drawn and
real pictures."""

import json
import math
import os
import sys
from pathlib import Path

import pytest
import torch

from mrcnn_lite.cli import main
from mrcnn_lite.config import TrainingConfig, lite
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.evaluation.coco import evaluate
from mrcnn_lite.models import load_weights
from mrcnn_lite.training import TrainingRun, launch, train, training_batches
from mrcnn_lite.training.checkpoint import load_checkpoint, save_checkpoint
from mrcnn_lite.training.distributed import rank
from mrcnn_lite.training.loop import validation_losses
from mrcnn_lite.training.run import learning_rate

DATA = Path(os.environ.get("MRCNN_DATA", Path(__file__).parents[3] / "shared" / "data"))
SHAPES = Shapes(None, seed=1)


def new_run(seed: int = 0, **training: object) -> TrainingRun:
    config = lite(6).with_(training={"batch_size": 2, "warmup_steps": 3} | training)
    return TrainingRun(config, SHAPES.class_names, seed)


def state(run: TrainingRun) -> list[torch.Tensor]:
    moments = [v for s in run.optimizer.state_dict()["state"].values() for v in s.values()]
    return [*run.model.state_dict().values(), *run.average.values(), *moments]


def test_learning_rate_by_hand():
    config = TrainingConfig(learning_rate=1.0, warmup_steps=4, decay_fraction=0.5)
    assert learning_rate(0, 0.0, config) == pytest.approx(0.25)
    assert learning_rate(3, 0.1, config) == learning_rate(9, 0.5, config) == pytest.approx(1.0)
    assert learning_rate(9, 0.75, config) == pytest.approx(0.5)
    assert learning_rate(9, 1.0, config) == pytest.approx(0.0)


@pytest.mark.slow
def test_a_few_steps_overfit_one_picture():
    """The first thing to try with any detector: it must be able to learn one picture by heart."""
    torch.set_num_threads(1)
    run = new_run(learning_rate=2e-3)
    image, target = SHAPES[3]
    batch = ([image], [target])
    # Rounding decides when a noisy loss falls: 60 steps end at 0.2 to 0.5 of the
    # start, 120 steps at 0.1 to 0.25 (five seeds).
    losses = [run.step(batch, 0.0)["loss"] for _ in range(120)]
    assert sum(losses[-10:]) / 10 < 0.35 * sum(losses[:5]) / 5


def test_resume_is_bit_identical(tmp_path):
    whole = new_run()
    train(whole, training_batches(whole.config, SHAPES, 0), tmp_path / "whole", steps=4)
    part = new_run()
    train(part, training_batches(part.config, SHAPES, 0), tmp_path / "part", steps=2)
    # A run of 4 steps that stops after 2 has another learning rate than one of 2, hence progress.
    batches = training_batches(whole.config, SHAPES, 0)
    first, second = new_run(), new_run(seed=0)
    for step, batch in zip(range(4), batches(0), strict=False):
        first.step(batch, step / 4)
        if step == 1:
            first.save(tmp_path)
    second.load(tmp_path)
    assert second.steps == 2
    for step, batch in zip(range(2, 4), batches(2), strict=False):
        second.step(batch, step / 4)
    assert all(torch.equal(a, b) for a, b in zip(state(first), state(second), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(state(first), state(whole), strict=True))


def test_resume_refuses_other_settings(tmp_path):
    new_run().save(tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        new_run(learning_rate=1e-5).load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        new_run().load(tmp_path / "elsewhere")


def test_damaged_checkpoint_is_named(tmp_path):
    save_checkpoint(tmp_path, {"steps": 3})
    assert load_checkpoint(tmp_path) == {"steps": 3}
    (tmp_path / "last.checkpoint").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"damaged, or not a checkpoint.*no whole checkpoint"):
        load_checkpoint(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run():
    run = new_run()
    image, target = SHAPES[3]
    with pytest.raises(ValueError, match=r"images\[0\] holds NaN"):
        run.step(([image * math.nan], [target]), 0.0)
    torch.nn.init.constant_(run.model.roi_heads.box_predictor.cls_score.bias, math.nan)
    with pytest.raises(FloatingPointError, match=r"step 0: class logits .* not finite"):
        run.step(([image], [target]), 0.0)


def test_gradients_that_are_not_finite_stop_the_run():
    run = new_run()
    image, target = SHAPES[3]
    run.model.roi_heads.box_predictor.cls_score.weight.register_hook(lambda g: g * math.inf)
    before = [p.clone() for p in run.model.parameters()]
    with pytest.raises(FloatingPointError, match="step 0: gradients not finite"):
        run.step(([image], [target]), 0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))


def _two_steps(folder: str) -> None:
    """Run in every process of the test below."""
    torch.set_num_threads(1)
    run = new_run(batch_size=4)
    train(run, training_batches(run.config, SHAPES, 0), folder, steps=2)
    if rank() == 0:  # evaluation asks no other process for its counts: it would wait for ever
        assert validation_losses(run.model, Shapes(2, seed=2))["loss"] > 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo over a file needs a POSIX system")
def test_two_processes_agree_and_log_once(tmp_path):
    launch(_two_steps, 2, str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1]
    assert math.isfinite(lines[0]["loss"])
    model, names = load_weights(tmp_path / "last.safetensors")
    assert names == SHAPES.class_names and model.config.training.batch_size == 4


def test_command_line_from_training_to_prediction(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "--data", "shapes", "--out", run, "--steps", "2", "--workers", "1"]) == 0
    again = ["train", "--data", "shapes", "--out", run, "--steps", "3", "--workers", "1"]
    assert main([*again, "--resume"]) == 0
    assert load_checkpoint(run)["steps"] == 3
    weights = f"{run}/last.safetensors"
    figures = tmp_path / "ap.json"
    arguments = ["evaluate", "--weights", weights, "--data", "shapes", "--images", "3"]
    assert main([*arguments, "--json", str(figures)]) == 0
    assert set(json.loads(figures.read_text())) == {"mask", "box", "images"}
    assert "mask" in capsys.readouterr().out


def test_command_line_says_what_is_wrong(tmp_path, capsys):
    weights = str(tmp_path / "none.safetensors")
    assert main(["evaluate", "--weights", weights, "--data", "shapes"]) == 2
    assert "no such weights file" in capsys.readouterr().err
    shape_run = ["train", "--data", "shapes", "--out", str(tmp_path), "--steps", "1"]
    if not torch.cuda.is_available():
        assert main([*shape_run, "--workers", "1", "--device", "cuda"]) == 2
        assert "sees no GPU; use cpu" in capsys.readouterr().err
    out = str(tmp_path)
    command = ["train", "--data", "shapes", "--out", out, "--steps", "1", "--hold-out", "1,2"]
    assert main([*command, "--workers", "1"]) == 2
    assert "belong to stored images" in capsys.readouterr().err


def test_shipped_weights_keep_their_promise():
    """data/README.md gives the figure on 200 pictures; 60 of them must be near it."""
    path = Path(__file__).parents[2] / "data" / "weights" / "shapes_lite.safetensors"
    assert path.stat().st_size < 8e6
    model, names = load_weights(path)
    assert names == SHAPES.class_names
    figures = evaluate(model, Shapes(200, seed=2), limit=60)
    assert figures["images"] == 60
    assert figures["mask"]["AP"] > 0.7


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over a file needs a POSIX system")
def test_a_mistake_in_two_processes_is_still_one_sentence(tmp_path, capfd):
    missing = str(tmp_path / "none.json")
    command = ["train", "--data", missing, "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main([*command, "--workers", "2"]) == 2
    said = capfd.readouterr().err
    assert "none.json" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_real_photographs_train_resume_and_predict(tmp_path, capsys):
    """One minute on real pictures: loading, training, resuming, evaluating and drawing work."""
    json_path = DATA / "nuts" / "trainval.json"
    if not json_path.exists():
        pytest.skip(f"no real photographs at {DATA}; set MRCNN_DATA to run this test")
    run = str(tmp_path / "run")
    command = ["train", "--data", str(json_path), "--out", run, "--hold-out", "3,8,12,16"]
    assert main([*command, "--steps", "6"]) == 0
    assert main([*command, "--steps", "8", "--resume"]) == 0
    weights = f"{run}/last.safetensors"
    _, names = load_weights(weights)
    assert names == ["background", "date", "fig", "hazelnut"]
    evaluated = ["evaluate", "--weights", weights, "--data", str(json_path), "--only", "3,8"]
    assert main(evaluated) == 0
    picture = DATA / "nuts" / "images" / "0.jpg"
    drawn = tmp_path / "drawn"
    command = ["predict", "--weights", weights, str(picture), "--out", str(drawn)]
    assert main([*command, "--score", "0.05"]) == 0
    assert (drawn / "0.png").stat().st_size > 10_000
    assert "0.jpg: " in capsys.readouterr().out
