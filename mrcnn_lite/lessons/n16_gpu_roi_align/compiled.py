"""What the compiler makes of a kernel, for a GPU that need not be here.

A kernel is compiled to PTX, NVIDIA's readable assembly, whose load instructions say how many bytes
each lane fetches at once. The source goes to a process of its own, since this one may be Triton's
interpreter.
"""

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOAD = re.compile(r"ld\.global[.\w:]*?(?:v(\d)\.)?b(\d+)")
HEADER = "import triton\nimport triton.language as tl\n\n\n"
MULTIPLES = ("C", "channels")  # sizes that are multiples of 16, as addresses are


def to_ptx(
    kernel: Any,
    types: Mapping[str, str],
    constants: Mapping[str, Any],
    capability: int,
    **options: Any,
) -> str:
    """Compile a kernel; `types` are Triton's, such as "*fp32" for a pointer."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, values, promises = {}, {}, {}
    for index, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], values[(index,)] = "constexpr", constants[name]
            continue
        signature[name] = types[name]
        if types[name].startswith("*") or name in MULTIPLES:
            promises[(index,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, values, promises)
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options=options).asm["ptx"]


def load_bytes(
    kernels: Sequence[Any],
    helpers: Sequence[Any],
    types: Mapping[str, str],
    constants: Mapping[str, int],
    capability: int = 90,
) -> dict[str, list[int]]:
    """Compile kernels and list the widths of their loads from global memory."""
    job = {
        "source": HEADER + "\n\n".join(inspect.getsource(f.fn) for f in (*helpers, *kernels)),
        "kernels": [kernel.fn.__name__ for kernel in kernels],
        "settings": [dict(types), dict(constants), capability],
    }
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    call, streams = [sys.executable, __file__], {"capture_output": True, "text": True}
    run = subprocess.run(call, input=json.dumps(job), env=environment, **streams)
    if run.returncode:
        raise RuntimeError(f"the compiler refuses:\n{run.stderr[-3000:]}")
    return json.loads(run.stdout)


def main() -> None:
    """Read a job, compile, print the widths; in the process that `load_bytes` starts."""
    warnings.simplefilter("ignore")
    job, widths = json.load(sys.stdin), {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "written.py")  # Triton reads a kernel's source from its file
        path.write_text(job["source"], encoding="utf-8")
        spec = importlib.util.spec_from_file_location("written", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name in job["kernels"]:
            loads = LOAD.findall(to_ptx(getattr(module, name), *job["settings"]))
            widths[name] = sorted({int(count or 1) * int(bits) // 8 for count, bits in loads})
    json.dump(widths, sys.stdout)


if __name__ == "__main__":
    main()
