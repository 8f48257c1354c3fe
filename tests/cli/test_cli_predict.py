"""`predict` for people: what it writes, what it never writes over, and what it says at the end.

The rows are those of the table of faults: 1 output over input, 3 names by stem, 9 nothing to do,
15 memory, 17 consoles, 22 folders, patterns and bad files.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as peer
from pycocotools.coco import COCO

from mrcnn_lite.cli import main, predict
from mrcnn_lite.datasets.images import read_image
from mrcnn_lite.datasets.shapes import Shapes
from mrcnn_lite.models import load_weights
from mrcnn_lite.models.postprocess import PastedMasks
from mrcnn_lite.training.checkpoint import save_checkpoint

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "data" / "weights" / "shapes_lite.safetensors"
SHAPES = Shapes(30, seed=2)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # orientation: to be turned by 90 degrees


def draw(path, index=21, **options):
    """A drawn image as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (SHAPES[index][0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels[:96]).save(path, **options)  # 96 x 128: not a square
    return path


def run(*words, weights=WEIGHTS):
    return main(["predict", "--weights", str(weights), *map(str, words)])


def size_of(path):
    with Image.open(path) as image:
        return image.size


# --- What it writes -------------------------------------------------------------------------------


def test_json_and_label_maps_say_what_the_network_found(tmp_path, capsys):
    path, found = draw(tmp_path / "one.png"), tmp_path / "new" / "found.json"
    out, score = tmp_path / "out", 0.3
    assert run(path, "--out", out, "--json", found, "--masks", "--score", score) == 0
    model, names = load_weights(WEIGHTS)
    with torch.inference_mode():
        (expected,) = model([read_image(path) / 255])
    kept = expected["scores"] >= score
    rows = json.loads(found.read_text())
    assert len(rows) == int(kept.sum()) >= 5
    label_map = np.array(Image.open(out / "masks" / "one.png"))  # [H, W]
    assert label_map.shape == (96, 128) and label_map.dtype == np.uint8
    covered = np.zeros((96, 128), bool)
    for k, row in enumerate(rows):
        label = int(expected["labels"][k])
        assert (row["category_id"], row["category_name"]) == (label, names[label])
        assert row["file_name"] == "one.png" and row["image_id"] == 1
        assert row["score"] == pytest.approx(float(expected["scores"][k]))
        x1, y1, x2, y2 = expected["boxes"][k].tolist()
        assert row["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
        assert row["segmentation"]["size"] == [96, 128]
        mask = peer.decode(row["segmentation"]).astype(bool)  # [H, W]
        assert np.array_equal(mask, (expected["masks"][k, 0] >= 0.5).numpy())
        assert row["label_map_value"] == k + 1
        assert (label_map[mask & ~covered] == k + 1).all(), "the better object lies on top"
        covered |= mask
    assert not label_map[~covered].any()
    assert f"one.png: {len(rows)} objects with a score of 0.3 or more" in capsys.readouterr().out


def test_the_json_is_read_by_the_coco_tools(tmp_path, capsys):
    draw(tmp_path / "in" / "a.png", 1), draw(tmp_path / "in" / "b.png", 2)
    found = tmp_path / "found.json"
    assert run(tmp_path / "in", "--json", found) == 0
    rows = json.loads(found.read_text())
    truth = COCO()
    truth.dataset = {"images": [{"id": 1}, {"id": 2}], "annotations": [], "info": {}}
    truth.dataset["categories"] = [{"id": k} for k in range(1, 7)]
    truth.createIndex()
    assert len(truth.loadRes(str(found)).anns) == len(rows)
    assert {row["image_id"]: row["file_name"] for row in rows} == {1: "a.png", 2: "b.png"}


def test_more_than_255_objects_need_16_bits(tmp_path):
    count = 300
    corner = torch.arange(count) % 20, torch.arange(count) // 20
    boxes = torch.stack([*corner, corner[0] + 1, corner[1] + 1], dim=1).float() * 2  # [N, 4]
    masks = PastedMasks(torch.ones(count, 4, 4), boxes, (40, 44), "pixel_centres")
    found = {"boxes": boxes, "labels": torch.ones(count, dtype=torch.int64)}
    found |= {"scores": torch.linspace(1, 0.6, count), "masks": masks}
    options = argparse.Namespace(out=None, json=None, masks=tmp_path)
    results = predict.Results(options, [Path("many.jpg")])
    assert results.write(0, torch.zeros(3, 40, 44), found, ["background", "x"]) == [
        str(tmp_path / "many.png")
    ]
    label_map = np.array(Image.open(tmp_path / "many.png"))
    assert np.unique(label_map).tolist() == list(range(count + 1))
    assert label_map[0, 38] == 20 and label_map[29, 1] == 281


def test_a_turned_photograph_is_upright_in_every_output(tmp_path):
    path = draw(tmp_path / "turned.jpg", exif=TURNED, quality=95)
    out, found = tmp_path / "out", tmp_path / "found.json"
    assert size_of(path) == (128, 96)
    assert run(path, "--out", out, "--json", found, "--masks", out / "maps", "--score", 0.1) == 0
    assert size_of(out / "maps" / "turned.png") == (96, 128)
    width, height = size_of(out / "turned.png")
    assert (width, height) == (96 * 4, 128 * 4)  # small images are enlarged
    assert {tuple(r["segmentation"]["size"]) for r in json.loads(found.read_text())} == {(128, 96)}


def test_something_must_be_written(tmp_path, capsys):
    path = draw(tmp_path / "x.png")
    assert run(path) == 2
    assert "--out FOLDER, --json FILE or --masks FOLDER" in capsys.readouterr().err
    assert run(path, "--json", tmp_path / "a.json", "--masks") == 2
    assert "--masks needs a folder" in capsys.readouterr().err
    assert run("--out", tmp_path, "--masks", path, path) == 2
    assert "write --masks after the images" in capsys.readouterr().err
    assert run(path, "--out", tmp_path / "o", "--masks", tmp_path / "o") == 2
    assert "is --out too" in capsys.readouterr().err


# --- Row 1: a user's files ------------------------------------------------------------------------


def test_row_1_a_photograph_is_never_written_over(tmp_path, capsys, monkeypatch):
    path = draw(tmp_path / "photo.png")
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    for out in (".", tmp_path, tmp_path / "none" / ".."):
        for option in ("--out", "--masks"):
            assert run("photo.png", option, out) == 2
            assert "is an image to read; choose another" in capsys.readouterr().err
    assert path.read_bytes() == before
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "photo.png").symlink_to(path)
    assert run("photo.png", "--out", "links") == 2
    assert path.read_bytes() == before
    # A drawing may be looked at as well, but not be replaced while it is read.
    assert run("photo.png", "--out", "drawn") == 0
    drawing = (tmp_path / "drawn" / "photo.png").read_bytes()
    assert run("drawn/photo.png", "--out", "drawn") == 2
    assert (tmp_path / "drawn" / "photo.png").read_bytes() == drawing


def test_row_1_only_its_own_files_are_replaced(tmp_path, capsys):
    path, other, out = draw(tmp_path / "x.jpg"), draw(tmp_path / "y.jpg"), tmp_path / "out"
    theirs = draw(out / "y.png", 0)
    before = theirs.read_bytes()
    assert run(path, other, "--out", out) == 2
    said = capsys.readouterr()
    assert "y.png: exists, and this command did not write it; choose another name" in said.err
    assert not (out / "x.png").exists(), "refused before anything is written"
    assert theirs.read_bytes() == before
    found = tmp_path / "found.json"
    both = (path, "--out", out, "--json", found, "--masks")
    assert run(*both, "--score", 0.99) == 0
    first = (out / "x.png").read_bytes()
    assert run(*both, "--score", 0.1) == 0
    assert (out / "x.png").read_bytes() != first
    many = len(json.loads(found.read_text()))
    assert run(*both, "--score", 1) == 0 and many > 0
    assert json.loads(found.read_text()) == []
    assert run(*both) == 0, "a file without results is one of its own too"


@pytest.mark.parametrize("name", ["weights", "image", "coco", "results of others", "device"])
def test_row_1_json_over_a_file_of_somebody_else(name, tmp_path, capsys):
    image = draw(tmp_path / "x.png")
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(WEIGHTS.read_bytes())
    files = {"weights": weights, "image": image, "coco": ROOT / "data/sample/instances.json"}
    if name == "results of others":
        files[name] = tmp_path / "r.json"
        files[name].write_text('[{"image_id": 1, "category_id": 1, "score": 1}]')
    path = files.get(name, Path("/dev/null"))
    if not path.exists():
        pytest.skip("no such device here")
    before = path.is_file() and path.read_bytes()
    assert run(image, "--json", path, weights=weights) == 2
    assert "did not write it" in capsys.readouterr().err
    assert (path.is_file() and path.read_bytes()) == before


def test_row_1_a_folder_that_is_a_file_and_a_file_that_is_a_folder(tmp_path, capsys):
    image = draw(tmp_path / "x.png")
    for words in (("--out", image), ("--out", image / "deep"), ("--json", image / "a.json")):
        assert run(image, *words) == 2
        assert f"{words[0]} {image}" in capsys.readouterr().err
    assert run(image, "--json", tmp_path) == 2
    assert "is a folder; name a file" in capsys.readouterr().err


# --- Row 3: names ---------------------------------------------------------------------------------


def test_row_3_images_with_one_stem_have_an_output_each(tmp_path, capsys):
    paths = [draw(tmp_path / name, k) for k, name in enumerate(("a/x.png", "b/x.jpg", "a/X.JPEG"))]
    out, found = tmp_path / "out", tmp_path / "found.json"
    assert run(*paths, "--out", out, "--json", found, "--masks", "--score", 0.1) == 0
    names = ["x.png", "x-2.png", "X-3.png"]
    assert sorted(p.name for p in out.glob("*.png")) == sorted(names)
    assert sorted(p.name for p in (out / "masks").iterdir()) == sorted(names)
    assert len({(out / name).read_bytes() for name in names}) == 3
    said = capsys.readouterr().out.splitlines()
    assert [name in line for name, line in zip(names, said, strict=True)] == [True] * 3


def test_row_3_names_that_a_disk_takes_to_be_the_same():
    two = [Path(unicodedata.normalize(form, "é.jpg")) for form in ("NFC", "NFD")]
    names = predict.output_names([*two, Path("x.png"), Path("x.jpg"), Path("x-2.png")])
    plain = [unicodedata.normalize("NFC", name) for name in names]
    assert plain == ["é.png", "é-2.png", "x.png", "x-2.png", "x-2-2.png"]


def test_row_3_results_tell_images_with_one_name_apart(tmp_path):
    paths = [draw(tmp_path / folder / "x.png") for folder in ("a", "b")]
    found = tmp_path / "found.json"
    assert run(*paths, "--json", found) == 0
    names = {row["file_name"] for row in json.loads(found.read_text())}
    assert names == {path.as_posix() for path in paths}


# --- Rows 9 and 22: what is given -----------------------------------------------------------------


def test_row_22_a_folder_and_a_pattern(tmp_path, capsys, monkeypatch):
    for name in ("b.png", "a.JPG", "deep/c.png", "[1].png"):
        draw(tmp_path / "in" / name, format="PNG" if name.endswith("png") else "JPEG")
    for name in ("notes.txt", "._a.JPG"):
        (tmp_path / "in" / name).write_text("no image")
    monkeypatch.chdir(tmp_path)
    cases = {
        ("in",): ["[1].png", "a.JPG", "b.png"],
        ("in/*.png",): ["[1].png", "b.png"],
        ("in/[1].png",): ["[1].png"],  # a file's own name comes first
        ("in/**/*.png",): ["[1].png", "b.png", "c.png"],
        ("in/b.png", "in", "./in/b.png"): ["b.png", "[1].png", "a.JPG"],  # each once
    }
    for given, names in cases.items():
        paths, failed = predict.find_images([Path(name) for name in given])
        assert [path.name for path in paths] == names and not failed
    assert run("in", "in/**/c*", "--out", "out") == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 4
    assert "4/4" in said.err, "the bar"


def test_row_9_no_image_is_an_error(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for given in (tmp_path / "empty", tmp_path / "*.png"):
        assert run(given, "--out", tmp_path / "out") == 2
        assert f"{given}: no PNG or JPEG file is there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_row_22_bad_images_do_not_end_the_rest(tmp_path, capsys):
    good = [draw(tmp_path / name) for name in ("a.png", "z.png")]
    bad = tmp_path / "bad.png"
    bad.write_bytes(good[0].read_bytes()[:300])
    missing, pattern = tmp_path / "none.jpg", tmp_path / "none*.jpg"
    found, out = tmp_path / "found.json", tmp_path / "out"
    words = (good[0], bad, missing, pattern, good[1], "--out", out, "--json", found)
    assert run(*words) == 1
    said = capsys.readouterr()
    assert said.err.index("3 failed") < said.err.index("bad.png: cannot be read")
    assert "none.jpg: no such file" in said.err and "none*.jpg: no PNG or JPEG" in said.err
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "z.png"]
    rows = json.loads(found.read_text())
    assert {row["file_name"]: row["image_id"] for row in rows} == {"a.png": 1, "z.png": 4}


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_row_22_what_is_no_weights_file_is_told_as_what_it_is(command, tmp_path, capsys):
    image, data = draw(tmp_path / "x.png"), str(ROOT / "data/sample/instances.json")
    more = {"predict": [str(image), "--out", str(tmp_path / "o")], "evaluate": ["--data", data]}
    torch.save({"x": torch.zeros(2)}, tmp_path / "x.pth")
    save_checkpoint(tmp_path, {"steps": 1})
    (tmp_path / "run").mkdir()
    said = {
        "x.pth": "a file of torch.save; weights are the .safetensors file of a run",
        "last.checkpoint": "a run's checkpoint; its weights are last.safetensors beside it",
        "run": "no such weights file",
        "none.safetensors": "no such weights file",
        "x.png": "not a safetensors file",
    }
    for name, sentence in said.items():
        assert main([command, "--weights", str(tmp_path / name), *more[command]]) == 2
        error = capsys.readouterr().err
        assert name in error and sentence in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_row_17_no_console_ends_it_half_way(encoding, tmp_path, monkeypatch):
    names = ["猫.png", "ß.png", "bad→.png", os.fsdecode(b"\xff.png"), "z.png"]
    try:
        paths = [draw(tmp_path / name) for name in names]
    except OSError:  # a disk that takes no such name
        pytest.skip("names of bytes")
    paths[2].write_text("no image")
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    found = tmp_path / "found.json"
    assert run(*paths, "--json", found, "--out", tmp_path / "out") == 1
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)
    assert len(out.splitlines()) == 4 and "z.png: " in out
    assert "1 failed" in err and "cannot be read" in err
    assert {row["file_name"] for row in json.loads(found.read_text())} == {*names} - {names[2]}


def test_what_was_found_remains_when_somebody_stops_it(tmp_path, monkeypatch):
    paths = [draw(tmp_path / name) for name in ("a.png", "b.png")]
    inner, seen = predict.detect, []

    def stop_at_two(*arguments):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return inner(*arguments)

    monkeypatch.setattr(predict, "detect", stop_at_two)
    found = tmp_path / "found.json"
    assert run(*paths, "--json", found) == 130
    assert {row["file_name"] for row in json.loads(found.read_text())} == {"a.png"}


# --- Row 15: memory -------------------------------------------------------------------------------


def test_row_15_one_mask_at_a_time_and_only_those_that_are_shown(tmp_path, monkeypatch):
    path, pasted = draw(tmp_path / "x.png"), []
    inner = PastedMasks.__getitem__

    def count(self, rows):
        masks = inner(self, rows)
        if not isinstance(rows, int):
            pasted.append(len(masks))
        return masks

    monkeypatch.setattr(PastedMasks, "__getitem__", count)
    found = tmp_path / "found.json"
    assert run(path, "--out", tmp_path / "out", "--json", found, "--masks", "--score", 0.5) == 0
    shown = len(json.loads(found.read_text()))
    assert pasted == [1] * 2 * shown, "once for the drawing, once for mask and run lengths"


@pytest.mark.slow
def test_row_15_24_megapixels_in_one_and_a_half_gigabytes(tmp_path):
    small, photo, found = draw(tmp_path / "x.png"), tmp_path / "large.jpg", tmp_path / "found.json"
    Image.open(small).resize((6000, 4000)).save(photo, exif=TURNED)
    # Linux lets a child's ru_maxrss begin at its parent's size: VmHWM is the process's own.
    code = (
        "import pathlib, re, resource, sys; from mrcnn_lite.cli import main; main(sys.argv[1:]); "
        "own = pathlib.Path('/proc/self/status'); "
        "peak = re.search(r'VmHWM:\\s+(\\d+)', own.read_text())[1] if own.exists() else "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; print('peak', peak)"
    )
    words = ["predict", "--weights", WEIGHTS, photo, "--out", tmp_path / "out", "--masks"]
    words += ["--json", found, "--score", "0"]
    call = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout.split()[-1]) * unit < 1.5e9, done.stdout
    assert size_of(tmp_path / "out" / "large.png") == (4000, 6000)
    assert len(json.loads(found.read_text())) >= 5
