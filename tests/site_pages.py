"""The built site for the tests: all notebooks and one of the tests' own, and its pages parsed."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from filelock import FileLock
from nbformat import NotebookNode, from_dict, write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from source_tree import NOTEBOOKS, ROOT

from mrcnn_lite.lessons.kit.predictions import NOTHING
from mrcnn_lite.lessons.kit.recall import Recall
from mrcnn_lite.lessons.kit.roi_explorer import explore_roi
from mrcnn_lite.lessons.kit.style import figure_png
from mrcnn_lite.lessons.kit.why import Why
from mrcnn_lite.lessons.n06_feature_pyramids.explorer import explore_pyramid
from tools.notebooks import METADATA

COPIES, PAGES = ROOT / "build" / "test-notebooks", ROOT / "build" / "test-site"
NAME = "99_of_the_tests"
STATE = {"size": 3, "box": [20, 30, 90, 100], "map": "smooth"}
WORDS = """# 99 · A page of the tests

[Another notebook](03_roi_align.ipynb), [a place in it](03_roi_align.ipynb#agree),
[a place here](#explore), [a file](../data/README.md)."""
SECTION = """<a id="explore"></a>
## 1. Explore

<details>
<summary>A solution</summary>

```python
x = 1
```

</details>"""
MIME = "image/png"


def displayed(shown: object) -> NotebookNode:
    """What a notebook keeps of an object with a picture."""
    data, metadata = shown._repr_mimebundle_()
    data = {kind: data[kind] for kind in (MIME, "text/plain")}
    return new_output("execute_result", data, metadata=from_dict(metadata), execution_count=1)


def picture(alt: str) -> NotebookNode:
    """A picture as `viz.style.show` leaves it."""
    import base64

    from matplotlib.figure import Figure

    png = base64.b64encode(figure_png(Figure((3, 2)))).decode("ascii")
    data = {MIME: png, "text/plain": f"Picture: {alt}"}
    return new_output("display_data", data, metadata=from_dict({MIME: {"width": 300, "alt": alt}}))


def said(text: str) -> NotebookNode:
    """What a notebook keeps of words where widgets cannot live."""
    return new_output("display_data", {"text/plain": text})


def of_the_tests() -> NotebookNode:
    """A notebook with all that the site must know: links, pictures, explorers, questions."""
    call = ", ".join(f"{name}={value!r}" for name, value in STATE.items())
    asks = Why("99-why", "Why?", "The hidden reason.")._repr_mimebundle_()
    reason = new_output("display_data", {kind: asks[kind] for kind in ("text/html", "text/plain")})
    cells = [
        new_markdown_cell(WORDS),
        new_code_cell("two()", outputs=[picture('The "first"'), picture("The <second>")]),
        new_markdown_cell(SECTION),
        new_code_cell(
            f"import x\n\nexplore_roi({call})", outputs=[displayed(explore_roi(**STATE))]
        ),
        new_code_cell("explore_roi(size=n)", outputs=[displayed(explore_roi(size=4))]),
        new_code_cell("explore_pyramid()", outputs=[displayed(explore_pyramid())]),
        new_code_cell(
            "predict('99-cells', 'How many cells?', options=('4', '9'))",
            outputs=[said("Prediction 99-cells: How many cells?\n  ( ) 4\n  ( ) 9")],
        ),
        new_code_cell("reveal('99-cells', 9)", outputs=[said(f"{NOTHING}\nThe result: 9\n")]),
        new_code_cell("recall('03')", outputs=[said(repr(Recall("03")))]),
        new_code_cell("why('99-why', 'Why?', 'The hidden reason.')", outputs=[reason]),
        new_code_cell(
            "def my_sample(values, x, stride, aligned):\n    return None\n\n\n"
            "check('02-sample', my_sample)",
            outputs=[said("Not yet: the function is still empty.")],
        ),
        new_code_cell("parsons('02-sample')"),
        new_code_cell("long = 1  # " + "very " * 60 + "long"),
    ]
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place}"
    return new_notebook(cells=cells, metadata=from_dict(METADATA))


def build(notebooks: Path, pages: Path) -> tuple[Path, str]:
    """Build the site in a process of its own, without a network; `pages`, and what went wrong."""
    command = [sys.executable, "-m", "tools.build_site", str(notebooks), str(pages)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    wrong = done.stderr or (done.stdout if done.returncode else "")
    return pages, wrong


@cache
def built_once() -> str:
    """What is wrong with the site; one process of a test run builds it, the others wait."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    (ROOT / "build").mkdir(exist_ok=True)
    record = ROOT / "build" / "test-site.json"
    with FileLock(record.with_suffix(".lock")):
        known = json.loads(record.read_text()) if record.exists() else {}
        if run not in known:
            shutil.rmtree(COPIES, ignore_errors=True)
            COPIES.mkdir()
            for path in NOTEBOOKS:
                shutil.copyfile(path, COPIES / path.name)
            write(of_the_tests(), COPIES / f"{NAME}.ipynb")
            known = {run: build(COPIES, PAGES)[1]}
            record.write_text(json.dumps(known))
    return known[run]


def built_site() -> Path:
    """The site with the notebook of the tests as its last, built once for all test files."""
    wrong = built_once()
    assert not wrong, wrong
    return PAGES


class Page(HTMLParser):
    """What the tests look at: ids, links, images, what the page loads, the explorers' states."""

    def __init__(self, path: Path):
        super().__init__()
        self.path, self.ids, self.links, self.images, self.loads = path, [], [], [], []
        self.beside: dict[str, str] = {}
        self.states: list[dict] = []
        self._in_state = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "img":
            self.images.append(found)
        if tag == "link" and found.get("rel") in ("prev", "next"):
            self.beside[found["rel"]] = found["href"]
        elif tag == "link" or (tag != "a" and "src" in found):
            self.loads.append(found.get("href") or found["src"])
        self._in_state = tag == "script" and found.get("type") == "application/json"

    def handle_data(self, data: str) -> None:
        if self._in_state:
            self.states.append(json.loads(data))


@cache
def parsed() -> dict[str, Page]:
    """All pages of the site but the live one, which is made of one file, by file name."""
    pages = sorted({*built_site().glob("*.html")} - {built_site() / "live.html"})
    return {path.name: Page(path) for path in pages}
