"""The feature maps of the RoI explorer, each with a stride and a box to begin with."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..roi import article_map

WEIGHTS = Path(__file__).resolve().parents[4] / "data" / "weights" / "shapes_lite.safetensors"
IMAGE_SEED = 1
LEVEL = 1  # P3 of the lite network: 16 x 16 elements of a 128 px image


def smooth_map() -> Tensor:
    """Neighbours are alike, as in a trained network: 3 x 3 random numbers, enlarged to 6 x 6."""
    small = torch.randn((1, 1, 3, 3), generator=torch.Generator().manual_seed(1))
    return F.interpolate(small, size=6, mode="bicubic")[0, 0]  # [h, w]


def channel_map() -> Tensor:
    """What a trained network computes: the liveliest channel of P3 on a drawn image."""
    from ....datasets.shapes import Shapes
    from ....models import load_weights
    from ....models.intermediate import intermediate_outputs

    model, _ = load_weights(WEIGHTS)
    level = intermediate_outputs(model, Shapes(1, IMAGE_SEED)[0][0]).features[LEVEL]  # [C, h, w]
    return level[level.std((1, 2)).argmax()].clone()  # [h, w]


@cache
def named_maps() -> tuple[dict[str, Any], ...]:
    """All maps that the explorer offers."""
    article = article_map()[0, 0]  # [h, w]
    ramp = torch.arange(25.0).reshape(5, 5)  # [h, w]
    whole = [10, 10, 124, 124]
    plan = [
        ("article", "the article's 6 × 6", article, 32, whole),
        ("ramp", "a 5 × 5 ramp, 0 to 24", ramp, 32, [32, 32, 96, 96]),
        ("smooth", "a smooth 6 × 6", smooth_map(), 32, whole),
    ]
    if WEIGHTS.is_file():
        label = "a trained network's channel, 16 × 16"
        plan.append(("channel", label, channel_map(), 8, [19, 20, 60, 62]))
    names = ("key", "label", "rows", "stride", "box")
    return tuple(
        dict(zip(names, (key, label, rows.tolist(), stride, box)))
        for key, label, rows, stride, box in plan
    )
