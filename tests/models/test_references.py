"""Drop-in, as a script: training and evaluation loops like those of torchvision's
references/detection, and the fine-tuning recipe on data like Penn-Fudan's.

The loops are written here, to do what users' copies of those scripts do.
"""

import math

import numpy as np
import pytest
import torch
import torchvision
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval import mask as coco_mask
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import (
    FastRCNNPredictor,
    MaskRCNN,
    MaskRCNNPredictor,
    maskrcnn_lite,
    maskrcnn_resnet50_fpn,
)

DETECTION = torchvision.models.detection
TO_FLOAT = [v2.ToDtype(torch.float, scale=True), v2.SanitizeBoundingBoxes(), v2.ToPureTensor()]
FLIP = v2.RandomHorizontalFlip(0.5)
# The five values of the reference script's --data-augmentation, for small images.
AUGMENTATIONS = {
    "hflip": [FLIP],
    "lsj": [
        v2.ScaleJitter((96, 96), antialias=True), v2.RandomCrop((96, 96), pad_if_needed=True), FLIP,
    ],
    "multiscale": [v2.RandomShortestSize([48, 64, 80], max_size=112, antialias=True), FLIP],
    "ssd": [
        v2.RandomPhotometricDistort(),
        v2.RandomZoomOut(fill={tv_tensors.Image: (123, 117, 104), "others": 0}),
        v2.RandomIoUCrop(), FLIP,
    ],
    "ssdlite": [v2.RandomIoUCrop(), FLIP],
}  # fmt: skip


class Data(torch.utils.data.Dataset):
    """Drawn images as the reference's data sets give them: uint8, tv_tensors, COCO's keys."""

    def __init__(self, count: int, transforms: list) -> None:
        self.shapes = Shapes(None, seed=5)
        self.count, self.transforms = count, v2.Compose([*transforms, *TO_FLOAT])

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        image, target = self.shapes[index]
        boxes, size = target["boxes"], tuple(image.shape[-2:])
        return self.transforms(
            tv_tensors.Image((image * 255).to(torch.uint8)),
            {
                "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
                "masks": tv_tensors.Mask(target["masks"]),
                "labels": target["labels"],
                "image_id": index,
                "area": (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
                "iscrowd": torch.zeros(len(boxes), dtype=torch.int64),
            },
        )

    def loader(self, batch_size: int):
        """Batches as tuples, as the reference's `collate_fn` makes them."""
        pairs = torch.utils.data.DataLoader(
            self, batch_size, collate_fn=lambda batch: tuple(zip(*batch, strict=True))
        )
        return pairs


def train_one_epoch(model, optimizer, loader, device, warm_up: int = 0) -> list[float]:
    """One pass, as the reference makes it: warm-up, reduced losses, the NaN check."""
    model.train()
    scheduler = None
    if warm_up:
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.001, total_iters=warm_up)
    history = []
    for images, targets in loader:
        images = [image.to(device) for image in images]
        targets = [
            {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in t.items()}
            for t in targets
        ]
        with torch.amp.autocast("cpu", enabled=False):
            loss_dict = model(images, targets)
            losses = sum(loss for loss in loss_dict.values())
        history.append(losses.item())
        assert math.isfinite(history[-1]), f"Loss is {history[-1]}, stopping training"
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return history


def iou_types(model) -> list[str]:
    """What the reference's `evaluate` measures: it asks for torchvision's class by its name."""
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    masks = isinstance(inner, torchvision.models.detection.MaskRCNN)
    return ["bbox", "segm"] if masks else ["bbox"]


@torch.inference_mode()
def evaluate(model, data: Data, device) -> dict[str, float]:
    """AP50 of each type, with predictions brought into COCO's form as the reference does it."""
    model.eval()
    truth, results = [], []
    for images, targets in data.loader(1):
        outputs = model([image.to(device) for image in images])
        outputs = [{k: v.to("cpu") for k, v in t.items()} for t in outputs]
        for target, output in zip(targets, outputs, strict=True):
            for rows, kept in ((target, truth), (output, results)):
                masks = rows["masks"].reshape(len(rows["labels"]), *images[0].shape[-2:]) > 0.5
                for n, (x1, y1, x2, y2) in enumerate(rows["boxes"].tolist()):
                    entry = {
                        "id": len(kept) + 1, "image_id": target["image_id"], "iscrowd": 0,
                        "category_id": int(rows["labels"][n]), "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "segmentation": coco_mask.encode(
                            np.asfortranarray(masks[n].numpy().astype(np.uint8))
                        ),
                    }  # fmt: skip
                    if "scores" in rows:
                        entry["score"] = float(rows["scores"][n])
                    kept.append(entry)
    sides = {"height": images[0].shape[-2], "width": images[0].shape[-1]}
    coco = COCO(
        {
            "images": [{"id": index, **sides} for index in range(len(data))],
            "annotations": truth,
            "categories": [{"id": n, "name": str(n)} for n in range(1, 6)],
        }
    )
    found = {}
    for kind in iou_types(model):
        if not results:
            found[kind] = 0.0
            continue
        evaluation = COCOeval_faster(coco, coco.loadRes(results), kind, print_function=lambda *_: 0)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        found[kind] = float(evaluation.stats[1])
    return found


LARGE = {"multiscale": [pytest.mark.slow]}  # with the script's own network


@pytest.mark.parametrize(
    "augmentation", [pytest.param(name, marks=LARGE.get(name, [])) for name in AUGMENTATIONS]
)
def test_the_reference_script_in_its_five_variants(augmentation, monkeypatch):
    """--model maskrcnn_resnet50_fpn --data-augmentation ... --rpn-score-thresh 0.05
    --trainable-backbone-layers 5: the script resizes by itself where it augments the scale."""
    kwargs = {"trainable_backbone_layers": 5, "rpn_score_thresh": 0.05}
    if augmentation in ("multiscale", "lsj"):
        kwargs["_skip_resize"] = True
    torch.manual_seed(0)
    if augmentation in LARGE:
        sizes = {"min_size": 64, "max_size": 96, "box_detections_per_img": 5}
        model = maskrcnn_resnet50_fpn(weights_backbone=None, num_classes=6, **sizes, **kwargs)
    else:
        model = maskrcnn_lite(6)
        model.rpn.score_thresh = kwargs["rpn_score_thresh"]
        model.transform._skip_resize = kwargs.get("_skip_resize", False)
    data = Data(2, AUGMENTATIONS[augmentation])
    seen = []
    model.backbone.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[-2:]))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=1e-4)
    history = train_one_epoch(model, optimizer, data.loader(2), torch.device("cpu"), warm_up=2)
    assert len(history) == 1
    if augmentation == "lsj":
        assert seen[0] == (96, 96), "resized a second time"
    monkeypatch.setattr(torchvision.models.detection, "MaskRCNN", MaskRCNN)
    assert set(evaluate(model, Data(1, []), torch.device("cpu"))) == {"bbox", "segm"}


def test_one_line_makes_the_reference_evaluate_masks(monkeypatch):
    """Row 8: it asks for torchvision's own class; the line in README names ours instead."""
    model = maskrcnn_lite(3)
    assert iou_types(model) == ["bbox"]
    monkeypatch.setattr(torchvision.models.detection, "MaskRCNN", MaskRCNN)  # the line
    assert iou_types(model) == ["bbox", "segm"]
    assert iou_types(DETECTION.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)) == [
        "bbox"
    ]


@pytest.mark.slow
def test_the_fine_tuning_recipe_ends_with_masks(tmp_path, monkeypatch):
    """As on Penn-Fudan: new predictors, train until it learns, save whole, load, evaluate."""
    monkeypatch.setattr(torchvision.models.detection, "MaskRCNN", MaskRCNN)
    torch.manual_seed(0)
    model = maskrcnn_lite(2)  # "pretrained" with other classes
    in_features = model.roi_heads.box_predictor.cls_score.in_features
    model.roi_heads.box_predictor = FastRCNNPredictor(in_features, 6)
    in_channels = model.roi_heads.mask_predictor.conv5_mask.in_channels
    model.roi_heads.mask_predictor = MaskRCNNPredictor(in_channels, 32, 6)
    device, data = torch.device("cpu"), Data(2, [])
    model.to(device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=45, gamma=0.3)
    history = []
    for _ in range(60):
        history += train_one_epoch(model, optimizer, data.loader(2), device)
        scheduler.step()
    assert np.mean(history[-3:]) < 0.5 * np.mean(history[:3])
    before = evaluate(model, data, device)
    torch.save(model, tmp_path / "model.pt")
    model = torch.load(tmp_path / "model.pt", weights_only=False)
    assert evaluate(model, data, device) == before
    assert before["bbox"] > 0.2 and before["segm"] > 0.2
    torch.save(model.state_dict(), tmp_path / "state.pth")
    fresh = maskrcnn_lite(6)
    fresh.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    assert evaluate(fresh, data, device) == before
