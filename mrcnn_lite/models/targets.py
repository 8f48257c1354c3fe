"""The objects of a batch as padded tensors: what the list of dicts becomes inside."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Ground truth of B images, padded to G objects each."""

    boxes: Tensor  # float [B, G, 4]
    labels: Tensor  # int64 [B, G], 0 in padded rows
    masks: Tensor  # uint8 [B, G, H, W]
    valid: Tensor  # bool [B, G], False in padded rows


def pad_targets(
    targets: list[dict[str, Tensor]], image_size: tuple[int, int], like: Tensor, at_least: int = 1
) -> Targets:
    """Stack the objects of a batch; G is the largest count.

    Args:
        targets: one dict per image with boxes [G_b, 4], labels [G_b], masks [G_b, H_b, W_b].
        image_size: (H, W) of the padded batch.
        like: the images; boxes take their dtype, everything their device.
        at_least: smallest G; 1, so that no tensor is empty.
    """
    count = max(at_least, *(len(t["boxes"]) for t in targets)) if targets else at_least
    batch, device = len(targets), like.device
    boxes = like.new_zeros(batch, count, 4)  # [B, G, 4]
    labels = torch.zeros(batch, count, dtype=torch.int64, device=device)
    masks = torch.zeros(batch, count, *image_size, dtype=torch.uint8, device=device)
    valid = torch.zeros(batch, count, dtype=torch.bool, device=device)
    for row, target in enumerate(targets):
        objects, (height, width) = len(target["boxes"]), target["masks"].shape[-2:]
        boxes[row, :objects] = target["boxes"]
        labels[row, :objects] = target["labels"]
        masks[row, :objects, :height, :width] = target["masks"]
        valid[row, :objects] = True
    return Targets(boxes, labels, masks, valid)


def check_targets(
    images: list[Tensor], targets: list[dict[str, Tensor]] | None, num_classes: int
) -> None:
    """Refuse targets that would train nonsense.

    Raises:
        ValueError: a target is missing, malformed or degenerate; the message names image, row,
        field and value.
    """
    if targets is None:
        raise ValueError(
            "targets is None; in training the model needs one dict per image (boxes, labels, masks)"
        )
    if len(targets) != len(images):
        raise ValueError(
            f"{len(images)} images but {len(targets)} targets; give one dict per image"
        )
    for place, (image, target) in enumerate(zip(images, targets, strict=True)):
        if missing := {"boxes", "labels", "masks"} - set(target):
            raise ValueError(
                f"targets[{place}] lacks {sorted(missing)}; give boxes, labels and masks"
            )
        boxes, labels, masks = target["boxes"], target["labels"], target["masks"]
        count = len(boxes)
        if boxes.shape != (count, 4) or not boxes.is_floating_point():
            raise ValueError(
                f"targets[{place}]['boxes'] is {boxes.dtype} {tuple(boxes.shape)}; "
                "give float [G, 4]"
            )
        if labels.shape != (count,) or labels.dtype != torch.int64:
            raise ValueError(
                f"targets[{place}]['labels'] is {labels.dtype} {tuple(labels.shape)}; "
                f"give int64 [{count}]"
            )
        if masks.shape != (count, *image.shape[-2:]):
            expected = (count, *image.shape[-2:])
            raise ValueError(
                f"targets[{place}]['masks'] is {tuple(masks.shape)}; the image asks for {expected}"
            )
    # All images at once; which one it was is asked only when something is wrong.
    boxes, labels = (torch.cat([t[name] for t in targets]) for name in ("boxes", "labels"))
    if (_bad_boxes(boxes) | _bad_labels(labels, num_classes)).any():
        for place, target in enumerate(targets):
            _check_rows(place, target["boxes"], target["labels"], num_classes)


def _bad_boxes(boxes: Tensor) -> Tensor:
    """Which boxes [N, 4] are not finite or have no area: bool Tensor[N]."""
    return ~boxes.isfinite().all(dim=1) | (boxes[:, 2:] <= boxes[:, :2]).any(dim=1)


def _bad_labels(labels: Tensor, num_classes: int) -> Tensor:
    """Which labels [N] are no class of the network: bool Tensor[N]."""
    return (labels < 1) | (labels >= num_classes)


def _check_rows(place: int, boxes: Tensor, labels: Tensor, num_classes: int) -> None:
    bad = _bad_boxes(boxes)
    if bad.any():
        row = int(bad.nonzero()[0])
        value = boxes[row].tolist()
        raise ValueError(
            f"targets[{place}]['boxes'][{row}] is {value}: x2 must exceed x1 and y2 exceed y1, "
            "all finite; drop the object"
        )
    wrong = _bad_labels(labels, num_classes)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"targets[{place}]['labels'][{row}] is {int(labels[row])}; "
            f"labels go from 1 to {num_classes - 1} (0 is the background, "
            f"num_classes is {num_classes})"
        )
