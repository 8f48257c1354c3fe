"""Execute the notebooks without a browser; `course.py run` and `course.py refresh` call this.

run      writes build/run/NAME.html and prints a table: notebook, seconds, memory, result
refresh  formats, executes and writes notebooks back, without what changes from run to run

The memory is what the notebook's kernel holds at its end, and until somebody shuts it down.
"""

import html
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
import psutil  # comes with ipykernel, which asks the same of it
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

import course

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
HTML = ROOT / "build" / "run"

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
KEPT_CELL_METADATA = {"tags", "jupyter"}  # the rest is time stamps and the state of a page
LIVE_VIEW = "application/vnd.jupyter.widget-view+json"  # a random id, dead without its kernel

NO_WORDS = "No description has been provided for this image"  # what nbconvert writes


def chosen(names: Sequence[str]) -> list[Path]:
    """The notebooks whose names begin with one of `names`; all of them without names.

    Args:
        names: such as "03", "03_roi_align" or "notebooks/03_roi_align.ipynb".

    Returns:
        Paths in the order of the course.

    Raises:
        SystemExit: if a name fits no notebook.
    """
    every = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    starts = [Path(name).stem if name.endswith(".ipynb") else name for name in names]
    for place, start in enumerate(starts):
        if not any(path.name.startswith(start) for path in every):
            sys.exit(f"no notebook begins with {start!r}; there are: {[p.stem for p in every]}")
        if any(path.name.startswith(f"{start}_") for path in every):
            starts[place] = f"{start}_"  # 07 is 07_..., and not 07b_... too
    return [path for path in every if path.name.startswith(tuple(starts or [""]))]


def execute(path: Path) -> tuple[nbformat.NotebookNode, float, float, str]:
    """Execute a notebook in a fresh kernel, in its own folder.

    Args:
        path: the notebook.

    Returns:
        The notebook with its outputs, wall time in seconds, GB that its kernel held after the last
        cell, and "ok" or what went wrong.
    """
    os.environ["MRCNN_LITE_PROGRESS"] = "off"  # kernels inherit it: nobody's answers in the outputs
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=course.CELL_SECONDS,
        kernel_name="python3",
        store_widget_state=False,
        coalesce_streams=True,  # how a kernel cuts what is printed into pieces is chance
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # a kernel warns of its local sockets
        resources={"metadata": {"path": str(path.parent)}},
    )
    held = 0.0

    def measure(**_: object) -> None:  # after each cell: at the end of all the kernel is gone
        nonlocal held
        held = psutil.Process(client.km.provisioner.pid).memory_info().rss / 1e9

    client.on_cell_executed = measure
    start, result = time.perf_counter(), "ok"
    try:
        client.execute()
    except CellExecutionError as error:
        result = f"{error.ename}: {error.evalue}"
    except (CellTimeoutError, DeadKernelError) as error:
        result = str(error).strip().splitlines()[0]
    return notebook, time.perf_counter() - start, held, result


def clean_output(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what is alive only beside its kernel, and the paths in an intended error's traceback."""
    if output.output_type == "error":
        output.traceback = [f"{output.ename}: {output.evalue}"]
    output.get("data", {}).pop(LIVE_VIEW, None)
    return output


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave source, outputs and tags; ids stay, so that a diff shows only what changed.

    Args:
        notebook: an executed notebook, changed in place.

    Returns:
        The same notebook.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5  # the first version with cell ids
    seen: set[str] = set()
    for place, cell in enumerate(notebook.cells):
        if cell.get("id", "") in seen | {""}:
            cell.id = f"cell-{place:02d}"
        seen.add(cell.id)
        cell.metadata = nbformat.from_dict(
            {key: value for key, value in cell.metadata.items() if key in KEPT_CELL_METADATA}
        )
        cell.source = re.sub(r"[ \t]+$", "", cell.source, flags=re.MULTILINE).rstrip("\n")
        if cell.cell_type == "code":
            cell.outputs = [clean_output(output) for output in cell.outputs]
    nbformat.validate(notebook)
    return notebook


def to_html(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook as a page: pictures stand in for the widgets that need a kernel.

    Args:
        notebook: an executed notebook.
        path: the page.
    """
    words = []
    for output in (out for cell in notebook.cells for out in cell.get("outputs", [])):
        data = output.get("data", {})
        data.pop(LIVE_VIEW, None)
        if "image/png" in data:
            words.append(data.get("text/plain", NO_WORDS))
    exporter = HTMLExporter(require_js_url="", mermaid_js_url="")
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})
    # nbconvert does not know a picture's words, and links lead to the notebooks' pages here.
    pieces = page.split(f'alt="{NO_WORDS}"')
    if len(pieces) == len(words) + 1:
        described = [f'alt="{html.escape(text)}"{piece}' for text, piece in zip(words, pieces[1:])]
        page = pieces[0] + "".join(described)
    page = re.sub(r'href="([\w-]+)\.ipynb', r'href="\1.html', page)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def main(command: str, names: Sequence[str]) -> int:
    """Execute the chosen notebooks, one after the other, and print the table.

    Args:
        command: "run" or "refresh".
        names: see `chosen`.

    Returns:
        The exit code: 0, or 1 when a notebook failed.
    """
    failed, begin, paths = 0, time.perf_counter(), chosen(names)
    if command == "refresh" and paths:
        subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", *paths], check=True)
    width = max([len(path.stem) for path in paths], default=8)
    print(f"{'notebook':{width}}  seconds   GB  result", flush=True)
    for path in paths:
        print(f"{path.stem:{width}}  ", end="", flush=True)
        if path.name.startswith(course.NEED_TRITON) and not importlib.util.find_spec("triton"):
            print("             skipped: it needs Triton, which exists for Linux only", flush=True)
            continue
        notebook, seconds, held, result = execute(path)
        failed += result != "ok"
        if command == "run":
            to_html(notebook, HTML / f"{path.stem}.html")
        elif result == "ok":
            nbformat.write(clean(notebook), path)
        print(f"{seconds:7.1f} {held:4.1f}  {result}", flush=True)
    print(f"{'together':{width}}  {time.perf_counter() - begin:7.1f}       ", end="")
    print(f"{len(paths) - failed} ok, {failed} failed", flush=True)
    if command == "run" and paths:
        print(f"pages: {HTML.relative_to(ROOT)}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
