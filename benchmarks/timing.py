"""Fair timing of ours against a peer: alternately, in one process, and the median of the ratios.

A laptop's clock changes with its temperature, and other programs come and go. Two programs that are
timed one after the other meet different machines. Here every round calls the peer and ours directly
after one another, so that both meet the same machine, and each round gives one ratio.
"""

import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

# Rounds that are not counted: they fill caches and let libraries choose their kernels.
WARM_UP = 3


@dataclass(frozen=True)
class Comparison:
    """What an interleaved comparison found.

    `best`, the ratio of the two fastest times, says what an idle machine would show: on a busy one,
    code that runs on several threads waits for the slowest of them, again and again.
    """

    peer_ms: float  # median, as is that of ours
    ours_ms: float
    ratio: float  # median over the rounds of peer / ours; above 1 means that ours is faster
    low: float  # first and third quartile of these ratios
    high: float
    best: float
    rounds: int  # that were counted

    def as_dict(self) -> dict[str, float]:
        """The numbers, rounded for a results file."""
        return {key: round(value, 4) for key, value in asdict(self).items()}


def seconds(call: Callable[[], object]) -> float:
    """Run once and say how long it took; waits for the GPU where there is one."""
    _synchronise()
    start = time.perf_counter()
    call()
    _synchronise()
    return time.perf_counter() - start


def compare(
    peer: Callable[[], object],
    ours: Callable[[], object],
    budget_s: float = 3.0,
    timer: Callable[[Callable[[], object]], float] = seconds,
    at_least: int = 5,
    warm_up: int = WARM_UP,
) -> Comparison:
    """Time two calls alternately; the one that goes first changes from round to round.

    At most 200 rounds are run, `at_least` (two or more) whatever the budget; the last of the
    `warm_up` rounds, which are not counted, tells how many fit into it.
    """
    one_round = math.inf
    for _ in range(warm_up):
        one_round = timer(peer) + timer(ours)
    rounds = min(200, max(at_least, int(budget_s / one_round)))
    times: list[tuple[float, float]] = []
    for i in range(rounds):
        if i % 2:
            second = timer(ours)
            times.append((timer(peer), second))
        else:
            times.append((timer(peer), timer(ours)))
    ratios = [a / b for a, b in times]
    quartiles = statistics.quantiles(ratios, n=4)
    return Comparison(
        peer_ms=statistics.median(a for a, _ in times) * 1000,
        ours_ms=statistics.median(b for _, b in times) * 1000,
        ratio=statistics.median(ratios),
        low=quartiles[0],
        high=quartiles[2],
        best=min(a for a, _ in times) / min(b for _, b in times),
        rounds=rounds,
    )


def provenance(*packages: str) -> dict[str, str | float]:
    """What a reader must know to judge a time: date, machine, threads, load, versions."""
    facts: dict[str, str | float] = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    for package in packages:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _synchronise() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
