"""verify lists every fault at once; a repaired copy has none, and the original stays as it was."""

import copy
import hashlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from test_coco import FAULTS, intact, write

from mrcnn_lite.cli import main
from mrcnn_lite.datasets.coco import CocoDataset
from mrcnn_lite.datasets.formats import read_source
from mrcnn_lite.datasets.rle import encode_rle
from mrcnn_lite.datasets.scan import scan
from mrcnn_lite.datasets.verify import describe, repair, verify


def row(identity, image=5, **more):
    """One more annotation: a square elsewhere."""
    box = [4, 3, 3, 3]
    polygons = [[4, 3, 7, 3, 7, 6, 4, 6]]
    entry = {"id": identity, "image_id": image, "category_id": 3, "bbox": box, "area": 9}
    return entry | {"iscrowd": 0, "segmentation": polygons} | more


def broken(folder):
    """A data set with a dozen faults of the file, of images and of masks."""
    data = intact()
    images = [("cut.png", 6), ("none.png", 7), ("turned.png", 8), ("small.png", 9), ("b.png", 10)]
    data["images"] += [{"id": i, "file_name": n, "height": 8, "width": 10} for n, i in images]
    data["annotations"] += [
        row(2, bbox=[4, 3, 0, 3]),
        row(3, bbox=[4, 3, 7, 6]),
        row(4, category_id=8),
        row(5, segmentation=[[3, 3, 3, 3, 3, 3]]),
        row(6, segmentation=[[4, 3, 7, 3, 7, 6, 4, 6], [50, 50, 60, 50, 60, 60]]),
        row(6, area=-1),
        row("8", category_id=3.0),
        row(9, image=8),
        row(10, image=9),
        row(11, segmentation={"size": [8, 10], "counts": [3]}),
        row(12, image=7),
        row(13, segmentation=[[float("nan"), 3, 7, 3, 7, 6]]),
    ]
    path = write(folder, data)
    images = folder / "images"
    noise = Image.effect_noise((10, 8), 90)
    noise.save(images / "cut.png")
    (images / "cut.png").write_bytes((images / "cut.png").read_bytes()[:70])
    image = Image.new("RGB", (10, 8), "blue")
    tag = image.getexif()
    tag[0x0112] = 6
    image.save(images / "turned.png", exif=tag)
    Image.new("RGB", (5, 4)).save(images / "small.png")
    Image.new("L", (10, 8)).save(images / "b.png")
    return path


FOUND = {
    "flat box": 2,
    "box and mask": 3,
    "unknown category_id": 4,
    "empty mask": 5,
    "polygon outside": 6,
    "id twice": 6,
    "area": 6,
    "RLE": 11,
    "polygon": 13,
    "size differs": None,
    "EXIF": None,
}


def test_all_faults_at_once(tmp_path):
    faults = verify(broken(tmp_path))
    kinds = {fault.kind: fault for fault in reversed(faults)}  # the first of each
    for kind, identity in FOUND.items():
        assert kinds[kind].annotation_id == identity, kind
        assert kinds[kind].fix and kinds[kind].hint in str(kinds[kind])
    assert {f.image_id for f in faults if f.kind == "unreadable image"} == {6, 7}
    assert "corners" in kinds["box and mask"].hint
    assert "EXIF" in kinds["EXIF"].hint
    assert all("data.json: " in str(fault) for fault in faults)


def fingerprint(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in files}  # fmt: skip


def test_a_repaired_copy(tmp_path):
    (tmp_path / "old").mkdir()
    path, out = broken(tmp_path / "old"), tmp_path / "new"
    before = fingerprint(tmp_path / "old")
    done = repair(path, out)
    assert fingerprint(tmp_path / "old") == before
    assert verify(out / "instances.json") == []
    data = json.loads((out / "instances.json").read_text())
    rows = {entry["id"]: entry for entry in data["annotations"]}
    # 7 is the second 6 with a new id; 4, 5, 11, 13 and all of images 6, 7 and 9 are gone
    assert set(rows) == {1, 2, 3, 6, 7, 8, 9}
    assert rows[1] == intact()["annotations"][0]
    assert rows[2]["bbox"] == rows[3]["bbox"] == [4, 3, 3, 3] and rows[7]["area"] == 9
    assert len(rows[6]["segmentation"]) == 1 and rows[8]["category_id"] == 3
    dataset = CocoDataset(out / "instances.json")
    assert [image["id"] for image in dataset.images] == [5, 8, 10]
    assert dataset[1][0].shape == (3, 8, 10)  # as the annotations saw it, without the tag
    report = (out / "report.txt").read_text()
    assert "kept: 3 of 6 images, 7 of 13 annotations" in report
    listed = json.loads((out / "report.json").read_text())
    assert len(listed) == len(done) and all(str(fault) in report for fault in done)
    assert {entry["text"] for entry in listed} == {str(fault) for fault in done}


def test_where_a_copy_may_not_be_written(tmp_path):
    (tmp_path / "old").mkdir()
    path = broken(tmp_path / "old")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("mine")
    for out, words in (
        (tmp_path / "full", "not empty"),
        (tmp_path / "old", "not empty"),
        (tmp_path / "old" / "new", "original"),
        (tmp_path / "old" / "images" / "new", "original"),
    ):
        with pytest.raises(ValueError, match=words):
            repair(path, out)
    assert not (tmp_path / "old" / "new").exists()


def test_what_cannot_be_repaired(tmp_path):
    data = intact()
    data["annotations"][0]["category_id"] = 99
    with pytest.raises(ValueError, match=r"no annotated image left.*category_id = 99"):
        repair(write(tmp_path, data), tmp_path.with_name("new"))
    with pytest.raises(ValueError, match="COCO instances"):
        repair(write(tmp_path, "[]"), tmp_path.with_name("new"))
    twice = json.dumps(intact()).replace('"categories"', '"images": [], "categories"')
    path = write(tmp_path, twice)
    assert [fault.kind for fault in verify(path)][:1] == ["repeated key"]
    with pytest.raises(ValueError, match="'images' is twice"):
        repair(path, tmp_path.with_name("new"))


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_of_the_reader_is_fixed_or_has_no_fix(tmp_path, name):
    change = FAULTS[name][0]
    data = copy.deepcopy(intact())
    data["annotations"].append(row(2))
    data["images"].append(dict(data["images"][0], id=60, file_name="c.png"))
    data["annotations"].append(row(3, image=60))
    if isinstance(change, str):
        data = change
    elif isinstance(change, dict):
        data["annotations"][0].update(change)
    else:
        change(data)
    (tmp_path / "old").mkdir()
    path = write(tmp_path / "old", data)
    shutil.copy(path.parent / "images" / "a.png", path.parent / "images" / "c.png")
    try:
        faults = verify(path)
    except ValueError as error:
        faults = []
        assert "not a JSON file" in str(error)  # noqa: PT017
    if faults and all(fault.fix for fault in faults) and name != "no name":
        done = repair(path, tmp_path / "new")
        assert done and verify(tmp_path / "new") == []
        ids = {entry["id"] for entry in json.loads((tmp_path / "new/instances.json").read_text())[
            "annotations"]}  # fmt: skip
        assert 3 in ids  # nothing happened to the other image
    else:
        with pytest.raises(ValueError, match=r"data\.json"):
            repair(path, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_in_memory_and_counted(tmp_path):
    with pytest.warns(UserWarning, match=r"\d+ faults, now fixed or left out"):
        dataset = CocoDataset(broken(tmp_path), repair=True)
    assert [image["id"] for image in dataset.images] == [5, 10]
    assert len(dataset[0][1]["labels"]) == 6
    assert dataset.changes


def test_a_healthy_set_is_counted_with_notes(tmp_path):
    data = intact()
    data["images"].append(dict(data["images"][0], id=6))
    data["categories"].append({"id": 7, "name": "circle"})
    mask = np.zeros((8, 10))
    mask[0] = 1
    data["annotations"] += [
        dict(data["annotations"][0], id=2),
        row(3, iscrowd=1, segmentation=encode_rle(mask, False), bbox=[0, 0, 10, 1]),
        row(4, segmentation=[[-3, -3, 4, -3, 4, 4, -3, 4]], bbox=[0, 0, 4, 4]),
    ]
    report = scan(read_source(write(tmp_path, data)))
    assert report.faults == []
    assert len(report.data["images"]) == 2 and report.objects == {"square": 3}
    assert report.clipped == 1
    assert report.areas == (10, 16) and report.sides == (8, 10)
    text = describe(report)
    for words in (
        "no fault",
        "square 3",
        "cut off",
        "crowd",
        "images without an object: 1",
        "crowd regions: 1",
        "segmentations over the border: 1",
        "classes without an object: 1 (circle)",
        "repeat",
    ):
        assert words in text, words


def test_the_command(tmp_path, capsys):
    (tmp_path / "old").mkdir()
    path = broken(tmp_path / "old")
    assert main(["verify", str(path), "--repair", str(tmp_path / "new")]) == 1
    text = capsys.readouterr().out
    assert f"{path}: annotation 4 of image 5: category_id = 8" in text
    assert "report.txt" in text
    assert main(["verify", str(tmp_path / "new")]) == 0
    assert "no fault" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "nothing")]) == 2
    assert "no such file" in capsys.readouterr().err
