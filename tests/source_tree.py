"""What the repository's own tests look at: its tracked files, and its modules as syntax trees."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mrcnn_lite"
MODULES = sorted(PACKAGE.rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def relative(path: Path) -> str:
    """A path as it is written in the README."""
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    """A module's importable name."""
    return relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def tree(path: Path) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def tracked_files() -> tuple[Path, ...]:
    """The files that belong to the repository and exist now, without a `.git` the likely ones."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        folders = ("mrcnn_lite", "tests", "notebooks", "tools", "benchmarks", "docs", "data")
        return tuple(p for f in folders for p in sorted((ROOT / f).rglob("*.*")) if p.is_file())
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())
