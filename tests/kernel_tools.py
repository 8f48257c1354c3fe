"""What the tests of the kernels share: where they run, and how results are compared.

With a GPU they run on it. Without one they run in Triton's interpreter, which must be chosen before
the kernels are imported: import this module first. Where the interpreter does not work, whoever
imports it is skipped, with the reason.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"

from mrcnn_lite import kernels  # noqa: E402
from mrcnn_lite.kernels.interpreter import check_interpreter  # noqa: E402
from mrcnn_lite.ops.backend import forget_kernels, use_backend  # noqa: E402

if DEVICE == "cpu":
    try:
        check_interpreter()
    except RuntimeError as why:
        pytest.skip(str(why), allow_module_level=True)


@contextmanager
def kernels_run() -> Iterator[None]:
    """Inside, every operation runs as a kernel, or says that it has none."""
    kernels.register(DEVICE)
    try:
        with use_backend("triton"):
            yield
    finally:
        if DEVICE == "cpu":  # or "auto" would go on interpreting
            forget_kernels(DEVICE)


def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal within the rounding of their type, relative to the largest value of the second."""
    assert a.shape == b.shape and a.dtype == b.dtype and a.device == b.device
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(b.dtype, 2e-2)
    most = float(b.abs().max()) if b.numel() else 0.0
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance * max(most, 1.0))
