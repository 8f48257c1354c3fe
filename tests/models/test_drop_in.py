"""torchvision users change the import and nothing else: fine-tuning recipe, operations, layers."""

import inspect

import pytest
import torch
import torchvision
from real_data import NUTS, real_data
from torchvision import tv_tensors
from torchvision.transforms import v2

import mrcnn_lite.models
import mrcnn_lite.ops
from mrcnn_lite.datasets import CocoDataset

DETECTION = torchvision.models.detection
# Sampling everything leaves nothing to chance; few and small, so that it takes seconds.
SETTINGS = {
    "min_size": 96,
    "max_size": 160,
    "rpn_pre_nms_top_n_train": 200,
    "rpn_post_nms_top_n_train": 60,
    "rpn_pre_nms_top_n_test": 60,
    "rpn_post_nms_top_n_test": 30,
    "rpn_batch_size_per_image": 100_000,
    "rpn_positive_fraction": 1.0,
    "box_batch_size_per_image": 100_000,
    "box_positive_fraction": 1.0,
    "box_detections_per_img": 10,
}


class Photographs(torch.utils.data.Dataset):
    """As in the recipe: an image, and a target of tv_tensors with all its usual keys."""

    def __init__(self, transform):
        self.photographs = CocoDataset(real_data(NUTS), indices=range(4))
        self.transform = transform

    def __len__(self):
        return len(self.photographs)

    def __getitem__(self, index):
        image, target = self.photographs[index]
        size = tuple(image.shape[-2:])
        return self.transform(
            tv_tensors.Image(image),
            {
                "boxes": tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=size),
                "masks": tv_tensors.Mask(target["masks"]),
                "labels": target["labels"],
                "image_id": target["image_id"],
                "area": target["area"],
                "iscrowd": target["iscrowd"],
            },
        )


def predictors(ours: bool):
    """The two classes that the recipe imports."""
    if ours:
        return mrcnn_lite.models.FastRCNNPredictor, mrcnn_lite.models.MaskRCNNPredictor
    return (
        DETECTION.faster_rcnn.FastRCNNPredictor,
        DETECTION.mask_rcnn.MaskRCNNPredictor,
    )


def fine_tune(models, classes, pure: bool, version: str = "maskrcnn_resnet50_fpn"):
    """The public recipe, with the import as its argument: losses of two steps, and detections."""
    model = getattr(models, version)(weights=None, weights_backbone=None, **SETTINGS)
    torch.manual_seed(0)
    reference = getattr(DETECTION, version)(weights=None, weights_backbone=None, **SETTINGS)
    generator = torch.Generator().manual_seed(0)
    state = {
        name: 0.02 * torch.randn(value.shape, generator=generator) if value.ndim > 1 else value
        for name, value in reference.state_dict().items()
    }
    model.load_state_dict(state)
    model.double()  # float32 would exchange proposals of nearly equal score

    box_predictor, mask_predictor = classes
    torch.manual_seed(1)
    in_features = model.roi_heads.box_predictor.cls_score.in_features
    model.roi_heads.box_predictor = box_predictor(in_features, 4).double()
    in_features = model.roi_heads.mask_predictor.conv5_mask.in_channels
    model.roi_heads.mask_predictor = mask_predictor(in_features, 256, 4).double()

    steps = [v2.Resize((96, 128)), v2.ToDtype(torch.double, scale=True)]
    dataset = Photographs(v2.Compose([*steps, v2.ToPureTensor()] if pure else steps))
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=2, collate_fn=lambda batch: tuple(zip(*batch, strict=True))
    )
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1e-4, momentum=0.9
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
    model.train()
    history = []
    for images, targets in loader:
        losses = model(list(images), [dict(target) for target in targets])
        optimizer.zero_grad()
        sum(loss for loss in losses.values()).backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    scheduler.step()
    model.eval()
    with torch.no_grad():
        found = model([dataset[0][0]])
    return history, found


@pytest.mark.slow
@pytest.mark.parametrize("pure", [True, False], ids=["tensors", "tv_tensors"])
def test_the_fine_tuning_recipe(pure):
    """The same script with both imports: the same losses, whatever predictors are put in."""
    wanted, _ = fine_tune(DETECTION, predictors(ours=False), pure)
    history, found = fine_tune(mrcnn_lite.models, predictors(ours=pure), pure)
    assert len(history) == len(wanted) == 2
    for mine, theirs in zip(history, wanted, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    assert set(found[0]) == {"boxes", "labels", "scores", "masks"}
    assert found[0]["masks"].shape == (len(found[0]["boxes"]), 1, 96, 128)


def test_labels_are_checked_against_the_replaced_predictor():
    model = mrcnn_lite.models.maskrcnn_resnet50_fpn(num_classes=3, **SETTINGS)
    model.roi_heads.box_predictor = mrcnn_lite.models.FastRCNNPredictor(1024, 7)
    assert model.num_classes == 7


OPERATIONS = (
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "masks_to_boxes",
    "nms",
    "remove_small_boxes",
    "roi_align",
    "roi_pool",
)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_takes_torchvisions_arguments(name):
    theirs = inspect.signature(getattr(torchvision.ops, name)).parameters
    ours = inspect.signature(getattr(mrcnn_lite.ops, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for key, parameter in theirs.items():
        assert ours[key].default == parameter.default, key


BOXES = torch.tensor(
    [[0.0, 0, 10, 12], [1, 1, 11, 12], [30, 5, 50, 30], [3, 3, 3, 9], [-4, 2, 70, 90]]
)
SCORES = torch.tensor([0.5, 0.9, 0.2, 0.4, 0.1])
GROUPS = torch.tensor([0, 0, 1, 1, 0])
CALLS = {
    "batched_nms": (BOXES, SCORES, GROUPS, 0.5),
    "box_area": (BOXES,),
    "box_convert": (BOXES, "xyxy", "cxcywh"),
    "box_iou": (BOXES[:3], BOXES),
    "clip_boxes_to_image": (BOXES, (40, 60)),
    "masks_to_boxes": (torch.eye(6).view(6, 2, 3).repeat_interleave(2, 1).bool(),),
    "nms": (BOXES, SCORES, 0.5),
    "remove_small_boxes": (BOXES, 5.0),
    "roi_align": (torch.rand(1, 3, 9, 9), [BOXES], (3, 2), 0.2, 2, True),
    "roi_pool": (torch.rand(1, 3, 9, 9), [BOXES], 3, 0.2),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_torchvisions_results(name):
    ours = getattr(mrcnn_lite.ops, name)(*CALLS[name])
    theirs = getattr(torchvision.ops, name)(*CALLS[name])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("inside", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("outside", ["xyxy", "xywh", "cxcywh"])
def test_box_formats(inside, outside):
    ours = mrcnn_lite.ops.box_convert(BOXES, inside, outside)
    torch.testing.assert_close(ours, torchvision.ops.box_convert(BOXES, inside, outside))


def test_the_layers_give_torchvisions_results():
    maps = torch.rand(1, 3, 16, 16)
    for name, arguments in (
        ("RoIAlign", (3, 0.5, 2, True)),
        ("RoIAlign", ((2, 4), 0.25, 0)),
        ("RoIPool", (3, 0.5)),
    ):
        ours = getattr(mrcnn_lite.ops, name)(*arguments)
        theirs = getattr(torchvision.ops, name)(*arguments)
        torch.testing.assert_close(ours(maps, [BOXES]), theirs(maps, [BOXES]))
    pyramid = {"a": maps, "b": maps[:, :, ::2, ::2], "unused": maps}
    arguments = (["a", "b"], 3, 2)
    ours = mrcnn_lite.ops.MultiScaleRoIAlign(*arguments)
    theirs = torchvision.ops.MultiScaleRoIAlign(*arguments)
    found = ours(pyramid, [BOXES], [(64, 64)])
    torch.testing.assert_close(found, theirs(pyramid, [BOXES], [(64, 64)]))
    # torchvision keeps the scales of the first call; ours looks at every call's sizes.
    again = ours({"a": maps, "b": maps[:, :, ::2, ::2]}, [BOXES], [(128, 128)])
    fresh = torchvision.ops.MultiScaleRoIAlign(*arguments)
    torch.testing.assert_close(again, fresh(pyramid, [BOXES], [(128, 128)]))


def test_an_unknown_keyword_and_unknown_weights_are_named(tmp_path):
    build = mrcnn_lite.models.maskrcnn_resnet50_fpn
    with pytest.raises(TypeError, match=r"unknown keyword 'box_detection_per_img'; known: "):
        build(box_detection_per_img=3)
    with pytest.raises(ValueError, match=r"weights is 'BEST'; give a file .* COCO_V1, DEFAULT"):
        build(weights="BEST")
    with pytest.raises(ValueError, match="does not exist"):
        build(weights=tmp_path / "none.pth")
    with pytest.raises(ValueError, match="trainable_backbone_layers is 6"):
        build(trainable_backbone_layers=6)


def test_weights_from_a_file(tmp_path):
    theirs = DETECTION.maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=3)
    torch.save(theirs.state_dict(), tmp_path / "v2.pth")
    model = mrcnn_lite.models.maskrcnn_resnet50_fpn_v2(weights=tmp_path / "v2.pth")
    assert model.num_classes == 3
    for name, value in theirs.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    with pytest.raises(ValueError, match="num_classes is 5, but the weights have 3"):
        mrcnn_lite.models.maskrcnn_resnet50_fpn_v2(weights=tmp_path / "v2.pth", num_classes=5)


def test_published_weights_want_no_eps(monkeypatch):
    """torchvision sets the eps of its frozen norms to 0 for COCO_V1: without a download here."""
    from mrcnn_lite.models import torchvision_names

    theirs = DETECTION.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    monkeypatch.setattr(torchvision_names, "_state", lambda *arguments: theirs.state_dict())
    model = mrcnn_lite.models.maskrcnn_resnet50_fpn(weights="DEFAULT")
    assert model.backbone.body.bn1.eps == 0.0
    assert model.backbone.body.layer4[2].bn3.eps == 0.0
