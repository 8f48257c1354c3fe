"""One image at a time, as fast as a GPU allows: all up to the masks is one CUDA graph.

Between the image and its masks no size depends on values (`LeanRoIHeads.detect_static`), so all of
it is recorded, once for each padded size. Then the host asks once how many detections there are,
and their masks are pasted on the GPU. The recording itself has never run on a GPU; on a CPU the
same functions are called one by one.
"""

from collections import OrderedDict

import torch
from torch import Tensor

from .cuda_graph import GraphedCallable
from .folded_norm import fold_norms
from .mask_rcnn import MaskRCNN
from .postprocess import drop_padding, to_original_size


class Detector:
    """A network that is given one image after the other.

    Args:
        model: put into evaluation mode, its frozen norms folded; weights may change by
            `load_state_dict`, but must stay where they are.
        precision: of convolutions and linear layers, such as `torch.bfloat16`; None as stored.
        sizes: for how many padded sizes a graph is kept; the one that waited longest goes first.
    """

    def __init__(
        self, model: MaskRCNN, precision: torch.dtype | None = None, sizes: int = 16
    ) -> None:
        self.model, self.precision, self.sizes = model.eval(), precision, sizes
        fold_norms(model)
        self.device = next(model.parameters()).device
        self._graphs: OrderedDict[tuple[int, ...], GraphedCallable] = OrderedDict()
        self._pool = torch.cuda.graph_pool_handle() if self.device.type == "cuda" else None

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Find the objects of an image, Tensor[3, H, W], RGB in 0..1, on any device: what the
        network itself gives, see `MaskRCNN.forward`."""
        image = image.to(self.device, non_blocking=True)
        batch, _ = self.model.transform([image])
        key = tuple(batch.pixels.shape)
        if key not in self._graphs:
            if len(self._graphs) >= self.sizes:
                self._graphs.popitem(last=False)
            inputs = batch.pixels, batch.sizes
            self._graphs[key] = GraphedCallable(self._detect, inputs, self.model, self._pool)
        self._graphs.move_to_end(key)
        (detections,) = drop_padding([self._graphs[key](batch.pixels, batch.sizes)])
        # The next image overwrites these two; boxes and masks are made anew.
        detections |= {name: detections[name].clone() for name in ("labels", "scores")}
        size, original = batch.resized_sizes[0], batch.original_sizes[0]
        return to_original_size(detections, size, original, self.model.roi_heads.config)

    def _detect(self, pixels: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Tensors in, tensors of the same sizes out: `MaskRCNN.forward` with static shapes."""
        model, padded = self.model, tuple(pixels.shape[-2:])
        with torch.autocast(self.device.type, self.precision, self.precision is not None):
            features = model.features(pixels)
            proposals, valid, _ = model.rpn([*features.values()], padded, sizes)
            inputs = features, proposals, valid, padded, sizes
            (detections,) = model.roi_heads.detect_static(*inputs)
        return detections
