"""Exercise of notebook 00: name the blocks of the network, by multiple choice."""

from typing import Any

from ..kit.exercise import Exercise, Mistake, Verdict

NAMES = ("body and pyramid", "RPN", "RoIAlign", "box branch", "mask branch")
LETTERS = ("A", "B", "C", "D", "E")
# Question -> the right choice, and a nudge that does not give it away.
QUESTIONS: dict[str, tuple[str, str]] = {
    "A": ("body and pyramid", "it is the only block that reads the pixels themselves"),
    "B": ("RPN", "it draws boxes over the whole image, and no class is written beside them"),
    "C": ("RoIAlign", "a part of the feature map goes in, a small square of it comes out"),
    "D": ("box branch", "its answer is a class with a score, and one box"),
    "E": ("mask branch", "its answer has a value for every cell"),
    "adds the outline": ("E", "a box has four numbers; an outline needs one for every cell"),
    "has no weights": ("C", "one block only interpolates: nothing in it can be trained"),
    "finds boxes without classes": ("B", "the first stage asks only: is there an object?"),
    "holds most of the weights": ("A", "look at the table of the reference model once more"),
}
# Wrong answers that deserve a message of their own.
MIXED_UP = {
    ("B", "box branch"): "both give boxes, but the box branch also knows the class",
    ("D", "RPN"): "both give boxes, but the RPN knows no classes",
    ("C", "RPN"): "proposals go into this block; they do not come out of it",
    ("adds the outline", "C"): "it makes the outline sharp, but it draws none",
    ("finds boxes without classes", "D"): "this one refines boxes and does know the class",
    ("holds most of the weights", "E"): "the new branch is a small one: look at the table",
}


def grade(answers: Any) -> Verdict:
    """Judge the chosen names and letters; never raises because of them."""
    if not isinstance(answers, dict):
        return Verdict(False, "Hand over the dictionary with your answers.")
    if missing := [question for question in QUESTIONS if question not in answers]:
        return Verdict(False, f"The dictionary has no entry {missing[0]!r} any more.")
    chosen = {q: answers[q] for q in QUESTIONS if answers[q] is not None}
    if not chosen:
        return Verdict(False, "Not yet: choose an answer for each line, run the cell again.")
    wrong = [line for question in chosen if (line := _fault(question, chosen[question]))]
    still = len(QUESTIONS) - len(chosen)
    if not wrong and not still:
        return Verdict(True, f"Passed: all {len(QUESTIONS)} answers are right.")
    rest = f", {still} still open" if still else ""
    score = f"{len(chosen) - len(wrong)} of {len(QUESTIONS)} right{rest}."
    return Verdict(False, "\n".join([f"Not right yet: {score}", *wrong]))


def _fault(question: str, choice: Any) -> str | None:
    """What to think about again; None for a right answer."""
    choices = NAMES if question in LETTERS else LETTERS
    known = {name.lower(): name for name in choices}
    name = known.get(str(choice).strip().lower())
    if name is None:
        return f"  {question}: {choice!r} is no choice here; choose from {', '.join(choices)}"
    right, nudge = QUESTIONS[question]
    if name == right:
        return None
    return f"  {question}: {MIXED_UP.get((question, name), nudge)}"


_RIGHT = {question: answer for question, (answer, _) in QUESTIONS.items()}
MISTAKES = tuple(
    Mistake(f"{question}: {message}", {**_RIGHT, question: choice})
    for (question, choice), message in MIXED_UP.items()
)


EXERCISES = (
    Exercise(
        "00-blocks",
        grade,
        (
            "Follow the arrows: what goes into the block, and what comes out? An image, maps, "
            "boxes, a class, a mask?",
            "The grey blocks of section 4 are Faster R-CNN; the orange ones are new. Two of the "
            "four questions can be answered from the table of section 5.",
        ),
        MISTAKES,
    ),
)
