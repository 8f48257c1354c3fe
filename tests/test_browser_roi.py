"""The RoI explorer in JupyterLab: dragged, walked with the keyboard, moved from Python.

After everything that is done to it, its tables must hold what `mrcnn_lite.ops` gives for the state
that Python sees.
"""

import json
import urllib.request

import pytest
from browser_tools import CLOSE_KERNELS, ERRORS, MARKS, RUN_ALL, TOKEN, open_notebook

pytestmark = MARKS

NAME = "explorer.ipynb"
SOURCE = "from mrcnn_lite.lessons.kit.roi_explorer import explore_roi\nroi = explore_roi()\nroi"
ASK = """async code => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const future = kernel.requestExecute({ code });
    let text = '';
    future.onIOPub = ({ header, content }) => {
        if (header.msg_type === 'stream') text += content.text;
        if (header.msg_type === 'error') throw new Error(content.evalue);
    };
    await future.done;
    return text;
}"""
TABLES = """() => [...document.querySelectorAll('.roi-explorer table')].map(table =>
    [...table.querySelectorAll('button')].map(button => button.textContent.replace('−', '-')))"""
STATE = """
import json
pool, align = roi.outputs()
digits = 4 if roi.size <= 4 else 2
words = [[f"{x + 0.0:.{digits}f}" for x in out.flatten().tolist()] for out in (pool, align)]
print(json.dumps({"box": roi.box, "map": roi.map, "aligned": roi.aligned, "words": words}))
"""


@pytest.fixture(scope="module")
def notebook(lab_page, lab):
    """A page with nothing but a cell that shows the explorer."""
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    content = {
        "cells": [{**cell, "source": SOURCE, "id": "roi"}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    body = json.dumps({"type": "notebook", "content": content}).encode()
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
    address = f"{lab.url}api/contents/my_notebooks/{NAME}"
    request = urllib.request.Request(address, data=body, headers=headers, method="PUT")
    urllib.request.urlopen(request).close()
    open_notebook(lab_page, NAME)
    yield lab_page
    lab_page.evaluate(CLOSE_KERNELS)


@pytest.fixture
def explorer(notebook):
    """The cell, run: a new explorer."""
    notebook.evaluate(RUN_ALL)
    notebook.wait_for_selector(".roi-explorer td button")
    assert notebook.evaluate(ERRORS) == []
    return notebook


def settle(page) -> dict:
    """Wait until Python has the browser's state; the numbers must then be the same."""
    page.wait_for_timeout(300)  # the last state of a drag is sent within 60 ms
    state = json.loads(page.evaluate(ASK, STATE))
    assert page.evaluate(TABLES) == state["words"]
    return state


def handle(page, which: int):
    """0 is the RoI's body, 1 to 4 are its corners."""
    return page.locator(".roi-explorer [role=button][tabindex='0']").nth(which)


def test_moved_by_keyboard(explorer):
    assert settle(explorer)["box"] == [10, 10, 124, 124]
    body = handle(explorer, 0)
    body.focus()
    for _ in range(5):
        body.press("ArrowRight")
    body.press("Shift+ArrowDown")
    assert settle(explorer)["box"] == [15, 42, 129, 156]
    corner = handle(explorer, 4)
    corner.focus()
    corner.press("ArrowLeft")
    corner.press("ArrowUp")
    assert settle(explorer)["box"] == [15, 42, 128, 155]
    assert explorer.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        "lower"
    )


def test_dragged(explorer):
    for which, expected in ((0, [26, 18, 140, 132]), (4, [26, 18, 150, 140])):
        box = handle(explorer, which).bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        panel = explorer.locator(".roi-explorer svg[role=group]").first.bounding_box()
        # One px of the image on the page: the panel is 400 units wide, a cell of 32 px 380 / 7.5.
        unit = panel["width"] / 400 * (380 / 7.5) / 32
        before = settle(explorer)["box"]
        dx, dy = expected[2] - before[2], expected[3] - before[3]
        explorer.mouse.move(x, y)
        explorer.mouse.down()
        explorer.mouse.move(x + dx * unit, y + dy * unit, steps=20)
        explorer.mouse.up()
        assert settle(explorer)["box"] == expected


def test_every_control(explorer):
    switches = {"aligned": "aligned", "which cells": "gradient", "arrows": "arrows"}
    switches |= {"overlap": "overlap", "chosen bin only": "chosen_only", "slide:": "slide"}
    for label, name in switches.items():
        explorer.get_by_label(label).check()
        settle(explorer)
        assert explorer.evaluate(ASK, f"print(roi.{name})").strip() == "True"
    for label in ("output size", "sampling ratio", "sample of the bin"):
        explorer.get_by_label(label).press("ArrowRight")
        settle(explorer)
    assert explorer.evaluate(ASK, "print(roi.size, roi.sampling_ratio, roi.sample)") == "3 3 2\n"
    for key in ("ramp", "smooth", "channel", "own"):
        explorer.get_by_label("feature map").select_option(key)
        assert settle(explorer)["map"] == key
    explorer.get_by_label("Your own map").fill("1 2 3\n4 5 6")
    settle(explorer)
    assert explorer.evaluate(ASK, "print(roi.own)") == "[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]\n"
    explorer.get_by_label("Your own map").fill("1 2 3\n4 5")
    assert explorer.get_by_role("alert").inner_text() == "Row 1 has 2 numbers, row 0 has 3."
    explorer.locator(".roi-explorer td button").nth(4).click()
    settle(explorer)
    assert explorer.evaluate(ASK, "print(roi.bin)") == "5\n"


CURVES = "() => [...document.querySelectorAll('.chart path')].map(path => path.getAttribute('d'))"


def test_a_slide_stays_along_x_and_changes_with_y(explorer):
    explorer.get_by_label("slide:").check()
    settle(explorer)
    before = explorer.evaluate(CURVES)
    body = handle(explorer, 0)
    body.focus()
    body.press("ArrowRight")
    settle(explorer)
    assert explorer.evaluate(CURVES) == before, "where the RoI is changed, not the curves"
    body.press("ArrowDown")
    settle(explorer)
    assert explorer.evaluate(CURVES) != before


def test_a_finer_stride_and_one_operator(explorer):
    explorer.evaluate(ASK, "roi.view = 'pool'; roi.overlap = True")
    explorer.get_by_label("stride").select_option("8")
    settle(explorer)
    assert explorer.evaluate(ASK, "print(int(roi.stride), roi.box[0])") == "8 10.0\n"
    status = explorer.locator(".roi-explorer [role=status]").inner_text()
    assert "Window 128 × 128 px, IoU with the RoI 0.7932." in status
    assert not explorer.get_by_label("sampling ratio").is_visible()
    assert not explorer.locator(".roi-explorer section[aria-label=RoIAlign]").is_visible()


def test_moved_from_python(explorer):
    explorer.evaluate(ASK, "roi.box = [40, 30, 100, 170]; roi.aligned = True")
    assert settle(explorer)["aligned"]
    status = explorer.locator(".roi-explorer [role=status]").inner_text()
    assert status.startswith("RoI from (40, 30) to (100, 170) px.")


def test_a_slide_begins_at_the_edge_too_and_reset_brings_all_back(explorer):
    explorer.evaluate(ASK, "roi.box = [110, 100, 215, 215]; roi.aligned = True")
    settle(explorer)
    explorer.get_by_role("button", name="Slide the RoI for me").click()
    explorer.wait_for_function("() => document.querySelector('.status').innerText.includes('(10')")
    explorer.get_by_role("button", name="Stop").click()
    slid = settle(explorer)["box"]
    assert slid[0] < 110 and slid[1] < 100
    explorer.get_by_role("button", name="Reset").click()
    state = settle(explorer)
    assert (state["box"], state["aligned"]) == ([10, 10, 124, 124], False)


def test_the_roi_lies_on_the_readers_own_map(explorer):
    explorer.get_by_label("feature map").select_option("own")
    explorer.get_by_label("Your own map").fill("1 2 3\n4 5 6")
    explorer.wait_for_timeout(300)
    assert explorer.evaluate(ASK, "print(roi.box)") == "[12.0, 8.0, 72.0, 48.0]\n", "of 96 x 64 px"
