"""COCO's average precision (AP) for boxes and masks, computed by faster-coco-eval.

AP is the mean over the IoU thresholds .50, .55, …, .95 and over the classes of the area under the
precision-recall curve; AP50 and AP75 use one threshold; APs, APm and APl count only objects below
32², up to 96² and above 96² pixels. Crowd regions are ignored: detections on them count neither as
right nor as wrong.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

MASK_THRESHOLD = 0.5  # probability from which on (>=) a pixel belongs to the object
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
        model: Called in evaluation mode with a list of images; its mode is restored afterwards.
        dataset: Sequence of (image, target) with ``class_names``.
        batch_size: Images per call of the model.
        progress: Wraps the sequence of batches, for instance ``tqdm``.
        limit: Use only the first images; None for all.

    Returns:
        ``{"mask": {"AP": …, "AP50": …, …}, "box": {…}, "images": n}``; a figure without any
        object to measure it on is NaN.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    process, processes = (dist.get_rank(), dist.get_world_size()) if _joined() else (0, 1)
    starts = range(process * batch_size, count, processes * batch_size)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    training = model.training
    model.eval()
    collectors: dict[int, _Collector] = {}
    try:
        for start in starts if progress is None else progress(starts):
            samples = [dataset[index] for index in range(start, min(start + batch_size, count))]
            detections = model([image.to(device) for image, _ in samples])
            collectors[start] = _Collector(dataset.class_names)
            for (image, target), detection in zip(samples, detections, strict=True):
                collectors[start].add(tuple(image.shape[1:]), target, detection)
    finally:
        model.train(training)
    if _joined():
        shares: list = [None] * processes
        dist.all_gather_object(shares, collectors)
        collectors = {start: part for share in shares for start, part in share.items()}
    whole = _Collector(dataset.class_names)
    for start in sorted(collectors):
        whole.extend(collectors[start])
    return whole.measure()


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def evaluate_detections(detections: Sequence[dict], dataset: Sequence) -> dict:
    """Measure detections that were made before.

    Args:
        detections: One dict per image with ``boxes`` ``Tensor[n, 4]``, ``labels``, ``scores`` and
            ``masks`` ``Tensor[n, 1, H, W]`` (probabilities, or 0 and 1).
        dataset: Sequence of (image, target) with ``class_names``, in the same order.

    Returns:
        As `evaluate`.

    Raises:
        ValueError: When the numbers of images differ.
    """
    if len(detections) != len(dataset):
        raise ValueError(
            f"detections has {len(detections)} images, dataset {len(dataset)}; give one per image"
        )
    collector = _Collector(dataset.class_names)
    for index, detection in enumerate(detections):
        image, target = dataset[index]
        collector.add(tuple(image.shape[1:]), target, detection)
    return collector.measure()


class _Collector:
    """Objects and detections in COCO's form; masks are kept as run lengths only."""

    def __init__(self, class_names: Sequence[str]) -> None:
        categories = [{"id": k, "name": name} for k, name in enumerate(class_names) if k > 0]
        self.truth: dict = {"images": [], "annotations": [], "categories": categories}
        self.found: list[dict] = []

    def add(self, size: tuple[int, int], target: dict, detection: dict) -> None:
        """Add one image: its size (height, width), its objects and what was detected."""
        number = len(self.truth["images"]) + 1  # not the image's own id: that may repeat
        self.truth["images"].append({"id": number, "height": size[0], "width": size[1]})
        outlines = _encode(target["masks"])
        for row, outline in enumerate(outlines):
            self.truth["annotations"].append(
                {
                    "id": len(self.truth["annotations"]) + 1,
                    "image_id": number,
                    "category_id": int(target["labels"][row]),
                    "bbox": _to_xywh(target["boxes"][row]),
                    "area": float(target["area"][row]),
                    "iscrowd": int(target["iscrowd"][row]),
                    "segmentation": outline,
                }
            )
        labels, scores = detection["labels"].tolist(), detection["scores"].tolist()
        outlines = _encode(detection["masks"])
        for row, (label, score) in enumerate(zip(labels, scores, strict=True)):
            self.found.append(
                {
                    "image_id": number,
                    "category_id": label,
                    "score": score,
                    "bbox": _to_xywh(detection["boxes"][row]),
                    "segmentation": outlines[row],
                }
            )

    def extend(self, other: "_Collector") -> None:
        """Append another collector's images; their numbers go on where these end."""
        images, objects = len(self.truth["images"]), len(self.truth["annotations"])
        self.truth["images"] += [{**row, "id": row["id"] + images} for row in other.truth["images"]]
        self.truth["annotations"] += [
            {**row, "id": row["id"] + objects, "image_id": row["image_id"] + images}
            for row in other.truth["annotations"]
        ]
        self.found += [{**row, "image_id": row["image_id"] + images} for row in other.found]

    def measure(self) -> dict:
        """Compute AP for masks and for boxes."""
        return {
            "mask": _average_precision(self.truth, self.found, "segm"),
            "box": _average_precision(self.truth, self.found, "bbox"),
            "images": len(self.truth["images"]),
        }


def _encode(masks: Tensor) -> list[dict]:
    """Run-length encode masks ``[n, H, W]`` or ``[n, 1, H, W]``, probabilities or 0 and 1."""
    from faster_coco_eval.core import mask as mask_api

    if not len(masks):
        return []
    binary = (masks.reshape(-1, *masks.shape[-2:]) >= MASK_THRESHOLD).to("cpu", torch.uint8)
    # the encoder wants [H, W, n] with the rows running fastest
    return mask_api.encode(np.asfortranarray(binary.permute(1, 2, 0).numpy()))


def _to_xywh(box: Tensor) -> list[float]:
    x1, y1, x2, y2 = box.tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def _average_precision(truth: dict, found: list[dict], kind: str) -> dict[str, float]:
    from faster_coco_eval import COCO, COCOeval_faster

    if not truth["annotations"]:
        return dict.fromkeys(METRICS, float("nan"))
    # The library writes into what it is given, so each kind gets copies. It takes the area of a
    # detection from its box when there is one, which is wrong for masks: so only one is passed.
    unused = "segmentation" if kind == "bbox" else "bbox"
    objects = COCO({**truth, "annotations": [dict(row) for row in truth["annotations"]]})
    results = [{key: row[key] for key in row if key != unused} for row in found]
    evaluation = COCOeval_faster(
        objects, objects.loadRes(results), kind, print_function=lambda *words: None
    )
    evaluation.run()
    pairs = zip(METRICS, map(float, evaluation.stats), strict=False)  # stats goes on with recalls
    return {name: value if value >= 0 else float("nan") for name, value in pairs}
