"""Build the course as a site that needs no kernel and no network; `course.py site` calls this.

The committed notebooks are read, never changed and never executed. Copies are prepared for Sphinx:
pictures get their words, links to notebooks lead to pages, questions become forms, and the RoI
explorer, whose numbers are computed in the browser, comes alive. `build_live` adds the live page.
"""

import ast
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx

from mrcnn_lite.lessons.kit.roi_explorer.explorer import JS, RoIExplorer, bundle
from tools import build_live
from tools.site_exercises import EXERCISES, exercised
from tools.site_outputs import explorer_place, folded, shown
from tools.site_questions import asked, calls, is_all_question, results

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BUILD = ROOT / "build"
PLACE = "<!-- the explorer -->"  # in docs/roi_explorer.md
TO_NOTEBOOK = re.compile(r"\]\(([\w-]+)\.ipynb")
MODULES = ("progress.js", "questions.js", "exercises.js", "lines.js", "page.js")  # docs/js
TO_FILE = re.compile(r"\]\(\.\./([^)#\s]+)")


def script(name: str, modules: str, exports: str) -> str:
    """Modules as one classic script: a module does not load from a file:// page.

    Args:
        name: what the script defines.
        modules: their source, one after the other.
        exports: what of them can be called as `name.export`.

    Raises:
        ValueError: if two modules use one name at their top.
    """
    names = re.findall(r"^(?:export )?(?:const|let|function) (\w+)", modules, re.MULTILINE)
    if twice := {it for it in names if names.count(it) > 1}:
        raise ValueError(f"names that two modules define: {sorted(twice)}")
    lines = [it for it in modules.splitlines() if not it.startswith(("import ", "export default"))]
    body = "\n".join(line.removeprefix("export ") for line in lines)
    return f"const {name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();\n"


def prepare_words(text: str, source: Path) -> str:
    """A markdown cell for the site: links to notebooks lead to pages, other files come along.

    Args:
        text: the cell.
        source: the folder of Sphinx's sources; linked files are copied into it.

    Returns:
        The cell as MyST reads it.
    """
    text = TO_NOTEBOOK.sub(r"](\1.html", text)
    for name in TO_FILE.findall(text):
        copy = source / "_static" / "files" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy, dirs_exist_ok=True)
        else:
            shutil.copyfile(ROOT / name, copy)
    return TO_FILE.sub(r"](_static/files/\1", text)


def literal_keywords(code: str) -> dict | None:
    """The keyword arguments of the call that ends a cell.

    Args:
        code: the cell, such as `explore_roi(size=3)`.

    Returns:
        Names and values; None where the cell does not end in a call of `explore_roi`, or a value
        is not written out.
    """
    last = ast.parse(code).body[-1:]
    call = last[0].value if last and isinstance(last[0], ast.Expr) else None
    name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
    if name.split(".")[-1] != "explore_roi" or call.args:
        return None
    try:
        return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except ValueError:
        return None


def show_outputs(cell: nbformat.NotebookNode, pictures: Path, stem: str) -> None:
    """Pictures with their words and live explorers in place of a code cell's outputs."""
    state = literal_keywords(cell.source)
    cell.outputs = [
        shown(output, state, pictures / f"{stem}-{cell.id}-{place}.png")
        for place, output in enumerate(cell.outputs)
    ]


def prepare_notebook(path: Path, source: Path) -> None:
    """Write a notebook's copy for Sphinx, and its pictures.

    Args:
        path: the committed notebook.
        source: the folder of Sphinx's sources.
    """
    notebook = nbformat.read(path, as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    truths = results(codes)
    with_hints = {name for cell in codes for _, name in calls(cell.source, "hint")}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = prepare_words(cell.source, source)
    for cell in codes:
        show_outputs(cell, source / "_static" / "pictures", path.stem)
        if any(calls(cell.source, *EXERCISES)):
            cell.outputs = exercised(cell, with_hints)
        else:
            cell.outputs = asked(cell, truths)
        if is_all_question(cell):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "remove-input"]
        if revealed := [name for _, name in calls(cell.source, "reveal")]:
            waiting = iter(revealed)
            cell.outputs = [folded(output, waiting) for output in cell.outputs]
    nbformat.write(notebook, source / path.name)


def prepare(notebooks: Path, source: Path) -> None:
    """Fill the folder of Sphinx's sources.

    Args:
        notebooks: the folder of the committed notebooks.
        source: a folder that does not exist yet.
    """
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns("__pycache__", "js", "live"))
    static = source / "_static"
    (static / "pictures").mkdir()
    explorer_js = script("roiExplorer", bundle(), "mount, localStore")
    (static / "roi_explorer.js").write_text(explorer_js, encoding="utf-8")
    modules = "\n".join((DOCS / "js" / part).read_text(encoding="utf-8") for part in MODULES)
    course_js = script("course", modules, "mountPage")
    (static / "course.js").write_text(course_js, encoding="utf-8")
    shutil.copyfile(JS / "roi_explorer.css", static / "roi_explorer.css")
    for page in source.glob("*.md"):
        text = prepare_words(page.read_text(encoding="utf-8"), source)
        if PLACE in text:
            explorer = RoIExplorer()
            picture = static / "pictures" / "roi_explorer.png"
            text = text.replace(PLACE, explorer_place(explorer, explorer.still(), picture))
        page.write_text(text, encoding="utf-8")
    for path in sorted(notebooks.glob("[0-9]*.ipynb")):
        prepare_notebook(path, source)


def main(notebooks: Path = ROOT / "notebooks", pages: Path = BUILD / "site") -> int:
    """Build the site from nothing, so that no page of yesterday is left.

    Args:
        notebooks: the folder of the notebooks.
        pages: the folder of the pages; replaced when the new ones are there without a warning.

    Returns:
        The exit code; a warning is an error.
    """
    start, work = time.perf_counter(), pages.with_name(f"{pages.name}-work")
    source, built = work / "source", work / "html"
    shutil.rmtree(work, ignore_errors=True)
    prepare(notebooks, source)
    # Before Sphinx, one of whose styles makes every library tell all that it does.
    reason = build_live.build(work / "live.html")
    options = ["-b", "html", "-W", "--keep-going", "-q", "-d", str(work / "doctrees")]
    code = sphinx([*options, str(source), str(built)])
    if code == 0:
        (work / "live.html").rename(built / "live.html")
        if reason:
            print(f"live.html is a page that says why the live page was not built: {reason}")
        shutil.rmtree(pages, ignore_errors=True)
        built.rename(pages)
        shutil.rmtree(work)
        seconds = time.perf_counter() - start
        print(f"{len(list(pages.glob('*.html')))} pages in {seconds:.0f} s: {pages / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main(*(Path(name).resolve() for name in sys.argv[1:])))
