"""Every widget in a real browser: JupyterLab as `course.py` starts it, moved with the keyboard.

Each notebook is opened and run; then each control is focused and a key pressed, until the picture's
bytes and the numbers' text have changed. No page error, no request to another machine. The page as
it was last seen stands in build/browser.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from browser_tools import MARKS, PATIENCE, launched, watched_page
from source_tree import NOTEBOOKS, ROOT

import course

LONG_TRAINING = ("12_",)  # its cells train for minutes; nbval runs it, and its widget has a test
ANSWER = 2  # seconds for one of them, on a loaded machine
KEYS = 8  # so many steps at most until picture and numbers have both changed

pytestmark = MARKS

# All cells in the page, also those out of sight: their widgets are to be found.
PAGE_SETTINGS = {"windowingMode": "none"}

RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
KERNEL_IS_THERE = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.sessionContext?.session?.kernel?.status === 'idle' && panel.content.model !== null
}"""
ERRORS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .flatMap(cell => cell.model.outputs?.toJSON() ?? [])
    .filter(output => output.output_type === 'error').map(output => output.evalue)"""
# What a reader sees of an explorer: a sum over the picture's bytes, and the words below it.
SEEN = """async node => {
    const image = node.querySelector('img');
    const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
    const sum = bytes.reduce((total, byte) => (total * 31 + byte) >>> 0, 7);
    const words = [...node.querySelectorAll('.widget-html-content')].map(part => part.innerText);
    return [bytes.length + ':' + sum, words.join(' ')];
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab on a copy of the notebooks, its first port taken; yields `(address, token)`."""
    home = tmp_path_factory.mktemp("jupyter home")
    shutil.copytree(ROOT / "notebooks", home / "course/notebooks")
    (home / "course/data").symlink_to(ROOT / "data")
    settings = home / "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(PAGE_SETTINGS))
    folders = {
        f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    lab = {
        f"JUPYTERLAB_{name}_DIR": str(home / name.lower()) for name in ("SETTINGS", "WORKSPACES")
    }
    environment = {**os.environ, **folders, **lab, "JUPYTER_TOKEN": "a-token-of-the-test"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = [
            "--no-browser",
            "--allow-root",  # continuous integration runs in a container
            f"--ServerApp.root_dir={home / 'course'}",
            f"--ServerApp.port={taken.getsockname()[1]}",
            "--LabApp.expose_app_in_browser=True",
        ]
        command = [sys.executable, *course.lab_command(options)]
        with (home / "log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield address(process, home), environment["JUPYTER_TOKEN"]
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


@pytest.fixture(scope="module")
def browser():
    with launched() as chromium:
        yield chromium


@pytest.fixture
def page(browser, request):
    with watched_page(browser, request.node.callspec.id) as page:
        yield page


def open_and_run(page, server, name: str) -> None:
    """Open a notebook in JupyterLab and run all its cells."""
    url, token = server
    page.goto(f"{url}lab/tree/notebooks/{name}?reset&token={token}")
    page.wait_for_function(KERNEL_IS_THERE)
    page.evaluate(RUN_ALL)
    page.wait_for_function(KERNEL_IS_THERE)


def press(control) -> None:
    """One keystroke that moves a slider or a box; a list's next entry is clicked."""
    control.focus()
    if control.get_attribute("type") == "checkbox":
        control.press("Space")
    elif control.get_attribute("role") == "slider":
        at_end = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
        control.press("ArrowLeft" if at_end else "ArrowRight")
    else:  # JupyterLab takes the arrow keys of a list for itself
        step = "list => (list.selectedIndex + 1) % list.options.length"
        control.select_option(index=control.evaluate(step))


def move(explorer, control) -> tuple[bool, bool]:
    """Move until picture and words have changed (for a box or a list: one of them); which did."""
    picture, words = explorer.evaluate(SEEN)
    enough = all if control.get_attribute("role") == "slider" else any
    changed = (False, False)
    for _ in range(KEYS):
        press(control)
        end = time.monotonic() + ANSWER
        while time.monotonic() < end and not enough(changed):
            now = explorer.evaluate(SEEN)
            changed = (changed[0] or now[0] != picture, changed[1] or now[1] != words)
            time.sleep(0.03)
        if enough(changed):
            break
    return changed


@pytest.mark.parametrize(
    "path", [p for p in NOTEBOOKS if not p.name.startswith(LONG_TRAINING)], ids=lambda p: p.stem
)
def test_widgets_move(path, server, page):
    open_and_run(page, server, path.name)
    assert page.evaluate(ERRORS) == []
    assert page.locator(".jp-Dialog, .jp-toast-button").count() == 0, "a pop-up"
    explorers = page.locator(".jp-OutputArea-output:has(.jupyter-widgets):has(img)")
    assert explorers.count() > 0, "no widget"
    for explorer in explorers.all():
        controls = explorer.locator("[role=slider], select, input[type=checkbox]")
        assert controls.count() > 0, "nothing to move"
        for control in controls.all():
            changed = move(explorer, control)
            label = control.evaluate("node => node.closest('.jupyter-widgets').innerText")
            is_slider = control.get_attribute("role") == "slider"
            assert all(changed) if is_slider else any(changed), f"{label!r}: {changed}"
