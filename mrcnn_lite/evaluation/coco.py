"""COCO's average precision (AP) for boxes and masks, computed by faster-coco-eval.

AP is the mean over the IoU thresholds .50, .55, …, .95 and over the classes of the area under the
precision-recall curve; AP50 and AP75 use one threshold; APs, APm and APl count only objects below
32², up to 96² and above 96² pixels. Crowd regions are ignored: detections on them count neither as
right nor as wrong.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..models import MaskRCNN
from ..models.postprocess import PastedMasks
from .keypoints import PERSON_SIGMAS, keypoint_average_precision

MASK_THRESHOLD = 0.5  # probability from which on (>=) a pixel belongs to the object
PIXELS_AT_ONCE = 2**25  # of the masks that are encoded: bounds the memory, a byte or a float each
SIGMA = 0.05  # tolerance of every point of which nothing better is known
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # the first six of COCO's summary


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    dataset: Sequence,
    batch_size: int = 8,
    progress: Callable[[Iterable], Iterable] | None = None,
    limit: int | None = None,
) -> dict:
    """Run a model over a data set and measure its detections.

    Where several processes have joined (`torch.distributed`), each takes its share of the batches,
    and all return the same figures: those of one process.

    Args:
        model: called in evaluation mode with a list of images; its mode is restored afterwards.
        dataset: sequence of (image, target) with `class_names`.
        batch_size: images per call of the model.
        progress: wraps the sequence of batches, for instance `tqdm`.
        limit: use only the first images; None for all.

    Returns:
        `{"mask": {"AP": …, "AP50": …, …}, "box": {…}, "images": n}`; a figure without any object to
        measure it on is NaN. "mask" is only there where the model gives masks, "keypoints" (OKS-AP)
        where model and data have them: with the data's `sigmas`, by default COCO's or `SIGMA`.

    Raises:
        ValueError: there is no image.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    if count < 1:
        raise ValueError(f"dataset has {len(dataset)} images, limit is {limit}: none to evaluate")
    joined = dist.is_available() and dist.is_initialized()
    process, processes = (dist.get_rank(), dist.get_world_size()) if joined else (0, 1)
    starts = range(process * batch_size, count, processes * batch_size)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    training = model.training
    model.eval()
    images: dict[int, dict] = {}  # by index in the data set
    try:
        for start in starts if progress is None else progress(starts):
            rows = range(start, min(start + batch_size, count))
            samples = [dataset[row] for row in rows]
            inputs = [image.to(device) for image, _ in samples]
            # Other models paste all masks of an image at once.
            lean = getattr(model.forward, "__func__", None) is MaskRCNN.forward
            detections = model(inputs, lazy_masks=True) if lean else model(inputs)
            for row, sample, detection in zip(rows, samples, detections, strict=True):
                images[row] = _encoded(*sample, detection)
    finally:
        model.train(training)
    if joined:
        shares: list = [None] * processes
        dist.all_gather_object(shares, images)
        images = {row: image for share in shares for row, image in share.items()}
    return _measure([images[row] for row in sorted(images)], dataset)


def evaluate_detections(detections: Sequence[dict], dataset: Sequence) -> dict:
    """Measure detections that were made before; the result is as of `evaluate`.

    Args:
        detections: one dict per image with boxes [N, 4], labels, scores and masks [N, 1, H, W]
            (probabilities, or 0 and 1).
        dataset: sequence of (image, target) with `class_names`, in the same order.
    """
    if len(detections) != len(dataset):
        raise ValueError(
            f"detections has {len(detections)} images, dataset {len(dataset)}; give one per image"
        )
    images = [_encoded(*dataset[row], detection) for row, detection in enumerate(detections)]
    return _measure(images, dataset)


def _encoded(image: Tensor, target: dict, detection: dict) -> dict:
    """One image in COCO's form: its size, its objects and what was detected; masks are kept as run
    lengths only."""
    objects, detections = _rows(target), _rows(detection)
    more = zip(target["area"].tolist(), target["iscrowd"].tolist(), strict=True)
    for row, (area, crowd) in zip(objects, more, strict=True):
        row.update(area=area, iscrowd=int(crowd))
    for row, score in zip(detections, detection["scores"].tolist(), strict=True):
        row["score"] = score
    height, width = image.shape[1:]
    size = {"height": height, "width": width}
    names = {"keypoints", "boxes", "labels", "iscrowd", "area", "scores"}
    points = [{n: values[n].cpu() for n in names & {*values}} for values in (detection, target)]
    image = {"size": size, "objects": objects, "detections": detections}
    return image | {"masks": "masks" in detection, "points": points}


def _measure(images: list[dict], dataset: Sequence) -> dict:
    """Number images and objects, and compute AP for masks, boxes and keypoints."""
    truth: dict = {"images": [], "annotations": []}
    names = enumerate(dataset.class_names)
    truth["categories"] = [{"id": k, "name": name} for k, name in names if k > 0]
    detections: list[dict] = []
    for number, image in enumerate(images, start=1):  # not the image's own id: that may repeat
        truth["images"].append({"id": number, **image["size"]})
        detections += [{"image_id": number, **row} for row in image["detections"]]
        for row in image["objects"]:
            ids = {"id": len(truth["annotations"]) + 1, "image_id": number}
            truth["annotations"].append(ids | row)
    kinds = {"mask": "segm", "box": "bbox"}
    if not all(image["masks"] for image in images):
        del kinds["mask"]
    figures = {name: _average_precision(truth, detections, kind) for name, kind in kinds.items()}
    if images and all("keypoints" in p for image in images for p in image["points"]):
        count = images[0]["points"][1]["keypoints"].shape[1]
        usual = PERSON_SIGMAS if count == len(PERSON_SIGMAS) else [SIGMA] * count
        points = zip(*(image["points"] for image in images), strict=True)
        sigmas = getattr(dataset, "sigmas", None) or usual
        figures["keypoints"] = keypoint_average_precision(*points, sigmas)
    return figures | {"images": len(images)}


def encode_masks(masks: Tensor | PastedMasks) -> list[dict]:
    """Run-length encode masks, probabilities or 0 and 1, a few at a time.

    Args:
        masks: Tensor[N, H, W] or Tensor[N, 1, H, W], or masks that are not pasted yet.

    Returns:
        `{"size": [H, W], "counts": bytes}` each; a pixel belongs to the object from a
        probability of `MASK_THRESHOLD` on.
    """
    from faster_coco_eval.core import mask as mask_api

    if isinstance(masks, PastedMasks):
        masks, (height, width) = replace(masks, threshold=MASK_THRESHOLD), masks.image_size
    else:
        height, width = masks.shape[-2:]
    step, codes = max(1, PIXELS_AT_ONCE // (height * width)), []
    for first in range(0, len(masks), step):
        part = masks[first : first + step].reshape(-1, height, width) >= MASK_THRESHOLD
        for mask in part.to("cpu", torch.uint8).numpy():
            # The encoder wants [H, W, n] with the rows running fastest.
            codes += mask_api.encode(np.asfortranarray(mask[:, :, None]))
    return codes


def _rows(values: dict) -> list[dict]:
    """What COCO's form says of objects and of detections alike."""
    names = ("category_id", "bbox", "segmentation")
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in values["boxes"].tolist()]
    columns = [values["labels"].tolist(), boxes]
    columns += [encode_masks(values["masks"])] if "masks" in values else []
    return [dict(zip(names, row, strict=False)) for row in zip(*columns, strict=True)]


def _average_precision(truth: dict, detections: list[dict], kind: str) -> dict[str, float]:
    from faster_coco_eval import COCO, COCOeval_faster

    if not truth["annotations"]:
        return dict.fromkeys(METRICS, float("nan"))
    # The library writes into what it is given, so each kind gets copies. It takes the area of a
    # detection from its box when there is one, which is wrong for masks: so only one is passed.
    unused = "segmentation" if kind == "bbox" else "bbox"
    objects = COCO({**truth, "annotations": [dict(row) for row in truth["annotations"]]})
    results = [{key: row[key] for key in row if key != unused} for row in detections]
    evaluation = COCOeval_faster(
        objects, objects.loadRes(results), kind, print_function=lambda *_: None
    )
    evaluation.run()
    pairs = zip(METRICS, map(float, evaluation.stats), strict=False)  # stats goes on with recalls
    return {name: value if value >= 0 else float("nan") for name, value in pairs}
