"""A learner's day in JupyterLab: answer, save, pull an update of the course, and go on."""

import pytest
from browser_tools import ERRORS, MARKS, open_and_run, open_notebook

from tools.my_notebooks import read, write

pytestmark = MARKS

NAME = "01_roi_pool.ipynb"
EXERCISE = "roi-pool-52"
ANSWER = """def my_roi_pool(features, box, size, scale):
    return 42

print(my_roi_pool(1, 2, 3, 4))"""
TITLE = "# A title that came with an update"

FOCUS = """id => {
    const { content } = window.jupyterapp.shell.currentWidget;
    content.activeCellIndex = content.widgets.findIndex(cell => cell.model.id === id);
    content.mode = 'edit';
}"""
CELL = """id => {
    const { content } = window.jupyterapp.shell.currentWidget;
    const { model } = content.widgets.find(cell => cell.model.id === id);
    return [model.sharedModel.source, JSON.stringify(model.outputs.toJSON())];
}"""
RUN = "() => window.jupyterapp.commands.execute('notebook:run-cell')"


@pytest.mark.slow
def test_an_answer_survives_an_update_and_git_sees_nothing(page, lab):
    open_and_run(page, NAME)
    assert page.evaluate(ERRORS) == []
    page.evaluate(FOCUS, EXERCISE)
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(ANSWER)
    page.evaluate(RUN)
    assert page.evaluate(CELL, EXERCISE)[0] == ANSWER
    assert "42" in page.evaluate(CELL, EXERCISE)[1]
    page.keyboard.press("Control+S")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    assert lab.clones.changed_files() == ""

    theirs = lab.clones.author / "notebooks" / NAME
    changed = read(theirs)
    changed["cells"][0]["source"] = TITLE
    write(changed, theirs)
    lab.clones.publish("Another title")
    lab.clones.git("pull", "--quiet", at=lab.clones.learner)
    assert "with what you wrote (cells: 1)" in lab.clones.say("copy")

    open_notebook(page, NAME)
    assert page.evaluate(CELL, EXERCISE)[0] == ANSWER
    assert page.get_by_role("heading", name=TITLE.removeprefix("# ")).is_visible()
    assert lab.clones.changed_files() == ""
