"""`train`: runs that are not overwritten, numbers that are refused, settings from files, what a run
leaves behind and says."""

import json
from pathlib import Path

import pytest
from PIL import Image

from mrcnn_lite.cli import main
from mrcnn_lite.config import Config, lite
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import load_weights
from mrcnn_lite.training import TrainingRun, fit_config, launch, open_data, train, training_batches
from mrcnn_lite.training.checkpoint import RUN_FILES, load_checkpoint
from mrcnn_lite.training.loop import validation_losses
from mrcnn_lite.training.recipe import images_per_process

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample" / "instances.json"
SHAPES = Shapes(None, seed=1)
TINY = {
    "image": {"min_size": 64, "max_size": 96},
    "rpn": {"pre_nms_train": 40, "post_nms_train": 20},
    "box": {"samples": 16},
    "training": {"batch_size": 2, "crop_size": 64},
}
TRAIN = ["train", "--data", "shapes", "--workers", "1"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    """A config file with which a step takes a tenth of a second."""
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps(TINY))
    return str(path)


def run_of_one_step(folder, tiny, *words) -> int:
    return main([*TRAIN, "--config", tiny, "--steps", "1", "--out", str(folder), *words])


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def new_run(**training) -> TrainingRun:
    return TrainingRun(lite().with_(**TINY).with_(training=training), SHAPES.class_names)


def refused(capsys, words: list[str]) -> str:
    """What a refused command says: one sentence, status 2."""
    capsys.readouterr()
    assert main(words) == 2
    printed = capsys.readouterr().err
    said = printed.strip().splitlines()[-1].rpartition("\r")[2]
    assert printed.count("mrcnn_lite train: ") == 1 and "Traceback" not in printed, printed
    assert said.startswith("mrcnn_lite train: "), printed
    return said


def test_row_02_a_run_is_not_overwritten(tmp_path, tiny, capsys):
    assert run_of_one_step(tmp_path / "run", tiny) == 0
    before = contents(tmp_path / "run")
    assert set(before) == set(RUN_FILES) - {"previous.checkpoint"}
    command = [*TRAIN, "--config", tiny, "--steps", "1", "--out", str(tmp_path / "run")]
    said = refused(capsys, command)
    assert "last.checkpoint exists" in said and "--resume" in said and "--overwrite" in said
    assert contents(tmp_path / "run") == before
    assert main([*command, "--seed", "5", "--overwrite"]) == 0
    after = contents(tmp_path / "run")
    assert set(after) == set(before) and after["last.safetensors"] != before["last.safetensors"]
    assert "not allowed with argument" in refused(capsys, [*command, "--overwrite", "--resume"])


def test_row_02_overwriting_comes_after_all_checks(tmp_path, tiny, capsys):
    assert run_of_one_step(tmp_path, tiny) == 0
    before = contents(tmp_path)
    command = [*TRAIN, "--config", tiny, "--steps", "1", "--out", str(tmp_path), "--overwrite"]
    assert "accumulate 9 is more" in refused(capsys, [*command, "--accumulate", "9"])
    assert contents(tmp_path) == before


def test_a_run_goes_on_with_the_same_images(tmp_path, capsys):
    """Others may be those that were held out. (Crops would be fitted to them, and so differ.)"""
    whole = TINY | {"training": {"batch_size": 2, "crop_size": 0}}
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    words = ["train", "--data", str(SAMPLE), "--workers", "1", "--hold-out", "0"]
    words += ["--config", str(tmp_path / "whole.json"), "--out", str(tmp_path / "run"), "--steps"]
    assert main([*words, "1", "--seed", "3"]) == 0
    other = [word if word != "0" else "1" for word in words]
    said = refused(capsys, [*other, "2", "--resume"])
    assert "the checkpoint has other settings: images 7, SHA-256" in said
    assert main([*words, "2", "--resume"]) == 0
    assert " s, with seed 3" in capsys.readouterr().out


@pytest.mark.parametrize("name", RUN_FILES)
def test_row_02_no_file_that_a_run_writes_is_replaced(tmp_path, capsys, name):
    """Whoever wrote it: a config.json may be another program's."""
    (tmp_path / name).write_text("mine")
    said = refused(capsys, [*TRAIN, "--steps", "1", "--out", str(tmp_path)])
    assert f"{name} exists, and this run would replace it" in said
    run = new_run()
    with pytest.raises(FileExistsError, match=f"{name} exists"):
        train(run, training_batches(run.config, SHAPES, 0), tmp_path, steps=1)
    with pytest.raises(FileExistsError, match=f"{name} exists"):
        run.save(tmp_path)
    assert contents(tmp_path) == {name: b"mine"}
    run.claim(tmp_path, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_row_02_a_run_owns_the_folder_it_came_from_and_no_other(tmp_path):
    first, second = new_run(), new_run()
    first.save(tmp_path / "first")
    second.save(tmp_path / "second")
    first.save(tmp_path / "first")  # again: its own
    again = new_run()
    again.load(tmp_path / "first")
    again.save(tmp_path / "first")
    with pytest.raises(FileExistsError, match="second"):
        again.save(tmp_path / "second")


def test_row_02_a_file_is_no_folder(tmp_path, capsys):
    (tmp_path / "out").write_text("")
    said = refused(capsys, [*TRAIN, "--steps", "1", "--out", str(tmp_path / "out")])
    assert "out is a file; name a folder" in said


def test_row_02_a_run_is_not_put_among_the_data(tmp_path, capsys):
    """Its config.json would be a second JSON file in a data set's folder."""
    (tmp_path / "mine.json").write_text(SAMPLE.read_text())
    said = refused(capsys, [*TRAIN[:2], str(tmp_path), "--steps", "1", "--out", str(tmp_path)])
    assert "is the folder of the data" in said and len(list(tmp_path.iterdir())) == 1


def test_row_02_resume_without_a_checkpoint_says_what_to_do(tmp_path, tiny, capsys):
    (tmp_path / "config.json").write_text("{}")  # killed before the first checkpoint
    command = [*TRAIN, "--config", tiny, "--steps", "1", "--out", str(tmp_path)]
    assert "--overwrite" in refused(capsys, [*command, "--resume"])
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("--accumulate 0", "--accumulate: 0 is no whole number from 1"),
        ("--steps -3", "--steps: -3 is no whole number from 1"),
        ("--steps 2.5", "--steps: 2.5 is no whole number from 1"),
        ("--seconds -1", "--seconds: -1 is no number from 0.001"),
        ("--seconds nan", "--seconds: nan is no number from 0.001"),
        ("--seconds inf", "--seconds: inf is no number from 0.001"),
        (f"--seed {2**70}", "is no whole number from 0 to 4294967295"),
        ("--seed -1", "--seed: -1 is no whole number from 0"),
        ("--batch-size 0", "--batch-size: 0 is no whole number from 1"),
        ("--learning-rate 0", "--learning-rate: 0 is no number from 1e-09"),
        ("--learning-rate nan", "--learning-rate: nan is no number"),
        ("--workers -1", "--workers: -1 is no whole number from 0 to 64"),
        ("--save-every 0", "--save-every: 0 is no whole number from 1"),
        ("--validate-every 0", "--validate-every: 0 is no whole number from 1"),
        ("--device mps", "--device: mps is unknown; choose auto, cpu, cuda"),
        ("--device xpu", "--device: xpu is unknown"),
        ("--device gpu", "--device: gpu is unknown"),
        ("--batch-size 8 --accumulate 9", "accumulate 9 is more than the 8 images of a process"),
    ],
)
def test_row_13_numbers_of_the_command_line(tmp_path, capsys, words, asked):
    length = [] if words.startswith(("--steps", "--seconds")) else ["--steps", "1"]
    out = tmp_path / "run"
    assert asked in refused(capsys, [*TRAIN, *length, "--out", str(out), *words.split()])
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    "numbers",
    [
        {"steps": 0},
        {"steps": -3},
        {"steps": 2.5},
        {"seconds": 0},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"steps": 3, "save_every": 0},
        {"steps": True},
    ],
    ids=str,
)
def test_row_13_the_same_numbers_from_python(tmp_path, numbers):
    run = new_run()
    name, value = list(numbers.items())[-1]
    with pytest.raises(ValueError, match=f"{name} is {value}; give a .*number"):
        train(run, training_batches(run.config, SHAPES, 0), tmp_path, **numbers)


def test_row_13_seeds_names_and_processes_from_python():
    for seed in (-1, 2**70, 1.5):
        with pytest.raises(ValueError, match=r"seed is .*; give a whole number from 0 to 42949"):
            TrainingRun(lite(), SHAPES.class_names, seed)
    with pytest.raises(ValueError, match=r"class_names is .*; give 6 of them"):
        TrainingRun(lite(), SHAPES.class_names[:2])
    for workers in (-1, 1.5):
        with pytest.raises(ValueError, match=rf"workers is {workers}; give a number of processes"):
            launch(print, workers)


def test_row_09_nothing_to_do_is_an_error(tmp_path, tiny, capsys):
    assert run_of_one_step(tmp_path / "run", tiny) == 0
    (tmp_path / "run" / "last.safetensors").unlink()  # killed between the two files of a save
    again = [*TRAIN, "--config", tiny, "--steps", "1", "--out", str(tmp_path / "run"), "--resume"]
    assert "nothing is left to train: 1 steps" in refused(capsys, again)
    assert load_weights(tmp_path / "run")[1] == SHAPES.class_names
    rare = [*TRAIN, "--steps", "5", "--validate-every", "6", "--out", str(tmp_path / "other")]
    assert "--validate-every 6 is more than --steps 5" in refused(capsys, rare)
    with pytest.raises(ValueError, match="nothing to validate: 0 images"):
        validation_losses(new_run().model, Shapes(0, seed=2))


def test_row_09_a_batch_larger_than_the_data_is_told(tmp_path, tiny, capsys):
    words = ["train", "--data", str(SAMPLE), "--hold-out", "0,1,2,3,4,5,7", "--workers", "1"]
    words += ["--config", tiny, "--steps", "1", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert "a batch is more than the data set: its 1 images" in capsys.readouterr().out


def test_batches_by_orientation_are_said(tmp_path, capsys):
    sides, ring = [(64, 48), (48, 64), (64, 48), (72, 48)], [8, 8, 40, 8, 40, 40, 8, 40]
    images = [
        {"id": n, "file_name": f"{n}.png", "width": width, "height": height}
        for n, (width, height) in enumerate(sides, start=1)
    ]
    for image in images:
        Image.new("RGB", (image["width"], image["height"]), "grey").save(
            tmp_path / image["file_name"]
        )
    row = {"category_id": 1, "segmentation": [ring], "bbox": [8, 8, 32, 32], "area": 1024}
    rows = [{**row, "id": n, "image_id": n, "iscrowd": 0} for n in (1, 2, 3, 4)]
    file, config = tmp_path / "instances.json", tmp_path / "whole.json"
    categories = [{"id": 1, "name": "ring"}]
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    config.write_text(json.dumps({**TINY, "training": {"batch_size": 2, "crop_size": 0}}))
    command = ["train", "--data", str(file), "--workers", "1", "--steps", "1"]
    assert main([*command, "--config", str(config), "--out", str(tmp_path / "run")]) == 0
    told = "1 of 4 images are taller than wide: each batch is of such images or of others"
    assert told in capsys.readouterr().out


def test_row_13_crops_that_do_not_fit_are_refused_by_field(tmp_path):
    data = open_data(str(SAMPLE))
    for changes in ({"image": {"min_size": 64}}, {"training": {"scale_range": (2, 1)}}):
        with pytest.raises(ValueError, match=r"config.training.crop_size 128 do not fit .*scale_r"):
            training_batches(lite().with_(**changes), data, 0)


def test_row_09_parts_of_a_batch_are_images():
    with pytest.raises(ValueError, match="accumulate 3 is more than the 2 images of a process"):
        images_per_process(lite().with_(training={"batch_size": 2, "accumulate": 3}))


def test_a_config_file_sets_any_field_and_options_go_over_it(tmp_path, capsys):
    path, out = tmp_path / "mine.toml", tmp_path / "run"
    path.write_text(
        "[image]\nmin_size = 64\nmax_size = 96\n[rpn]\nanchor_sizes = [[8], [16], [32], [48]]\n"
        "[training]\ncrop_size = 64\nbatch_size = 2\nlearning_rate = 0.5\nprecision = 'bf16'\n"
        "ema_decay = 0\n"
    )
    command = ["train", "--data", str(SAMPLE), "--workers", "1", "--config", str(path)]
    command += ["--learning-rate", "2e-4", "--out", str(out), "--steps"]
    assert main([*command, "1"]) == 0
    config = Config.from_dict(json.loads((out / "config.json").read_text()))
    assert config == load_weights(out)[0].config
    assert config.image.min_size == 64  # given, and so not fitted to the data
    assert config.rpn.anchor_sizes == ((8,), (16,), (32,), (48,))
    training = config.training
    assert (training.batch_size, training.precision, training.ema_decay) == (2, "bf16", 0)
    assert training.learning_rate == 2e-4
    said = capsys.readouterr().out
    assert "batches of 2 images, muon at learning rate 0.0002: rising for 100 steps" in said
    before = (out / "config.json").read_bytes()
    assert main([*command, "2", "--resume"]) == 0
    assert (out / "config.json").read_bytes() == before
    other = [*command, "3", "--resume", "--batch-size", "4"]
    assert "training.batch_size 2 instead of 4" in refused(capsys, other)
    fitted = fit_config(lite(), open_data(str(SAMPLE)))
    assert fitted.image.min_size != 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"training": {"learning_rat": 1}}', "config.training: unknown field 'learning_rat'"),
        ('{"trainig": {}}', "config: unknown section 'trainig'"),
        ('{"training": {"accumulate": 0}}', "config.training.accumulate is 0; give a whole number"),
        ('{"training": {"learning_rate": NaN}}', "config.training.learning_rate is nan; give"),
        ('{"box": 3}', "config.box is 3; give a BoxConfig"),
        ('{"num_classes": 4}', "num_classes is 4, but the data has 6"),
        ("[1]", "give sections, such as"),
        ("{", "neither JSON nor, as .toml, TOML"),
        ('{"backbone": {"norm": "frozen_batch"}}', "such a network cannot learn"),
    ],
)
def test_a_config_file_is_refused_by_field(tmp_path, capsys, text, words):
    path = tmp_path / "mine.json"
    path.write_text(text)
    said = refused(
        capsys, [*TRAIN, "--steps", "1", "--out", str(tmp_path / "x"), "--config", str(path)]
    )
    assert words in said and "mine.json" in said


def test_a_run_says_what_it_does_and_what_it_reached(tmp_path, tiny, capsys):
    command = [*TRAIN, "--config", tiny, "--steps", "3", "--validate-every", "2"]
    assert main([*command, "--batch-size", "4", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "the learning rate stays 0.003, which is for 2 images" in said[0]
    assert "for 4 the square-root rule gives --learning-rate 0.0042" in said[0]
    assert said[1].startswith("6 classes, images at 64 pixels; 0.84 of 0.84 million weights train")
    assert said[-1].startswith("3 steps in ")
    assert " images/s; losses at the end: all " in said[-1]
    assert "held out" in said[-1] and "masks" in said[-1]
    assert f"{tmp_path / 'run'} has last.safetensors" in said[-1]
    log = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(log[0])["learning_rate"] == pytest.approx(0.003 / 100)
    picture = Image.open(tmp_path / "run" / "loss.png").convert("RGB")
    assert picture.size == (800, 450)
    colours = {colour for _, colour in picture.getcolors(2**20)}
    drawn = [(0, 0, 0), (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)]
    assert colours.issuperset(drawn)  # the sum, objectness, classes, masks


def test_a_run_says_what_the_data_ask_for_and_keeps_it(tmp_path, capsys):
    """A fitted run is told, stored and resumed; another --turns would be another run."""
    path, out = tmp_path / "small.json", tmp_path / "run"
    path.write_text('{"training": {"crop_size": 64, "batch_size": 1}}')
    command = ["train", "--data", str(SAMPLE), "--workers", "1", "--config", str(path)]
    command += ["--out", str(out), "--steps"]
    assert main([*command, "1", "--turns", "flip"]) == 0
    said = capsys.readouterr().out.splitlines()
    fitted = lite().with_(training={"crop_size": 64, "batch_size": 1, "turns": "flip"})
    keep, told = ("training.turns",), []
    fitted = fit_config(fitted, open_data(str(SAMPLE)), keep, told.append)
    assert said[: len(told)] == told
    assert said[0].startswith("objects: 24; at images of ") and "in crops of 64" in said[0]
    assert said[1] == "turns of crops: left and right alone, as asked"
    assert said[2].startswith("anchors: ") and said[3].startswith("6 classes, images at ")
    assert fitted.image.min_size != lite().image.min_size
    assert Config.from_dict(json.loads((out / "config.json").read_text())) == fitted
    assert load_weights(out)[0].config == fitted
    assert main([*command, "2", "--turns", "flip", "--resume"]) == 0
    assert Config.from_dict(json.loads((out / "config.json").read_text())) == fitted
    assert "training.turns flip instead of all" in refused(capsys, [*command, "3", "--resume"])


def test_turns_are_of_crops_of_stored_images(tmp_path, capsys):
    command = ["train", "--workers", "1", "--steps", "1", "--turns", "all", "--out", str(tmp_path)]
    assert "--turns is of crops of stored images" in refused(capsys, [*command, "--data", "shapes"])
    whole = [*command, "--data", str(SAMPLE), "--preset", "resnet50_fpn"]
    assert "whole images are only flipped" in refused(capsys, whole)


def test_row_25_a_preset_from_scratch_trains_everything(tmp_path, capsys):
    """The first losses are healthy, and all weights change."""
    path, out = tmp_path / "small.json", tmp_path / "run"
    small = {"image": {"min_size": 128, "max_size": 128}, "box": {"head_channels": 64}}
    small["backbone"] = {"depth": 18, "fpn_channels": 64}
    path.write_text(json.dumps(small))
    command = [*TRAIN, "--preset", "resnet50_fpn", "--config", str(path), "--out", str(out)]
    assert main([*command, "--steps", "1"]) == 0
    said = capsys.readouterr()
    assert "warning" not in said.err
    config = load_weights(out)[0].config
    assert (config.backbone.norm, config.backbone.trainable_layers) == ("group", 5)
    first = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss_mask"] < 10
    model = TrainingRun(config, SHAPES.class_names).model
    assert all(parameter.requires_grad for parameter in model.parameters())
    state = load_checkpoint(out)["optimizer"]["state"]  # SGD's momentum: a gradient reached all
    assert len(state) == len(list(model.parameters()))
    assert all(values["momentum_buffer"].abs().max() > 0 for values in state.values())
