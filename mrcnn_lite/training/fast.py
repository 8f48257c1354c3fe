"""The same step for a GPU: forward, backward and clipping recorded as one CUDA graph.

Four things let a step be recorded; all but the last change no result:

- Images are padded to one size per orientation, and objects to a power of two. (The default pads
  to the largest image of a batch; with the same padding the losses are the same.)
- The sampling priorities are drawn before the step, with the same seeds, into tensors that stay
  in place.
- No operation asks the GPU for a value; the losses are read once, before the weights change.
- The mask branch has a fixed number of rows, which the positives of the whole batch fill: all of
  them, unless they are more than `config.mask.batch_rois` per image (`models.filled_masks`).

Optimiser and running average follow outside of the graph: they are few kernels. On a CPU the same
code runs without recording. The recording itself has never run on a GPU.
"""

from typing import Any

import torch
from torch import Tensor

from ..config import ImageConfig
from ..models import MaskRCNN, fill_masks
from ..models.cuda_graph import GraphedCallable
from ..models.folded_norm import fold_norms
from ..models.matching import Priorities
from ..models.transform import Size, Targets, pad_targets
from .distributed import image_priorities, world_size
from .run import Batch, TrainingRun, to_device

FEWEST_OBJECTS = 16  # objects are padded to this, or to a larger power of two


class PaddingByOrientation:
    """Padding to the few sizes that any image of a training can need; see `batch_images`."""

    def __init__(self, config: ImageConfig) -> None:
        self.short, self.long = max((config.min_size, *config.train_min_sizes)), config.max_size

    def __call__(self, size: Size) -> Size:
        """Return the size for landscapes, for portraits, or for a batch of both."""
        height, width = (self.short if n <= self.short else max(self.long, n) for n in size)
        return height, width


class StaticPriorities:
    """Sampling priorities in tensors that stay where they are: a recorded step reads them there."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.source: Priorities | None = None
        self.next = 0

    def draw(self, source: Priorities) -> None:
        """Put the numbers of a new step into the tensors, in the order of their use."""
        self.source = source
        for tensor in self.tensors:
            tensor.copy_(source(tuple(tensor.shape), tensor.device))

    def __call__(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Return the next tensor; see `Priorities`."""
        if self.next == len(self.tensors):  # the first of all calls
            self.tensors.append(self.source(shape, device))
        self.next += 1
        return self.tensors[self.next - 1]


class FastRun(TrainingRun):
    """A `TrainingRun` whose losses and gradients come from a recorded step.

    Its checkpoints are those of a `TrainingRun`: either may go on with the other's. Several
    processes, or a batch in parts, are a ValueError.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        if world_size() > 1 or self.config.training.accumulate > 1:
            raise ValueError(
                "the fast step takes the whole batch in one process; train without --fast, or "
                "with --workers 1 and without --accumulate"
            )
        fold_norms(self.model)
        fill_masks(self.model)
        self._steps: dict[tuple[int, ...], tuple[StaticPriorities, GraphedCallable]] = {}
        self._pool = torch.cuda.graph_pool_handle() if self.device.type == "cuda" else None
        image = self.config.image
        self.padding = None if image.skip_resize else PaddingByOrientation(image)  # None: crops

    def gradients(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """See `TrainingRun.gradients`; batches of one size share their step."""
        images, targets = to_device(batch, self.device)
        ready, targets = self.model.transform(images, targets, self.padding)
        most = max(len(target["boxes"]) for target in targets)
        count = max(FEWEST_OBJECTS, 1 << (most - 1).bit_length()) if most else FEWEST_OBJECTS
        points = self.config.keypoint.count if self.config.keypoint else 0
        objects = pad_targets(targets, ready.padded_size, ready.pixels, count, points)
        inputs = (ready.pixels, ready.sizes, *vars(objects).values())
        key = (*ready.pixels.shape, count)
        source = image_priorities(self.seed, self.steps, 0)
        if key not in self._steps:
            priorities = StaticPriorities()
            priorities.draw(source)
            step = GraphedCallable(self._step_with(priorities), inputs, self.model, self._pool)
            self._steps[key] = priorities, step
            source = image_priorities(self.seed, self.steps, 0)  # recording has used up the first
        priorities, step = self._steps[key]
        priorities.draw(source)
        losses, gradients = step(*inputs)
        # Each recorded step writes gradients of its own.
        for parameter, gradient in zip(self.model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        return losses

    def _step_with(self, priorities: StaticPriorities) -> Any:
        """The function that is recorded: from a batch to losses and gradients."""

        def step(pixels: Tensor, sizes: Tensor, *objects: Tensor) -> tuple[dict, list]:
            self.optimizer.zero_grad()  # so that gradients belong to the graph
            priorities.next = 0  # begin with the first tensor again
            self.model.sampler.priorities = priorities
            with self.autocast():
                losses = self.model.losses_of_batch(pixels, sizes, Targets(*objects))
            losses["loss"] = sum(losses.values())
            losses["loss"].backward()
            report = {name: value.detach() for name, value in losses.items()}
            report["gradients"] = self.clip()
            return report, [parameter.grad for parameter in self.model.parameters()]

        return step


def compile_parts(model: MaskRCNN, **options: Any) -> None:
    """Let `torch.compile` fuse what lies between the operations that are kernels already: backbone
    and the heads' convolutions, at their first use. Names of weights and results stay.

    Compiling takes minutes on a CPU; `options` are those of `torch.compile`, such as `backend`.
    """
    heads = model.roi_heads
    for part in (model.backbone, model.rpn.head, heads.box_head):
        part.compile(**options)
    for name in ("mask_head", "keypoint_head"):
        if hasattr(heads, name):
            getattr(heads, name).compile(**options)
