"""What is read from data sets that were made with known sizes, ratios and directions."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from real_data import NUTS, real_data

from mrcnn_lite.config import lite, resnet50_fpn
from mrcnn_lite.datasets import Shapes, open_dataset
from mrcnn_lite.datasets.drawing import shape_of
from mrcnn_lite.datasets.masks import mask_boxes
from mrcnn_lite.datasets.transforms import flip_x, flip_y, transpose
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.training import fit_config, training_batches
from mrcnn_lite.training.fit import (
    Objects,
    anchor_iou,
    change_by_turns,
    cluster,
    crop_sides,
    image_size,
    one_way,
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
SETS = {  # objects in images of 240 x 320 pixels; image size, turns and aspect ratios they want
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
    objects, wanted_size, turns, ratios = SETS[name]
    dataset, said = data_set(tmp_path, objects), []
    config = fit_config(lite(), dataset, tell=said.append)
    assert config.training.turns == turns
    assert config.rpn.aspect_ratios == pytest.approx(ratios, rel=0.06)
    assert config.num_classes == len(dataset.class_names)
    assert [line.partition(":")[0] for line in said] == ["objects", "turns of crops", "anchors"]
    min_size, found = config.image.min_size, Objects.of(dataset)
    assert f"objects: {len(objects)}; at images of {min_size} pixels" in said[0]
    assert image_size(lite(), found) == wanted_size
    low, high = crop_sides(config)
    assert low == pytest.approx(max(128, 0.75 * wanted_size))
    assert wanted_size <= high <= 1.33 * wanted_size + 1e-6
    assert min_size == round((low * high) ** 0.5)  # in the middle, as doublings go
    assert found.most_extent() * high < 1.02 * config.training.crop_size  # whole in a crop
    assert min_size * 4 / 3 <= config.image.max_size  # evaluation sees what was trained on
    before = config.with_(rpn={"anchor_sizes": lite().rpn.anchor_sizes, "aspect_ratios": (1.0,)})
    assert anchor_iou(config, found) > max(0.7, anchor_iou(before, found) - 1e-6)
    sizes = [size for (size,) in config.rpn.anchor_sizes]
    assert sizes == sorted(set(sizes))
    assert next(training_batches(config, dataset, 0)(0))


def test_what_turns_change_by_hand():
    """An upright bar fills 8 x 2 of the cells. Half of its turns stand, half lie, and all share the
    2 x 2 cells in the middle: so it has 1/2 more than the mean in 12 cells, 1/2 less in 12."""
    upright = torch.ones(80, 20)
    expected = torch.zeros(8, 8)
    expected[:, 3:5] += 0.5
    expected[3:5] -= 0.5
    for mask, sign in ((upright, 1), (upright.T, -1)):
        way, change = change_by_turns(mask)
        assert way == pytest.approx(sign * expected / 4)  # 4: the norm of 16 ones
        assert change == pytest.approx(24**0.5 / 2 / 4)
    disc = torch.tensor(shape_of(np.random.default_rng(0), "ellipse", 41, 41)[2] < 0)
    for same in (torch.ones(30, 30), torch.ones(1, 1)):
        assert change_by_turns(same)[1] < 1e-6
    for mirrored in (torch.eye(7), torch.eye(7).flip(0)):  # ... is turned by 90 degrees
        way, change = change_by_turns(mirrored)
        assert way.abs().max() < 1e-6 and change > 0.25
    y1, x1, y2, x2 = mask_boxes(disc[None].numpy())[0].astype(int)[[1, 0, 3, 2]]
    assert change_by_turns(disc[y1:y2, x1:x2])[1] < 0.05
    assert change_by_turns(torch.ones(100, 90))[1] < 0.25  # nearly a square
    assert change_by_turns(torch.ones(100, 70))[1] > 0.25


@pytest.mark.parametrize("name", ["triangle", "crescent", "star"])
def test_what_turns_change_adds_up_to_nothing(name):
    mask = torch.tensor(shape_of(np.random.default_rng(1), name, 61, 47, 0.3)[2] < 0)[None]
    target = {"boxes": torch.zeros(1, 4), "masks": mask.to(torch.uint8)}
    found = []
    for turn in range(8):
        changed = target
        for k, change in enumerate((flip_x, flip_y, transpose)):
            changed = change(mask, changed)[1] if turn >> k & 1 else changed
        found.append(change_by_turns(changed["masks"][0]))
    ways, changes = zip(*found, strict=True)
    assert changes == pytest.approx([changes[0]] * 8) and changes[0] > 0.25
    assert ways[1] == pytest.approx(ways[0], abs=1e-6)  # mirrored left and right
    assert torch.stack(ways).sum(0).abs().max() < 1e-5


def test_shapes_and_clusters_by_hand():
    tall, wide = torch.tensor([[10.0, 30]]), torch.tensor([[30.0, 10]])
    assert shape_iou(tall, torch.cat([tall, wide])).tolist() == [[1, pytest.approx(100 / 500)]]
    boxes = torch.cat([wide, tall, wide + 2, tall - 2])
    assert cluster(boxes, 2).tolist() == [[31, 11], [9, 29]]
    assert cluster(boxes, 1).tolist() == [[20, 20]]
    assert cluster(tall, 3).tolist() == tall.tolist() * 3  # more anchors than boxes
    shuffled = boxes[[2, 0, 3, 1]]
    assert cluster(shuffled, 2).tolist() == cluster(boxes, 2).tolist()


def drawn(name, angles, short=60):
    """`change_by_turns` of drawn shapes of 60 pixels in these directions."""
    random, found = np.random.default_rng(2), []
    for angle in angles:
        mask = shape_of(random, name, 60, short, angle)[2] < 0
        x1, y1, x2, y2 = mask_boxes(mask[None])[0].astype(int)
        found.append(change_by_turns(torch.tensor(mask[y1:y2, x1:x2])))
    return found


def r(changes, labels=None):
    """`one_way` of objects of which nothing else is known than `change_by_turns`."""
    ways, changes = zip(*changes, strict=True)
    count, ways, changes = len(ways), torch.stack(ways), torch.tensor(changes)
    labels = torch.tensor(labels or [1] * count)
    return one_way(Objects(torch.ones(count, 2), torch.ones(count), ways, changes, labels, 1.0))


def test_r_of_directions_by_hand():
    """Standing and lying bars cancel each other, but not where they are of two classes."""
    stands, lies, square = (
        [change_by_turns(torch.ones(*size))] * 10 for size in ((40, 10), (10, 40), (40, 40))
    )
    both = stands + lies
    assert r(stands) == (pytest.approx(1), 10)
    assert r(both) == (pytest.approx(0, abs=1e-6), 20)
    assert r(stands + lies[:5]) == (pytest.approx(1 / 3), 15)
    assert r(both, [1] * 10 + [2] * 10) == (pytest.approx(1), 20)
    assert r(stands[:9]) == (0, 0)
    assert r(stands + square) == (pytest.approx(1), 10)
    assert r(stands + square + square[:1]) == (0, 0)  # balls, some of them half hidden
    assert r(stands + square * 2, [1] * 10 + [2] * 20) == (pytest.approx(1), 10)


EIGHTH_TURNS = [k * math.pi / 8 for k in range(16)]


@pytest.mark.parametrize(("name", "short"), [("triangle", 60), ("star", 60), ("rectangle", 30)])
def test_r_of_drawn_shapes(name, short):
    """A triangle or a star has no longer axis, and stands on its base all the same."""
    assert r(drawn(name, [UPRIGHT] * 12, short)) == (pytest.approx(1, abs=0.05), 12)
    jitter = [UPRIGHT + 0.02 * k for k in range(-8, 9)]  # up to 9 degrees
    assert r(drawn(name, jitter, short))[0] > 0.8
    upside_down = [UPRIGHT + math.pi * (k % 2) for k in range(20)]
    assert (r(drawn(name, upside_down, short))[0] > 0.9) == (name == "rectangle")
    assert r(drawn(name, EIGHTH_TURNS, short))[0] < 0.2


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
    crops = config.with_(
        image={"skip_resize": True}, box={"samples": 48, "positive_fraction": 1 / 3}
    )
    assert fit_config(config, dataset, keep, said.append) == crops
    assert "all eight of a square, as asked" in said[1]
    for name in keep:
        section, field = name.split(".")
        one = getattr(getattr(fit_config(config, dataset, [name]), section), field)
        assert one == fields[section][field]
        if section != "rpn":
            assert fit_config(config, dataset, {*keep} - {name}) != crops, name
    sizes = fit_config(config, dataset, {*keep} - {"rpn.anchor_sizes"}).rpn
    assert min(sizes.anchor_sizes) > (14,) and sizes.aspect_ratios == (1.5,)
    config = config.with_(rpn={"anchor_sizes": ((30,), (40,), (50,), (60,))})
    ratios = fit_config(config, dataset, {*keep} - {"rpn.aspect_ratios"}).rpn
    assert ratios.anchor_sizes == config.rpn.anchor_sizes
    assert ratios.aspect_ratios == pytest.approx((0.4, 2.5), rel=0.06)


def test_the_same_data_give_the_same_fit_from_any_start(tmp_path):
    """A run that starts from a run (`--init`) has been fitted before."""
    dataset = data_set(tmp_path, SETS["tall"][0])
    config = fit_config(lite(), dataset)
    assert fit_config(config, dataset) == config
    narrow = lite().with_(image={"min_size": 131}, training={"scale_range": (0.98, 1.02)})
    assert fit_config(narrow, dataset) == config


def test_what_crops_drop_has_no_anchor(tmp_path):
    """Stray annotations of a pixel or two, as tools leave them."""
    stray = data_set(tmp_path, SETS["tall"][0] * 3 + [(1, 2, 2, 0.0)] * 12)
    assert seen_boxes(lite(), Objects.of(stray)).prod(1).min() > 24
    assert min(fit_config(lite(), stray).rpn.anchor_sizes) > (10,)
    with pytest.raises(ValueError, match="no object has 24 pixels in a crop: the largest measures"):
        fit_config(lite(), data_set(tmp_path, [(1, 2, 2, 0.0)] * 12))


def test_of_panoramas_no_more_is_promised_than_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr("test_fit.WIDTH", 4 * HEIGHT)
    config = fit_config(lite(), data_set(tmp_path, squares(30)))
    seen = config.image.max_size / 4
    assert config.image.min_size == seen and crop_sides(config)[0] == pytest.approx(seen)


def test_whole_images_and_shapes_stay_as_they_are(tmp_path):
    dataset, said = data_set(tmp_path, SETS["tall"][0]), []
    assert fit_config(resnet50_fpn(), dataset, tell=said.append) == resnet50_fpn(2)
    shapes = Shapes(None, 1)
    assert fit_config(lite(), shapes, tell=said.append) == lite(len(shapes.class_names))
    assert said == []


def test_nuts_are_trained_on_as_before():
    """They lie every way and are as long as wide: the preset's anchors and turns."""
    dataset = open_dataset(real_data(NUTS))
    assert fit_config(lite(), dataset) == lite(4).with_(
        image={"min_size": 192, "skip_resize": True},
        box={"samples": 48, "positive_fraction": 1 / 3},
    )


def test_photographs_show_more_background(tmp_path):
    """As many boxes of objects as before, and twice as many of the background."""
    dataset = data_set(tmp_path, SETS["tall"][0])
    box = fit_config(lite(), dataset).box
    assert box.samples * box.positive_fraction == 16 == lite().box.samples / 2
    assert fit_config(fit_config(lite(), dataset), dataset).box == box
    large = {"training": {"crop_size": 128}}
    assert fit_config(resnet50_fpn().with_(**large), dataset).box == resnet50_fpn().box
    for asked in ("box.samples", "box.positive_fraction"):
        assert fit_config(lite(), dataset, [asked]).box == lite().box


def test_crops_reach_the_network_as_they_were_cut(tmp_path):
    """They are cut at the scale at which it sees whole images later; resized once more, objects
    would be larger than their anchors, and a step slower."""
    dataset = data_set(tmp_path, SETS["tall"][0])
    config = fit_config(lite(), dataset)
    assert config.image.min_size > config.training.crop_size == 128
    model = MaskRCNN(config)
    batch, _ = model.train().transform(*next(training_batches(config, dataset, seed=0)(0)))
    assert batch.pixels.shape == (8, 3, 128, 128)
    whole, _ = model.eval().transform([dataset[0][0]])
    assert whole.sizes.min() == config.image.min_size
    # Whole images, later or instead, are resized; so is what --config says.
    again = fit_config(config.with_(training={"crop_size": 0}), dataset)
    assert not again.image.skip_resize and not fit_config(config, Shapes(None, 1)).image.skip_resize
    assert fit_config(again, dataset, ["image.skip_resize"]).image == again.image


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


def test_of_many_objects_some_are_enough(tmp_path, monkeypatch):
    """Opening every image of a large set would take longer than the training."""
    dataset = data_set(tmp_path, [(1, 20 + 2 * k, 20, 0.0) for k in range(12)])
    whole, said = Objects.of(dataset), []
    monkeypatch.setattr("mrcnn_lite.training.fit.ENOUGH", 5)
    some = Objects.of(dataset)
    assert (len(whole.sizes), whole.share, len(some.sizes), some.share) == (12, 1, 5, 5 / 12)
    assert {*some.sizes.tolist()} < {*whole.sizes.tolist()}
    fit_config(lite(), dataset, tell=said.append)
    assert said[0].startswith("objects: 5 in 41.7% of the images, chosen by chance; at images of")
