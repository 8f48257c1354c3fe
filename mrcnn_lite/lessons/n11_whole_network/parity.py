"""Is this network the same function as torchvision's? Both are run side by side, stage by stage.

Random weights with random batch-norm statistics, random pictures, and for training a sampler that
makes the same choice in both. The difference after every stage is reported relative to the largest
value there, max |ours - theirs| / max |theirs|.

In float64 each network runs from the picture to its answer, untouched. In float32 rounding
exchanges neighbours in the order of a thousand scores, and from there on rows would be compared
with others; so torchvision's result of each stage is handed on to our next stage, and the table
shows what every stage adds of its own. (In training only the proposals are handed on.)

What had to be done to torchvision's side so that the two can be compared is told in `twins`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models import MaskRCNN
from ...models.matching import random_priorities
from .reference_pair import one_class_at_a_time, share_sample

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
        peer, wanted = _record(theirs.eval(), images)
        handed = peer if images[0].dtype == torch.float32 else None
        seen, found = _record(ours.eval(), images, handed)
    for name, mine in seen.items():
        compare = _set_difference if name == "rpn" else _difference  # equal scores have no order
        yield Row(name, compare(mine, peer[name]), bound)
    labels = all(torch.equal(f["labels"], w["labels"]) for f, w in zip(found, wanted, strict=True))
    yield Row("detections: number and classes", 0.0 if labels else torch.inf, bound)
    for key in ("boxes", "scores", "masks"):
        mine, other = ([d[key] for d in result] for result in (found, wanted))
        yield Row(f"detections: {key}", _difference(mine, other), bound)


def compare_training(
    ours: MaskRCNN, theirs: nn.Module, images: list[Tensor], targets: list[dict[str, Tensor]]
) -> Iterator[Row]:
    """Run both in training mode with the same sample and compare losses and gradients."""
    bound = BOUNDS[images[0].dtype]
    drawn: list[Tensor] = []  # the keys of the RPN's sample, then those of the RoIs
    draw = random_priorities(torch.Generator().manual_seed(0))

    def keys(shape: tuple[int, ...], device: torch.device) -> Tensor:
        drawn.append(draw(shape, device))
        return drawn[-1]

    ours.sampler.priorities = keys
    handed = None
    if images[0].dtype == torch.float32:
        handed = _record(theirs.train(), images, targets=targets)[0]
        handed = {"rpn": handed["rpn"]}
    mine = _record(ours.train(), images, handed, targets)[1]
    share_sample(theirs, ours.config, drawn, [len(t["boxes"]) for t in targets])
    other = theirs.train()(images, [dict(t) for t in targets])
    for name in other:
        yield Row(name, _difference([mine[name]], [other[name]]), bound)
    own, peers = gradients(ours, mine), gradients(theirs, other)
    if own.keys() != peers.keys():
        yield Row("gradients", torch.inf, bound)
    elif images[0].dtype == torch.float64:
        worst = _difference(list(own.values()), list(peers.values()))
        yield Row(f"gradients of {len(peers)} parameters", worst, bound)
    else:
        together = distance(own, peers)
        yield Row(f"gradients of {len(peers)} parameters", together, FLOAT32_GRADIENTS)


def gradients(model: nn.Module, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of the sum of the losses for each parameter that trains."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    values = torch.autograd.grad(sum(losses.values()), list(named.values()))
    return dict(zip(named, values, strict=True))


def distance(mine: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Length of the difference of all gradients together, relative to the length of `other`."""
    apart = sum(float((mine[name] - value).double().norm()) ** 2 for name, value in other.items())
    return (apart / sum(float(value.double().norm()) ** 2 for value in other.values())) ** 0.5


def _record(
    model: nn.Module,
    images: list[Tensor],
    handed: dict[str, list[Tensor]] | None = None,
    targets: list[dict[str, Tensor]] | None = None,
) -> tuple[dict[str, list[Tensor]], Any]:
    """Run a network and keep what each stage gave, in one form for both networks."""
    seen: dict[str, list[Tensor]] = {}
    hooks = []

    def keep(name: str):
        def hook(module: nn.Module, inputs: tuple, output: Any) -> Any:
            if name == "backbone":
                seen["batch"] = [inputs[0]]
            seen[name] = _plain(name, output)
            return _packed(name, handed[name], output) if handed and name in handed else output

        return hook

    for name in STAGES:
        hooks.append(model.get_submodule(name).register_forward_hook(keep(name)))
    result = model(images) if targets is None else model(images, [dict(t) for t in targets])
    for hook in hooks:
        hook.remove()
    return {name: seen[name] for name in ("batch", *STAGES) if name in seen}, result


def _plain(name: str, output: Any) -> list[Tensor]:
    """Bring a stage's output into one form: a flat list of tensors."""
    if isinstance(output, dict):  # torchvision's features
        return list(output.values())
    if name == "rpn.head" and output[0][0].ndim == 4:  # [B, N, h, w] and [B, 4 N, h, w] per level
        scores = [o.permute(0, 2, 3, 1).flatten(1) for o in output[0]]  # [B, A]
        deltas = [d.permute(0, 2, 3, 1).reshape(len(d), -1, 4) for d in output[1]]  # [B, A, 4]
        return [*scores, *deltas]
    if name == "rpn.head":
        return [*output[0], *output[1]]
    if name == "rpn.anchor_generator":
        return [output if isinstance(output, Tensor) else output[0]]
    if name == "rpn":
        boxes = output[0]
        if isinstance(boxes, Tensor):
            return [b[good] for b, good in zip(boxes, output[1], strict=True)]
        return list(boxes)
    if name == "roi_heads.box_predictor":
        return [output[0], output[1].flatten(1)]  # [K, C], [K, 4 C]
    return [output] if isinstance(output, Tensor) else list(output)


def _packed(name: str, plain: list[Tensor], output: Any) -> Any:
    """Bring a flat list back into the form that our stage gives; the inverse of `_plain`."""
    if name == "rpn":
        size = max(len(boxes) for boxes in plain)
        padded = [F.pad(boxes, (0, 0, 0, size - len(boxes))) for boxes in plain]  # [R, 4] each
        valid = [torch.arange(size) < len(boxes) for boxes in plain]
        return torch.stack(padded), torch.stack(valid), output[2]
    if name == "rpn.head":
        return plain[: len(plain) // 2], plain[len(plain) // 2 :]
    if name == "roi_heads.box_predictor":
        return plain[0], plain[1].view_as(output[1])
    return plain if isinstance(output, list) else plain[0]


def _set_difference(mine: list[Tensor], other: list[Tensor]) -> float:
    """As `_difference`, of the rows [R, 4] of each pair as sets: each row with its nearest."""
    worst = _difference([], []) if [len(a) for a in mine] == [len(b) for b in other] else torch.inf
    for a, b in zip(mine, other, strict=True):
        apart = torch.cdist(a.double(), b.double(), p=torch.inf)  # [R, R]
        gap = torch.maximum(apart.amin(0).amax(), apart.amin(1).amax())
        worst = max(worst, float(gap / b.abs().max()))
    return worst


def _difference(mine: list[Tensor], other: list[Tensor]) -> float:
    """The largest relative difference of any pair of tensors; infinite where shapes differ."""
    if [a.shape for a in mine] != [b.shape for b in other]:
        return torch.inf
    worst = 0.0
    for a, b in zip(mine, other, strict=True):
        if b.numel():
            gap, scale = ((a - b).detach().abs().max().item(), b.detach().abs().max().item())
            worst = max(worst, gap / scale if scale else gap)
    return worst
