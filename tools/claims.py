"""What the article says, and the cells that carry it: writes CLAIMS.md.

The rows stand in `data/claims.json`: S for what the article says, E for where it, or a library,
misleads. A code cell carries a row when the row's name is among its tags. `python -m tools.claims`
writes the page anew.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
ROWS = ROOT / "data" / "claims.json"
PAGE = ROOT / "CLAIMS.md"

NAME = re.compile(r"[SE]\d+")  # a row's, among a cell's tags
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
HEAD = """# What the article says, and where it runs

The course grew out of one article on Mask R-CNN. Each row is something that the article says (S),
or something that one should know beside it (E), in our words; the verdict is what the course finds.
Of an E row it names the statements on which it bears. A cell named here carries the row: it
computes or asserts it, and the tests run it again.
`python -m tools.claims` writes this page from the tags of the cells.

| row | statement | verdict | notebook, section | cell | runs |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Carrier:
    """A cell with a row's name among its tags."""

    notebook: str  # file name
    section: str  # the last heading above the cell
    cell: str  # its id
    runs: bool  # executed code that shows or asserts something


def carriers(folder: Path = NOTEBOOKS) -> Iterator[tuple[str, Carrier]]:
    """Every row's name that is found among the tags, with its cell, in the order of the course."""
    for path in sorted(folder.glob("[0-9]*.ipynb")):
        section = ""
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                section = ([section] + HEADING.findall(cell.source))[-1]
            executed = cell.get("execution_count") is not None
            runs = executed and bool(cell.outputs or "assert" in cell.source)
            for tag in filter(NAME.fullmatch, cell.metadata.get("tags", [])):
                yield tag, Carrier(path.name, section, cell.id, runs)


def page(rows: list[dict[str, str]], found: dict[str, list[Carrier]]) -> str:
    """The page: a line for each row and each of its cells."""
    lines = []
    for row in rows:
        said = f"{row['row']} | {row['says']} | {row['verdict']}"
        for it in found.get(row["row"], []):
            place = f"[{it.notebook.split('_')[0]}](notebooks/{it.notebook}) {it.section}"
            lines.append(f"| {said} | {place} | `{it.cell}` | {'yes' if it.runs else 'NO'} |")
            said = " | | "
        if row["row"] not in found:
            lines.append(f"| {said} | not yet | | NO |")
    return HEAD + "\n".join(lines) + "\n"


def collect() -> tuple[list[dict[str, str]], dict[str, list[Carrier]]]:
    """The rows, and for each its cells."""
    found: dict[str, list[Carrier]] = {}
    for name, carrier in carriers():
        found.setdefault(name, []).append(carrier)
    return json.loads(ROWS.read_text(encoding="utf-8")), found


def main() -> int:
    """Write the page and print how many rows run; the exit code is 0 when all do."""
    rows, found = collect()
    PAGE.write_text(page(rows, found), encoding="utf-8")
    running = [row["row"] for row in rows if any(it.runs for it in found.get(row["row"], []))]
    for kind in "SE":
        names = [row["row"] for row in rows if row["row"].startswith(kind)]
        missing = [name for name in names if name not in running]
        print(f"{kind}: {len(names) - len(missing)} of {len(names)} run", *missing)
    return int(len(running) < len(rows))


if __name__ == "__main__":
    sys.exit(main())
