"""Every widget in a real browser: JupyterLab as `course.py` starts it, moved with the keyboard.

Each notebook is opened and run; then each control is focused and a key pressed, until the picture's
bytes and the numbers' text have changed. No page error, no request to another machine, no tracked
file changed. The page as it was last seen stands in build/browser.
"""

import time

import nbformat
import pytest
from browser_tools import ERRORS, MARKS, RUN_ALL, SAVE, open_and_run
from source_tree import NOTEBOOKS

from mrcnn_lite.lessons.n00_start_here.live_page import PAGE as LIVE
from mrcnn_lite.lessons.n00_start_here.live_page import LivePage

LONG_TRAINING = ("12_",)  # its cells train for minutes; nbval runs it, and its widget has a test
# The other notebooks are opened here with --all. nbval runs them all, always, and each explorer's
# controls have tests without a browser.
ALWAYS = ("03_",)
ANSWER = 2  # seconds for one of them, on a loaded machine
KEYS = 8  # so many steps at most until picture and numbers have both changed

pytestmark = MARKS

# What a reader sees of an explorer: a sum over the picture's bytes, and the words below it.
SEEN = """async node => {
    const image = node.querySelector('img');
    const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
    const sum = bytes.reduce((total, byte) => (total * 31 + byte) >>> 0, 7);
    const words = [...node.querySelectorAll('.widget-html-content')].map(part => part.innerText);
    return [bytes.length + ':' + sum, words.join(' ')];
}"""


NAMED = """() => {
    const pictures = [...document.querySelectorAll('.jp-RenderedImage img')];
    return pictures.length > 0 && pictures.every(picture => picture.alt);
}"""


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


def drag_by_keyboard(explorer) -> None:
    """The RoI explorer's RoI goes one step right: picture and words follow."""
    parts = [explorer.locator("svg").first, explorer.locator("[role=status]")]
    before = [part.inner_html() for part in parts]
    explorer.locator("[role=button][tabindex='0']").first.press("ArrowRight")
    end = time.monotonic() + ANSWER
    while any(part.inner_html() == old for part, old in zip(parts, before)):
        assert time.monotonic() < end, "the RoI did not move"
        time.sleep(0.03)


TO_READ = "19_"  # has predictions and figures, and no explorer


def opened_here() -> list:
    """The notebooks; most are slow tests here."""
    paths = [path for path in NOTEBOOKS if not path.name.startswith(LONG_TRAINING)]
    slow = [pytest.mark.slow]
    return [
        pytest.param(path, id=path.stem, marks=[] if path.name.startswith(ALWAYS) else slow)
        for path in paths
    ]


@pytest.mark.parametrize("path", opened_here())
def test_widgets_move(path, lab, page):
    open_and_run(page, path.name)
    assert page.evaluate(ERRORS) == []
    assert page.locator(".jp-Dialog, .jp-toast-button").count() == 0, "a pop-up"
    page.wait_for_function(NAMED)
    sliders = page.locator(".jp-OutputArea-output:has(.jupyter-widgets):has(img)")
    pointed_at = page.locator(".roi-explorer")
    there = sliders.count() + pointed_at.count() > 0
    assert there != path.name.startswith(TO_READ), "no explorer, or one where none was"
    for explorer in pointed_at.all():
        drag_by_keyboard(explorer)
    for explorer in sliders.all():
        explorer.locator("img:not([alt=''])").wait_for(state="attached")
        assert explorer.locator("[role=slider]:not([aria-label])").count() == 0, "without a name"
        controls = explorer.locator("[role=slider], select, input[type=checkbox]")
        assert controls.count() > 0, "nothing to move"
        for control in controls.all():
            changed = move(explorer, control)
            label = control.evaluate("node => node.closest('.jupyter-widgets').innerText")
            is_slider = control.get_attribute("role") == "slider"
            assert all(changed) if is_slider else any(changed), f"{label!r}: {changed}"
    page.evaluate(SAVE)
    assert lab.clones.changed_files() == ""


@pytest.mark.slow
def test_the_live_page_opens_in_a_notebook(page, lab):
    """From a copy of the learner's, with its script at work; test_browser_live.py has the rest."""
    module = LivePage.__module__
    cell = nbformat.v4.new_code_cell(f"from {module} import LivePage\nLivePage()")
    copies, built = (lab.clones.learner / name for name in ("my_notebooks", LIVE))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # or it would ask
    live = nbformat.v4.new_notebook(cells=[cell], metadata=kernel)
    nbformat.write(live, copies / "live.ipynb")
    built.parent.mkdir(parents=True)
    built.write_text("<!doctype html><p></p><script>document.body.append(6 * 7)</script>")
    open_and_run(page, "live.ipynb")
    page.frame_locator("iframe[title^='The live page']").get_by_text("42").wait_for()
    built.unlink()
    page.evaluate(RUN_ALL)
    page.get_by_alt_text("The live page").wait_for()
