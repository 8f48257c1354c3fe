"""A real browser for the tests: Chromium, one JupyterLab for all, pages that notice errors."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from clone_tools import Clones
from source_tree import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 120  # seconds for a start on a loaded machine
PICTURES = ROOT / "build" / "browser"  # of every page as it was last seen
LOCAL = ("http://127.0.0.1:", "http://localhost:", "blob:", "data:", "file:")
TOKEN = "a-token-of-the-test"

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="browser: Chromium is not installed"),
]

# All cells in the page, also those out of sight: their widgets are to be found.
PAGE_SETTINGS = {"windowingMode": "none"}

LAB_IS_THERE = "() => window.jupyterapp?.shell && window.jupyterapp.restored.then(() => true)"
OPEN = "path => window.jupyterapp.commands.execute('docmanager:open', { path })"
CLOSE_ALL = """() => {
    const { shell, commands } = window.jupyterapp;
    for (const { context } of shell.widgets('main')) {
        if (context) context.model.dirty = false;  // or it would ask whether to save
    }
    return commands.execute('application:close-all');
}"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
CLOSE_KERNELS = "() => window.jupyterapp.serviceManager.sessions.shutdownAll()"
KERNEL_IS_THERE = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.sessionContext?.session?.kernel?.status === 'idle' && panel.content.model !== null
}"""
ERRORS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .flatMap(cell => cell.model.outputs?.toJSON() ?? [])
    .filter(output => output.output_type === 'error').map(output => output.evalue)"""


class Lab(NamedTuple):
    """A running JupyterLab, and the learner's clone in which it runs."""

    url: str
    clones: Clones


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """JupyterLab as `course.py` starts it in a fresh clone, its first port taken."""
    home = tmp_path_factory.mktemp("jupyter home")
    clones = Clones(home)
    settings = home / "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(PAGE_SETTINGS))
    folders = {
        f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    folders |= {
        f"JUPYTERLAB_{name}_DIR": str(home / name.lower()) for name in ("SETTINGS", "WORKSPACES")
    }
    environment = {**clones.environment, **folders, "JUPYTER_TOKEN": TOKEN}
    with socket.create_server(("127.0.0.1", 0)) as taken, (home / "log").open("w") as log:
        options = [
            "--no-browser",
            "--allow-root",  # continuous integration runs in a container
            f"--ServerApp.port={taken.getsockname()[1]}",
            "--LabApp.expose_app_in_browser=True",
        ]
        process = subprocess.Popen(
            clones.course("lab", *options),
            cwd=clones.learner,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            yield Lab(address(process, home), clones)
        finally:
            process.terminate()
            process.wait(30)


def address(process: subprocess.Popen, home: Path) -> str:
    """Where the server listens, from the file that it writes when it does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        for path in (home / "runtime").glob("jpserver-*.json"):
            return json.loads(path.read_text())["url"]
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{(home / 'log').read_text()[-2000:]}")


@pytest.fixture(scope="module")  # Playwright's event loop must not run in other files' tests
def browser() -> Iterator[Any]:
    """Chromium, as Debian packages it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS]) as chromium:
            yield chromium


@pytest.fixture(scope="module")
def lab_page(browser, lab) -> Iterator[Any]:
    """JupyterLab, loaded once for the tests of a file."""
    with watched_page(browser, "lab") as page:
        page.goto(f"{lab.url}lab?reset&token={TOKEN}")
        page.wait_for_function(LAB_IS_THERE)
        yield page


@pytest.fixture
def page(lab_page, request) -> Iterator[Any]:
    """The page for one test: with nothing open; its kernels end with the test."""
    yield lab_page
    take_picture(lab_page, request.node.name)
    lab_page.evaluate(CLOSE_KERNELS)
    lab_page.evaluate(CLOSE_ALL)


@contextmanager
def watched_page(browser: Any, picture: str, **settings: Any) -> Iterator[Any]:
    """A page that fails its test on errors and on requests to other machines."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    errors, outside = [], []
    page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))
    page.on(
        "request",
        lambda request: None if request.url.startswith(LOCAL) else outside.append(request.url),
    )
    yield page
    take_picture(page, picture)
    context.close()
    assert not errors
    assert not outside


def take_picture(page: Any, name: str) -> None:
    """Keep the page as it was last seen."""
    name = re.sub(r"\W+", "-", name).strip("-")
    page.screenshot(path=PICTURES / f"{name}.png")


def open_notebook(page: Any, name: str) -> None:
    """Open one of the learner's notebooks in JupyterLab and wait for its kernel."""
    page.evaluate(CLOSE_ALL)
    page.evaluate(OPEN, f"my_notebooks/{name}")
    page.wait_for_function(KERNEL_IS_THERE)


def open_and_run(page: Any, name: str) -> None:
    """Open a notebook and run all its cells."""
    open_notebook(page, name)
    page.evaluate(RUN_ALL)
    page.wait_for_function(KERNEL_IS_THERE)


def severe_violations(page: Any) -> list:
    """The rules of axe that a page breaks badly, each with the elements that do."""
    from axe_playwright_python.sync_playwright import Axe  # absent where only the library is

    return [
        (rule["id"], [node["html"][:200] for node in rule["nodes"]])
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
