"""A solution's lines, shuffled, to be put in order: the step between the last hint and a solution.

    parsons("03-bilinear")

The lines are cut from the notebook's folded solution; the lines of people's mistakes are among them
(`distractors.py`). Indentation is given. What the reader puts together is judged by `check`.
"""

import ast
import html
import linecache
import random
from typing import Any

import ipywidgets as ipw
from IPython.display import display

from .distractors import DISTRACTORS
from .exercise import find
from .messages import wrapped
from .predictions import status
from .sources import Chapter, notebook_of

TASK = (
    "Put these lines in order; {n} of them belong to mistakes. A line that is pressed joins the "
    "end, pressed again it leaves."
)
STYLE = (
    "<style>.parsons button{text-align:left;white-space:pre-wrap;line-height:1.5}"
    ".parsons select{font-family:monospace}</style>"
)
TOLD = "margin:0;line-height:1.4;white-space:pre-wrap;font-family:monospace"
CLAUSES = ("else", "elif ", "except", "finally")


def pieces(source: str) -> list[str]:
    """Source cut into its statements; what a line begins and others go on with stays one piece."""
    starts = {node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)}
    cut: list[str] = []
    for number, line in enumerate(source.splitlines(), start=1):
        if number in starts or line.strip().startswith(CLAUSES):
            cut.append(line)
        elif line.strip():
            cut[-1] += f"\n{line}"
    return cut


class Parsons:
    """The lines of one exercise, and those that the reader has chosen, in order."""

    def __init__(self, exercise: str):
        """Cut the exercise's solution and mix in the mistakes; ValueError if there is none."""
        self.exercise, self.chapter = exercise, Chapter(notebook_of(exercise))
        self.name, source = self.chapter.folded(exercise)
        cut = pieces(source)
        documented = len(cut) > 1 and cut[1].lstrip().startswith('"""')
        self.head, own = cut[: 1 + documented], cut[1 + documented :]
        wrong = [line for _, line in DISTRACTORS.get(exercise, ())]
        self.lines = [*own, *wrong]
        random.Random(exercise).shuffle(self.lines)
        self.wrong = len(wrong)
        self.chosen: list[int] = []
        self.buttons = [self._button(i) for i in range(len(self.lines))]
        label = {"description": "Your function", "style": {"description_width": "initial"}}
        self.order = ipw.Select(rows=8, layout={"width": "auto"}, **label)
        self.note = ipw.HTML(status(""))
        moves = {"Move up": self._move(-1), "Move down": self._move(1), "Check": self._check}
        self.controls = [ipw.Button(description=name) for name in moves]
        for control, act in zip(self.controls, moves.values()):
            control.on_click(act)
        head = html.escape("\n".join(self.head))
        task = ipw.HTML(f"{STYLE}{html.escape(TASK.format(n=self.wrong))}<pre>{head}</pre>")
        row = ipw.HBox(self.controls)
        self.body = ipw.VBox([task, *self.buttons, self.order, row, self.note])
        self.body.add_class("parsons")
        self.body.layout.display = "none"
        self.title = f"No idea how to go on? The lines of {exercise}, in disorder"
        self.door = ipw.ToggleButton(description=self.title, layout={"width": "auto"})
        self.door.observe(self._opened, names="value")  # an accordion's head takes no key
        self.box = ipw.VBox([self.door, self.body])
        self._show(None)

    def _button(self, line: int) -> ipw.Button:
        style = {"font_family": "monospace"}
        layout = {"width": "auto", "height": "auto"}
        button = ipw.Button(layout=layout, style=style)
        button.on_click(lambda _: self.toggle(line))
        return button

    def _opened(self, change: dict[str, Any]) -> None:
        self.body.layout.display = "" if change["new"] else "none"

    def toggle(self, line: int) -> None:
        """Put a line at the end of the function, or take it out."""
        if line in self.chosen:
            self.chosen.remove(line)
        else:
            self.chosen.append(line)
        self._show(line if line in self.chosen else None)

    def _move(self, step: int) -> Any:
        def move(_: Any) -> None:
            line = self.order.value
            if line is None:
                return
            at = self.chosen.index(line)
            to = min(max(at + step, 0), len(self.chosen) - 1)
            self.chosen.insert(to, self.chosen.pop(at))
            self._show(line)

        return move

    def _show(self, selected: int | None) -> None:
        """Write the lines on the page; a mark for what is used, blanks that a list keeps."""
        for line, button in enumerate(self.buttons):
            mark = "✓ " if line in self.chosen else "· "
            button.description = mark + self.lines[line]
            button.tooltip = "take it out" if line in self.chosen else "put it at the end"
        told = [self.lines[line].replace(" ", "\u00a0") for line in self.chosen]
        self.order.options = list(zip(told, self.chosen))
        self.order.value = selected
        left = len(self.lines) - self.wrong - len(self.chosen)
        words = f"{len(self.chosen)} lines chosen" + (f", {left} to go." if left > 0 else ".")
        self.note.value = status(words)

    def _check(self, _: Any) -> None:
        words = html.escape(self.verdict())
        self.note.value = f'<p role="status" style="{TOLD}">{words}</p>'

    def source(self) -> str:
        """The function that the reader has put together."""
        return "\n".join([*self.head, *(self.lines[line] for line in self.chosen)]) + "\n"

    def verdict(self) -> str:
        """What `check` says of it, or why it is no function yet."""
        source, file = self.source(), f"<{self.exercise}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        try:
            scope = self.chapter.scope(source)
            exec(compile(source, file, "exec"), scope)
        except SyntaxError as error:
            line = (error.text or "").strip()
            return f"No function yet: {error.msg}" + (f", at: {line}" if line else ".")
        return find(self.exercise).grade(scope[self.name]).message

    def _text(self) -> list[str]:
        return [*self.head, *(f"  | {part}" for line in self.lines for part in line.split("\n"))]

    def __repr__(self) -> str:
        """The lines in disorder, for every page without live widgets."""
        task = wrapped(
            f"Parsons {self.exercise}: {TASK.split(';')[0]}; {self.wrong} of them are not needed."
        )
        return "\n".join([task, *self._text()])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live lines where they can live, else all of them, folded."""
        lines = html.escape("\n".join(self._text()))
        summary = f"<summary>{html.escape(self.title)}</summary>"
        still = f"<details>{summary}<pre>{lines}</pre></details>"
        words = {"text/html": still, "text/plain": repr(self)}
        return (self.box._repr_mimebundle_() or {}) | words


def parsons(exercise: str) -> None:
    """Show the lines of an exercise's solution in disorder, some lines of mistakes among them.

    Args:
        exercise: its name, such as "03-bilinear".

    Raises:
        ValueError: if there is no such exercise, or no folded solution of it.
    """
    find(exercise)
    display(Parsons(exercise))
