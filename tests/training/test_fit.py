"""What is read from data sets that were made with known sizes, ratios and directions."""

import json
import math

import pytest
import torch
from PIL import Image
from real_data import NUTS, real_data

from mrcnn_lite.config import lite, resnet50_fpn
from mrcnn_lite.datasets import Shapes, open_dataset
from mrcnn_lite.training import fit_config, training_batches
from mrcnn_lite.training.fit import (
    Objects,
    anchor_iou,
    cluster,
    crop_sides,
    one_way,
    principal_axis,
    seen_boxes,
    shape_iou,
)

HEIGHT, WIDTH = 240, 320
UPRIGHT = math.pi / 2


def rectangle(width, height, angle):
    """The corners of a rectangle that is turned, x, y, x, y, ...; it lies where there is room."""
    c, s = math.cos(angle), math.sin(angle)
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    points = [(x * width / 2, y * height / 2) for x, y in corners]
    points = [(x * c - y * s, x * s + y * c) for x, y in points]
    left, top = (min(values) for values in zip(*points, strict=True))
    return [value for x, y in points for value in (x - left + 2, y - top + 2)]


def data_set(folder, objects):
    """Write and open a data set of (class, width, height, angle), each in a grey image."""
    images, rows = [], []
    for k, (label, *shape) in enumerate(objects):
        Image.new("RGB", (WIDTH, HEIGHT), "grey").save(folder / f"{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "width": WIDTH, "height": HEIGHT})
        polygon = rectangle(*shape)
        x, y = polygon[::2], polygon[1::2]
        box = [min(x), min(y), max(x) - min(x), max(y) - min(y)]
        rows.append({"id": k + 1, "image_id": k, "category_id": label, "iscrowd": 0, "bbox": box})
        rows[-1] |= {"segmentation": [polygon], "area": shape[0] * shape[1]}
    names = [{"id": label, "name": f"class {label}"} for label in sorted({o[0] for o in objects})]
    path = folder / "data.json"
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": names}))
    return open_dataset(path)


def spread(value):
    """Twelve sizes: a value times 0.9, 1 and 1.1, four times."""
    return [factor * value for factor in (0.9, 1.0, 1.1)] * 4


def squares(side):
    return [(1, size, size, 0.0) for size in spread(side)]


def long_ones(width, angles, label=1):
    """Twelve rectangles of about 75 pixels, one for each angle."""
    return [
        (label, size, size * width / 75, angle)
        for angle, size in zip(angles, spread(75), strict=True)
    ]


EVERY_WAY = [k * math.pi / 12 for k in range(12)]
SETS = {  # objects in images of 240 x 320 pixels; min_size, turns and aspect_ratios that they want
    "tall": (long_ones(30, [UPRIGHT] * 12), 160, "flip", (2.5,)),
    "wide": (long_ones(30, [0.05] * 12), 160, "flip", (0.43,)),
    "every way": (long_ones(25, EVERY_WAY), 192, "all", (0.47, 1.0, 2.1)),
    "round": (squares(45), 160, "all", (1.0,)),
    "tiny": (squares(8), 384, "all", (1.0,)),
    "huge": (squares(210), 128, "all", (1.0,)),
    "few": (long_ones(30, [UPRIGHT] * 12)[:9], 160, "all", (0.4, 2.5)),
    "people and cars": (
        long_ones(30, [UPRIGHT] * 12) + long_ones(30, [0.0] * 12, label=2),
        160,
        "flip",
        (0.4, 2.5),
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_what_is_read_of_drawn_sets(tmp_path, name):
    objects, min_size, turns, ratios = SETS[name]
    dataset, said = data_set(tmp_path, objects), []
    config = fit_config(lite(), dataset, tell=said.append)
    assert config.image.min_size == min_size
    assert config.training.turns == turns
    assert config.rpn.aspect_ratios == pytest.approx(ratios, rel=0.06)
    assert config.num_classes == len(dataset.class_names)
    assert [line.partition(":")[0] for line in said] == ["objects", "turns of crops", "anchors"]
    assert f"objects: {len(objects)}; at images of {min_size} pixels" in said[0]
    found = Objects.of(dataset)
    low, high = crop_sides(config)
    assert 128 <= low <= min_size <= high
    assert found.most_extent() * high < 1.02 * config.training.crop_size  # whole in a crop
    assert min_size * 4 / 3 <= config.image.max_size  # evaluation sees what was trained on
    before = config.with_(rpn={"anchor_sizes": lite().rpn.anchor_sizes, "aspect_ratios": (1.0,)})
    assert anchor_iou(config, found) > max(0.7, anchor_iou(before, found) - 1e-6)
    sizes = [size for (size,) in config.rpn.anchor_sizes]
    assert sizes == sorted(set(sizes))
    assert next(training_batches(config, dataset, 0)(0))


def test_an_axis_by_hand():
    """Pixels are squares: 6 x 2 of them are three times as long as wide, not 3.4 times."""
    lying = torch.zeros(5, 9)
    lying[1:3, 2:8] = 1
    assert principal_axis(lying) == pytest.approx((1, 3))
    assert principal_axis(lying.T) == pytest.approx((-1, 3))
    down, up = torch.eye(7), torch.eye(7).flip(0)  # y points down
    assert principal_axis(down)[0] == pytest.approx(1j)
    assert principal_axis(up)[0] == pytest.approx(-1j)
    assert principal_axis(torch.ones(3, 3)) == (0, 1)
    assert principal_axis(torch.ones(1, 1)) == (0, 1)


def test_shapes_and_clusters_by_hand():
    tall, wide = torch.tensor([[10.0, 30]]), torch.tensor([[30.0, 10]])
    assert shape_iou(tall, torch.cat([tall, wide])).tolist() == [[1, pytest.approx(100 / 500)]]
    boxes = torch.cat([wide, tall, wide + 2, tall - 2])
    assert cluster(boxes, 2).tolist() == [[31, 11], [9, 29]]
    assert cluster(boxes, 1).tolist() == [[20, 20]]
    assert cluster(tall, 3).tolist() == tall.tolist() * 3  # more anchors than boxes
    shuffled = boxes[[2, 0, 3, 1]]
    assert cluster(shuffled, 2).tolist() == cluster(boxes, 2).tolist()


def test_r_of_directions_by_hand():
    """Four axes a quarter turn apart in doubled angles cancel; classes do not cancel each other."""

    def r(angles, labels=None, elongation=2.0):
        count = len(angles)
        axes = torch.exp(2j * torch.tensor(angles))
        labels = torch.tensor(labels or [1] * count)
        size = torch.ones(count)
        return one_way(Objects(torch.ones(count, 2), size, axes, size * elongation, labels, 1.0))

    assert r(EVERY_WAY) == (pytest.approx(0, abs=1e-6), 12)
    assert r([0.3] * 12) == (pytest.approx(1), 12)
    assert r([0.3, 0.3 + math.pi] * 6) == (pytest.approx(1), 12)  # an axis has no direction
    assert r([0.0, math.pi / 6] * 5)[0] == pytest.approx(math.cos(math.pi / 6))
    upright_and_lying = [0.0] * 10 + [UPRIGHT] * 10
    assert r(upright_and_lying)[0] == pytest.approx(0, abs=1e-6)
    assert r(upright_and_lying, [1] * 10 + [2] * 10) == (pytest.approx(1), 20)
    assert r([0.3] * 9) == (0, 0)
    assert r([0.3] * 12, elongation=1.2) == (0, 0)


def test_turned_crops_show_boxes_on_their_side(tmp_path):
    found = Objects.of(data_set(tmp_path, long_ones(30, [UPRIGHT] * 12)))
    flipped, turned = (
        seen_boxes(lite().with_(image={"min_size": 160}, training={"turns": turns}), found)
        for turns in ("flip", "all")
    )
    assert len(turned) == 2 * len(flipped)
    assert (flipped[:, 1] > flipped[:, 0]).all()
    assert turned.sum(0)[0] == pytest.approx(turned.sum(0)[1].item())
    assert turned.max() <= 128  # a crop cuts what is longer


def test_fields_to_keep_stay(tmp_path):
    dataset = data_set(tmp_path, SETS["tall"][0])
    fields = {
        "image": {"min_size": 192},
        "rpn": {"anchor_sizes": ((4,), (5,), (6,), (7,)), "aspect_ratios": (1.5,)},
        "training": {"turns": "all", "scale_range": (0.8, 2.0)},
    }
    config, said = lite(2).with_(**fields), []
    keep = [f"{section}.{name}" for section, values in fields.items() for name in values]
    assert fit_config(config, dataset, keep, said.append) == config
    assert "all eight of a square, as asked" in said[1]
    for name in keep:
        section, field = name.split(".")
        one = getattr(getattr(fit_config(config, dataset, [name]), section), field)
        assert one == fields[section][field]
        if section != "rpn":
            assert fit_config(config, dataset, {*keep} - {name}) != config, name
    sizes = fit_config(config, dataset, {*keep} - {"rpn.anchor_sizes"}).rpn
    assert min(sizes.anchor_sizes) > (14,) and sizes.aspect_ratios == (1.5,)
    config = config.with_(rpn={"anchor_sizes": ((30,), (40,), (50,), (60,))})
    ratios = fit_config(config, dataset, {*keep} - {"rpn.aspect_ratios"}).rpn
    assert ratios.anchor_sizes == config.rpn.anchor_sizes
    assert ratios.aspect_ratios == pytest.approx((0.4, 2.5), rel=0.06)


def test_whole_images_and_shapes_stay_as_they_are(tmp_path):
    dataset, said = data_set(tmp_path, SETS["tall"][0]), []
    assert fit_config(resnet50_fpn(), dataset, tell=said.append) == resnet50_fpn(2)
    shapes = Shapes(None, 1)
    assert fit_config(lite(), shapes, tell=said.append) == lite(len(shapes.class_names))
    assert said == []


def test_nuts_are_trained_on_as_before():
    """They lie every way and are as long as wide: the preset's anchors and turns."""
    dataset = open_dataset(real_data(NUTS))
    assert fit_config(lite(), dataset) == lite(4).with_(image={"min_size": 192})


@pytest.mark.parametrize("turns", ["flip", "all"])
def test_what_has_a_top_keeps_it(tmp_path, turns):
    """In images that are bright above, no crop is bright below unless crops are turned."""
    dataset = data_set(tmp_path, SETS["tall"][0])
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    picture.paste("black", (0, HEIGHT // 2, WIDTH, HEIGHT))
    for k in range(12):
        picture.save(tmp_path / f"{k}.png")
    config = lite(2).with_(image={"min_size": 128}, training={"turns": turns})
    batches = training_batches(config, dataset, seed=0)(0)
    images = [image for _, batch in zip(range(3), batches, strict=False) for image in batch[0]]
    upright = [float(image[:, :40].mean() - image[:, -40:].mean()) > 0.2 for image in images]
    assert all(upright) == (turns == "flip") and any(upright)
