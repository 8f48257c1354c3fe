"""The folded solutions, as the notebooks hold them."""

import ast
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

COURSE = Path(__file__).resolve().parents[3] / "notebooks"
FOLDED = re.compile(r"<details>[^`]*?```python\n(.*?)```.*?</details>", re.DOTALL)


class Chapter:
    """One notebook's cells, read for its exercises."""

    def __init__(self, path: Path):
        """Read a notebook."""
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        self.cells = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
        code = [ast.parse(source) for kind, source in self.cells if kind == "code"]
        self.imports = [
            node
            for tree in code
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]

    def place(self, exercise: str) -> int:
        """The cell that checks an exercise; ValueError if not exactly one does."""
        call = re.compile(rf"""^check\(\s*["']{re.escape(exercise)}["']""", re.MULTILINE)
        places = [
            i for i, (kind, text) in enumerate(self.cells) if kind == "code" and call.search(text)
        ]
        if len(places) != 1:
            raise ValueError(f"{len(places)} cells check {exercise!r}; one must")
        return places[0]

    def scope(self, source: str) -> dict[str, Any]:
        """What the notebook imports, as far as this source uses it."""
        used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        scope: dict[str, Any] = {}
        for node in self.imports:
            if used & {(alias.asname or alias.name).split(".")[0] for alias in node.names}:
                exec(compile(ast.Module([node], []), "<imports>", "exec"), scope)
        return scope

    def folded(self, exercise: str) -> tuple[str, str]:
        """The name that the exercise asks for, and the folded code below its cell that makes it.

        Raises:
            ValueError: if there is no folded solution between this check and the next.
        """
        place = self.place(exercise)
        name = re.search(r"^check\([^,]+,\s*(\w+)", self.cells[place][1], re.MULTILINE)[1]
        block = self._block(name, self.cells[place + 1 :])
        if block is None:
            raise ValueError(f"no folded solution below the check of {exercise!r}")
        return name, block

    @staticmethod
    def _block(name: str, cells: Iterable[tuple[str, str]]) -> str | None:
        """The first folded code that makes `name`, before another exercise begins."""
        for kind, text in cells:
            if kind == "code" and re.search(r"^check\(", text, re.MULTILINE):
                return None
            for block in FOLDED.findall(text if kind == "markdown" else ""):
                if re.search(rf"^(def {name}\(|{name}\b.*=)", block, re.MULTILINE):
                    return block
        return None


def notebook_of(exercise: str) -> Path:
    """The notebook of an exercise, whose name begins with its number; ValueError without one."""
    number = exercise.split("-")[0]
    found = sorted(COURSE.glob(f"{number}_*.ipynb"))
    if not found:
        raise ValueError(f"no notebook {number} in {COURSE.name}/")
    return found[0]
