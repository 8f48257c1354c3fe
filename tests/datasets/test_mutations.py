"""Two thousand random changes of a valid COCO file: refused in full, or read without loss."""

import copy
import json
import random
import signal
import warnings

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.datasets import open_dataset
from mrcnn_lite.datasets.annotations import read_coco
from mrcnn_lite.datasets.coco import CocoDataset
from mrcnn_lite.datasets.formats import read_source
from mrcnn_lite.datasets.rle import check_rle, decode_rle, encode_rle
from mrcnn_lite.datasets.scan import scan

MUTATIONS, MALFORMED, BATCHES = 2000, 5000, 4
LIMIT = 60  # seconds for one case; it takes milliseconds, so only a hang reaches it
SQUARE = [2, 1, 6, 1, 6, 4, 2, 4]
NUMBERS = (0, 1, -1, 3, 2**31, 2**63, -(10**30), 10**400, 1.5, -0.0, 1e308)
ODD_NUMBERS = (None, True, False, float("nan"), float("inf"), -float("inf"))
TEXTS = ("", "5", "7.0", "a.png", "../a.png", "\ud800", "\0", "x" * 400, "é")
DEEP = json.loads("[" * 60 + "]" * 60)
LISTS = ([], [[]], [None], {}, {"size": [8, 10], "counts": "o"}, [1, 2, 3, 4], [SQUARE], [0] * 500)
JUNK = (*NUMBERS, *ODD_NUMBERS, *TEXTS, *LISTS, DEEP)


def valid():
    """Three images of 10 x 8 pixels, two classes with a gap, polygons, both RLEs, a crowd."""
    mask = np.zeros((8, 10), np.uint8)
    mask[2:5, 3:8] = 1
    square = [SQUARE, [7, 5, 9, 5, 9, 7]]
    segmentations = [[list(SQUARE)], encode_rle(mask), encode_rle(mask, False), square]
    boxes = [[2, 1, 4, 3], [3, 2, 5, 3], [3, 2, 5, 3], [2, 1, 7, 6]]
    rows = [
        {"id": n + 1, "image_id": 4 + n % 2, "category_id": (3, 9)[n // 2], "iscrowd": int(n == 2)}
        | {"bbox": boxes[n], "area": 12, "segmentation": segmentations[n]}
        for n in range(4)
    ]
    names = zip((4, 5, 6), ("a.png", "b.png", "c.png"), strict=True)
    data = {
        "images": [{"id": i, "file_name": n, "height": 8, "width": 10} for i, n in names],
        "categories": [{"id": 3, "name": "date"}, {"id": 9, "name": "fig"}],
        "annotations": rows,
        "info": {"year": 2026},
    }
    return copy.deepcopy(data)


def paths(value, path=()):
    """The path to every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*path, key))


def mutate(data, choose):
    """Make one change; returns the path to it."""
    every = [path for path in paths(data) if path[0] != "info"]
    fields = [path for path in every if len(path) < 4 or choose.random() < 0.1]
    path = choose.choice(fields)
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    kind, old = choose.randrange(7), parent[path[-1]]
    if kind == 0:
        del parent[path[-1]]
    elif kind == 1 and isinstance(parent, list):
        parent.append(copy.deepcopy(old))
    elif kind == 2:
        other = data
        for key in choose.choice(every):
            other = other[key]
        parent[path[-1]] = copy.deepcopy(other)
    elif kind == 3 and isinstance(old, int | float):
        parent[path[-1]] = old * choose.choice([-1, 10, 1e6, 1e-9, 0.5]) + choose.choice([0, 1])
    elif kind == 4 and isinstance(old, int | str):
        parent[path[-1]] = choose.choice([str(old), [old], {"value": old}])
    elif kind == 5 and isinstance(parent, dict):
        parent[choose.choice(["id", "size", "new"])] = parent.pop(path[-1])
    else:
        parent[path[-1]] = copy.deepcopy(choose.choice(JUNK))
    return path


@pytest.fixture
def deadline():
    """Turns a hang into a failure."""

    def stop(*_):
        raise AssertionError(f"over {LIMIT} seconds for one case")

    before = signal.signal(signal.SIGALRM, stop)
    yield lambda: signal.alarm(LIMIT)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tmp_path):
    for name in "abc":
        Image.new("RGB", (10, 8)).save(tmp_path / f"{name}.png")
    return tmp_path


def masks_of(dataset):
    """(image file, class, mask) of every object."""
    found = {}
    for index, image in enumerate(dataset.images):
        target = dataset[index][1]
        names = [dataset.class_names[label] for label in target["labels"]]
        rows = dataset._rows[image["id"]]
        for row, name, mask in zip(rows, names, target["masks"], strict=True):
            found[row["id"]] = (image["file_name"], name, mask.numpy().tobytes())
    return found


def untouched(path, data):
    """Ids of the annotations that a change at this position leaves alone."""
    if path[0] == "annotations" and len(path) > 1:
        return {row["id"] for number, row in enumerate(data["annotations"]) if number != path[1]}
    if path[0] in ("images", "categories") and len(path) > 1:
        key = {"images": "image_id", "categories": "category_id"}[path[0]]
        changed = data[path[0]][path[1]]["id"]
        return {row["id"] for row in data["annotations"] if row[key] != changed}
    return set()


def attempt(run):
    """The result, or None and the message of a refusal; any other error fails the test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run(), ""
    except ValueError as error:
        return None, str(error)


def check_case(folder, whole, choose):
    data = valid()
    path = mutate(data, choose)
    file = folder / "data.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    faults = scan(read_coco(file), open_images=False).faults
    for fault in faults:
        assert fault.file == str(file)
        assert fault.kind and fault.value and fault.message and fault.hint
        assert fault.hint in str(fault) and "data.json: " in str(fault)
        if fault.section == "annotations":
            assert fault.field and fault.where.startswith("annotation")
    found, message = attempt(lambda: masks_of(CocoDataset(file)))
    if found is None:
        assert str(folder) in message and ";" in message, message  # where, and a hint
    else:
        assert not faults
    fixed, message = attempt(lambda: CocoDataset(file, repair=True))
    if fixed is None:
        assert any(not fault.fix for fault in faults), message
        return "not to be fixed"
    rest = masks_of(fixed)
    assert fixed.changes or rest == found
    images = {str(f.image_id) for f in fixed.changes if f.section == "images"}
    classes = any(f.section == "categories" for f in fixed.changes)
    for identity in untouched(path, valid()):
        row = next(row for row in valid()["annotations"] if row["id"] == identity)
        if whole[identity] not in rest.values():  # it may have a new id
            lost = str(row["image_id"]) in images or classes or path[0] == "categories"
            assert lost, (path, identity)
    return "refused" if found is None else "read"


@pytest.mark.parametrize(
    "batch", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, BATCHES))]
)
def test_every_change_is_refused_or_read(folder, deadline, batch):
    (folder / "data.json").write_text(json.dumps(valid()))
    whole = masks_of(CocoDataset(folder / "data.json"))
    assert len(whole) == 4
    outcomes = []
    for case in range(MUTATIONS // BATCHES):
        deadline()
        choose = random.Random(f"{batch} {case}")
        outcomes.append(check_case(folder, whole, choose))
    assert {"read", "refused", "not to be fixed"} == set(outcomes)
    assert outcomes.count("refused") > len(outcomes) / 4


def via():
    """A VIA file with two images, regions as a list and as an object."""
    shapes = [
        {"name": "polygon", "all_points_x": [2, 6, 6, 2], "all_points_y": [1, 1, 4, 4]},
        {"name": "rect", "x": 1, "y": 2, "width": 4, "height": 3},
        {"name": "ellipse", "cx": 5, "cy": 4, "rx": 3, "ry": 2, "theta": 0.5},
    ]
    regions = [{"shape_attributes": s, "region_attributes": {"name": "nut"}} for s in shapes]
    return {
        "annotations_of_a": {"filename": "a.png", "size": 1, "regions": regions},
        "b": {"filename": "b.png", "size": 1, "regions": {"0": copy.deepcopy(regions[0])}},
    }


def test_changes_of_a_via_file(folder, deadline):
    file, outcomes = folder / "via.json", []
    for case in range(400):
        deadline()
        content = via()
        mutate(content, random.Random(case))
        file.write_text(json.dumps(content))
        report, message = attempt(lambda: scan(read_source(file)))
        if report is None or report.faults:
            message = message or str(report.faults[0])
            assert (str(file) in message and ";" in message) or "attribute" in message, message
        dataset, refusal = attempt(lambda: open_dataset(file))
        healthy = report is not None and not report.faults
        assert (dataset is not None) == healthy, (message, refusal)
        if dataset is not None:
            outcomes.append(len(masks_of(dataset)))
            assert sum(report.objects.values()) == outcomes[-1]
    assert outcomes.count(4) > 50 and len(outcomes) < 350


def spoil(rle, choose):
    """One malformed RLE: size or counts no longer fit."""
    size, counts = list(rle["size"]), rle["counts"]
    kind = choose.randrange(8)
    if kind == 0:
        size[choose.randrange(2)] += choose.choice([-1, 1, 10**9, -(10**9), 0.5])
    elif kind == 1:
        size = choose.choice(JUNK)
    elif kind == 2:
        counts = choose.choice([j for j in JUNK if j != "5"])
    elif isinstance(counts, str):
        start = choose.randrange(len(counts))
        letters = "".join(chr(choose.randrange(0, 256)) for _ in range(choose.randrange(1, 9)))
        counts = counts[:start] + (letters if kind < 6 else "") + counts[start + kind % 2 :]
    else:
        start = choose.randrange(len(counts))
        counts = counts[:start] + [choose.choice(JUNK)] + counts[start + kind % 2 :]
    return {"size": size, "counts": counts}


def test_malformed_rle_is_never_accepted(deadline):
    refused, case = 0, 0
    while refused < MALFORMED:
        deadline()
        case += 1
        assert case < 2 * MALFORMED
        choose = random.Random(case)
        mask = (
            np.random.default_rng(case).random((choose.randint(1, 9), choose.randint(1, 9))) < 0.5
        )
        rle = spoil(encode_rle(mask, choose.random() < 0.6), choose)
        decoded, message = attempt(lambda rle=rle: decode_rle(rle))
        if decoded is None:
            assert "RLE" in message
            refused += 1
        else:  # still well formed after the change: its runs fill the mask
            runs, height, width = check_rle(rle)
            assert (runs >= 0).all() and runs.sum() == height * width == decoded.size
            assert encode_rle(decoded, False)["size"] == list(rle["size"])
