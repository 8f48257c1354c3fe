"""Is this network the same function as torchvision's? Both are run side by side, stage by stage.

Random weights with random batch-norm statistics, random images, and for training a sampler that
makes the same choice in both. The difference after every stage is reported relative to the largest
value there, max |ours - theirs| / max |theirs|.

In float64 each network runs from the image to its answer, untouched. In float32 rounding exchanges
neighbours in the order of a thousand scores, and from there on rows would be compared with others;
so torchvision's result of each stage is handed on to our next stage, and the table shows what every
stage adds of its own. (In training only the proposals are handed on.)

What had to be done to torchvision's side so that the two can be compared: `reference_pair`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...models import MaskRCNN
from .reference_pair import one_class_at_a_time, record_priorities, share_sample

BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-4}
# A ReLU whose input rounds to the other side of 0 moves whole gradients: between torchvision's
# network and itself in another memory layout, float32 gradients differ by 1.4e-2 (v1) and 6.5e-2
# (v2) of their length (`python -m benchmarks.parity --itself --quick`). What is wrong by a sign, a
# factor or a missing term differs by about 1. Equality of gradients is a matter for float64.
FLOAT32_GRADIENTS = 0.1
# Modules of the same name in both networks, in the order in which they run.
STAGES = (
    "backbone",
    "rpn.anchor_generator",
    "rpn.head",
    "rpn",
    "roi_heads.box_roi_pool",
    "roi_heads.box_predictor",
    "roi_heads.mask_roi_pool",
    "roi_heads.mask_predictor",
)


@dataclass(frozen=True)
class Row:
    """One line of the table: how far the networks are apart after a stage."""

    stage: str
    difference: float  # relative to the largest value; infinite where shapes or sets differ
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the bound."""
        return self.difference <= self.bound


def compare_detections(ours: MaskRCNN, theirs: nn.Module, images: list[Tensor]) -> Iterator[Row]:
    """Run both in evaluation mode and compare every stage."""
    bound = BOUNDS[images[0].dtype]
    with torch.inference_mode(), one_class_at_a_time():
        peer, targets = _run(theirs.eval(), images)
        handed = peer if images[0].dtype == torch.float32 else {}
        mine, predictions = _run(ours.eval(), images, handed=handed)
    for stage in ("batch", *STAGES):
        compare = _set_difference if stage == "rpn" else _difference  # equal scores have no order
        yield Row(stage, compare(mine[stage], peer[stage]), bound)
    labels = ([d["labels"].tolist() for d in answer] for answer in (predictions, targets))
    equal = next(labels) == next(labels)
    yield Row("detections: number and classes", 0.0 if equal else torch.inf, bound)
    for key in ("boxes", "scores", "masks"):
        answers = ([d[key] for d in answer] for answer in (predictions, targets))
        yield Row(f"detections: {key}", _difference(*answers), bound)


def compare_training(
    ours: MaskRCNN, theirs: nn.Module, images: list[Tensor], targets: list[dict[str, Tensor]]
) -> Iterator[Row]:
    """Run both in training mode with the same sample and compare losses and gradients."""
    dtype = images[0].dtype
    handed = {}
    if dtype == torch.float32:
        handed = {"rpn": _run(theirs.train(), images, targets)[0]["rpn"]}
    drawn = record_priorities(ours, torch.Generator().manual_seed(0))
    _, mine = _run(ours.train(), images, targets, handed)
    share_sample(theirs, ours.config, drawn, [len(t["boxes"]) for t in targets])
    _, peer = _run(theirs.train(), images, targets)
    for name in peer:
        yield Row(name, _difference(mine[name], peer[name]), BOUNDS[dtype])
    own, others = gradients(ours, mine), gradients(theirs, peer)
    if own.keys() != others.keys():
        yield Row("gradients", torch.inf, BOUNDS[dtype])
    elif dtype == torch.float64:
        worst = _difference(list(own.values()), list(others.values()))
        yield Row(f"gradients of {len(own)} parameters", worst, BOUNDS[dtype])
    else:
        yield Row(f"gradients of {len(own)} parameters", distance(own, others), FLOAT32_GRADIENTS)


def gradients(model: nn.Module, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of the sum of the losses for each parameter that trains."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    values = torch.autograd.grad(sum(losses.values()), list(named.values()))
    return dict(zip(named, values, strict=True))


def distance(mine: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Length of the difference of all gradients together, relative to the length of `other`."""
    apart = sum(float((mine[name] - value).double().norm()) ** 2 for name, value in other.items())
    return (apart / sum(float(value.double().norm()) ** 2 for value in other.values())) ** 0.5


def _run(
    model: nn.Module,
    images: list[Tensor],
    targets: list[dict[str, Tensor]] | None = None,
    handed: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], Any]:
    """What each stage gave, in the form of ours, and the answer; `handed` replaces outputs."""
    outputs: dict[str, Any] = {}
    handed = handed or {}

    def listen(stage: str) -> Any:
        def keep(module: nn.Module, inputs: tuple, output: Any) -> Any:
            if stage == "backbone":
                outputs["batch"] = inputs[0]
            outputs[stage] = output if isinstance(model, MaskRCNN) else _like_ours(stage, output)
            if stage == "rpn" and stage in handed:
                return *handed[stage], output[2]  # the losses stay
            return handed.get(stage)

        return model.get_submodule(stage).register_forward_hook(keep)

    hooks = [listen(stage) for stage in STAGES]
    answer = model(images) if targets is None else model(images, [dict(t) for t in targets])
    for hook in hooks:
        hook.remove()
    return outputs, answer


def _like_ours(stage: str, output: Any) -> Any:
    """What torchvision's module gave, as ours would give it."""
    if stage == "backbone":
        return list(output.values())
    if stage == "rpn.anchor_generator":  # the same for every image
        return output[0]  # [A, 4]
    if stage == "rpn":  # [R_b, 4] per image
        boxes = nn.utils.rnn.pad_sequence(output[0], batch_first=True)  # [B, R, 4]
        counts = torch.tensor([[len(image)] for image in output[0]])
        return boxes, torch.arange(boxes.shape[1]) < counts  # [B, R]
    if stage == "roi_heads.box_predictor":
        return output[0], output[1].unflatten(1, (-1, 4))  # [K, C] and [K, C, 4]
    return output


def _set_difference(mine: tuple, other: tuple) -> float:
    """As `_difference`, of each image's proposals as a set: each row with its nearest."""
    worst = 0.0
    for box, valid, other_box, other_valid in zip(*mine[:2], *other, strict=True):
        a, b = box[valid], other_box[other_valid]  # [R, 4]
        apart = torch.cdist(a.double(), b.double(), p=torch.inf)  # [R, R]
        gap = torch.maximum(apart.amin(0).amax(), apart.amin(1).amax())
        worst = max(worst, float(gap / b.abs().max()) if len(a) == len(b) else torch.inf)
    return worst


def _difference(mine: Any, other: Any) -> float:
    """The largest relative difference of tensors, nested or not; infinite where shapes differ."""
    if not isinstance(other, Tensor):
        if len(mine) != len(other):
            return torch.inf
        return max((_difference(a, b) for a, b in zip(mine, other, strict=True)), default=0.0)
    if mine.shape != other.shape:
        return torch.inf
    if not other.numel():
        return 0.0
    gap, scale = (mine - other).detach().abs().max().item(), other.detach().abs().max().item()
    return gap / scale if scale else gap
