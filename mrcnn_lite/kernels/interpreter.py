"""Whether Triton's interpreter works here: it stands in for a GPU, and not with every numpy."""

from functools import cache
from importlib.metadata import version

import torch
import triton
import triton.language as tl


@triton.jit
def _loop(out_ptr, n):
    for i in range(n):
        tl.store(out_ptr + i, i)


@cache
def check_interpreter() -> None:
    """Run a loop of two rounds.

    Raises:
        RuntimeError: kernels are not interpreted, or cannot be; with what to do.
    """
    if type(_loop).__name__ != "InterpretedFunction":
        raise RuntimeError(
            "the kernels were loaded for a GPU; set TRITON_INTERPRET=1 before Triton is imported"
        )
    try:
        _loop[(1,)](torch.zeros(2, dtype=torch.int32), 2)
    except Exception as error:  # of whatever kind: it is Triton's own
        pair = f"the interpreter of Triton {version('triton')} fails with numpy {version('numpy')}"
        raise RuntimeError(f"{pair} ({error}); install numpy<2.4, or a newer Triton") from error
