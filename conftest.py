"""For all tests: no network, seeds, no GPU where there is none, an order, a summary by kind."""

import importlib.util
import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import course

NO_NETWORK = str(Path(__file__).parent / "tests" / "no_network")

# For this process, and through the environment for all that it starts, notebook kernels included.
sys.path.insert(0, NO_NETWORK)
os.environ["PYTHONPATH"] = os.pathsep.join(
    [NO_NETWORK, *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ["MRCNN_LITE_PROGRESS"] = "off"  # what is printed depends on no reader's own answers
sys.modules.pop("sitecustomize", None)
import sitecustomize  # noqa: E402, F401

# Triton decides while it is imported whether kernels are interpreted, and torchvision imports it:
# without a GPU the decision must fall here, before any test file is read.
if importlib.util.find_spec("triton"):
    import torch

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"
        import triton  # noqa: F401

        del os.environ["TRITON_INTERPRET"]  # not for the processes that tests start


def kind(nodeid: str) -> str:
    """The line of the summary to which a test belongs."""
    path = nodeid.split("::")[0]
    if path.endswith(".ipynb"):
        return "notebooks"
    return "browser" if Path(path).name.startswith("test_browser") else "unit tests"


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in every run, whichever tests came before."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pytest_collection_modifyitems(items: list) -> None:
    """The quick tests first, then the notebooks, then the browser; GPU tests only with a GPU."""
    order = ("unit tests", "notebooks", "browser")
    items.sort(key=lambda item: order.index(kind(item.nodeid)))
    if not importlib.util.find_spec("triton"):  # it exists for Linux only
        for item in items:
            if Path(item.nodeid.split("::")[0]).name.startswith(course.NEED_TRITON):
                item.add_marker(pytest.mark.skip(reason="triton: it is not installed"))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="gpu: no CUDA device here"))


def pytest_terminal_summary(terminalreporter) -> None:
    """What ran, by kind, above pytest's own last line."""
    counts: dict = defaultdict(lambda: defaultdict(int))
    seconds: dict = defaultdict(float)
    for outcome in ("passed", "failed", "error", "skipped", "xfailed", "xpassed"):
        for report in terminalreporter.stats.get(outcome, []):
            counts[kind(report.nodeid)][outcome] += 1
    for reports in terminalreporter.stats.values():
        for report in reports:
            seconds[kind(getattr(report, "nodeid", ""))] += getattr(report, "duration", 0.0)
    terminalreporter.section("by kind")
    for name, by_outcome in counts.items():
        told = ", ".join(f"{number} {outcome}" for outcome, number in by_outcome.items())
        terminalreporter.write_line(f"{name:<11} {seconds[name]:7.1f} s  {told}")
