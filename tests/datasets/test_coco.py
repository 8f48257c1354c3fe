"""The COCO reader: awkward images, named faults, the sample, real photographs."""

import copy
import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as peer
from real_data import COCO, NUTS, ROOT, real_data

from mrcnn_lite.datasets.coco import CocoDataset
from mrcnn_lite.datasets.images import read_image
from mrcnn_lite.datasets.masks import mask_boxes, polygons_to_mask
from tools.sample import CATEGORY_IDS, SampleShapes, write_sample

SAMPLE = ROOT / "data" / "sample"
SQUARE = [2, 1, 6, 1, 6, 4, 2, 4]  # columns 2..5, rows 1..3


def intact():
    """A file with one image of 10 x 8 pixels and one square."""
    return {
        "images": [{"id": 5, "file_name": "a.png", "height": 8, "width": 10}],
        "categories": [{"id": 3, "name": "square"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 5,
                "category_id": 3,
                "bbox": [2, 1, 4, 3],
                "area": 12,
                "iscrowd": 0,
                "segmentation": [list(SQUARE)],
            }
        ],
    }


def write(folder, data, image=None):
    """Write the file and its image; returns the file's path."""
    (folder / "images").mkdir(exist_ok=True)
    (image or Image.new("RGB", (10, 8), "red")).save(folder / "images" / "a.png")
    path = folder / "data.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_small_file(tmp_path):
    dataset = CocoDataset(write(tmp_path, intact()))
    assert dataset.class_names == ["background", "square"]
    assert dataset.category_ids[1:] == [3]
    image, target = dataset[0]
    assert image.shape == (3, 8, 10)
    assert image[:, 0, 0].tolist() == [1, 0, 0]
    assert target["boxes"].tolist() == [[2, 1, 6, 4]]
    assert target["labels"].tolist() == [1]
    assert target["area"].tolist() == [12]
    assert target["image_id"] == 5
    assert target["masks"][0, 1:4, 2:6].all()
    with pytest.raises(IndexError):
        dataset[1]


def test_one_pixel_and_empty_masks_have_half_open_boxes():
    masks = np.zeros((3, 5, 7), dtype=np.uint8)
    masks[0, 2, 3] = 1
    masks[1] = 1
    assert mask_boxes(masks).tolist() == [[3, 2, 4, 3], [0, 0, 7, 5], [0, 0, 0, 0]]
    assert mask_boxes(masks[:0]).shape == (0, 4)


def test_polygons_as_pycocotools():
    random = np.random.default_rng(0)
    for _ in range(50):
        polygons = [(random.random(2 * n) * 60 - 8).tolist() for n in random.integers(3, 9, 2)]
        theirs = peer.decode(peer.merge(peer.frPyObjects(polygons, 40, 50)))
        assert (polygons_to_mask(polygons, 40, 50) == theirs).all()


def test_indices_are_in_order_of_id(tmp_path):
    data = intact()
    data["images"] = [dict(data["images"][0], id=number) for number in (5, 9, 7, 2)]
    path = write(tmp_path, data)

    def ids(**choice):
        return [image["id"] for image in CocoDataset(path, **choice).images]

    assert ids() == [2, 5, 7, 9]
    assert ids(indices=[3, 0]) == [2, 9]
    assert ids(exclude=[3, 0]) == [5, 7]
    assert ids(indices=[0, 1], exclude=[1]) == [2]
    with pytest.raises(ValueError, match=r"indices.*4.*0\.\.3"):
        ids(indices=[4])
    dataset = CocoDataset(path)
    assert [len(dataset[index][1]["labels"]) for index in range(4)] == [0, 1, 0, 0]
    assert dataset[0][1]["masks"].shape == (0, 8, 10)
    assert dataset[0][1]["boxes"].shape == (0, 4)


def test_a_cache_gives_the_same(tmp_path):
    path = write(tmp_path, intact())
    plain, cached = CocoDataset(path), CocoDataset(path, cache_bytes=10**6)
    for _ in range(2):
        assert torch.equal(plain[0][0], cached[0][0])
    assert cached[0][0] is cached[0][0]
    small = CocoDataset(path, cache_bytes=10)
    assert small[0][0] is not small[0][0]


# Each change makes one fault; the message must hold all of the words.
FAULTS = {
    "no JSON": ("{", "not a JSON file"),
    "a list": ("[]", "object"),
    "captions": ('{"images": []}', "annotations"),
    "rows of text": ('{"images": ["a"], "annotations": [], "categories": []}', "images"),
    "image twice": (lambda d: d["images"].append(d["images"][0]), "images[1] id = 5 images[0]"),
    "annotation twice": (
        lambda d: d["annotations"].append(d["annotations"][0]),
        "annotations[1] id = 1",
    ),
    "category twice": (lambda d: d["categories"].append(d["categories"][0]), "categories[1]"),
    "id of text": (lambda d: d["images"][0].update(id="five"), "images[0] id 'five'"),
    "no name": (lambda d: d["categories"][0].pop("name"), "category 3 name"),
    "no file name": (lambda d: d["images"][0].pop("file_name"), "image 5 file_name"),
    "escape": (
        lambda d: d["images"][0].update(file_name="../a.png"),
        "image 5 file_name '../a.png'",
    ),
    "absolute": (lambda d: d["images"][0].update(file_name="/etc/a.png"), "file_name leaves"),
    "height of text": (lambda d: d["images"][0].update(height="tall"), "image 5 height 'tall'"),
    "vast": (lambda d: d["images"][0].update(height=10**8), "image 5 100000000 x 10 pixels"),
    "height 0": (lambda d: d["images"][0].update(height=0), "image 5 height 0"),
    "missing file": (lambda d: d["images"][0].update(file_name="b.png"), "image 5 'b.png'"),
    "unknown image": ({"image_id": 6}, "annotation 1 image_id = 6"),
    "unknown category": ({"category_id": 4}, "annotation 1 image 5 category_id = 4"),
    "category of list": ({"category_id": [3]}, "annotation 1 category_id = [3]"),
    "flat box": ({"bbox": [2, 1, 0, 3]}, "annotation 1 image 5 bbox [2, 1, 0, 3] area"),
    "short box": ({"bbox": [2, 1, 3]}, "annotation 1 image 5 bbox [2, 1, 3]"),
    "box of NaN": ({"bbox": [2, 1, float("nan"), 3]}, "annotation 1 bbox finite"),
    "crowd 2": ({"iscrowd": 2}, "annotation 1 iscrowd = 2"),
    "no mask": ({"segmentation": None}, "annotation 1 image 5 segmentation None"),
    "no polygon": ({"segmentation": []}, "annotation 1 segmentation []"),
    "two points": ({"segmentation": [SQUARE, [1, 1, 2, 2]]}, "segmentation[1] three points"),
    "odd": ({"segmentation": [[1, 1, 2, 2, 3, 3, 4]]}, "annotation 1 segmentation[0] even"),
    "infinite": ({"segmentation": [[1, 1, 2, 2, 3, float("inf")]]}, "segmentation[0] finite"),
    "text": ({"segmentation": [["one", 1, 2, 2, 3, 3]]}, "segmentation[0] finite"),
    "outside": ({"segmentation": [[20, 1, 25, 1, 25, 4]]}, "segmentation[0] outside 10 x 8"),
    "far": ({"segmentation": [[1, 1, 1e9, 1, 5, 4]]}, "segmentation[0] 10 x 8"),
    "RLE size": ({"segmentation": {"size": [10, 8], "counts": [80]}}, "size [10, 8] [8, 10]"),
    "RLE sum": ({"segmentation": {"size": [8, 10], "counts": [79]}}, "annotation 1 79 80"),
    "RLE string": ({"segmentation": {"size": [8, 10], "counts": "!"}}, "annotation 1 RLE"),
    "RLE size of numbers": ({"segmentation": {"size": 8, "counts": "!"}}, "annotation 1 size"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named(tmp_path, name):
    change, words = FAULTS[name]
    data = copy.deepcopy(intact())
    if isinstance(change, str):
        data = change
    elif isinstance(change, dict):
        data["annotations"][0].update(change)
    else:
        change(data)
    with pytest.raises(ValueError) as error:
        CocoDataset(write(tmp_path, data))
    for word in ("data.json", *words.split()):
        assert word in str(error.value), error.value


JUNK = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**400)
    | st.floats()
    | st.text(max_size=3)
    | st.just([])
    | st.just({})
    | st.lists(st.floats(-20, 20), max_size=8)
)


def paths(value, path=()):
    """The path to every value inside a JSON value."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield (*path, key)
        yield from paths(inner, (*path, key))


@settings(
    derandomize=True,
    deadline=None,
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_change_loads_or_is_refused(tmp_path, data):
    content = intact()
    content["annotations"].append(
        dict(content["annotations"][0], id=2, segmentation={"size": [8, 10], "counts": [1, 79]})
    )
    *path, last = data.draw(st.sampled_from(list(paths(content))))
    inner = content
    for key in path:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[last] = data.draw(JUNK)
    else:
        del inner[last]
    refused = ""
    try:
        dataset = CocoDataset(write(tmp_path, content))
        for index in range(len(dataset)):
            dataset[index]
    except ValueError as error:
        refused = str(error)
    assert not refused or str(tmp_path) in refused


def test_faults_of_the_first_access(tmp_path):
    thin = intact()
    thin["annotations"][0]["segmentation"] = [[3, 3, 3, 3, 3, 3]]
    with pytest.raises(ValueError, match=r"data\.json: annotation 1 of image 5.*no pixel"):
        CocoDataset(write(tmp_path, thin))[0]
    path = write(tmp_path, intact(), Image.new("RGB", (10, 9)))
    with pytest.raises(ValueError, match=r"image 5: .*10 x 8.*; a\.png has 10 x 9.*resized"):
        CocoDataset(path)[0]
    with pytest.raises(ValueError, match="no such file"):
        CocoDataset(tmp_path / "nothing.json")


def test_the_message_knows_the_exif_tag(tmp_path):
    image = Image.new("RGB", (10, 8))
    turned = image.getexif()
    turned[0x0112] = 6
    path = write(tmp_path, intact())
    image.save(tmp_path / "images" / "a.png", exif=turned)
    with pytest.raises(ValueError, match=r"10 x 8 pixels.*; a\.png has 8 x 10 when upright.*EXIF"):
        CocoDataset(path)[0]


def test_awkward_images(tmp_path):
    path = tmp_path / "image.png"

    def read(image, **options):
        image.save(path, **options)
        pixels = read_image(path)
        assert pixels.dtype == torch.uint8
        assert pixels.shape[0] == 3
        return pixels[:, 0, 0].tolist()

    assert read(Image.new("L", (4, 3), 77)) == [77] * 3
    assert read(Image.new("1", (4, 3), 1)) == [255] * 3
    assert read(Image.new("LA", (4, 3), (0, 0))) == [255] * 3  # over white
    assert read(Image.new("RGBA", (4, 3), (0, 100, 200, 0))) == [255] * 3
    assert read(Image.new("RGBA", (4, 3), (0, 100, 200, 255))) == [0, 100, 200]
    assert read(Image.new("P", (4, 3), 0), transparency=0) == [255] * 3
    assert read(Image.new("RGB", (4, 3), (9, 8, 7)).convert("P", palette=1)) is not None
    grey = Image.fromarray(np.full((3, 4), 40000, dtype=np.uint16))
    assert read(grey) == [156] * 3  # 40000 / 257, not clipped to 255
    path = tmp_path / "image.jpg"
    assert read(Image.new("CMYK", (16, 16), (0, 0, 0, 0))) == [255] * 3


def test_turned_images_are_upright(tmp_path):
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 0, 0))
    tag = image.getexif()
    tag[0x0112] = 6  # turn a quarter to the right to see it upright
    image.save(tmp_path / "a.png", exif=tag)
    pixels = read_image(tmp_path / "a.png")
    assert pixels.shape == (3, 4, 2)
    assert pixels[0, 0, 1] == 255


def test_bad_images_are_refused_by_name(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.gif")
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("hello")
    Image.new("1", (8000, 8000)).save(tmp_path / "large.png")  # 64 megapixels in a few KB
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    for name in ("a.gif", "cut.png", "empty.png", "text.jpg", "large.png", "bomb.png", "none.png"):
        with pytest.raises(ValueError, match=name):
            read_image(tmp_path / name)


def test_the_sample_is_what_its_command_writes(tmp_path):
    fresh, stored = write_sample(tmp_path), SAMPLE / "instances.json"
    hint = "after a change of the shapes run: python -m tools.sample data/sample"
    assert json.loads(fresh.read_text()) == json.loads(stored.read_text()), hint
    for image in sorted((tmp_path / "images").iterdir()):
        # sine and cosine differ in the last bit between machines, so one level is allowed
        ours = read_image(image).int()
        assert (ours - read_image(SAMPLE / "images" / image.name).int()).abs().max() <= 1
    size = sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file())
    assert size < 300_000


def test_the_sample_reads_back_exactly():
    dataset, source = CocoDataset(SAMPLE / "instances.json"), SampleShapes()
    assert dataset.class_names == source.class_names
    assert dataset.category_ids[1:] == list(CATEGORY_IDS)
    assert len(dataset) == len(source) == 8
    for index in range(8):
        (image, target), (drawn, expected) = dataset[index], source[index]
        assert (image - drawn).abs().max() <= 1.01 / 255
        assert target["image_id"] == expected["image_id"]
        for key in ("boxes", "labels", "masks", "iscrowd", "area"):
            assert torch.equal(target[key], expected[key]), key
    rows = json.loads((SAMPLE / "instances.json").read_text())["annotations"]
    forms = [row["segmentation"] for row in rows]
    polygons = [form for form in forms if isinstance(form, list)]
    counts = [form["counts"] for form in forms if isinstance(form, dict)]
    assert {len(form) > 1 for form in polygons} == {True, False}
    assert {type(value) for value in counts} == {str, list}
    assert sum(row["iscrowd"] for row in rows) == 1
    assert len({row["image_id"] for row in rows}) == 7  # one image has no object


def test_nuts():
    path = real_data(NUTS)
    held_out = (3, 8, 12, 16)
    training, rest = CocoDataset(path, exclude=held_out), CocoDataset(path, indices=held_out)
    assert (len(training), len(rest)) == (14, 4)
    assert training.class_names == ["background", "date", "fig", "hazelnut"]
    image, target = rest[0]
    assert image.shape == (3, 600, 800)
    whole = CocoDataset(path)
    assert torch.equal(whole[3][0], image)
    objects = sum(len(whole[index][1]["labels"]) for index in range(18))
    assert objects == 165
    assert target["masks"].sum((1, 2)).tolist() == target["area"].tolist()


def test_coco_photographs():
    path = real_data(COCO)
    dataset = CocoDataset(path)
    assert (len(dataset), len(dataset.class_names)) == (79, 81)
    data = json.loads(path.read_text())
    boxes = {}
    for row in data["annotations"]:
        boxes.setdefault(row["image_id"], []).append(row)
    objects = crowds = 0
    for index in range(0, 79, 6):
        image, target = dataset[index]
        rows = boxes.get(target["image_id"], [])
        assert image.shape[1:] == target["masks"].shape[1:]
        objects, crowds = objects + len(rows), crowds + int(target["iscrowd"].sum())
        for row, mask in zip(rows, target["masks"].numpy(), strict=True):
            segmentation = row["segmentation"]
            if isinstance(segmentation, dict):
                segmentation = peer.frPyObjects(segmentation, *mask.shape)
            else:
                segmentation = peer.merge(peer.frPyObjects(segmentation, *mask.shape))
            assert (peer.decode(segmentation) == mask).all()
    assert objects > 50
