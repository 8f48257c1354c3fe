"""A notebook's questions as forms of the site: docs/js makes them answer, without a kernel.

Question, choices and result are those that the executed notebook holds, never typed anew. Without
JavaScript the same forms can be read, and the answers unfolded.
"""

import ast
import html
import re
from collections.abc import Iterator

from nbformat import NotebookNode
from nbformat.v4 import new_output

from mrcnn_lite.lessons.kit.messages import wrapped
from mrcnn_lite.lessons.kit.predictions import NOTHING, SURENESS
from mrcnn_lite.lessons.kit.recall import FORGOTTEN, plan, question

QUESTIONS = ("predict", "recall", "why")
OPTION = "  ( ) "
RESULT = re.compile(re.escape(NOTHING) + r"\nThe result: (.*)")  # one line, as no truth is longer


def calls(code: str, *functions: str) -> Iterator[tuple[str, str]]:
    """Which of the kit's functions a cell calls by name, and the name that it hands over first."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in functions:
            yield node.func.id, ast.literal_eval(node.args[0])


def is_all_question(cell: NotebookNode) -> bool:
    """Whether a cell only asks or helps: its form replaces its code, which may hold the answer."""
    wanted = (ast.Expr, ast.ImportFrom)
    body = ast.parse(cell.source).body
    functions = (*QUESTIONS, "hint", "parsons")
    return any(calls(cell.source, *functions)) and all(isinstance(it, wanted) for it in body)


def text_of(output: NotebookNode) -> str:
    """What an output prints, or says in place of a picture or a widget."""
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", ""))


def results(cells: list[NotebookNode]) -> dict[str, str]:
    """The result of every prediction, as its `reveal` printed it in one of these code cells.

    Raises:
        ValueError: if a cell reveals another number of results than it calls `reveal`.
    """
    found: dict[str, str] = {}
    for cell in cells:
        names = [name for _, name in calls(cell.source, "reveal")]
        truths = RESULT.findall("\n".join(map(text_of, cell.outputs)))
        if names and len(names) != len(truths):
            raise ValueError(f"{names} are revealed, but the outputs hold {len(truths)} results")
        found |= dict(zip(names, truths))
    return found


def choice(name: str, options: tuple[str, ...]) -> str:
    """One radio button per option."""
    return "".join(
        f'<label><input type="radio" name="{name}" value="{html.escape(option)}">'
        f"<span>{html.escape(option)}</span></label>"
        for option in options
    )


def line(label: str) -> str:
    """A line to write on."""
    return f'<label class="line">{label} <input name="answer" autocomplete="off"></label>'


def fold(summary: str, body: str) -> str:
    """Words behind a line to touch."""
    return f'<details class="answer"><summary>{summary}</summary>{body}</details>'


def form(kind: str, name: str, body: str, data: str = "") -> str:
    """A question's form; docs/js/page.js knows the kinds."""
    return f'<form class="ask {kind}" data-name="{name}"{data}>{body}<p role="status"></p></form>'


def group(title: str, asked: str, controls: str) -> str:
    """Controls that belong together, under their question."""
    legend = f"<legend><b>{title}</b> {html.escape(asked)}</legend>"
    return f"<fieldset>{legend}{controls}</fieldset>"


def unwrapped(text: str) -> list[str]:
    """The lines as they were before `messages.wrapped` broke them."""
    text = re.sub(r"([^\W\d]-)\n    (?=[^\W\d])", r"\1", text)  # a word broken at its hyphen
    return text.replace("\n    ", " ").split("\n")


def prediction(text: str, truths: dict[str, str]) -> str:
    """The form of a `predict`, from what it says where widgets cannot live.

    Args:
        text: `Prediction NAME: QUESTION` and a line for each option.
        truths: as `results` gives them.

    Raises:
        ValueError: if the text cannot be taken apart, or the notebook never reveals the result.
    """
    head, *options = unwrapped(text)
    name, _, asked = head.removeprefix("Prediction ").partition(": ")
    options = [option.removeprefix(OPTION) for option in options]
    if wrapped("\n".join([head, *(OPTION + option for option in options)])) != text:
        raise ValueError(f"prediction {name!r} cannot be read from what the notebook holds")
    if name not in truths:
        raise ValueError(f"prediction {name!r} has no result in the notebook; run it to its end")
    controls = choice("answer", tuple(options)) if options else line("Your prediction")
    sure = '<fieldset class="sure"><legend>How sure are you?</legend>'
    sure += f"{choice('sure', SURENESS)}</fieldset>"
    truth = html.escape(truths[name])
    answer = fold(
        "Show the result",
        f'<p>The result: <b>{truth}</b>. <a href="#answer-{name}">Where it comes from</a></p>',
    )
    known = ' data-known="yes"' if truths[name] in options else ""
    data = f' data-truth="{truth}"{known}'
    return form("predict", name, group("Predict:", asked, controls) + sure + answer, data)


def recalled(number: str, text: str) -> str:
    """The forms of a notebook's `recall`: what it asks of a reader who is always right.

    Raises:
        ValueError: if the notebook's output holds other questions.
    """
    stored, page = " ".join(unwrapped(text)), ""
    for name in plan()[number]:
        asked, source = question(name), name.partition(".")[0]
        if asked.text not in stored:
            raise ValueError(f"notebook {number} was run with other questions; refresh it")
        options = (*asked.options, FORGOTTEN) if asked.options else ()
        kind = "choice" if options else "whole" if isinstance(asked.answer, int) else "real"
        controls = choice("answer", options) if options else line("Your answer")
        controls += "" if options else "<button>Answer</button>"
        truth = html.escape(str(asked.answer))
        told = f"{asked.answer:.4g}" if kind == "real" else truth
        data = f' data-truth="{truth}" data-kind="{kind}"'
        words = group(f"From notebook {source}:", asked.text, controls)
        words += fold("Show the answer", f"<p>{told}. {html.escape(asked.because)}</p>")
        page += form("recall", name, words, data)
    return f"<p>What do you remember? Answer without looking back, or go on.</p>{page}"


def reason(output: NotebookNode) -> str:
    """The form of a `why`: a line for the reader's own reason above the folded answer."""
    name = text_of(output).removeprefix("Why ").partition(":")[0]
    question, _, answer = output.data["text/html"].partition("<details>")
    question = question.replace("<p>", '<p class="question">')
    words = f'{question}{line("Your reason")}<details class="answer">{answer}'
    return form("why", name, words)


def asked(cell: NotebookNode, truths: dict[str, str]) -> list[NotebookNode]:
    """The outputs of a cell that asks, as forms.

    Args:
        cell: a code cell.
        truths: as `results` gives them.
    """
    outputs = []
    for output in cell.outputs:
        text = text_of(output)
        if text.startswith("Prediction "):
            page = prediction(text, truths)
        elif text.startswith("What do you remember?"):
            ((_, number),) = calls(cell.source, "recall")
            page = recalled(number, text)
        elif text.startswith("Why "):
            page = reason(output)
        else:
            outputs.append(output)
            continue
        outputs.append(new_output("display_data", {"text/html": page}))
    return outputs


def said(text: str, waiting: Iterator[str]) -> str:
    """A cell's printed lines in HTML; each prediction beside its result can be filled in."""

    def live(match: re.Match) -> str:
        return f'<span class="said" id="answer-{next(waiting)}">{match[0]}</span>'

    return re.sub(RESULT, live, html.escape(text, quote=False))
