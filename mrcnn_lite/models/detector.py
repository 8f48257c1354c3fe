"""One picture at a time, as fast as a GPU allows: all up to the masks is one recorded graph.

Between the picture and its masks no size depends on values (`RoIHeads.detect_padded`), so the
whole way is recorded, once for each padded size. Then the host asks once how many detections there
are, and their masks are pasted on the GPU. The recording itself has never run on a GPU; on a CPU
the same functions are called one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import nullcontext

import torch
from torch import Tensor

from .mask_rcnn import MaskRCNN
from .postprocess import to_original_size, trim
from .recorded import Recorded
from .transform import batch_images


class Detector:
    """A network that looks at one picture after the other.

    Args:
        model: put into evaluation mode; weights may change, but must stay where they are.
        precision: of convolutions and linear layers, such as `torch.bfloat16`; None as stored.
        sizes: for how many padded sizes a graph is kept; the one that waited longest goes first.
    """

    def __init__(
        self, model: MaskRCNN, precision: torch.dtype | None = None, sizes: int = 16
    ) -> None:
        self.model, self.precision, self.sizes = model.eval(), precision, sizes
        self.device = next(model.parameters()).device
        self._ways: OrderedDict[tuple[int, ...], Recorded] = OrderedDict()
        self._pool = torch.cuda.graph_pool_handle() if self.device.type == "cuda" else None

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Find the objects of a picture.

        Args:
            image: Tensor[3, H, W], RGB in 0..1, on any device.

        Returns:
            What the network itself gives: boxes [N, 4], labels [N], scores [N], masks
            [N, 1, H, W].
        """
        config = self.model.config
        image = image.to(self.device, non_blocking=True)
        batch, _ = batch_images([image], None, config.image)
        found = self._way(batch.pixels, batch.sizes)(batch.pixels, batch.sizes)
        (found,) = trim([found])
        # The next picture overwrites these two; boxes and masks are made anew.
        found = found | {name: found[name].clone() for name in ("labels", "scores")}
        size, original = batch.resized_sizes[0], batch.original_sizes[0]
        return to_original_size(found, size, original, config.mask.paste)

    def _way(self, pixels: Tensor, sizes: Tensor) -> Recorded:
        """The recorded way from pictures of this size to their masks."""
        key = tuple(pixels.shape)
        if key not in self._ways:
            if len(self._ways) >= self.sizes:
                self._ways.popitem(last=False)
            self._ways[key] = Recorded(self._detect, (pixels, sizes), self.model, self._pool)
        self._ways.move_to_end(key)
        return self._ways[key]

    def _detect(self, pixels: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Tensors in, tensors of the same sizes out; see `RoIHeads.detect_padded`."""
        model, padded = self.model, tuple(pixels.shape[-2:])
        mixed = nullcontext()
        if self.precision is not None:
            mixed = torch.autocast(self.device.type, self.precision)
        with mixed:
            features = model.backbone(pixels)
            proposals, valid, _ = model.rpn(features, padded, sizes, None, model.keys)
            heads = model.roi_heads
            (found,) = heads.detect_padded(features, proposals, valid, padded, sizes)
        return found
