"""For all tests: no network, seeds, no GPU where there is none, an order, a summary by kind.

Where the package runs without the course, as on a GPU machine without JupyterLab, a test file that
needs an absent package is skipped by that package's name.
"""

import importlib.util
import itertools
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

import course

ROOT = Path(__file__).parent
NO_NETWORK = str(ROOT / "tests" / "no_network")

# For this process, and through the environment for all that it starts, notebook kernels included.
sys.path.insert(0, NO_NETWORK)
os.environ["PYTHONPATH"] = os.pathsep.join(
    [NO_NETWORK, *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ["NPM_CONFIG_OFFLINE"] = "true"
os.environ["MRCNN_LITE_PROGRESS"] = "off"  # what is printed depends on no reader's own answers
sys.modules.pop("sitecustomize", None)
import sitecustomize  # noqa: E402, F401

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: one thread each, kernels too
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Begun first, so that the processes which share the files end together.
LONGEST_FIRST = (
    "12_training.ipynb",
    "test_browser.py",
    "test_browser_site.py",
    "test_checkpoint.py",
    "11_whole_network.ipynb",
    "test_n11_parity.py",
    "test_exercise_matrix.py",
    "test_training.py",
    "test_distributed.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`course.py test --all`."""
    parser.addoption("--all", action="store_true", help="run the tests marked slow, too")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare each process that runs tests; one that only hands them out needs nothing."""
    if importlib.util.find_spec("hypothesis"):
        from hypothesis import settings

        settings.register_profile("cases", max_examples=500 if config.getoption("--all") else 100)
        settings.load_profile("cases")
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", default=None):
        interpret_kernels()
        if config.getoption("--nbval", default=False) and os.name != "nt":
            start_kernels_on_socket_files(config)


def interpret_kernels() -> None:
    """Triton decides while it is imported whether kernels are interpreted, and torchvision imports
    it: without a GPU the decision must fall here, before any test file is read."""
    if importlib.util.find_spec("triton"):
        import torch

        if not torch.cuda.is_available():
            os.environ["TRITON_INTERPRET"] = "1"
            import triton  # noqa: F401

            del os.environ["TRITON_INTERPRET"]  # not for the processes that tests start


class EngineModule(pytest.Module):
    """A test file; without JupyterLab, what it needs may be absent."""

    def _getobj(self) -> object:
        try:
            return super()._getobj()
        except self.CollectError as error:
            skip_if_absent(error.__cause__, allow_module_level=True)
            raise


def skip_if_absent(error: BaseException | None, **options: bool) -> None:
    """Skip a test that needs a package which only the course's own environment must have."""
    absent = isinstance(error, ModuleNotFoundError) and not is_ours(error.name)
    if absent and not importlib.util.find_spec("jupyterlab"):
        pytest.skip(f"{error.name}: it is not installed", **options)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> object:
    """A fixture may be what needs the package."""
    try:
        return (yield)
    except ModuleNotFoundError as error:
        skip_if_absent(error)
        raise


pytest_runtest_call = pytest_runtest_setup  # or the test itself


def is_ours(name: str) -> bool:
    """Whether a module belongs to the repository, where its absence is a mistake."""
    top = name.partition(".")[0]
    return any(
        (ROOT / folder / name).exists() for folder in ("", "tests") for name in (top, f"{top}.py")
    )


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> object:
    """Every file is one whose packages may be absent."""
    return EngineModule.from_parent(parent, path=module_path)


def start_kernels_on_socket_files(config: pytest.Config) -> None:
    """A free port, looked for by two processes at once, is now and then found by both."""
    import nbval.kernel
    from jupyter_client.manager import KernelManager

    folder = tempfile.TemporaryDirectory(prefix="kernels")
    config.add_cleanup(folder.cleanup)
    numbers = itertools.count()

    def on_socket_files(**options: object) -> KernelManager:
        return KernelManager(transport="ipc", ip=f"{folder.name}/{next(numbers)}", **options)

    nbval.kernel.KernelManager = on_socket_files


def kind(nodeid: str) -> str:
    """The line of the summary to which a test belongs."""
    path = nodeid.split("::")[0]
    if path.endswith(".ipynb"):
        return "notebooks"
    return "browser" if Path(path).name.startswith("test_browser") else "unit tests"


def place_in_order(nodeid: str) -> tuple[int, int]:
    """The longest files, then the quick tests, then the notebooks, then the browser."""
    name = Path(nodeid.split("::")[0]).name
    rank = LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
    return rank, ("unit tests", "notebooks", "browser").index(kind(nodeid))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in every run, whichever tests came before."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pytest_collection_modifyitems(config: pytest.Config, items: list) -> None:
    """An order, and what is not run here: slow tests unasked, Triton's, a GPU's."""
    items.sort(key=lambda item: place_in_order(item.nodeid))
    skips = []
    if not config.getoption("--all"):
        skips.append(("slow: only with --all", lambda item: item.get_closest_marker("slow")))
    if not importlib.util.find_spec("triton"):  # it exists for Linux only
        skips.append(("triton: it is not installed", needs_triton))
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            gpu = "gpu: no CUDA device here"
            skips.append((gpu, lambda item: item.get_closest_marker("gpu")))
    for reason, applies in skips:
        for item in filter(applies, items):
            item.add_marker(pytest.mark.skip(reason=reason))


def needs_triton(item: pytest.Item) -> bool:
    """Whether a test belongs to a notebook that cannot run without Triton."""
    return Path(item.nodeid.split("::")[0]).name.startswith(course.NEED_TRITON)


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
