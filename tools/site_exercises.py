"""The notebooks' exercises on the site: what can be worked out by hand is checked in the browser.

A page cannot run a reader's function. It can compare numbers: those of a few cases of the exercise,
worked out with pencil and paper, with what the exercise's own grader computes while the site is
built, its known mistakes included. Everything else says that it needs JupyterLab.
"""

import html
import inspect
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from nbformat import NotebookNode
from nbformat.v4 import new_output
from torch import Tensor

from mrcnn_lite.lessons.kit.exercise import Exercise, as_numbers, find
from mrcnn_lite.lessons.kit.parsons import TASK as TASK_OF_LINES
from mrcnn_lite.lessons.kit.parsons import Parsons, pieces
from mrcnn_lite.lessons.kit.roi import windows_of
from mrcnn_lite.lessons.n00_start_here import exercises as blocks
from mrcnn_lite.lessons.n01_roi_pool.exercises import ARTICLE, BLIND_MAPS
from tools.site_questions import calls, fold, form

PI = torch.tensor([int(digit) for digit in "314159265358979323846264338327950288"]).float()
RAMP = torch.arange(6.0)[:, None] * 10 + torch.arange(6.0)  # [h, w]
ROW = torch.tensor([10.0, 20.0, 60.0, 40.0, 80.0])  # [w]
MAP = torch.tensor([[3.0, 8.0, 1.0, 6.0], [5.0, 2.0, 9.0, 4.0], [7.0, 0.0, 11.0, 2.0]])  # [h, w]
BOX, TINY = torch.tensor([[8.0, 16.0, 40.0, 64.0]]), torch.tensor([[24.0, 40.0, 28.0, 44.0]])

# Cases small enough for pencil and paper, on which the known mistakes give other numbers.
BY_HAND: dict[str, tuple[tuple[Any, ...], ...]] = {
    "01-roi-pool": tuple(
        (PI.view(6, 6), box, 2, 1 / 32)
        for box in (
            (0.0, 24.0, 168.0, 80.0),
            (88.0, -40.0, 160.0, 80.0),
            (96.0, -80.0, 250.0, 40.0),
        )
    ),
    "02-sample": tuple(
        (ROW, x, 16, aligned) for x, aligned in ((36, True), (44, False), (4, True), (76, True))
    ),
    "02-half-open": tuple(
        (torch.tensor([[3.0, 4.0, 5.0, 2.0]]), kind) for kind in ("coco", "inclusive", "voc")
    ),
    "03-bilinear": tuple((MAP, y, x) for y, x in ((0.25, 1.5), (2.0, 2.25), (1.75, 0.5))),
    "03-roi-align": (
        (RAMP[None], BOX, 2, 1 / 16, 2, False),
        (RAMP[None], BOX, 2, 1 / 16, 2, True),
        (RAMP[None], TINY, 1, 1 / 16, 1, False),
    ),
}
TASK = (
    "<p><b>By hand, here:</b> work out these cases with pencil and paper. Your numbers are "
    "checked, two decimals are enough; a function of yours this page cannot run.</p>"
)
RUN = (
    '<p class="run-it">Your own code runs in JupyterLab: <code>python3 course.py</code>, in a '
    "terminal in the course's folder, opens it; there <code>check</code> answers in words.</p>"
)


def numbers(answer: Any) -> list[float | None] | None:
    """A result's numbers, None for an infinite one; None for an error."""
    if answer is None or isinstance(answer, Exception):
        return None
    flat = as_numbers(answer).flatten().tolist()
    return [round(number, 6) if math.isfinite(number) else None for number in flat]


def checks(exercise: Exercise, cases: tuple[tuple[Any, ...], ...]) -> dict[str, Any]:
    """What docs/js/exercises.js compares with: right numbers, and those of the known mistakes.

    Args:
        exercise: one with a `FunctionGrader`.
        cases: arguments of the learner's function.

    Returns:
        `right`: a list of numbers for each case; `mistakes`: a message each, and such lists.
    """
    grader = exercise.grade

    def outcomes(function: Any) -> list[list[float | None] | None]:
        return [numbers(grader.outcome(function, case)) for case in cases]

    mistakes = [{"message": m.message, "numbers": outcomes(m.function)} for m in exercise.known]
    return {"right": outcomes(grader.right), "mistakes": mistakes}


def table(rows: Tensor, caption: str) -> str:
    """A feature map with the indices of its rows and columns."""
    head = "".join(f'<th scope="col">{column}</th>' for column in range(rows.shape[1]))
    body = "".join(
        f'<tr><th scope="row">{row}</th>{"".join(f"<td>{number:g}</td>" for number in line)}</tr>'
        for row, line in enumerate(rows.tolist())
    )
    words = f"<caption>{caption}: row and column are counted from 0</caption>"
    return (
        f'<div class="wide"><table class="map">{words}<tr><td></td>{head}</tr>{body}</table></div>'
    )


def in_words(value: Any) -> str:
    """An argument, as it is written."""
    if isinstance(value, Tensor):
        return in_words(value.tolist())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(in_words, value))}]"
    if isinstance(value, float) and 0 < value < 1 and Fraction(value).numerator == 1:
        return str(Fraction(value))
    return f"{value:g}" if isinstance(value, float) else repr(value)


def fields(label: str, shape: Sequence[int]) -> str:
    """A field for every number of a result; its last two axes are rows and columns."""
    rows, columns = (1, 1, *shape)[-2:]

    def field(row: int, column: int) -> str:
        where = "" if rows == columns == 1 else f", row {row}, column {column}"
        return f'<input aria-label="{label}{where}" autocomplete="off">'

    lines = ("".join(field(row, column) for column in range(columns)) for row in range(rows))
    return "".join(f'<span class="row">{inputs}</span>' for inputs in lines)


def stored(data: dict[str, Any]) -> str:
    """What a form compares with, as an attribute."""
    return f' data-checks="{html.escape(json.dumps(data))}"'


def by_hand(exercise: Exercise) -> str:
    """The form with an exercise's cases."""
    cases, right = BY_HAND[exercise.name], exercise.grade.right
    first = cases[0][0]
    features, names = first.squeeze(0), list(inspect.signature(right).parameters)
    shared = all(case[0] is first or torch.equal(case[0], first) for case in cases)
    is_map = shared and names[0] == "features"
    items = ""
    for place, case in enumerate(cases, start=1):
        told = dict(list(zip(names, case))[is_map:])
        words = html.escape(", ".join(f"{name} = {in_words(it)}" for name, it in told.items()))
        shape = as_numbers(right(*case)).shape
        items += f"<li><code>{words}</code>{fields(f'Case {place}', shape)}</li>"
    grid = table(features, "features") if is_map else ""
    body = f"{TASK}{grid}<ol>{items}</ol><button>Check</button>"
    return form("by-hand", exercise.name, body, stored(checks(exercise, cases)))


def select(title: str, name: str, options: tuple[str, ...]) -> str:
    """A choice that begins empty."""
    chosen = "".join(f"<option>{option}</option>" for option in ("", *options))
    return f'<label class="line">{title} <select name="{name}">{chosen}</select></label>'


def naming(exercise: Exercise) -> str:
    """The form of notebook 00's exercise: a choice for every question, a nudge for every slip."""
    right = {question: answer for question, (answer, _) in blocks.QUESTIONS.items()}
    body, nudges = "", {}
    for question in blocks.QUESTIONS:
        is_block = question in blocks.LETTERS
        options = blocks.NAMES if is_block else blocks.LETTERS
        body += select(f"Block {question}" if is_block else f"What {question}?", question, options)
        nudges[question] = {
            option: exercise.grade({**right, question: option}).message.splitlines()[-1].strip()
            for option in options
        }
    data = {"right": right, "nudges": nudges, "passed": exercise.grade(right).message}
    return form("naming", exercise.name, f"{body}<button>Check</button>", stored(data))


def mapped(exercise: Exercise) -> str:
    """The form of notebook 01's map; RoIPool's bins and both disjoint splits read it."""
    *_, both = BLIND_MAPS
    peak = torch.zeros(6, 6)  # [h, w]
    peak[2, 2] = 1.0
    data = {
        "bins": windows_of(ARTICLE, 2, 1 / 32, 6, 6).rows,  # as the columns
        "splits": {"3 + 2": [[0, 3], [3, 5]], "2 + 3": [[0, 2], [2, 5]]},
        "both": exercise.grade(both.function).message,
        "passed": exercise.grade(peak).message,
    }
    body = "<p><b>Here:</b> write your map; an empty field is 0.</p>" + fields("Map", (6, 6))
    return form("own-map", exercise.name, f"{body}<button>Check</button>", stored(data))


def hints(exercise: Exercise) -> str:
    """The ladder of hints, each folded."""
    steps = enumerate(exercise.hints, start=1)
    return "".join(
        fold(f"Hint {number} of {len(exercise.hints)}", f"<p>{html.escape(hint)}</p>")
        for number, hint in steps
    )


def disordered(name: str) -> str:
    """The lines of an exercise's solution as buttons, folded; see `kit/parsons.py`."""
    puzzle = Parsons(name)
    right = pieces(puzzle.chapter.folded(name)[1])[len(puzzle.head) :]
    buttons = "".join(
        f'<li><button type="button">{html.escape(line)}</button></li>' for line in puzzle.lines
    )
    head = html.escape("\n".join(puzzle.head))
    body = (
        f'<p>{TASK_OF_LINES.format(n=puzzle.wrong)}</p><ul class="pool">{buttons}</ul>'
        f'<p>Your function:</p><pre>{head}</pre><ol class="chosen"></ol><button>Check</button>'
    )
    data = stored({"lines": puzzle.lines, "right": right})
    return fold(html.escape(puzzle.title), form("lines", name, body, data))


EXERCISES = ("check", "hint", "parsons")
FORMS = {"00-blocks": naming, "01-discriminating-map": mapped} | dict.fromkeys(BY_HAND, by_hand)


def exercised(cell: NotebookNode, with_hints: set[str]) -> list[NotebookNode]:
    """The outputs of a cell that checks or hints: the exercise, as far as the site can check it.

    Args:
        cell: a code cell of a notebook with its stubs as they are given out.
        with_hints: the exercises whose hints stand in a cell of their own.
    """
    page = ""
    for function, name in calls(cell.source, *EXERCISES):
        if function == "parsons":
            page += disordered(name)
            continue
        exercise = find(name)
        if function == "check":
            page += FORMS[name](exercise) if name in FORMS else ""
            page += "" if name in FORMS and name not in BY_HAND else RUN
        if function == "hint" or name not in with_hints:
            page += hints(exercise)
    return [new_output("display_data", {"text/html": page})]
