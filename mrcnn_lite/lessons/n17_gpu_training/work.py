"""What a training step of Mask R-CNN R50-FPN computes and moves, counted from shapes.

The network is built on PyTorch's "meta" device, where tensors have shapes and no values, and every
operation is counted on its way forth and back. Nothing here is measured.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from ...config import resnet50_fpn
from ...models import MaskRCNN
from ..kit import roi_scene
from .pictures import Stage, Work, count_work

SIZE = (800, 1344)
SMALL = 64  # side of the image that is counted; everything is proportional to its area
CHANNELS, TAPS = 256, 4 * 2**2  # of a RoI's output number at ratio 2
NAMES = ("body", "FPN", "RPN head", "box RoIAlign", "box head", "mask RoIAlign", "mask head",
         "weights' update")  # fmt: skip


def _forward_backward(call: Callable, leaves: list[Tensor]) -> tuple[Work, Work]:
    """The work of a module's way forth, and of its way back to weights and inputs."""
    made: list[Tensor] = []
    forth = count_work(lambda: made.extend(_flat(call(*leaves))))
    made = [tensor for tensor in made if tensor.requires_grad]  # frozen stages have no way back
    grads = [torch.empty_like(tensor) for tensor in made]
    return forth, count_work(lambda: torch.autograd.backward(made, grads))


def _flat(out: object) -> list[Tensor]:
    if isinstance(out, Tensor):
        return [out]
    return [tensor for part in out for tensor in _flat(part)]


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
    return {
        "body": (model.backbone.body, (3, SMALL, SMALL)),
        "FPN": (lambda *maps: model.backbone.fpn(list(maps)), *body),
        "RPN head": (lambda *maps: model.rpn.head(list(maps)), (CHANNELS, SMALL, SMALL)),
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
    flops = out * 2.0 * TAPS
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
