"""Row 12: images of one pixel, of one row, of one column, from the file to the loss."""

import json
import math

import pytest
import torch
from PIL import Image
from test_ordinary_input import annotate

from mrcnn_lite.config import lite
from mrcnn_lite.datasets import open_dataset
from mrcnn_lite.datasets.transforms import RandomScaleCrop, crop_and_resize
from mrcnn_lite.datasets.verify import verify
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.transform import resize_sample
from mrcnn_lite.training import fit_config, training_batches

SIZES = [(5000, 1), (1, 5000), (1, 1), (3, 900), (40000, 1), (20000, 2), (2, 3)]  # height, width


def sample(height, width):
    """An image with one object that fills it."""
    box = torch.tensor([[0.0, 0.0, width, height]])
    target = {"boxes": box, "labels": torch.ones(1, dtype=torch.int64), "image_id": 0}
    masks = torch.ones(1, height, width, dtype=torch.uint8)
    crowd, area = torch.zeros(1, dtype=torch.uint8), masks.sum((1, 2)).float()
    return torch.rand(3, height, width), target | {"masks": masks, "iscrowd": crowd, "area": area}


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_row_12_resizing_leaves_a_pixel(height, width):
    image, target = resize_sample(*sample(height, width), lite().image)
    new = tuple(image.shape[1:])
    factor = min(lite().image.min_size / min(height, width), 512 / max(height, width))
    assert new == tuple(max(1, math.floor(side * factor)) for side in (height, width))
    assert target["masks"].shape == (1, *new) and target["masks"].all()
    assert target["boxes"].tolist() == [[0, 0, new[1], new[0]]]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_row_12_the_network_sees_it(height, width):
    torch.manual_seed(0)
    model = MaskRCNN(lite(2)).eval()
    image, target = sample(height, width)
    with torch.inference_mode():
        (found,) = model([image])
    assert len(found["boxes"]) and found["boxes"].isfinite().all()
    assert found["masks"].shape[1:] == (1, height, width)
    largest = found["boxes"].amax(0).tolist()
    assert largest[2] <= width and largest[3] <= height
    losses = model.train()([image], [target])
    total = sum(losses.values())
    total.backward()
    assert total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_row_12_a_crop_has_a_pixel(height, width):
    image, target = sample(height, width)
    crop = RandomScaleCrop(64, (64, 400), min_share=0)
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        new, changed = crop(image, target, generator)
        assert new.shape == (3, 64, 64) and new.isfinite().all()
        assert changed["masks"].all() and len(changed["masks"]) == 1
    window = (width - 0.2, height - 0.2, width, height)  # rounds to nothing
    assert crop_and_resize(image, target, window, (2, 2), 1, 0)[1]["masks"].all()


@pytest.mark.parametrize(("height", "width"), [(5000, 1), (1, 5000), (1, 1)])
def test_row_12_from_a_file_to_batches(tmp_path, height, width):
    path = annotate(tmp_path / "a.json", "x.png")
    Image.effect_noise((width, height), 60).save(tmp_path / "x.png")
    data = json.loads(path.read_text())
    data["images"] = [{"id": 0, "file_name": "x.png"}]
    polygon = [0, 0, width, 0, width, height, 0, height]
    data["annotations"][0] |= {"segmentation": [polygon], "bbox": [0, 0, width, height]}
    path.write_text(json.dumps(data))
    assert verify(path) == []
    dataset = open_dataset(path)
    config = fit_config(lite(2), dataset)
    images, targets = next(training_batches(config, dataset, 0)(0))
    assert all(image.shape == (3, 128, 128) for image in images)
    # A crop of one pixel of 5000 holds too little of the object to teach it.
    assert {len(target["boxes"]) for target in targets} == {int(height == width)}


def test_an_image_without_a_pixel_is_refused():
    with pytest.raises(ValueError, match=r"images\[0\] has shape \(3, 0, 5\); .* with pixels"):
        MaskRCNN(lite(2)).eval()([torch.zeros(3, 0, 5)])
