"""The package stays readable: small files and functions, documented, shape letters declared."""

import ast
import io
import re
import tokenize

import pytest
from source_tree import MODULES, PACKAGE, ROOT, dotted, relative, tree

FILE_LINES = 300
FUNCTION_LINES = 60
PARAMETERS = 8
KERNEL_PARAMETERS = 16
FORWARD_LINES = 30
LIBRARY_LINES, LESSONS_LINES, BENCHMARKS_LINES = 15_100, 14_900, 3_450

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SHAPE = re.compile(r"#\s*\[([^\]\[]*)\]")
CODE = [*MODULES, ROOT / "course.py", *sorted((ROOT / "tools").glob("*.py"))]


def functions(path):
    """Every function of a module, methods and inner functions included."""
    return [node for node in ast.walk(tree(path)) if isinstance(node, FUNCTIONS)]


def public(path):
    """The public functions, classes and methods of a module."""
    for node in tree(path).body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            inner = node.body if isinstance(node, ast.ClassDef) else []
            for method in inner:
                if isinstance(method, FUNCTIONS) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method


def arguments(function):
    """All parameters but self and cls."""
    every = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    extra = [a for a in (function.args.vararg, function.args.kwarg) if a]
    return [a for a in every + extra if a.arg not in ("self", "cls")]


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_sizes(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= FILE_LINES, f"{lines} lines"
    most = KERNEL_PARAMETERS if "kernels" in path.parts else PARAMETERS
    for function in functions(path):
        length = function.end_lineno - function.lineno + 1
        assert length <= FUNCTION_LINES, f"{function.name}: {length} lines"
        assert len(arguments(function)) <= most, f"{function.name}: too many parameters"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_public_names_are_documented_and_typed(path):
    assert ast.get_docstring(tree(path)), "the module has no docstring"
    for name, node in public(path):
        where = f"{relative(path)}:{node.lineno} {name}"
        assert ast.get_docstring(node), f"{where}: no docstring"
        if isinstance(node, FUNCTIONS):
            bare = [a.arg for a in arguments(node) if a.annotation is None]
            assert not bare, f"{where}: no type for {bare}"
            assert node.returns is not None, f"{where}: no type for the result"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_shape_letters_are_declared(path):
    """A name of several letters, such as `[K, channels]`, explains itself."""
    legend = ast.get_docstring(tree(PACKAGE / "__init__.py"))
    letters = set(re.findall(r"(?:^|\s{2,})([A-Za-z])  ", legend, flags=re.MULTILINE))
    assert {"B", "K", "C", "P"} <= letters
    comments = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    for token in comments:
        shape = SHAPE.match(token.string) if token.type == tokenize.COMMENT else None
        if shape:
            used = re.findall(r"\b[A-Za-z]\b", re.sub(r"_\w+", "", shape[1]))
            unknown = set(used) - letters
            assert not unknown, f"line {token.start[0]}: {sorted(unknown)} in {token.string}"


@pytest.mark.parametrize("folder", ["ops", "models"])
def test_ops_and_models_are_quiet(folder):
    for path in (PACKAGE / folder).glob("*.py"):
        words = {n.id for n in ast.walk(tree(path)) if isinstance(n, ast.Name)}
        assert not words & {"print", "logging", "warnings"}, relative(path)


def test_the_network_reads_like_figure_1():
    path = PACKAGE / "models" / "mask_rcnn.py"
    forwards = [f for f in functions(path) if f.name == "forward"]
    assert forwards
    for function in forwards:
        start = function.body[1] if ast.get_docstring(function) else function.body[0]
        length = function.end_lineno - start.lineno + 1
        assert length <= FORWARD_LINES, f"forward: {length} lines"


def test_the_whole_stays_small():
    def lines(paths):
        return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)

    lessons = [path for path in MODULES if "mrcnn_lite.lessons" in dotted(path)]
    assert lines(set(MODULES) - set(lessons)) <= LIBRARY_LINES
    assert lines(lessons) <= LESSONS_LINES
    assert lines((ROOT / "benchmarks").glob("*.py")) <= BENCHMARKS_LINES
