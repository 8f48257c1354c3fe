"""Is this network the same function as torchvision's? Both are run side by side, stage by stage.

Random weights with random batch-norm statistics, random pictures, and for training a sampler that
makes the same choice in both. The difference after every stage is reported relative to the largest
value there, max |ours - theirs| / max |theirs|.

In float64 each network runs from the picture to its answer, untouched. In float32 rounding
exchanges neighbours in the order of a thousand scores, and from there on rows would be compared
with others; so torchvision's result of each stage is handed on to our next stage, and the table
shows what every stage adds of its own. (In training only the proposals are handed on.)

Two things in torchvision stand between the networks and equality in float64, and both are handled
on its side: its anchors' labels are float32, so that its objectness loss is rounded to float32
whatever the network's precision (the twin here gets float64 labels); and its sampler draws with
`torch.randperm` (the twin takes the candidates with the smallest keys, as this package does).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import resnet50_fpn, resnet50_fpn_v2
from ..models import MaskRCNN
from ..models.matching import random_keys

BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-4}
VERSIONS = {"v1": resnet50_fpn, "v2": resnet50_fpn_v2}
CLASSES = 5
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
LOGIT_SPREAD = 2.0  # standard deviation of class and objectness logits: clear winners, few ties
DELTA_SPREAD = 0.3


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


def make_twins(
    version: str, seed: int, dtype: torch.dtype, min_size: int = 160, max_size: int = 256
) -> tuple[MaskRCNN, nn.Module]:
    """Build both networks with the same random weights.

    Args:
        version: "v1" or "v2".
        seed: of the weights.
        dtype: float32 or float64.
        min_size, max_size: what pictures are resized to; small, so that it takes seconds.

    Returns:
        This package's network and torchvision's.
    """
    torch.manual_seed(seed)
    config = replace(VERSIONS[version](), num_classes=CLASSES)
    config = config.with_(image={"min_size": min_size, "max_size": max_size})
    if version == "v2":  # torchvision trains all of a network that starts without weights
        config = config.with_(backbone={"trainable_layers": 5})
    theirs = _torchvision(version, min_size, max_size)
    pictures, _ = make_pictures([(min_size, min_size)] * 2, seed, torch.float32)
    _set_statistics(theirs, pictures)
    ours = MaskRCNN(config)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())  # and back: no name may be missing
    return ours.to(dtype), theirs.to(dtype)


def compare_detections(ours: MaskRCNN, theirs: nn.Module, images: list[Tensor]) -> Iterator[Row]:
    """Run both in evaluation mode and compare every stage.

    Args:
        ours, theirs: from `make_twins`.
        images: Tensor[3, H_b, W_b] each, of the twins' dtype.

    Yields:
        One row per stage, the detections last.
    """
    bound = BOUNDS[images[0].dtype]
    with torch.inference_mode():
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
    """Run both in training mode with the same sample and compare losses and gradients.

    Args:
        ours, theirs: from `make_twins`.
        images, targets: see `MaskRCNN.forward`.

    Yields:
        One row per loss, then the largest difference of any parameter's gradient.
    """
    bound = BOUNDS[images[0].dtype]
    drawn: list[Tensor] = []  # the keys of the RPN's sample, then those of the RoIs
    draw = random_keys(torch.Generator().manual_seed(0))

    def keys(shape: tuple[int, ...], device: torch.device) -> Tensor:
        drawn.append(draw(shape, device))
        return drawn[-1]

    ours.keys = keys
    handed = None
    if images[0].dtype == torch.float32:
        handed = _record(theirs.train(), images, targets=targets)[0]
        handed = {"rpn": handed["rpn"]}
    mine = _record(ours.train(), images, handed, targets)[1]
    _share_sample(theirs, drawn, [len(t["boxes"]) for t in targets])
    other = theirs.train()(images, [dict(t) for t in targets])
    for name in other:
        yield Row(name, _difference([mine[name]], [other[name]]), bound)
    for model, losses in ((ours, mine), (theirs, other)):
        model.zero_grad()
        sum(losses.values()).backward()
    peers = dict(theirs.named_parameters())
    pairs = [(p.grad, peers[name].grad) for name, p in ours.named_parameters()]
    missing = any((a is None) != (b is None) for a, b in pairs)
    worst = max(_difference([a], [b]) for a, b in pairs if a is not None and b is not None)
    count = sum(a is not None for a, _ in pairs)
    yield Row(f"gradients of {count} parameters", torch.inf if missing else worst, bound)


def make_pictures(
    sizes: list[tuple[int, int]], seed: int, dtype: torch.dtype
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Draw random blotches of the given sizes (H, W) with two to four objects each."""
    generator = torch.Generator().manual_seed(seed)
    images, targets = [], []
    for place, (height, width) in enumerate(sizes):
        coarse = torch.rand(1, 3, 7, 7, generator=generator, dtype=dtype)
        smooth = F.interpolate(coarse, (height, width), mode="bilinear")[0]  # [3, H, W]
        noise = torch.rand(3, height, width, generator=generator, dtype=dtype)
        images.append(0.8 * smooth + 0.2 * noise)
        count = 2 + place % 3
        extent = torch.tensor([width, height], dtype=dtype)
        corner = torch.rand(count, 2, generator=generator, dtype=dtype) * extent / 2
        side = (0.15 + 0.3 * torch.rand(count, 2, generator=generator, dtype=dtype)) * extent
        boxes = torch.cat([corner, corner + side], dim=1)  # [G, 4]
        masks = torch.zeros(count, height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.round().int().tolist(), strict=True):
            mask[y1 : max(y1 + 1, y2 - 3), x1:x2] = 1
        labels = torch.randint(1, CLASSES, (count,), generator=generator)
        targets.append({"boxes": boxes, "labels": labels, "masks": masks})
    return images, targets


def _torchvision(version: str, min_size: int, max_size: int) -> nn.Module:
    """Build torchvision's network; v1 with the frozen batch norms that its trained form has."""
    from torchvision.models import detection

    sizes: dict[str, Any] = {"min_size": min_size, "max_size": max_size, "num_classes": CLASSES}
    if version == "v2":
        sizes["weights_backbone"] = None
        return detection.maskrcnn_resnet50_fpn_v2(weights=None, **sizes)
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, trainable_layers=3
    )
    return detection.MaskRCNN(backbone, **sizes)


@torch.no_grad()
def _set_statistics(model: nn.Module, images: list[Tensor]) -> None:
    """Give every batch norm statistics near those of the data, and its neighbours' logits a spread.

    Fresh batch norms are all alike and would hide mistakes; arbitrary ones would let the values
    of a deep network explode.
    """

    def fit(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        noise = torch.rand(2, len(norm.running_var))
        norm.running_mean.copy_(inputs[0].mean((0, 2, 3)) + 0.1 * noise[0])
        norm.running_var.copy_(inputs[0].var((0, 2, 3)) * (0.5 + noise[1]) + 1e-3)
        norm.weight.data.uniform_(0.5, 1.5)
        if norm in last_of_block:  # residual branches are weak in trained networks too
            norm.weight.data.mul_(0.2)
        norm.bias.data.normal_(0, 0.1)

    def spread(standard: float):
        def rescale(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            if layer not in done:  # the RPN's head runs once per level; the finest decides
                done.add(layer)
                layer.weight.mul_(standard / output.std())

        return rescale

    done: set[nn.Module] = set()
    last_of_block = {m.bn3 for m in model.modules() if hasattr(m, "bn3")}
    hooks = [
        module.register_forward_pre_hook(fit)
        for module in model.modules()
        if hasattr(module, "running_var")
    ]
    box, rpn = model.roi_heads.box_predictor, model.rpn.head
    for layer, standard in (
        (rpn.cls_logits, LOGIT_SPREAD),
        (rpn.bbox_pred, DELTA_SPREAD),
        (box.cls_score, LOGIT_SPREAD),
        (box.bbox_pred, DELTA_SPREAD),
    ):
        hooks.append(layer.register_forward_hook(spread(standard)))
    model.eval()(images)
    for hook in hooks:
        hook.remove()


def _record(
    model: nn.Module,
    images: list[Tensor],
    handed: dict[str, list[Tensor]] | None = None,
    targets: list[dict[str, Tensor]] | None = None,
) -> tuple[dict[str, list[Tensor]], Any]:
    """Run a network and keep what each stage gave, in one form for both networks.

    Args:
        model: one of the twins.
        images, targets: what it is called with.
        handed: what another run gave; each stage's result is replaced by it after it was kept.

    Returns:
        What each stage gave, and what the network gave.
    """
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


class _KeySampler:
    """torchvision's sampler with the choice left to given keys: the smallest are taken."""

    def __init__(self, keys: list[Tensor], count: int, positive_fraction: float) -> None:
        self.keys, self.count, self.limit = keys, count, int(count * positive_fraction)

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return per image which candidates are taken as positives and as background."""
        chosen: tuple[list[Tensor], list[Tensor]] = ([], [])
        for label, key in zip(labels, self.keys, strict=True):
            room = self.count
            for kind, rows, most in ((0, label >= 1, self.limit), (1, label == 0, self.count)):
                rows = rows.nonzero().flatten()
                rows = rows[key[rows].argsort(stable=True)][: min(most, room)]
                room -= len(rows)
                chosen[kind].append(torch.zeros_like(label, dtype=torch.bool))
                chosen[kind][-1][rows] = True
        return chosen


def _share_sample(model: nn.Module, drawn: list[Tensor], objects: list[int]) -> None:
    """Let torchvision's network sample with the keys that ours drew.

    Ours pads: R proposals per image, then G objects. There each image has its own numbers.
    """
    rpn, heads = model.rpn, model.roi_heads
    assign = type(rpn).assign_targets_to_anchors

    def in_its_own_precision(anchors: list[Tensor], targets: list[dict]) -> tuple:
        labels, boxes = assign(rpn, anchors, targets)
        return [label.to(anchors[0].dtype) for label in labels], boxes

    rpn.assign_targets_to_anchors = in_its_own_precision
    rpn.fg_bg_sampler = _KeySampler(list(drawn[0]), 256, 0.5)
    width = drawn[1].shape[1] - max(1, *objects)

    class OfRoIs(_KeySampler):
        def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            self.keys = [
                torch.cat([row[: len(label) - count], row[width : width + count]])
                for row, label, count in zip(drawn[1], labels, objects, strict=True)
            ]
            return super().__call__(labels)

    heads.fg_bg_sampler = OfRoIs([], 512, 0.25)
