"""The notebooks as documents: executed, clean, readable without running, linked to each other.

That they run and print what they promise is nbval's part: `course.py test` runs it on all of them.
"""

import itertools
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
from source_tree import NOTEBOOKS, ROOT

MEGABYTE = 1_000_000
LIVE_VIEW = "application/vnd.jupyter.widget-view+json"
FORBIDDEN = {
    r"\binteract(ive)?\b *\(": "interact redraws with flicker and cannot be compared",
    r"\bOutput\(": "an Output widget is empty where nothing runs",
    r"\bclear_output\(": "nbval keeps what was cleared",
    r"\binput\(": "nobody answers in a test",
    r"^\s*[%!]": "magics and shell commands",
    r"\bsys\.path\b": "the package is installed",
    r"^from \S+ import \*": "a name's origin must be findable",
}

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@cache
def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def prose(path: Path) -> str:
    """All markdown, without code blocks."""
    cells = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    return re.sub(r"^```.*?^```", "", "\n\n".join(cells), flags=re.DOTALL | re.MULTILINE)


def test_there_are_notebooks():
    assert NOTEBOOKS, "without notebooks the checks below check nothing"


@each
def test_executed_from_top_to_bottom(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "run: python3 course.py refresh"


@each
def test_clean(path):
    notebook = read(path)
    assert path.stat().st_size < MEGABYTE
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "jupyter"}, "run: python3 course.py refresh"
        assert cell.source.strip(), "an empty cell"


@each
def test_outputs(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            where = f"cell {cell.execution_count}"
            if output.output_type == "error":
                assert "raises-exception" in tags(cell), f"{where}: {output.evalue}"
            assert output.get("name") != "stderr", f"{where} warns: {output.text[:200]}"
            data = output.get("data", {})
            assert LIVE_VIEW not in data, f"{where}: run python3 course.py refresh"
            if "image/png" in data:
                words = data.get("text/plain", "").strip()
                assert words, f"{where}: a picture without words"
                assert not re.fullmatch(r"<[^<>]*>", words), f"{where}: {words} says nothing"


@each
def test_every_comparison_is_made(path):
    cells = code_cells(path)
    assert not [cell for cell in cells if "nbval-skip" in tags(cell)]
    assert not re.search(r"#\s*NBVAL_", "\n".join(cell.source for cell in cells))


def test_few_cells_ignore_their_output():
    cells = [cell for path in NOTEBOOKS for cell in code_cells(path)]
    ignoring = sum("nbval-ignore-output" in tags(cell) for cell in cells)
    assert ignoring <= 0.02 * len(cells), f"{ignoring} of {len(cells)}"


@each
def test_nothing_that_cannot_be_tested(path):
    for cell in code_cells(path):
        for pattern, reason in FORBIDDEN.items():
            found = re.search(pattern, cell.source, flags=re.MULTILINE)
            assert not found, f"cell {cell.execution_count}: {found[0]!r}: {reason}"


@each
def test_opening(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    text = first.source.lower()
    assert re.search(r"\d+ min", text), "how long it takes"
    assert re.search(r"before|prerequisite|you need", text), "what a reader must know"
    assert len(text.split()) >= 40, "what it promises"


@each
def test_headings(path):
    levels = [len(mark) for mark in re.findall(r"^(#+) ", prose(path), flags=re.MULTILINE)]
    assert levels.count(1) == 1, "one title"
    steps = itertools.pairwise(levels)
    assert all(after <= before + 1 for before, after in steps), f"a level is skipped: {levels}"


@each
def test_links(path):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    local = [link.split("#")[0] for link in links if not re.match(r"https?:|#", link)]
    missing = [link for link in local if link and not (path.parent / link).exists()]
    assert not missing
    place = NOTEBOOKS.index(path)
    for neighbour in [*NOTEBOOKS[max(0, place - 1) : place], *NOTEBOOKS[place + 1 : place + 2]]:
        assert neighbour.name in local, f"no link to its neighbour {neighbour.name}"


@each
def test_pictures_are_drawn_by_code(path):
    assert "base64," not in prose(path)
    assert not re.search(r"!\[[^\]]*\]\(https?:", prose(path)), "a picture from elsewhere"
    assert not any(cell.get("attachments") for cell in read(path).cells)
    assert ROOT.as_posix() not in path.read_text(encoding="utf-8")
