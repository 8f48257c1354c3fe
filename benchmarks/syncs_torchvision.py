"""Where torchvision's Mask R-CNN waits for the GPU in a training step, found without one.

    python -m benchmarks.syncs_torchvision

The same watch as for our step (`syncs.py`), turned on torchvision's code.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from unittest import mock

import torch
import torchvision
from torch import Tensor
from torchvision.models.detection import maskrcnn_resnet50_fpn

from benchmarks.fake_gpu import Watch, backward, watched
from benchmarks.syncs import SIZE, make_batch, places


def waits_of_torchvision(size: tuple[int, int] = SIZE) -> Watch:
    """Take two training steps of torchvision's R50-FPN on the GPU that is not there.

    Args:
        size: (H, W) of the pictures.

    Returns:
        What the second step waited for.
    """
    with watched(Path(torchvision.__file__).parent) as watch, warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
            watch.note("the size of nms depends on values")
            return boxes.new_empty(len(boxes), dtype=torch.int64)

        with torch.device("cuda"):
            model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).train()
        # It draws a size with a number of the host; there is one size to draw from.
        model.transform.torch_choice = lambda sizes: sizes[0]
        images, targets = make_batch(2, "cuda", size)
        optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
        with (
            mock.patch.object(Tensor, "backward", backward),
            mock.patch("torchvision.ops.boxes.nms", nms),
        ):
            for _ in range(2):
                watch.found.clear()
                losses = model(images, [dict(target) for target in targets])
                sum(losses.values()).backward()
                optimizer.step()
    return watch


def main() -> None:
    """Print how often, and where."""
    watch = waits_of_torchvision()
    print(f"torchvision's training step, batch on the GPU: {len(watch.found)} waits")
    print("\n".join(f"    {place}" for place in places(watch)))


if __name__ == "__main__":
    main()
