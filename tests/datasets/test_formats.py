"""VIA and label maps give the same objects as COCO; what is wrong in them is named."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from real_data import NUTS, ROOT, real_data

from mrcnn_lite.datasets import open_dataset
from mrcnn_lite.datasets.coco import CocoDataset
from mrcnn_lite.datasets.shapes import Shapes
from mrcnn_lite.datasets.verify import verify
from mrcnn_lite.training import open_data

SAMPLE = ROOT / "data" / "sample"


def as_via(data, regions_as=list):
    """A COCO file with one polygon per object, as VIA exports it."""
    names = {row["id"]: row["name"] for row in data["categories"]}
    entries = {}
    for image in data["images"]:
        regions = [
            {
                "shape_attributes": {
                    "name": "polygon",
                    "all_points_x": row["segmentation"][0][0::2],
                    "all_points_y": row["segmentation"][0][1::2],
                },
                "region_attributes": {"kind": names[row["category_id"]]},
            }
            for row in data["annotations"]
            if row["image_id"] == image["id"]
        ]
        if regions_as is dict:
            regions = {str(number): region for number, region in enumerate(regions)}
        name = image["file_name"]
        entries[f"{name}123"] = {"filename": name, "size": 123, "regions": regions}
    return entries


@pytest.mark.parametrize("form", ["list", "dict", "project"])
def test_nuts_as_via(tmp_path, form):
    path = real_data(NUTS)
    content = as_via(json.loads(path.read_text()), dict if form == "dict" else list)
    if form == "project":
        content = {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}}
    file = tmp_path / "via.json"
    file.write_text(json.dumps(content))
    (tmp_path / "images").symlink_to(path.parent / "images")
    ours, coco = open_dataset(file, exclude=[3]), CocoDataset(path)
    assert ours.class_names == coco.class_names and len(ours) == len(coco) - 1
    indices = {image["file_name"]: index for index, image in enumerate(coco.images)}
    for index in range(0, len(ours), 4):
        (image, target), name = ours[index], ours.images[index]["file_name"]
        same, expected = coco[indices[name]]
        assert torch.equal(image, same)
        for key in ("masks", "labels", "boxes"):
            assert torch.equal(target[key], expected[key]), key
    assert verify(file) == [] if form == "list" else True


def write_maps(source, folder, count=None):
    """Images and label maps of a data set; class k has the values 100 k + 1, 100 k + 2, ..."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for index in range(len(source) if count is None else count):
        image, target = source[index]
        values = np.zeros(image.shape[1:], dtype=np.uint16)
        for number, (label, mask) in enumerate(zip(target["labels"], target["masks"].numpy())):
            values[mask != 0] = 100 * int(label) + number
        pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
        Image.fromarray(pixels).save(folder / "images" / f"{index:03d}.png")
        Image.fromarray(values).save(folder / "masks" / f"{index:03d}.png")
    names = source.class_names[1:]
    rules = {f"{100 * k}-{100 * k + 99}": name for k, name in enumerate(names, start=1)}
    (folder / "classes.json").write_text(json.dumps(rules))


def check_maps(source, folder, count):
    dataset = open_dataset(folder)
    assert dataset.class_names == source.class_names and len(dataset) == count
    for index in range(count):
        (image, target), (drawn, expected) = dataset[index], source[index]
        assert (image - drawn).abs().max() < 1 / 255
        # A later object covers an earlier one in the map; what is left of each must be the same.
        masks = expected["masks"].clone()
        for row in range(len(masks) - 1):
            masks[row] *= 1 - masks[row + 1 :].amax(0)
        seen = [(int(label), mask) for label, mask in zip(expected["labels"], masks) if mask.any()]
        seen.sort(key=lambda pair: pair[0])
        assert [label for label, _ in seen] == target["labels"].tolist()
        for (_, mask), ours in zip(seen, target["masks"], strict=True):
            assert torch.equal(mask, ours)


def test_label_maps_of_shapes(tmp_path):
    source = Shapes(6, seed=5, size=64)
    write_maps(source, tmp_path)
    check_maps(source, tmp_path, 6)
    assert verify(tmp_path) == []
    assert len(open_data(str(tmp_path), exclude=[0, 2])) == 4


def test_nuts_as_label_maps(tmp_path):
    source = CocoDataset(real_data(NUTS))
    write_maps(source, tmp_path, 2)
    check_maps(source, tmp_path, 2)


def test_penn_fudans_folders(tmp_path):
    for name in ("PNGImages", "PedMasks"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (9, 6)).save(tmp_path / "PNGImages" / "FudanPed00001.png")
    values = np.zeros((6, 9), np.uint8)
    values[1:3, 1:4], values[4, 8] = 1, 2
    map_file = Image.fromarray(values).convert("P")
    map_file.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    map_file.putdata(values.ravel().tolist())
    map_file.save(tmp_path / "PedMasks" / "FudanPed00001_mask.png")
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ["background", "object"]
    assert dataset[0][1]["boxes"].tolist() == [[1, 1, 4, 3], [8, 4, 9, 5]]
    (tmp_path / "classes.json").write_text('{"2": null, "*": "person"}')
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ["background", "person"] and len(dataset[0][1]["boxes"]) == 1


def test_faults_of_label_maps(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()

    def put(name, array, size=(9, 6)):
        Image.new("RGB", size).save(tmp_path / "images" / name)
        Image.fromarray(array).save(tmp_path / "masks" / name)

    good = np.zeros((6, 9), np.uint8)
    good[2:4, 3:5] = 1
    put("good.png", good)
    put("empty.png", good * 0)
    put("size.png", good, (8, 6))
    put("colour.png", np.zeros((6, 9, 3), np.uint8))
    put("class.png", good * 7)
    put("alone.png", good)
    (tmp_path / "images" / "alone.png").unlink()
    Image.new("RGB", (9, 6)).save(tmp_path / "images" / "bare.png")
    (tmp_path / "classes.json").write_text('{"1-5": "nut"}')
    faults = verify(tmp_path)
    kinds = {"map size", "unreadable image", "value without class", "map alone", "no map"}
    assert {fault.kind for fault in faults} == kinds and len(faults) == 5
    for fault, name in zip(sorted(faults, key=str), ["bare", "class", "colour", "size", "alone"]):
        assert name in str(fault) and str(tmp_path) in str(fault) and fault.hint in str(fault)
    with pytest.raises(ValueError, match="one channel"):
        open_dataset(tmp_path)
    with pytest.warns(UserWarning, match="5 faults"):
        rest = open_dataset(tmp_path, repair=True)
    assert [image["file_name"] for image in rest.images] == ["class.png", "empty.png", "good.png"]
    for rules in ('{"1-5": "a", "5": "b"}', "[]", '{"x": "a"}', '{"1": 3}'):
        (tmp_path / "classes.json").write_text(rules)
        with pytest.raises(ValueError, match=r"classes\.json"):
            verify(tmp_path)


SHAPES = {
    "rect": {"x": 2, "y": 1, "width": 4, "height": 3},
    "circle": {"cx": 5, "cy": 5, "r": 3},
    "ellipse": {"cx": 10, "cy": 8, "rx": 6, "ry": 2, "theta": math.pi / 2},
    "polyline": {"all_points_x": [1, 5, 5], "all_points_y": [1, 1, 6]},
}


def via_file(folder, regions, **more):
    Image.new("RGB", (20, 16)).save(folder / "a.png")
    path = folder / "via.json"
    entry = {"filename": "a.png", "regions": regions}
    path.write_text(json.dumps({"a.png9": entry} | more))
    return path


def region(name, attributes=None, **fields):
    shape = {"name": name} | (fields or SHAPES[name])
    return {
        "shape_attributes": shape,
        "region_attributes": {} if attributes is None else attributes,
    }


def test_vias_shapes(tmp_path):
    dataset = open_dataset(via_file(tmp_path, [region(name) for name in SHAPES]))
    assert dataset.class_names == ["background", "object"]
    rect, circle, ellipse, _ = dataset[0][1]["masks"].numpy()
    assert rect.sum() == 12 and rect[1:4, 2:6].all()
    assert abs(circle.sum() - math.pi * 9) < 4
    assert abs(ellipse.sum() - math.pi * 12) < 5
    rows = np.flatnonzero(ellipse.any(1))
    assert len(rows) > 10  # the quarter turn put the long axis upright


def test_vias_faults(tmp_path):
    named = {"name": "nut"}
    regions = [
        region("rect", named),
        region("point", named, cx=1, cy=2),
        region("rect", named, x=1, y=2, width=0, height=3),
        region("polygon", named, all_points_x=[1, 2, 3], all_points_y=[1, 2]),
        region("rect", {"name": ""}),
        "rubbish",
        region("rect", named, x=100, y=100, width=5, height=5),
    ]
    missing = {"filename": "b.png", "regions": []}
    path = via_file(tmp_path, regions, b=missing, c={"filename": "a.png", "regions": {}}, d=7)
    faults = verify(path)
    positions = [f"regions[{number}]" for number in range(1, 7)]
    for words in (*positions, "'b.png'", "already used", "image 'd'"):
        assert sum(words in str(fault) for fault in faults) == 1, words
    assert len(faults) == 9
    two = [region("rect", {"name": "nut", "colour": "red", "size": "big"})]
    assert open_dataset(via_file(tmp_path, two)).class_names[1:] == ["nut"]
    two[0]["region_attributes"] = {"colour": "red", "size": {"big": True, "small": False}}
    with pytest.raises(ValueError, match=r"'colour', 'size'.*attribute"):
        open_dataset(via_file(tmp_path, two))
    assert open_dataset(via_file(tmp_path, two), attribute="size").class_names[1:] == ["big"]
    path.write_text('{"project": {}, "metadata": {}, "file": {}}')
    with pytest.raises(ValueError, match="VIA 3"):
        open_dataset(path)


def test_a_folder_with_one_json_file_is_opened():
    assert len(open_dataset(SAMPLE)) == 8


def test_folders_that_hold_nothing(tmp_path):
    with pytest.raises(ValueError, match="label maps nor exactly one JSON"):
        open_dataset(tmp_path)
