"""A GPU that is not there: all Python runs on it, and each wait of the host is written down.

PyTorch's fake tensors carry shape, type and the device "cuda", but no values. Everything runs on
them, the wrappers of the kernels included; only the kernels themselves do nothing. What would make
the host wait gets a plausible answer, so that the waits after it are found too. The backward pass
of autograd has threads that belong to real devices; `backward` walks through its graph instead.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._library.custom_ops import OPDEFS
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ...ops.constants import KEPT

LESSON = Path(__file__).resolve().parent
PACKAGE = LESSON.parents[1]
# Operations whose result has a size that depends on values.
SIZED_BY_VALUES = ("nonzero", "masked_select", "_unique2", "unique_dim", "bincount")


class Watch(TorchDispatchMode):
    """Writes down each operation that would make the host wait, and goes on."""

    def __init__(self, root: Path = PACKAGE, answers: Mapping[str, Any] | None = None) -> None:
        """Watch the code in a folder; `answers` are numbers to read, by a piece of the line."""
        super().__init__()
        self.root, self.answers = root, dict(answers or {})
        self.found: list[tuple[str, str]] = []

    def note(self, why: str) -> str:
        """Remember a wait; return the source line that asks for it, or that called who asks."""
        frame = sys._getframe(1)
        while frame:
            name = Path(frame.f_code.co_filename)
            if name.is_relative_to(self.root) and not name.is_relative_to(LESSON):
                line = linecache.getline(str(name), frame.f_lineno).strip()
                where = f"{name.relative_to(self.root.parent)}:{frame.f_lineno}"
                self.found.append((f"{where} {frame.f_code.co_name}: {line}", why))
                return line
            frame = frame.f_back
        self.found.append(("outside the package", why))
        return ""

    def read(self, value: Tensor, why: str) -> bool | int | float:
        """A number that stands in for one that nobody knows; on the host it is read for free."""
        line = self.note(why) if _on_gpu(value) else ""
        for piece, answer in self.answers.items():
            if piece in line:
                return answer
        if value.dtype == torch.bool:
            return False
        return 1.0 if value.is_floating_point() else 1

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Note the wait, if it is one, and give a plausible result."""
        kwargs = kwargs or {}
        packet = func.overloadpacket.__name__
        if func.namespace == "mrcnn_lite":
            with self:  # its body, not only the shape of what it returns
                return OPDEFS[f"mrcnn_lite::{packet}"]._init_fn(*args, **kwargs)
        if func.namespace != "aten":
            return func(*args, **kwargs)
        with self:  # an operation that is made of others
            result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        first = args[0] if args else None
        on_gpu = any(_on_gpu(leaf) for leaf in tree_leaves((args, kwargs)))
        if packet.startswith("_fused_"):
            return None  # an optimiser's kernel: it changes weights in place and has no fake form
        if packet == "_local_scalar_dense":
            return self.read(first, "a number is read")
        if packet in SIZED_BY_VALUES:
            if on_gpu:
                self.note(f"the size of {packet} depends on values")
            return _as_large_as_possible(packet, first)
        if not on_gpu:
            return func(*args, **kwargs)
        if packet == "repeat_interleave" and kwargs.get("output_size") is None:
            self.note("the size of repeat_interleave depends on values")
            return first.new_empty(first.numel())
        if packet == "equal":
            return self.read(first.bool(), "equal answers to the host")
        if packet in ("index", "index_put", "index_put_"):
            args = self._indexed(packet, args)
        elif packet in ("_to_copy", "copy_") and not kwargs.get("non_blocking"):
            other = kwargs.get("device") if packet == "_to_copy" else args[1].device
            if _crosses(first, other) and args[2:3] != (True,):
                self.note("a copy between host and GPU")
        return func(*args, **kwargs)

    def _indexed(self, packet: str, args: tuple) -> tuple:
        """The arguments with room for each value that a boolean index might pick."""
        tensor, indices, *rest = args
        given = [i for i in indices if i is not None]
        masks = [i for i in given if i.dtype in (torch.bool, torch.uint8)]
        fills = packet != "index" and len(given) == 1 and rest[0].numel() == 1
        if any(i.device.type == "cpu" for i in given) and _on_gpu(tensor):
            self.note("an index on the host is copied")
        if masks and not fills:
            self.note("the size of a boolean index depends on values")
            full: list[Tensor | None] = []
            for i in indices:
                if any(i is mask for mask in masks):  # as if every element were True
                    full += [torch.empty_like(i, dtype=torch.int64).flatten()] * i.dim()
                else:
                    full.append(i)
            return (tensor, full, *rest)
        return args


def _on_gpu(x: Any) -> bool:
    if isinstance(x, torch.device):
        return x.type == "cuda"
    return isinstance(x, Tensor) and x.device.type == "cuda"


def _crosses(tensor: Tensor, device: Any) -> bool:
    return device is not None and torch.device(device).type != tensor.device.type


def _as_large_as_possible(packet: str, tensor: Tensor) -> Any:
    """What could come out of an operation at most, as shapes."""
    count = tensor.numel()
    if packet == "nonzero":
        return tensor.new_empty(count, tensor.dim(), dtype=torch.int64)  # [N, dimensions]
    if packet == "masked_select":
        return tensor.new_empty(count)
    if packet == "bincount":
        return tensor.new_empty(count, dtype=torch.int64)
    indices = tensor.new_empty(count, dtype=torch.int64)
    return tensor.new_empty(count), indices, indices


@contextmanager
def watched(root: Path = PACKAGE, answers: Mapping[str, Any] | None = None) -> Iterator[Watch]:
    """Inside, tensors of device "cuda" are fake, kernels do nothing, and waits are written down."""
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    watch = Watch(root, answers)

    def tolist(tensor: FakeTensor) -> list:
        value = watch.read(tensor, "numbers are read")
        nested: Any = value
        for size in reversed(tensor.shape):
            nested = [nested] * size
        return nested

    with ExitStack() as stack:
        KEPT.clear()  # real and fake ones do not mix
        stack.callback(KEPT.clear)
        for kernel in (JITFunction, InterpretedFunction):
            stack.enter_context(mock.patch.object(kernel, "run", return_value=None))
        stack.enter_context(mock.patch.object(FakeTensor, "tolist", tolist))
        stack.enter_context(FakeTensorMode())
        stack.enter_context(watch)
        yield watch


@contextmanager
def fake_models() -> Iterator[None]:
    """Inside, networks are built on the GPU; fake weights cannot be moved afterwards."""
    with torch.device("cuda"), mock.patch.object(nn.Module, "to", lambda model, *_, **__: model):
        yield


def backward(loss: Tensor, *_: Any, **__: Any) -> None:
    """Stands in for `Tensor.backward`, whose threads belong to real devices.

    Each node of the graph is called once, with gradients of the right shapes: enough to see what
    waits, and every weight behind the loss has a gradient afterwards.
    """
    seen, nodes = set(), [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            node.variable.grad = torch.empty_like(node.variable)
            continue
        call = node if callable(node) else node.apply  # of C++, or of Python
        with torch.no_grad():
            made = node._input_metadata
            call(*[torch.empty(out.shape, dtype=out.dtype, device=out.device) for out in made])
        nodes += [parent for parent, _ in node.next_functions]
