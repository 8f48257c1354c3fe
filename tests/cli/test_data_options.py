"""The options of the command line that concern data, and data in which there is nothing to do."""

import json

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.cli import main
from mrcnn_lite.config import lite
from mrcnn_lite.models import MaskRCNN, save_weights

SQUARE = {"bbox": [10, 10, 30, 30], "area": 900, "iscrowd": 0}
SQUARE["segmentation"] = [[10, 10, 40, 10, 40, 40, 10, 40]]


def data_set(path, folder, rows, count=2, name="{}.png"):
    """A COCO file; rows are the annotations, by index of their image."""
    folder.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        Image.effect_noise((72, 64), 60).convert("RGB").save(folder / f"{k}.png")
    size = {"height": 64, "width": 72}
    images = [{"id": k, "file_name": name.format(k), **size} for k in range(count)]
    annotations = [
        SQUARE | {"id": k + 1, "image_id": i, "category_id": 1} | more
        for k, (i, more) in enumerate(rows)
    ]
    categories = [{"id": 1, "name": "nut"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(data))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(MaskRCNN(lite(2)), path, ["background", "nut"])
    return path


def run(*words):
    return main([str(word) for word in words])


def train(path, out, *more):
    return run("train", "--data", path, "--out", out, "--steps", 1, "--workers", 1, *more)


def one_sentence(capsys):
    """What was said on stderr, which must be one line."""
    text = capsys.readouterr().err.strip()
    assert text.count("\n") == 0 and text, text
    return text


BOTH = [(0, {}), (1, {})]
NOTHING = {
    "every annotation is crowd": ([(0, {"iscrowd": 1}), (1, {"iscrowd": 1})], 2, []),
    "no annotation": ([], 2, []),
    "no image": ([], 0, []),
    "no object left after hold-out": ([(0, {})], 2, ["--hold-out", "0"]),
    "only a crowd left after hold-out": ([(0, {}), (1, {"iscrowd": 1})], 2, ["--hold-out", "0"]),
    "everything held out": (BOTH, 2, ["--hold-out", "0,1"]),
}


@pytest.mark.parametrize("case", NOTHING)
def test_row_9_nothing_to_train_on(tmp_path, capsys, case):
    rows, count, options = NOTHING[case]
    path = data_set(tmp_path / "a.json", tmp_path / "images", rows, count)
    for preset in ("lite", "resnet50_fpn"):
        assert train(path, tmp_path / "run", "--preset", preset, *options) == 2
        message = one_sentence(capsys)
        assert "nothing to learn" in message or "none of the 2 images is left" in message
    assert not (tmp_path / "run" / "last.safetensors").exists()


@pytest.mark.parametrize("case", list(NOTHING)[:3])
def test_row_9_nothing_to_measure_or_to_verify(tmp_path, capsys, weights, case):
    rows, count, _ = NOTHING[case]
    path = data_set(tmp_path / "a.json", tmp_path / "images", rows, count)
    assert run("evaluate", "--weights", weights, "--data", path) == 2
    assert "nothing to learn or to find" in one_sentence(capsys)
    assert run("verify", path) == 2
    assert f"no object to learn or to find in {count} images" in one_sentence(capsys)


def test_row_9_a_selection_without_objects(tmp_path, capsys, weights):
    path = data_set(tmp_path / "a.json", tmp_path / "images", [(0, {})])
    assert run("evaluate", "--weights", weights, "--data", path, "--only", 1) == 2
    assert "in 1 images: no annotation; annotate objects, or" in one_sentence(capsys)


def test_row_9_label_maps_of_zeros_and_empty_folders(tmp_path, capsys):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for words in (["verify", tmp_path], ["train", "--data", tmp_path, "--out", tmp_path / "run"]):
        steps = ["--steps", 1, "--workers", 1] if words[0] == "train" else []
        assert run(*words, *steps) == 2
        assert "to learn or to find in 0 images" in one_sentence(capsys)
    for name in ("images", "masks"):
        Image.fromarray(np.zeros((64, 72), np.uint8)).save(tmp_path / name / "a.png")
    assert train(tmp_path, tmp_path / "run") == 2
    assert "1 images: no annotation" in one_sentence(capsys)


def test_row_16_images_of_train_evaluate_and_verify(tmp_path, capsys, weights):
    path = data_set(tmp_path / "set/a.json", tmp_path / "far/photos", BOTH, name=r"old\{}.png")
    assert run("verify", path) == 1  # the images are nowhere
    assert "say where they lie: --images FOLDER" in capsys.readouterr().out
    photos = ["--images", tmp_path / "far/photos"]
    assert run("verify", path, *photos) == 0
    copy = tmp_path / "copy"
    assert run("verify", path, "--repair", copy, *photos) == 0
    assert sorted(p.name for p in (copy / "images" / "old").iterdir()) == ["0.png", "1.png"]
    capsys.readouterr()
    assert run("evaluate", "--weights", weights, "--data", path, *photos) == 0
    assert f"note: images in {tmp_path / 'far/photos'} (2)" in capsys.readouterr().out
    hold_out = ["--hold-out", 1, "--validate-every", 1]
    assert train(path, tmp_path / "run", *photos, *hold_out, "--batch-size", 1) == 0
    assert f"note: images in {tmp_path / 'far/photos'} (2)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--data", "shapes", "--images", "HERE"], "--images FOLDER) belong to stored"),
        (["evaluate", "--data", "shapes", "--images", "HERE"], "--images FOLDER) belong to stored"),
        (["evaluate", "--data", "SET", "--images", "50"], "50 counts drawn shapes; of files"),
    ],
)
def test_row_16_images_that_do_not_fit_the_data(tmp_path, capsys, weights, words, message):
    path = data_set(tmp_path / "a.json", tmp_path / "images", BOTH)
    words = [{"HERE": tmp_path, "SET": path}.get(word, word) for word in words]
    more = ["--weights", weights]
    if words[0] == "train":
        more = ["--out", tmp_path / "run", "--steps", 1, "--workers", 1]
    assert run(*words, *more) == 2
    assert message in one_sentence(capsys)


@pytest.mark.parametrize("value", ["nowhere", "0", "-3", "1.5"])
def test_row_16_images_that_are_neither_folder_nor_number(capsys, value):
    try:
        status = run("evaluate", "--weights", "w", "--data", "shapes", "--images", value)
    except SystemExit as ended:
        status = ended.code
    assert status == 2 and value in one_sentence(capsys)
