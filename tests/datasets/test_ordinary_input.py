"""Ordinary files of other tools that were refused or misread: rows of the issue's table."""

import json
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image
from test_coco import SQUARE, intact, write

from mrcnn_lite.datasets import open_dataset
from mrcnn_lite.datasets.coco import CocoDataset
from mrcnn_lite.datasets.formats import read_source
from mrcnn_lite.datasets.images import read_image
from mrcnn_lite.datasets.scan import scan
from mrcnn_lite.datasets.verify import describe, repair, verify

NFC, NFD = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


def put(path, colour="red"):
    """Write an image of 10 x 8 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 8), colour).save(path)


def annotate(path, *names):
    """Write a file with a square in each of these images."""
    data = intact()
    data["images"] = [dict(data["images"][0], id=k, file_name=n) for k, n in enumerate(names)]
    data["annotations"] = [
        dict(data["annotations"][0], id=k + 1, image_id=k) for k in range(len(names))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def files(dataset):
    """Where the images of a data set were found."""
    return [dataset.files.path(image["file_name"]) for image in dataset.images]


# Row 16: the annotation file, the image as it is written in it, and where the image lies.
LAYOUTS = {
    "Label Studio": ("result.json", "images/x.png", "images/x.png"),
    "Label Studio on Windows": ("result.json", r"images\0\x.png", "images/0/x.png"),
    "Label Studio's folder": ("result.json", r"..x\images\x.png", "images/x.png"),
    "labelme2coco": ("annotations.json", "JPEGImages/x.png", "JPEGImages/x.png"),
    "labelme2coco of a parent": ("dataset.json", "train/x.png", "x.png"),
    "CVAT": ("annotations/instances_default.json", "x.png", "images/default/x.png"),
    "CVAT with its subset": ("annotations/instances.json", "default/x.png", "images/default/x.png"),
    "COCO 2017": ("annotations/instances_val2017.json", "x.png", "val2017/x.png"),
    "Roboflow": ("train/_annotations.coco.json", "x.png", "train/x.png"),
    "the parent": ("labels/a.json", "x.png", "x.png"),
    "the parent's images": ("train/a.json", "x.png", "images/x.png"),
    "deep below": ("a.json", "x.png", "some/where/x.png"),
    "a dot": ("a.json", "./x.png", "images/x.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_row_16_layouts_of_other_tools(tmp_path, layout):
    file, name, place = LAYOUTS[layout]
    home = tmp_path / "set"
    put(home / place)
    path = annotate(home / file, name)
    dataset = CocoDataset(path)
    assert [p.resolve() for p in files(dataset)] == [(home / place).resolve()]
    assert dataset[0][0][:, 0, 0].tolist() == [1, 0, 0]
    report = scan(read_source(path))
    assert report.faults == []
    usual = (path.parent / folder / name.replace("\\", "/") for folder in ("images", "."))
    assert ("images in " in describe(report)) == (home / place not in usual)
    copy = tmp_path / "copy"
    repair(path, copy)
    assert len(open_dataset(copy)) == 1 and verify(copy) == []


def test_row_16_it_is_said_where_the_images_were_found(tmp_path):
    home = tmp_path / "set"
    put(home / "images/default/x.png")
    path = annotate(home / "annotations/a.json", "x.png")
    told = CocoDataset(path).files.told()
    assert told == f"images in {home / 'images' / 'default'} (1)"


def test_row_16_image_folder_is_the_only_place(tmp_path):
    put(tmp_path / "set/images/x.png", "red")
    put(tmp_path / "else/x.png", "blue")
    path = annotate(tmp_path / "set/a.json", "images/x.png")
    other = open_dataset(path, image_folder=tmp_path / "else")
    assert files(other) == [tmp_path / "else/x.png"]
    assert other[0][0][:, 0, 0].tolist() == [0, 0, 1]
    assert files(open_dataset(path)) == [tmp_path / "set/images/x.png"]
    (tmp_path / "else/x.png").unlink()
    with pytest.raises(ValueError, match=r"images/x\.png' is nowhere in .*else; .*--images"):
        open_dataset(path, image_folder=tmp_path / "else")


def test_row_16_what_is_not_clear_is_not_guessed(tmp_path):
    for place in ("set/a/x.png", "set/b/x.png", "set/b/y.png"):
        put(tmp_path / place)
    path = annotate(tmp_path / "set/a.json", "x.png")
    with pytest.raises(ValueError, match=r"'x\.png' may be .*a/x\.png or .*b/x\.png; .*--images"):
        CocoDataset(path)
    # the folder in the name tells
    assert files(CocoDataset(annotate(path, "old/b/x.png"))) == [tmp_path / "set/b/x.png"]
    # two names that would be one file
    with pytest.raises(ValueError, match=r"'1/y\.png' and '2/y\.png' would both be .*b/y\.png"):
        CocoDataset(annotate(path, "1/y.png", "2/y.png"))
    (fault, _) = verify(path)
    assert fault.kind == "unreadable image" and "would both be" in str(fault)
    # one of them lies where it is written, in either order
    for names in (("b/y.png", "2/y.png"), ("2/y.png", "b/y.png")):
        (fault,) = verify(annotate(path, *names))
        assert "'2/y.png' cannot be opened (and 'b/y.png' would both be" in str(fault)


def test_row_16_never_outside_the_data_sets_folder(tmp_path):
    put(tmp_path / "x.png")
    put(tmp_path / "far/x.png")
    home = tmp_path / "one/two/set"
    path = annotate(home / "a.json", "x.png")
    with pytest.raises(ValueError, match=r"is nowhere in .*two/set, .*one/two; "):
        CocoDataset(path)
    for name in ("../../../x.png", str(tmp_path / "x.png"), r"C:\x.png", r"\x.png", r"..\x.png"):
        with pytest.raises(ValueError, match=r"leaves the image folder"):
            CocoDataset(annotate(path, name))


@pytest.mark.parametrize(
    "name", ["../img/x.png", "/elsewhere/me/x.png", r"C:\me\x.png", r"\me\x.png"]
)
def test_row_16_paths_of_another_machine_in_a_folder_that_is_named(tmp_path, name):
    put(tmp_path / "photos/in/x.png")
    path = annotate(tmp_path / "set/a.json", name, "y.png")
    put(tmp_path / "photos/y.png")
    assert "--images" in str(verify(path)[0])
    dataset = open_dataset(path, image_folder=tmp_path / "photos")
    assert files(dataset)[0] == tmp_path / "photos/in/x.png"
    repair(path, tmp_path / "copy", image_folder=tmp_path / "photos")
    assert verify(tmp_path / "copy") == []
    assert {p.name for p in (tmp_path / "copy/images").iterdir()} == {"x.png", "y.png"}
    (tmp_path / "photos/in/x.png").unlink()
    put(tmp_path / "img/x.png")  # where the first of the names would lead
    with pytest.raises(ValueError, match="is nowhere in"):
        open_dataset(path, image_folder=tmp_path / "photos")


@pytest.mark.parametrize("name", ["images/x%201.png", "x%201.PNG", "a/X 1.png", "X 1.PNG"])
def test_row_16_names_as_an_address_or_in_other_letters(tmp_path, name):
    put(tmp_path / "set/images/x 1.png")
    path = annotate(tmp_path / "set/a.json", name)
    assert files(open_dataset(path)) == [tmp_path / "set/images/x 1.png"]
    repair(path, tmp_path / "copy")
    assert verify(tmp_path / "copy") == []


def test_row_16_capitals_of_two_names_are_two_files(tmp_path):
    put(tmp_path / "set/x.png")
    (fault,) = verify(annotate(tmp_path / "set/a.json", "x.png", "X.png"))
    assert "'X.png' cannot be opened (and 'x.png' would both be" in str(fault)


def test_row_16_in_via_files(tmp_path):
    put(tmp_path / "set/images/default/x.png")
    shape = {"name": "rect", "x": 1, "y": 1, "width": 4, "height": 3}
    entry = {"filename": r"default\x.png", "regions": [{"shape_attributes": shape}]}
    path = tmp_path / "set/annotations/via.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"x": entry}))
    assert open_dataset(path)[0][1]["area"].tolist() == [12]
    put(tmp_path / "else/x.png", "blue")
    dataset = open_dataset(path, image_folder=tmp_path / "else")
    assert dataset[0][0][:, 0, 0].tolist() == [0, 0, 1]


def test_row_16_label_maps_whose_images_lie_elsewhere(tmp_path):
    put(tmp_path / "photos/x.png")
    (tmp_path / "set/masks").mkdir(parents=True)
    Image.fromarray(np.eye(8, 10, dtype=np.uint8)).save(tmp_path / "set/masks/x.png")
    dataset = open_dataset(tmp_path / "set", image_folder=tmp_path / "photos")
    assert dataset[0][1]["area"].tolist() == [8]


def test_row_16_a_folder_with_its_annotations_beside_the_images(tmp_path):
    put(tmp_path / "images/x.png")
    annotate(tmp_path / "annotations/instances.json", "x.png")
    assert len(open_dataset(tmp_path)) == 1


@pytest.mark.parametrize("value", ["absent", None, 8.0, "8", "8.0"])
def test_row_18_sizes_in_any_form(tmp_path, value):
    data = intact()
    data["images"][0]["height"] = value
    if value == "absent":
        del data["images"][0]["height"], data["images"][0]["width"]
    path = write(tmp_path, data)
    assert CocoDataset(path)[0][1]["boxes"].tolist() == [[2, 1, 6, 4]]
    report = scan(read_source(path))
    note = "images without a size: 1" if value in ("absent", None) else "in another form: 1"
    assert report.faults == [] and note in describe(report)
    repair(path, tmp_path.with_name("copy"))
    image = json.loads((tmp_path.with_name("copy") / "instances.json").read_text())["images"][0]
    shutil.rmtree(tmp_path.with_name("copy"))
    assert (image["height"], image["width"]) == (8, 10) and type(image["height"]) is int


def test_row_18_a_size_that_is_none_is_taken_from_the_file_by_a_repair(tmp_path):
    data = intact()
    data["images"][0]["height"] = -3
    (fault,) = verify(write(tmp_path, data))
    assert fault.fix == "taken from the image file" and fault.change == {"height": 8, "width": 10}
    with pytest.warns(UserWarning, match="1 fault,"):
        dataset = CocoDataset(tmp_path / "data.json", repair=True)
    assert dataset[0][1]["masks"].shape == (1, 8, 10)


def test_row_18_no_size_and_no_file(tmp_path):
    data = intact()
    data["images"][0] = {"id": 5, "file_name": "none.png"}
    with pytest.raises(ValueError, match=r"image 5: height = None is not .*write the image's size"):
        CocoDataset(write(tmp_path, data))


NUMBERS = {
    "image_id": [5.0, "5", "5.0"],
    "category_id": [3.0, "3"],
    "id": ["1", 1.0],
    "iscrowd": [0.0, "0", False, None],
    "area": ["12", "12.0"],
    "bbox": [["2", "1", "4", "3"], ["2.0", 1, 4.0, "3"]],
    "segmentation": [
        [[str(v) for v in SQUARE]],
        {"size": [8.0, 10.0], "counts": [float(v) for v in (17, 3, 5, 3, 5, 3, 5, 3, 36)]},
        {"size": ["8", "10"], "counts": [17, 3, 5, 3, 5, 3, 5, 3, "36"]},
    ],
}


@pytest.mark.parametrize("field", NUMBERS)
def test_row_18_other_numbers_in_any_form(tmp_path, field):
    expected = CocoDataset(write(tmp_path, intact()))[0][1]
    for value in NUMBERS[field]:
        data = intact()
        data["annotations"][0][field] = value
        path = write(tmp_path, data)
        target = CocoDataset(path)[0][1]
        for key, tensor in expected.items():
            assert np.array_equal(target[key], tensor), (value, key)
        assert verify(path) == [], value


def test_row_18_ids_of_images_and_categories_in_any_form(tmp_path):
    for section, number in (("images", "5"), ("images", 5.0), ("categories", "3")):
        data = intact()
        data[section][0]["id"] = number
        dataset = CocoDataset(write(tmp_path, data))
        assert dataset.images[0]["id"] == 5 and dataset[0][1]["labels"].tolist() == [1]
    data["images"].append(dict(data["images"][0], id="05"))
    with pytest.raises(ValueError, match=r"images\[1\]: id = 5 is already used by images\[0\]"):
        CocoDataset(write(tmp_path, data))


def test_row_18_ids_that_are_texts(tmp_path):
    path = annotate(tmp_path / "a.json", "x.png", "y.png", "z.png")
    for name, colour in (("x", "red"), ("y", "lime"), ("z", "blue")):
        put(tmp_path / f"{name}.png", colour)
    text = json.loads(path.read_text())
    for image in text["images"]:
        image["id"] = f"img_{9 - image['id']}"
    for row in text["annotations"]:
        row |= {"id": f"uuid-{row['id']}", "image_id": f"img_{9 - row['image_id']}"}
        row["category_id"] = "c-3"
    text["categories"][0]["id"] = "c-3"
    del text["annotations"][1]  # the second image has no object
    path.write_text(json.dumps(text))
    assert verify(path) == []
    dataset = CocoDataset(path)
    assert [int(dataset[k][0][:, 0, 0].argmax()) for k in range(3)] == [0, 1, 2]
    assert [dataset[k][1]["labels"].tolist() for k in range(3)] == [[1], [], [1]]
    text["annotations"][1]["image_id"] = "img_4"
    path.write_text(json.dumps(text))
    (fault,) = verify(path)
    assert "annotation 'uuid-3' of image 'img_4': image_id = 'img_4' is not among" in str(fault)
    text["images"][1]["id"] = "img_9"  # twice
    path.write_text(json.dumps(text))
    assert {fault.kind for fault in verify(path)} == {"id", "unknown image_id"}


@pytest.mark.parametrize("value", ["4x", "", "nan", "1e999", "0x4", "1,5", True, [4], {"x": 4}])
def test_row_18_what_is_no_number_is_one_fault(tmp_path, value):
    for field in ("image_id", "area"):
        data = intact()
        data["annotations"][0][field] = value
        (fault,) = verify(write(tmp_path, data))
        assert fault.field == field


@pytest.mark.parametrize(("written", "stored"), [(NFC, NFD), (NFD, NFC)])
def test_row_20_names_in_another_unicode_form(tmp_path, written, stored):
    put(tmp_path / f"set/images/{stored}/{stored}.png")
    path = annotate(tmp_path / "set/a.json", f"{written}/{written}.png")
    data = json.loads(path.read_text())
    data["categories"][0]["name"] = written
    path.write_text(json.dumps(data))
    dataset = CocoDataset(path)
    assert dataset[0][0].shape == (3, 8, 10) and verify(path) == []
    assert dataset.class_names == ["background", NFC]  # so that classes of two sets are equal
    repair(path, tmp_path / "copy")
    assert verify(tmp_path / "copy") == []


def test_row_20_in_label_maps_and_via(tmp_path):
    put(tmp_path / f"images/{NFC}.png")
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.eye(8, 10, dtype=np.uint8)).save(tmp_path / f"masks/{NFD}_mask.png")
    (tmp_path / "classes.json").write_text(json.dumps({"1": NFD}))
    dataset = open_dataset(tmp_path)
    assert dataset.class_names[1] == NFC and dataset[0][1]["area"].tolist() == [8]
    shape = {"name": "rect", "x": "1", "y": 1, "width": 4, "height": 3}
    regions = [
        {"shape_attributes": shape, "region_attributes": {f"art{form}": form, "other": "x"}}
        for form in (NFC, NFD)
    ]
    via = tmp_path / "via.json"
    via.write_text(json.dumps({"x": {"filename": f"{NFD}.png", "regions": regions}}))
    dataset = open_dataset(via, attribute=f"art{NFD}")
    assert dataset.class_names == ["background", NFC] and len(dataset[0][1]["labels"]) == 2


@pytest.mark.parametrize(("written", "stored"), [(NFC, NFD), (NFD, NFC)])
def test_row_20_paths_that_a_user_types(tmp_path, written, stored):
    put(tmp_path / f"images/{stored}.png")
    annotate(tmp_path / f"{stored}.json", "x.png")
    assert read_image(tmp_path / f"images/{written}.png").shape == (3, 8, 10)
    assert read_source(tmp_path / f"{written}.json").kind == "COCO"
    with pytest.raises(ValueError, match=f"{written}x.json: no such file"):
        read_source(tmp_path / f"{written}x.json")


TRIANGLE = [[1, 1], [6, 1], [6, 6]]
NESTED = {
    "flat": list(SQUARE),
    "flat of texts": [str(v) for v in SQUARE],
    "points": [SQUARE[k : k + 2] for k in range(0, 8, 2)],
    "points in a list": [[SQUARE[k : k + 2] for k in range(0, 8, 2)]],
    "wrapped twice": [[list(SQUARE)]],
    "RLE in a list": [{"size": [8, 10], "counts": [17, 3, 5, 3, 5, 3, 5, 3, 36]}],
}


@pytest.mark.parametrize("shape", NESTED)
def test_row_21_nested_otherwise_and_certain(tmp_path, shape):
    data = intact()
    data["annotations"][0]["segmentation"] = NESTED[shape]
    path = write(tmp_path, data)
    assert CocoDataset(path)[0][1]["boxes"].tolist() == [[2, 1, 6, 4]]
    assert verify(path) == []


@pytest.mark.parametrize(
    "segmentation",
    [
        [*SQUARE, 3],  # an odd number
        [1, 1, 4, 4],  # two points
        [*SQUARE[:-1], "x"],
        [*SQUARE[:-1], None],
        [TRIANGLE, TRIANGLE],  # parts, or a part and a hole?
        [[1, 1, "x", 1, 4, 4]] * 40,
        [[1, 1, 2]] * 40,
        [{"x": 1, "y": 2}] * 40,
        [{"x": 1, "y": 2}],
        [[[[1]]]],
    ],
)
def test_row_21_one_fault_an_annotation(tmp_path, segmentation):
    data = intact()
    data["annotations"][0]["segmentation"] = segmentation
    data["annotations"].append(dict(data["annotations"][0], id=2))
    faults = verify(write(tmp_path, data))
    assert [fault.annotation_id for fault in faults] == [1, 2]
    assert all("segmentation" in fault.field and len(str(fault)) < 400 for fault in faults)


def maps(folder, images, masks):
    """Images and label maps with one object each."""
    for name in images:
        put(folder / "images" / name)
    for name in masks:
        (folder / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(8, 10, dtype=np.uint8)).save(folder / "masks" / name)
    return folder


def test_row_4_images_that_differ_in_their_ending_only(tmp_path):
    root = maps(tmp_path, ["x.jpg", "x.png", "y.png"], ["x.png", "y.png"])
    faults = verify(root)
    assert [fault.kind for fault in faults] == ["same name"] * 2
    assert "['x.jpg', 'x.png'] differ in their endings only; rename" in str(faults[0])
    with pytest.raises(ValueError, match=r"x\.jpg"):
        open_dataset(root)


def test_row_4_two_maps_of_one_name(tmp_path):
    root = maps(tmp_path, ["x.png"], ["x.png", "x.PNG"])
    (fault,) = verify(root)
    assert fault.kind == "no map" and "x.PNG" in str(fault)


def test_row_4_a_map_belongs_to_the_image_of_its_whole_name(tmp_path):
    root = maps(tmp_path, ["a.png", "a_mask.png"], ["a.png", "a_mask.png"])
    assert verify(root) == [] and len(open_dataset(root)) == 2
    (root / "masks/a.png").unlink()
    (fault,) = verify(root)
    assert "image a.png" in str(fault) and fault.kind == "no map"


def test_row_4_the_same_name_in_two_folders(tmp_path):
    root = maps(tmp_path, ["a/x.png", "b/x.png"], ["a/x.png", "b/x_mask.png"])
    dataset = open_dataset(root)
    assert [image["file_name"] for image in dataset.images] == ["a/x.png", "b/x.png"]
    assert verify(root) == []
    put(root / "images/._x.png")  # hidden files of other systems are none
    assert verify(root) == []
    put(root / "images/z.bmp")
    (fault,) = verify(root)
    assert "image z.bmp" in str(fault) and "not PNG or JPEG; convert" in str(fault)


def test_row_4_a_repaired_copy_keeps_both_of_two_names(tmp_path):
    for name, colour in (("a.png", "red"), ("a.jpg", "blue")):
        put(tmp_path / "set/images" / name, colour)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 8), "blue").save(tmp_path / "set/images/a.jpg", exif=exif)
    path = annotate(tmp_path / "set/a.json", "a.png", "a.jpg")
    repair(path, tmp_path / "copy")  # the JPEG is stored anew, as PNG
    dataset = open_dataset(tmp_path / "copy")
    colours = [dataset[k][0][:, 0, 0].round().tolist() for k in range(2)]
    assert colours == [[1, 0, 0], [0, 0, 1]]


def test_row_22_label_maps_as_jpeg(tmp_path):
    root = maps(tmp_path, ["x.png", "y.png"], ["x.jpg", "y.jpg"])
    with pytest.raises(ValueError, match=r"masks: its 2 label maps are \.jpg files; export .* PNG"):
        verify(root)
    (root / "masks/x.jpg").rename(root / "masks/x.png")  # by name alone
    kinds = {fault.kind: str(fault) for fault in verify(root)}
    assert set(kinds) == {"map format"} and "JPEG" in kinds["map format"]
    faults = verify(root)
    assert "is a JPEG file; export" in str(faults[0]) and "y.jpg' is not PNG" in str(faults[1])


def test_row_22_label_maps_that_were_jpeg_or_smoothed(tmp_path):
    """As PNG a lossy map is no better: every shade of an edge would be an object."""
    root = maps(tmp_path, ["x.png", "y.png", "z.png"], [])
    (root / "masks").mkdir()
    mask = np.zeros((80, 100), np.uint8)
    mask[20:60, 30:70] = 255
    for name in "xyz":
        Image.new("RGB", (100, 80)).save(root / f"images/{name}.png")
    Image.fromarray(mask).rotate(20, Image.Resampling.BICUBIC).save(root / "masks/x.png")
    Image.fromarray(mask).rotate(20).save(root / "lossy.jpg")
    Image.open(root / "lossy.jpg").save(root / "masks/y.png")
    Image.fromarray(mask).save(root / "masks/z.png")
    faults = verify(root)
    assert [fault.kind for fault in faults] == ["smooth map"] * 2
    assert "are on edges only, as smoothing makes them; export the map as PNG" in str(faults[0])
    many = np.arange(80 * 100, dtype=np.uint16).reshape(80, 100) // 400  # 20 thin objects are none
    Image.fromarray(np.repeat(many[::4], 4, axis=0)).save(root / "masks/z.png")
    assert len(verify(root)) == 2


def test_row_4_two_entries_of_via_that_are_one_image(tmp_path):
    put(tmp_path / "images" / "x.png")
    entries = {"a": {"filename": "x.png", "regions": []}, "b": {"filename": "./x.png"}}
    entries["b"]["regions"] = []
    (tmp_path / "via.json").write_text(json.dumps(entries))
    (fault,) = verify(tmp_path / "via.json")
    assert fault.kind == "image twice"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_row_17_annotation_files_in_any_unicode_encoding(tmp_path, encoding):
    path = write(tmp_path, intact())
    text = path.read_text().replace("square", "Nuß 猫")
    path.write_text(text, encoding=encoding)
    assert CocoDataset(path).class_names == ["background", "Nuß 猫"]
    path.write_bytes(text.encode("utf-8")[:-40] + "ß".encode("cp1252"))
    with pytest.raises(ValueError, match="not a JSON file"):
        CocoDataset(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("images/a.png", "is an image; give the annotation file"),
        ("*.png", "is an image; give the annotation file"),
        ("*.json", "a pattern; give one COCO or VIA JSON file"),
        ("images", "neither images/ and masks/"),
        ("none.json", "no such file; give one"),
    ],
)
def test_row_22_what_is_no_data_set(tmp_path, name, words):
    write(tmp_path, intact())
    with pytest.raises(ValueError) as error:
        open_dataset(tmp_path / name)
    assert words in str(error.value)
