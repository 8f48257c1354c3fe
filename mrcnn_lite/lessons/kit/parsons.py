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
STYLE = "<style>.parsons button{text-align:left}.parsons select{font-family:monospace}</style>"
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
        self.order = ipw.Select(description="Your function", rows=8, layout={"width": "100%"})
        self.note = ipw.HTML(status(""))
        moves = {"Move up": self._move(-1), "Move down": self._move(1), "Check": self._check}
        self.controls = [ipw.Button(description=name) for name in moves]
        for control, act in zip(self.controls, moves.values()):
            control.on_click(act)
        task = ipw.HTML(f"{STYLE}<p>{html.escape(TASK.format(n=self.wrong))}</p>")
        row = ipw.HBox(self.controls)
        body = ipw.VBox([task, *self.buttons, self.order, row, self.note])
        body.add_class("parsons")
        title = f"No idea how to go on? The lines of {exercise}, in disorder"
        self.box = ipw.Accordion([body], titles=[title], selected_index=None)
        self._show(None)

    def _button(self, line: int) -> ipw.Button:
        style = {"font_family": "monospace"}
        layout = {"width": "100%", "height": "auto"}
        button = ipw.Button(layout=layout, style=style)
        button.on_click(lambda _: self.toggle(line))
        return button

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
        """Write the lines on the page; blanks that a page keeps, and a mark for what is used."""
        for line, button in enumerate(self.buttons):
            mark = "✓ " if line in self.chosen else "· "
            button.description = mark + self.lines[line].replace(" ", "\u00a0")
            button.tooltip = "take it out" if line in self.chosen else "put it at the end"
        told = [self.lines[line].replace(" ", "\u00a0") for line in self.chosen]
        self.order.options = list(zip(told, self.chosen))
        self.order.value = selected
        left = len(self.lines) - self.wrong - len(self.chosen)
        words = f"{len(self.chosen)} lines chosen" + (f", {left} to go." if left > 0 else ".")
        self.note.value = status(words)

    def _check(self, _: Any) -> None:
        words = html.escape(wrapped(self.verdict()))
        self.note.value = f'<pre role="status" style="margin:0">{words}</pre>'

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
        title = html.escape(self.box.titles[0])
        still = f"<details><summary>{title}</summary><pre>{lines}</pre></details>"
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
