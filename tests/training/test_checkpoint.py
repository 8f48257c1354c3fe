"""Checkpoints: whole at any moment, checked when read; a run that is killed goes on unharmed."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mrcnn_lite.config import lite
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import load_weights
from mrcnn_lite.training import TrainingRun, loop, train, training_batches
from mrcnn_lite.training.checkpoint import LAST, PREVIOUS, load_checkpoint, save_checkpoint
from mrcnn_lite.training.loop import validation_losses
from tools import survival

ROOT = Path(__file__).parents[2]
SHAPES = Shapes(None, seed=1)
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes and limits")


def new_run(**training: object) -> TrainingRun:
    config = lite(6).with_(training={"batch_size": 2, "warmup_steps": 3} | training)
    return TrainingRun(config, SHAPES.class_names)


def test_the_last_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, {"steps": step})
    assert sorted(p.name for p in tmp_path.iterdir()) == [LAST, PREVIOUS]
    assert load_checkpoint(tmp_path)["steps"] == 3
    (tmp_path / LAST).unlink()  # a crash between the two renames
    assert load_checkpoint(tmp_path)["steps"] == 2


@pytest.mark.parametrize(("trial", "count"), [("flips", 60), ("truncations", 30)])
def test_damage_is_seen_and_the_one_before_used(trial, count, capsys):
    assert survival.main([trial, "--count", str(count)]) == 0
    assert f"{count} of {count}" in capsys.readouterr().out


def test_the_sentence_says_what_and_from_where(tmp_path, capsys):
    save_checkpoint(tmp_path, {"steps": 7})
    save_checkpoint(tmp_path, {"steps": 9})
    data = bytearray((tmp_path / LAST).read_bytes())
    data[-40] ^= 1
    (tmp_path / LAST).write_bytes(data)
    assert load_checkpoint(tmp_path)["steps"] == 7
    said = capsys.readouterr().err
    assert "last.checkpoint: damaged, its SHA-256 sum differs" in said
    assert "going on from previous.checkpoint, step 7" in said
    (tmp_path / PREVIOUS).write_bytes(b"x")
    with pytest.raises(ValueError, match="no whole checkpoint is left"):
        load_checkpoint(tmp_path)


def test_no_file_can_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "proof"),))

    save_checkpoint(tmp_path, {"steps": 1, "bad": Evil()})
    with pytest.raises(Exception, match=r"Unsupported|weights_only"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "proof").exists()


@posix
def test_a_full_disk_leaves_the_old_file(tmp_path):
    """A limit on the size of files stands for the disk: writing fails half-way."""
    import signal

    save_checkpoint(tmp_path, {"steps": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot be written.*whole") as caught:
            save_checkpoint(tmp_path, {"steps": 2, "w": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert [p.name for p in tmp_path.iterdir()] == [LAST]
    assert load_checkpoint(tmp_path) == {"steps": 1}


def test_a_read_only_folder_is_one_sentence(tmp_path, monkeypatch):
    """A superuser may write anywhere, so the refusal of the system is played."""
    save_checkpoint(tmp_path, {"steps": 1})

    def refuse(*arguments, **words):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(OSError, match=r"last.checkpoint cannot be written .Permission denied."):
        save_checkpoint(tmp_path, {"steps": 2})
    monkeypatch.undo()
    assert load_checkpoint(tmp_path) == {"steps": 1}


def test_one_bit_of_the_weights_file_is_seen(tmp_path):
    run = new_run()
    run.save(tmp_path)
    path = tmp_path / "last.safetensors"
    good = path.read_bytes()
    load_weights(path)
    chance = torch.Generator().manual_seed(0)
    for place in torch.randint(len(good), (40,), generator=chance).tolist() + [9, 700]:
        data = bytearray(good)
        data[place] ^= 4
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"damaged|lacks|unknown"):
            load_weights(path)


@posix
@pytest.mark.parametrize(("count", "in_save"), [(1, 1), pytest.param(6, 2, marks=pytest.mark.slow)])
def test_killed_runs_go_on_bit_identically(count, in_save):
    """In a process of its own: it forks, and this one has started threads."""
    options = ["--count", str(count), "--in-save", str(in_save)]
    command = [sys.executable, "-m", "tools.survival", "kills", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    said = f"{count} of {count} runs resume bit-identically ({in_save} killed inside a save)"
    assert said in done.stdout


def test_the_comparison_of_runs_sees_a_difference(tmp_path):
    for name, factor in (("a", 1.0), ("b", 1.0 + 1e-7)):
        run = new_run()
        run.model.backbone.body.stem[0].weight.data.mul_(factor)
        (tmp_path / name).mkdir()
        run.save(tmp_path / name)
        (tmp_path / name / "metrics.jsonl").write_text("")
    found = survival.differences(tmp_path / "a", tmp_path / "b")
    assert found == ["model.backbone.body.stem.0.weight"]


def test_half_a_line_of_the_log_is_written_again(tmp_path):
    run = new_run()
    batches = training_batches(run.config, SHAPES, 0)
    train(run, batches, tmp_path, steps=1)
    with open(tmp_path / "metrics.jsonl", "a") as log:
        log.write('{"step": 2, "sec')
    again = new_run()
    again.load(tmp_path)
    train(again, batches, tmp_path, steps=2)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1]


def test_a_refused_step_leaves_statistics_of_batches_as_they_were():
    """The forward pass has changed them by the time that it is refused."""
    config = lite(6).with_(training={"batch_size": 2}, backbone={"norm": "batch"})
    run = TrainingRun(config, SHAPES.class_names)
    images, targets = next(training_batches(config, SHAPES, 0)(0))
    good = {name: value.clone() for name, value in run.model.state_dict().items()}
    images[0][0, 5, 5] = 1e38
    with pytest.raises(FloatingPointError, match="not finite"):
        run.step((images, targets), 0.0)
    found = run.model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in good.items())
    images[0][0, 5, 5] = 0.5
    run.step((images, targets), 0.0)
    changed = [n for n, v in run.model.state_dict().items() if not torch.equal(v, good[n])]
    assert any("running_var" in name for name in changed)


def test_a_loss_that_is_not_finite_names_step_rate_and_images(tmp_path):
    run = new_run(learning_rate=1e-3)
    batches = training_batches(run.config, SHAPES, 0)
    train(run, batches, tmp_path, steps=1)
    good = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.model.roi_heads.box_predictor.cls_score.weight.register_hook(lambda g: g * float("inf"))
    numbers = [str(target["image_id"]) for target in next(batches(1))[1]]
    words = rf"step 1: gradients not finite at learning rate 0.00\d+, images {', '.join(numbers)};"
    with pytest.raises(FloatingPointError, match=words) as caught:
        train(run, batches, tmp_path, steps=5)
    assert "holds the state before it" in str(caught.value)
    state = load_checkpoint(tmp_path)
    assert state["steps"] == 1
    assert all(torch.equal(state["model"][name], value) for name, value in good.items())


def test_exploding_weights_are_not_blamed_on_the_data():
    run = new_run()
    run.model.backbone.body.stem[0].weight.data.fill_(float("inf"))
    image, target = SHAPES[3]
    with pytest.raises(FloatingPointError, match=r"step 0: .* not finite .* images 3"):
        run.step(([image], [target]), 0.0)


def test_processes_share_a_validation(monkeypatch):
    """None waits for longer than a batch takes: they meet after each."""
    model, held_out, parts = new_run().model, Shapes(5, seed=2), []
    whole = validation_losses(model, held_out, batch_size=2)
    monkeypatch.setattr(loop, "world_size", lambda: 2)
    monkeypatch.setattr(loop, "gather", lambda losses: parts.append(losses) or [losses])
    for number in range(2):
        monkeypatch.setattr(loop, "rank", lambda number=number: number)
        validation_losses(model, held_out, batch_size=2)
    assert [bool(part) for part in parts] == [True, True, True, False]  # images 0-1, 4; 2-3, none
    for name in parts[0]:
        assert sum(part.get(name, 0) for part in parts) / 5 == pytest.approx(whole[name])


def test_validation_losses_repeat_and_change_nothing(tmp_path):
    run = new_run()
    held_out = Shapes(5, seed=2)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    priorities = run.model.sampler.priorities
    first = validation_losses(run.model, held_out, batch_size=2)
    assert first == validation_losses(run.model, held_out, batch_size=2)
    assert first["loss"] == pytest.approx(sum(v for k, v in first.items() if k != "loss"))
    assert run.model.training and run.model.sampler.priorities is priorities
    assert all(torch.equal(before[n], v) for n, v in run.model.state_dict().items())
    batches = training_batches(run.config, SHAPES, 0)

    def validate(step):
        return validation_losses(run.model, held_out) if step == 2 else None

    train(run, batches, tmp_path, steps=2, validate=validate)
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2 and last["validation_loss_mask"] > 0


def eight_losses(**settings: object) -> list[float]:
    """The sums of the losses of eight steps on one batch of four."""
    torch.set_num_threads(1)
    run = new_run(batch_size=4, optimizer="adamw", **settings)
    batch = next(training_batches(run.config, SHAPES, 0)(0))
    return [run.step(batch, 0.0)["loss"] for _ in range(8)]


@pytest.mark.slow
def test_accumulation_trains_alike():
    """Two parts of a batch give nearly the whole batch's steps."""
    assert eight_losses(accumulate=2) == pytest.approx(eight_losses(), rel=0.05)


@pytest.mark.slow
def test_sixteen_bits_train_alike():
    """The first loss is that of float32; the steps after it go their own way, to the same place.

    A rounding at the start can move a later step's loss by a tenth, since another proposal is
    drawn; the mean over the steps says whether training is the same.
    """
    plain, short = eight_losses(), eight_losses(accumulate=2, precision="bf16")
    assert short[0] == pytest.approx(plain[0], rel=0.01)
    assert sum(short) == pytest.approx(sum(plain), rel=0.05)
    assert short[-1] < short[0]
    with pytest.raises(ValueError, match="precision is 'fp8'"):
        new_run(precision="fp8")
