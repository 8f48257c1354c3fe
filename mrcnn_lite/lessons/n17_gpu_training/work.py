"""What a training step of Mask R-CNN R50-FPN computes and moves, and what a GPU could do at most.

A GPU has two limits: how many operations it computes in a second, and how many bytes its memory
delivers. Work with few operations per byte (a low *intensity*) waits for memory, however fast the
arithmetic is. The network is built on PyTorch's "meta" device, where tensors have shapes and no
values, and every operation is counted, forward and backward; nothing here is measured.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ...config import resnet50_fpn
from ...models import MaskRCNN
from ...models.rpn import by_anchor
from ..kit import roi_scene

GIGA, TERA = 1e9, 1e12
# Operations that only make room, or rename.
FREE = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided", "detach")
SIZE = (800, 1344)
SMALL = 64  # side of the image that is counted; everything is proportional to its area
CHANNELS, READS = 256, 4 * 2**2  # of a RoI's output number at ratio 2
NAMES = ("body", "FPN", "RPN head", "box RoIAlign", "box head", "mask RoIAlign", "mask head",
         "weights' update")  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What some calls cost: `needed` is what products and convolutions read and write of `numbers`.

    The rest belongs to operations that could be fused into these.
    """

    flops: float = 0.0  # additions and multiplications
    numbers: float = 0.0  # of each operation's inputs, read, and outputs, written
    needed: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Both together."""
        return Work(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, factor: float) -> "Work":
        """The same so many times."""
        return Work(*(value * factor for value in astuple(self)))


class _Counter(TorchDispatchMode):
    """Adds up the work of every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if func.is_view or packet.__name__ in FREE:
            return out
        moved = sum(_numbers(leaf) for leaf in tree_leaves((args, kwargs, out)))
        if packet in flop_registry:
            flops = flop_registry[packet](*args, **(kwargs or {}), out_val=out)
            self.work += Work(flops, moved, moved)
        else:
            made = sum(leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor))
            self.work += Work(made, moved, 0.0)
        return out


def _numbers(leaf: Any) -> int:
    """How many numbers a tensor keeps in memory; what `expand` repeats is kept once."""
    if not isinstance(leaf, Tensor):
        return 0
    return prod(size for size, step in zip(leaf.shape, leaf.stride(), strict=True) if step)


def count_work(call: Callable[[], object]) -> Work:
    """Count what the operations of a call compute and move; tensors on "meta" will do."""
    with _Counter() as counter:
        call()
    return counter.work


@dataclass(frozen=True)
class Machine:
    """What a GPU's data sheet promises."""

    name: str
    bandwidth: float  # bytes per second from memory
    peak: dict[int, float]  # operations per second, by bytes per number; 2: tensor cores, dense

    def seconds(self, flops: float, size: float, itemsize: int) -> float:
        """The least time that some work can take."""
        return max(flops / self.peak[itemsize], size / self.bandwidth)

    def ridge(self, itemsize: int) -> float:
        """The intensity, operations per byte, at which the two limits meet."""
        return self.peak[itemsize] / self.bandwidth


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("T4", 320 * GIGA, {4: 8.1 * TERA, 2: 65 * TERA}),
        Machine("A100 80 GB", 2039 * GIGA, {4: 19.5 * TERA, 2: 312 * TERA}),
        Machine("H100", 3350 * GIGA, {4: 67 * TERA, 2: 989 * TERA}),
        Machine("H200", 4800 * GIGA, {4: 67 * TERA, 2: 989 * TERA}),
    )
}


@dataclass(frozen=True)
class Stage:
    """A part of the network with what it computes and moves."""

    name: str
    flops: float  # operations
    size: float  # bytes

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / self.size


def _forward_backward(call: Callable, leaves: list[Tensor]) -> tuple[Work, Work]:
    """The work of a module's forward pass, and of its backward pass to weights and inputs."""
    made: list[Tensor] = []
    forward = count_work(lambda: made.extend(tree_leaves(call(*leaves))))
    made = [tensor for tensor in made if tensor.requires_grad]  # frozen stages have no backward
    grads = [torch.empty_like(tensor) for tensor in made]
    return forward, count_work(lambda: torch.autograd.backward(made, grads))


@lru_cache(maxsize=1)
def _lines() -> dict[str, tuple[tuple[Work, Work], tuple[Work, Work]]]:
    """Per stage and direction (fixed work, work per image of SMALL² or per RoI).

    Two counts of a batch of one and of two give the line: weights are read once per batch.
    """
    with torch.device("meta"):
        model = MaskRCNN(resnet50_fpn())
        counts: dict[str, list[tuple[Work, Work]]] = {}
        for batch in (1, 2):
            for name, (call, *shapes) in _parts(model).items():
                inputs = [torch.empty(batch, *shape) for shape in shapes]
                for tensor in inputs:
                    tensor.requires_grad_(name != "body")  # nobody asks for the image's gradient
                model.zero_grad()  # or the second count would add to the first one's gradients
                counts.setdefault(name, []).append(_forward_backward(call, inputs))
    lines = {}
    for name, (one, two) in counts.items():
        pairs = []
        for first, second in zip(one, two, strict=True):
            slope = second + first * -1
            pairs.append((first + slope * -1, slope))
        lines[name] = tuple(pairs)
    return lines


def _parts(model: nn.Module) -> dict[str, tuple]:
    """Per stage what to call, and the shapes of its inputs without the batch."""
    heads, sides = model.roi_heads, [SMALL >> k for k in range(2, 6)]
    body = [(256 << k, side, side) for k, side in enumerate(sides)]

    def rpn_head(*maps: Tensor) -> list[Tensor]:  # and its answers in anchor order
        logits, deltas = model.rpn.head(list(maps))
        return [by_anchor(level, n) for n, of in ((1, logits), (4, deltas)) for level in of]

    return {
        "body": (model.backbone.body, (3, SMALL, SMALL)),
        "FPN": (lambda *maps: model.backbone.fpn(list(maps)), *body),
        "RPN head": (rpn_head, (CHANNELS, SMALL, SMALL)),
        "box head": (lambda x: heads.box_predictor(heads.box_head(x)), (CHANNELS, 7, 7)),
        "mask head": (lambda x: heads.mask_predictor(heads.mask_head(x)), (CHANNELS, 14, 14)),
    }


def _pyramid(size: tuple[int, int]) -> int:
    """Elements of P2 to P5 for one image."""
    return sum((size[0] // stride) * (size[1] // stride) for stride in roi_scene.STRIDES)


@lru_cache(maxsize=32)
def _touched(rois: int, bins: int) -> float:
    """Elements that the RoIs of one image read, in the scene of notebook 16."""
    marked = roi_scene.touched(roi_scene.IMAGES * rois, bins, 2)
    return sum(int(level.sum()) for level in marked) / roi_scene.IMAGES


def _pooling(rois: int, images: int, size: tuple[int, int], bins: int) -> tuple[Work, Work]:
    """RoIAlign's work for a batch: touched elements and output; back, all gradients once."""
    every = images * _pyramid(size) * CHANNELS
    read = min(_touched(rois, bins) * CHANNELS * images, every)
    out = images * rois * bins**2 * CHANNELS
    flops = out * 2.0 * READS
    return Work(flops, read + out, read + out), Work(flops, every + out, every + out)


@lru_cache(maxsize=1)
def weight_counts() -> tuple[int, int]:
    """How many numbers the network learns, and how many it holds in all."""
    with torch.device("meta"):
        every = list(MaskRCNN(resnet50_fpn()).parameters())
    return sum(p.numel() for p in every if p.requires_grad), sum(p.numel() for p in every)


def step_work(
    images: int, size: tuple[int, int], rois: int, mask_rois: int
) -> dict[str, tuple[Work, Work]]:
    """What a training step of Mask R-CNN R50-FPN computes and moves, stage by stage.

    Matching, suppression and losses are left out: little arithmetic, few bytes, many launches.
    """
    area = size[0] * size[1] / SMALL**2
    coarsest = -(-size[0] // 64) * -(-size[1] // 64)
    amounts = {
        "body": images * area,
        "FPN": images * area,
        "RPN head": images * (_pyramid(size) + coarsest) / SMALL**2,
        "box head": images * rois,
        "mask head": images * mask_rois,
    }
    work = {
        name: tuple(fixed + slope * amounts[name] for fixed, slope in line)
        for name, line in _lines().items()
    }
    work["box RoIAlign"] = _pooling(rois, images, size, 7)
    work["mask RoIAlign"] = _pooling(mask_rois, images, size, 14)
    learned = weight_counts()[0]
    # Reads weight, gradient and momentum, writes weight and momentum.
    work["weights' update"] = (Work(), Work(4.0 * learned, 5.0 * learned, 5.0 * learned))
    return {name: work[name] for name in NAMES}


def step_stages(
    images: int = 2,
    size: tuple[int, int] = SIZE,
    rois: int = 512,
    mask_rois: int = 128,
    itemsize: int = 4,
    fused: bool = False,
) -> list[Stage]:
    """The stages of a training step, forward and backward together."""
    stages = []
    for name, parts in step_work(images, size, rois, mask_rois).items():
        work = parts[0] + parts[1]
        each = 4 if name == NAMES[-1] else itemsize
        stages.append(Stage(name, work.flops, (work.needed if fused else work.numbers) * each))
    return stages
