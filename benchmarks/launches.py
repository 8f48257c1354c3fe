"""How many operations a GPU is asked for, and what they read and write: counted, not measured.

    python -m benchmarks launches [--dry] [--store]

Counted on fake tensors, so that no GPU is needed. A view counts for nothing, any other operation of
PyTorch and any kernel of ours for one, although a sort or a convolution may launch several; its
bytes are all elements of its tensors, read or written, although a cache may hold some. Work is that
of convolutions and matrix products, two operations for each product that is added. All is float32
(fake tensors know no autocast); the backward pass and the optimiser's kernel are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import roi_input
from benchmarks.table import Row
from mrcnn_lite.config import Config, lite, resnet50_fpn
from mrcnn_lite.lessons.n17_gpu_training.fake_gpu import Watch, fake_models, watched
from mrcnn_lite.lessons.n17_gpu_training.waits import SIZE, make_batch
from mrcnn_lite.models import MaskRCNN
from mrcnn_lite.models.filled_masks import fill_masks
from mrcnn_lite.models.folded_norm import fold_norms
from mrcnn_lite.ops.multiscale import multiscale_roi_align  # without the checks at the door

NAME = "launches"
GOALS = {
    "proposals of two images from their predictions": None,
    "RoIAlign of 1000 RoIs on four levels": None,
    "body, one image": None,
    "body, one image, norms folded": None,
    "losses of two images": None,
    "losses of two images, norms folded, masks filled": None,
    "inference, one image": None,
    "inference, one image, norms folded": None,
    "inference, two images, norms folded": None,
}
ROIS = 500  # of each image
TILES = "deterministic backward, 1024 RoIs: RoIs that tiles ask"


def count(call: Callable[[], Any]) -> tuple[int, int]:
    """Operations and bytes of a call's second time, on fake tensors."""
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    operations, moved = 0, 0
    run = Watch.__torch_dispatch__

    def note(*values: Any) -> None:
        nonlocal operations, moved
        there = [v for v in tree_leaves(values) if isinstance(v, Tensor) and v.is_cuda]
        if there:
            operations += 1
            moved += sum(v.numel() * v.element_size() for v in there)

    def dispatch(watch: Watch, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        result = run(watch, func, types, args, kwargs)
        one = func.namespace == "aten" and not func._can_decompose() and not func.is_view
        if one and "empty" not in func.__name__:
            note(args, kwargs, result)
        return result

    def launch(_kernel: Any, *values: Any, **_options: Any) -> None:
        note(values)

    call()
    with mock.patch.object(Watch, "__torch_dispatch__", dispatch):
        with mock.patch.object(JITFunction, "run", launch):
            with mock.patch.object(InterpretedFunction, "run", launch, create=True):
                call()
    return operations, moved


def calls(config: Config, size: tuple[int, int]) -> list[Callable[[], Any]]:
    """What is counted, one for each of GOALS; without gradients, but for the losses."""
    with fake_models():
        model, folded = MaskRCNN(config), MaskRCNN(config)
    fold_norms(folded)
    fill_masks(folded)
    batch = make_batch(2, "cuda", size)
    images, _ = model.transform(batch[0])
    one, sizes = images.pixels[:1], images.sizes
    features = model.features(images.pixels)
    layout = torch.channels_last  # as the networks' maps have it
    maps = [m.contiguous(memory_format=layout) for m in list(features.values())[:4]]
    predictions = model.rpn.predict([*features.values()], images.padded_size)
    boxes = [torch.empty(ROIS, 4, device="cuda") for _ in range(2)]

    return [
        lambda: model.rpn.propose(*predictions, sizes, True),
        lambda: multiscale_roi_align(maps, boxes, images.padded_size, 7),
        lambda: model.backbone.body(one),
        lambda: folded.backbone.body(one),
        lambda: model.train().losses(*batch),
        lambda: folded.train().losses(*batch),
        lambda: model.eval()(batch[0][:1]),
        lambda: folded.eval()(batch[0][:1]),
        lambda: folded.eval()(batch[0]),
    ]


def run(small: bool = False) -> list[Row]:
    """Count all of it; `small` takes the network for laptops and small images, for a rehearsal."""
    config, size = (lite(), (64, 96)) if small else (resnet50_fpn(), SIZE)
    rows = []
    with watched(), torch.no_grad():
        for what, call in zip(GOALS, calls(config, size), strict=True):
            operations, moved = count(call)
            rows.append(Row(NAME, what, operations, "ops", details={"bytes": moved}))
            rows.append(Row(NAME, f"{what}, moved", moved / 1e6, "MB"))
            with FlopCounterMode(display=False) as work:
                call()
            if flop := work.get_total_flops():
                rows.append(Row(NAME, f"{what}, work", flop / 1e9, "GFLOP"))
    asked, rounds = tile_rounds(roi_input.TINY if small else replace(roi_input.FULL, rois=1024))
    tiles = Row(NAME, TILES, asked, "RoIs"), Row(NAME, f"{TILES}, rounds", rounds, "rounds")
    return [*rows, *tiles]


def tile_rounds(size: roi_input.Size) -> tuple[int, int]:
    """How many RoIs the programs of the deterministic backward look at, and in how many rounds."""
    from mrcnn_lite.kernels.roi_align_backward import BLOCK_C, LOOK, TILE

    boxes = roi_input.make_boxes(size, "cpu")
    asked = rounds = 0
    for stride, rois in zip(roi_input.STRIDES, roi_input.rois_by_level(boxes, size), strict=True):
        tiles_y, tiles_x = (math.ceil(side / stride / TILE.value) for side in size.image)
        programs = tiles_y * tiles_x * math.ceil(size.channels / BLOCK_C)
        for image in range(size.images):
            count = int((rois[:, 0] == image).sum())
            asked += programs * count
            rounds += programs * math.ceil(count / LOOK.value)
    return asked, rounds
