"""The one switch: which implementation of an operation runs.

    reference   the loop that reads like the paper (slow; for reading and for checking)
    torch       the tensor form (fast, any device)
    triton      a GPU kernel; an error where there is none
    auto        a kernel where one has registered itself for the tensor's device, else torch

`ops` knows no kernel. The package of kernels is loaded when the first tensor on a GPU arrives (or
when "triton" is asked for), and calls `register_kernel` for what it has; where there is no Triton,
there are no kernels.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

BACKENDS = ("reference", "torch", "triton", "auto")
KERNELS = "mrcnn_lite.kernels"

_chosen = "auto"
_kernels: dict[tuple[str, str], Callable] = {}  # (operation, device type) -> function
_loaded = False


def backend() -> str:
    """Say which backend is chosen: "reference", "torch", "triton" or "auto"."""
    return _chosen


def set_backend(name: str) -> None:
    """Choose the backend for every later call of an operation in this process.

    Args:
        name: "reference", "torch", "triton" or "auto".

    Raises:
        ValueError: the name is unknown, or it is "triton" and no kernel can run here.
    """
    global _chosen
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {name!r}")
    if name == "triton":
        load_kernels()
        devices = {device for _, device in _kernels}
        if not devices - {"cuda"} and not ("cuda" in devices and torch.cuda.is_available()):
            reason = "no CUDA device is here" if devices else "Triton is not installed"
            raise ValueError(f"backend 'triton' was asked for, but {reason}; use 'auto' or 'torch'")
    _chosen = name


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Choose the backend inside a `with` block and restore the old choice afterwards."""
    before = _chosen
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


def register_kernel(operation: str, device_type: str, function: Callable) -> None:
    """Let a faster form of an operation take part in "auto" and "triton".

    Args:
        operation: the operation's name, such as "roi_align".
        device_type: `tensor.device.type` of the tensors it serves, such as "cuda".
        function: takes the arguments of the tensor form.
    """
    _kernels[operation, device_type] = function


def forget_kernels(device_type: str) -> None:
    """Undo every `register_kernel` for a device."""
    for key in [key for key in _kernels if key[1] == device_type]:
        del _kernels[key]


def load_kernels() -> None:
    """Let the kernels register themselves, once; without Triton nothing happens."""
    global _loaded
    if not _loaded:
        _loaded = True
        try:
            importlib.import_module(KERNELS)
        except ModuleNotFoundError as error:
            if error.name != "triton":
                raise


def choose(operation: str, device: torch.device, loop: Callable, tensor: Callable) -> Callable:
    """Pick the form of an operation that the chosen backend asks for: its loop, its tensor form or
    a kernel for the device. "triton" without such a kernel is an error."""
    if _chosen == "reference":
        return loop
    if _chosen == "torch":
        return tensor
    if device.type == "cuda":
        load_kernels()
    kernel = _kernels.get((operation, device.type))
    if kernel is None and _chosen == "triton":
        raise ValueError(
            f"backend 'triton' was asked for, but {operation} has no kernel for device "
            f"'{device.type}'; move the tensors to a CUDA device, or use 'auto' or 'torch'"
        )
    return kernel or tensor
