"""Which operations of PyTorch a call makes: on a GPU each would be a launch, or several."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class _Listener(TorchDispatchMode):
    """Counts what PyTorch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def operations(call: Callable[[], object]) -> Counter:
    """The operations that a call makes; each but a view is a launch on a GPU, or several."""
    with _Listener() as heard:
        call()
    return heard.calls
