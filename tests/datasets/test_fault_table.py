"""The faults that users of other packages reported, one test per row that concerns data."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from test_coco import intact, write

from mrcnn_lite.config import lite
from mrcnn_lite.datasets.batches import without_crowds
from mrcnn_lite.datasets.coco import CocoDataset
from mrcnn_lite.datasets.formats import read_source
from mrcnn_lite.datasets.images import read_image
from mrcnn_lite.datasets.masks import mask_boxes
from mrcnn_lite.datasets.rle import MAX_PIXELS, decode_rle
from mrcnn_lite.datasets.scan import scan
from mrcnn_lite.datasets.verify import describe, verify
from mrcnn_lite.models.mask_rcnn import MaskRCNN


def scan_file(path):
    """The report of a data set."""
    return scan(read_source(path))


def refusal(folder, data=None, image=None, **change):
    """The message of a data set whose only annotation was changed."""
    data = data or intact()
    data["annotations"][0].update(change)
    path = write(folder, data, image)
    with pytest.raises(ValueError) as error:
        CocoDataset(path)[0]
    assert "data.json" in str(error.value) or str(folder) in str(error.value)
    return str(error.value)


def only_fault(folder, data=None, image=None, **change):
    """The fault that verify finds."""
    data = data or intact()
    data["annotations"][0].update(change)
    (fault,) = verify(write(folder, data, image))
    assert fault.file.endswith("data.json") and fault.field and fault.value and fault.hint
    return fault


def test_image_without_objects(tmp_path):
    data = intact()
    data["annotations"] = []
    report = scan_file(write(tmp_path, data, Image.effect_noise((10, 8), 80)))
    assert report.faults == [] and "images without an object: 1" in describe(report)
    image, target = CocoDataset(tmp_path / "data.json")[0]
    torch.manual_seed(0)
    losses = MaskRCNN(lite(2)).train()([image], [target])
    zero = {name for name, value in losses.items() if value.detach() == 0}
    assert zero == {"loss_box_reg", "loss_mask", "loss_rpn_box_reg"}
    total = sum(losses.values())
    assert total.isfinite()
    total.backward()


def test_zero_area_or_reversed_box(tmp_path):
    for box in ([2, 1, 0, 3], [6, 4, -4, -3]):
        message = refusal(tmp_path, bbox=box)
        assert f"annotation 1 of image 5: bbox = {box} has no area" in message
        assert "correct" in message
        with pytest.warns(UserWarning, match="1 fault,"):
            fixed = CocoDataset(tmp_path / "data.json", repair=True)
        assert [fault.kind for fault in fixed.changes] == ["flat box"]
        assert fixed[0][1]["boxes"].tolist() == [[2, 1, 6, 4]]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_nan_or_infinite_box(tmp_path, value):
    text = json.dumps(intact()).replace("[2, 1, 4, 3]", f"[2, {value}, 4, 3]")
    with pytest.raises(ValueError, match=r"annotation 1 of image 5: bbox .* finite"):
        CocoDataset(write(tmp_path, text))


def test_one_pixel_mask(tmp_path):
    data = intact()
    data["annotations"][0].update(
        segmentation={"size": [8, 10], "counts": [27, 1, 52]}, bbox=[3, 3, 1, 1]
    )
    assert verify(write(tmp_path, data)) == []
    assert CocoDataset(tmp_path / "data.json")[0][1]["boxes"].tolist() == [[3, 3, 4, 4]]
    assert mask_boxes(np.ones((1, 1, 1), np.uint8)).tolist() == [[0, 0, 1, 1]]


def test_mask_partly_outside_the_image(tmp_path):
    data = intact()
    polygons = [[-4, -4, 4, -4, 4, 4, -4, 4]]
    data["annotations"][0].update(segmentation=polygons, bbox=[0, 0, 4, 4])
    report = scan_file(write(tmp_path, data))
    assert report.faults == [] and report.clipped == 1
    assert "segmentations over the border: 1" in describe(report)
    assert CocoDataset(tmp_path / "data.json")[0][1]["area"].tolist() == [16]


def test_mask_fully_outside_the_image(tmp_path):
    fault = only_fault(tmp_path, segmentation=[[20, 1, 25, 1, 25, 4]])
    assert fault.kind == "polygon outside" and fault.fix == "left out"


@pytest.mark.parametrize("polygon", [[], [1, 1], [1, 1, 4, 4], [1, 1, 4, 1, 4, 4, 2]])
def test_polygon_too_short_odd_or_empty(tmp_path, polygon):
    message = refusal(tmp_path, segmentation=[polygon])
    assert "annotation 1 of image 5: segmentation[0]" in message
    data = intact()
    data["annotations"].append(dict(data["annotations"][0], id=2))
    data["annotations"][0]["segmentation"] = [polygon]
    with pytest.warns(UserWarning, match="1 fault,"):
        rest = CocoDataset(write(tmp_path, data), repair=True)
    assert len(rest[0][1]["labels"]) == 1


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [10, 8], "counts": [80]},
        {"size": [8, 10], "counts": [79]},
        {"size": [8, 10], "counts": [90, -10]},
        {"size": [8, 10], "counts": "0" * 10_000},
        {"size": [8, 10]},
        {"size": [10**9, 10**9], "counts": [10**18]},
    ],
)
def test_rle_size_mismatch_and_malformed_rle(tmp_path, rle):
    assert "annotation 1 of image 5: segmentation." in refusal(tmp_path, segmentation=rle)
    if rle["size"] != [10, 8]:
        with pytest.raises(ValueError, match="RLE"):
            decode_rle(rle)


def test_crowd_regions(tmp_path):
    data = intact()
    crowd = dict(data["annotations"][0], id=2, iscrowd=1)
    data["annotations"].append(crowd)
    report = scan_file(write(tmp_path, data))
    assert (
        report.faults == []
        and "crowd regions: 1" in describe(report)
        and "training leaves them out" in describe(report)
    )
    image, target = CocoDataset(tmp_path / "data.json")[0]
    assert target["iscrowd"].tolist() == [0, 1]
    assert len(without_crowds(image, target)[1]["labels"]) == 1


@pytest.mark.parametrize("section", ["images", "annotations", "categories"])
def test_duplicate_ids(tmp_path, section):
    data = intact()
    data[section].append(dict(data[section][0], file_name="b.png", name="other"))
    Image.new("RGB", (10, 8)).save(tmp_path / "b.png")
    number = data[section][0]["id"]
    message = refusal(tmp_path, data)
    assert f"{section}[1]: id = {number} is already used by {section}[0]" in message


def test_missing_image_and_category(tmp_path):
    assert "image_id = 6 is not among the images" in refusal(tmp_path, image_id=6)
    assert "category_id = 4 is not among the categories" in refusal(tmp_path, category_id=4)
    data = intact()
    data["images"][0]["file_name"] = "b.png"
    assert only_fault(tmp_path, data).image_id == 5
    assert "b.png" in refusal(tmp_path, data)


def test_categories_with_gaps(tmp_path):
    data = intact()
    data["categories"] += [{"id": 90, "name": "far"}, {"id": 1, "name": "first"}]
    dataset = CocoDataset(write(tmp_path, data))
    assert dataset.class_names == ["background", "first", "square", "far"]
    assert dataset.category_ids[1:] == [1, 3, 90]
    assert dataset[0][1]["labels"].tolist() == [2]


def test_exif_rotation(tmp_path):
    image = Image.new("RGB", (10, 8))
    path = write(tmp_path, intact())
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path.parent / "images" / "a.png", exif=exif)
    (fault,) = verify(path)
    assert fault.kind == "EXIF" and "8 x 10 when upright" in str(fault) and "EXIF" in fault.hint
    with pytest.raises(ValueError, match="EXIF"):
        CocoDataset(path)[0]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_grey_alpha_palette_cmyk(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (10, 8)).save(path)
    assert read_image(path).shape == (3, 8, 10)


def test_16_bit_png(tmp_path):
    Image.fromarray(np.full((8, 10), 40000, np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").unique().tolist() == [156]  # 40000 / 257


def test_corrupt_or_truncated_images_all_at_once(tmp_path):
    data = intact()
    names = ["cut.png", "text.png", "none.png", "a.png"]
    data["images"] = [dict(data["images"][0], id=5 + n, file_name=x) for n, x in enumerate(names)]
    path = write(tmp_path, data)
    whole = (tmp_path / "images" / "a.png").read_bytes()
    (tmp_path / "images" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "images" / "text.png").write_text("hello")
    unreadable = [fault for fault in verify(path) if fault.kind == "unreadable image"]
    assert [fault.image_id for fault in unreadable] == [5, 6, 7]


def test_decompression_bomb(tmp_path):
    Image.new("1", (20000, 20000)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=f"a.png: over {MAX_PIXELS} pixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_other_formats(tmp_path, form):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", format=form)
    with pytest.raises(ValueError, match=r"a\.png: cannot be read as PNG or JPEG"):
        read_image(tmp_path / "a.png")
