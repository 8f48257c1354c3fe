"""A function of tensors whose sizes never change: on a GPU recorded once as a CUDA graph.

A network of a thousand small operations keeps the host busier than the GPU. A CUDA graph is the
list of all kernels with their addresses, sent in one go. Its tensors therefore stay where they are:
new values are copied into the same inputs, and each replay writes into the same results.

On a CPU the function is called on the same inputs: all of this but the recording, which follows
PyTorch's notes word for word, is tested without a GPU. The recording has never run on one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..ops.constants import KEPT

WARM_UP = 3  # calls before recording: PyTorch's number; kernels are compiled in the first


class GraphedCallable:
    """A function and its inputs.

    Args:
        function: takes tensors; asks a GPU for no value, and no size depends on values.
        inputs: values to record with; sizes, types and layouts are those of all later ones.
        model: a MaskRCNN, whose buffers (running statistics) the calls before recording must not
            change.
        pool: memory that several recorded functions share (`torch.cuda.graph_pool_handle()`).
            Whoever shares it uses up the results of one before another is called.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Tensor],
        model: nn.Module,
        pool: Any = None,
    ) -> None:
        self.function, self.model = function, model
        self.inputs = [value.clone() for value in inputs]  # keeps the memory layout
        self.graph: torch.cuda.CUDAGraph | None = None
        self.results: Any = None
        if self.inputs[0].is_cuda:
            self._record(pool)

    def __call__(self, *values: Tensor) -> Any:
        """Copy values into the inputs and return the results, which the next call overwrites."""
        for static, value in zip(self.inputs, values, strict=True):
            if static.shape != value.shape:
                raise ValueError(f"recorded for {list(static.shape)}, called with {value.shape}")
            static.copy_(value, non_blocking=True)
        if self.graph is None:
            return self.function(*self.inputs)
        self.graph.replay()
        return self.results

    def _record(self, pool: Any) -> None:
        """See https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture."""
        before = [buffer.clone() for buffer in self.model.buffers()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.function(*self.inputs)
        torch.cuda.current_stream().wait_stream(side)
        for buffer, value in zip(self.model.buffers(), before, strict=True):
            buffer.copy_(value)
        # What the graph reads and others might throw away: constants, anchors.
        generator = self.model.rpn.anchor_generator  # torchvision's keeps none
        self.held = [*KEPT.values(), *getattr(generator, "kept", list)()]
        self.graph = torch.cuda.CUDAGraph()
        # Only this thread's calls can spoil the recording: another one may prepare batches.
        with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
            self.results = self.function(*self.inputs)
