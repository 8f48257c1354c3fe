"""Every statement of the article is carried by a cell that runs, and CLAIMS.md says by which."""

import nbformat.v4 as v4
import pytest

from tools import claims


@pytest.fixture(scope="module")
def collected():
    return claims.collect()


def test_the_rows(collected):
    rows, _ = collected
    names = [f"S{k}" for k in range(1, 83)] + [f"E{k}" for k in range(1, 29)]
    assert [row["row"] for row in rows] == names
    assert all(row["says"].strip() and "|" not in row["says"] for row in rows)
    verdicts = {row["verdict"] for row in rows if row["row"].startswith("S")}
    assert verdicts == {"right", "imprecise", "wrong", "opinion"}


def test_every_tag_names_a_row_and_its_cell_runs(collected):
    rows, found = collected
    assert set(found) <= {row["row"] for row in rows}
    lame = [
        (name, it.notebook, it.cell) for name, its in found.items() for it in its if not it.runs
    ]
    assert not lame, "not executed, or without an output or an assertion"


def test_every_row_is_carried(collected):
    rows, found = collected
    assert not {row["row"] for row in rows} - set(found)


def test_the_page_is_up_to_date(collected):
    assert claims.PAGE.read_text(encoding="utf-8") == claims.page(*collected), (
        "run: python -m tools.claims"
    )


def test_a_cell_without_a_result_does_not_carry(tmp_path):
    cells = [v4.new_markdown_cell("# A\n\n## B"), v4.new_code_cell("x = 1", execution_count=1)]
    cells.append(v4.new_code_cell("assert x == 1", execution_count=2))
    for cell in cells[1:]:
        cell.metadata.tags = ["S1", "raises-exception"]
    path = tmp_path / "00_a.ipynb"
    claims.nbformat.write(v4.new_notebook(cells=cells), path)
    found = list(claims.carriers(tmp_path))
    assert [(name, it.section, it.runs) for name, it in found] == [
        ("S1", "B", False),
        ("S1", "B", True),
    ]
