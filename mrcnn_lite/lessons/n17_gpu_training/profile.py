"""Where the time of one training step goes: PyTorch's profiler, with the stages by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from ...training.run import Batch, TrainingRun

# The step's own parts, and what the profiler calls operations that do the work.
STAGES = ("backbone", "RPN", "box RoIAlign", "box head", "mask RoIAlign", "mask head")
KINDS = {
    "convolutions": ("aten::convolution", "aten::convolution_backward"),
    "norms": ("aten::native_group_norm", "aten::native_group_norm_backward"),
    "linear layers": ("aten::addmm", "AddmmBackward0"),
    "RoIAlign": ("_Gather", "_ScatterAdd"),
}


@dataclass(frozen=True)
class StepProfile:
    """Shares of a step's time: by stage, which add up to 1, and by kind of operation.

    "Other forward" is matching, sampling, losses; kinds are forward and backward together, and
    what is none of them is not listed.
    """

    stages: dict[str, float]
    kinds: dict[str, float]


def profile_step(run: TrainingRun, batch: Batch, times: int = 5) -> StepProfile:
    """Take training steps under the profiler, on the CPU, and keep the fastest: in the others some
    part may have waited for another program."""
    return min((_profile(run, batch) for _ in range(times)), key=lambda seen: seen[0])[1]


def _profile(run: TrainingRun, batch: Batch) -> tuple[float, StepProfile]:
    """A step's time, in microseconds, and where it went."""
    model = run.model
    with _stages_named(model), _silence():
        with profile(activities=[ProfilerActivity.CPU]) as record:
            with record_function("forward"):
                total = sum(model(*batch).values())
            with record_function("backward"):
                total.backward()
            with record_function("update"):
                run.optimizer.step()
                run.optimizer.zero_grad()
    spent = {event.key: event.cpu_time_total for event in record.key_averages()}
    every = spent["forward"] + spent["backward"] + spent["update"]
    stages = {name: spent[name] / every for name in STAGES}
    stages["other forward"] = spent["forward"] / every - sum(stages.values())
    stages |= {name: spent[name] / every for name in ("backward", "update")}
    kinds = {
        kind: sum(spent.get(name, 0.0) for name in names) / every for kind, names in KINDS.items()
    }
    return every, StepProfile(stages, kinds)


@contextmanager
def _stages_named(model: nn.Module) -> Iterator[None]:
    """Let the profiler see the modules of `STAGES` by name."""
    heads = model.roi_heads
    modules = (model.backbone, model.rpn, heads.box_roi_pool, heads.box_head,
               heads.mask_roi_pool, heads.mask_head)  # fmt: skip

    def named(name: str, inner: object) -> object:
        def forward(*args: object, **kwargs: object) -> object:
            with record_function(name):
                return inner(*args, **kwargs)

        return forward

    with ExitStack() as stack:
        for name, module in zip(STAGES, modules, strict=True):
            stack.enter_context(mock.patch.object(module, "forward", named(name, module.forward)))
        yield


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the notes of the profiler's C++ part, such as "no GPU", away from the page."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
