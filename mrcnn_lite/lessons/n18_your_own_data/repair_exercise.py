"""Exercise of notebook 18: mend what is certain, leave out what is not."""

import math
from collections.abc import Iterator
from typing import Any

from ..kit.exercise import Exercise, Mistake, Verdict, is_stub, not_yet
from .exercises import outcome

Rows = list[dict[str, Any]]
WIDTH, HEIGHT = 100, 80  # of the picture that all boxes are in
CATEGORIES = (1, 3, 7)


def _sets() -> Iterator[tuple[str, Rows]]:
    """Three broken sets of annotations, each with some good ones."""
    yield "boxes beyond the picture", _rows([
        (10, 20, 30, 40), (-5, 10, 25, 30), (80, 60, 40, 40), (120, 10, 20, 20), (50, -30, 20, 25),
    ])  # fmt: skip
    yield "boxes without an area", _rows([
        (10, 20, 0, 40), (10, 20, 30, -4), (math.nan, 20, 30, 40), (0, 0, 100, 80),
        (20, 20, math.inf, 10), (30, 30, 0.5, 1),
    ])  # fmt: skip
    yield (
        "classes that do not exist",
        [
            row | {"category_id": category}
            for row, category in zip(_rows([(5, 5, 20, 20)] * 6), (1, 2, 3, 7, 0, 8), strict=True)
        ],
    )


def _rows(boxes: list[tuple]) -> Rows:
    return [
        {"id": number, "category_id": CATEGORIES[number % 3], "bbox": list(box)}
        for number, box in enumerate(boxes, start=1)
    ]


def mend(
    rows: Rows,
    width: int,
    height: int,
    categories: tuple[int, ...],
    slip: str = "",
) -> Rows:
    """The right answer, and with a slip a wrong one that people write."""
    kept = []
    for row in rows:
        x, y, w, h = row["bbox"]
        finite = all(math.isfinite(value) for value in row["bbox"])
        known = row["category_id"] in categories or slip == "class"
        if not known or not (finite or slip == "nan"):
            continue
        if finite and slip == "early" and (w <= 0 or h <= 0):
            continue
        if finite and slip != "no clip":
            x1, y1 = min(max(x, 0), width), min(max(y, 0), height)
            x2, y2 = min(max(x + w, 0), width), min(max(y + h, 0), height)
            cut = [x1, y1, x2 - x1, y2 - y1]
            if slip == "drop" and cut != [x, y, w, h]:
                continue
            x, y, w, h = [x1, y1, w, h] if slip == "keep size" else cut
        if finite and slip not in ("empty", "early") and (w <= 0 or h <= 0):
            continue
        kept.append({**row, "bbox": [x, y, w, h]})
    return kept


def _wrong(words: str, slip: str) -> Mistake:
    return Mistake(words, lambda *given: mend(*given, slip))


MISTAKES = (
    _wrong("boxes that reach beyond the picture are still there. Cut them at its edges.",
           "no clip"),
    _wrong("you leave out what a cut would mend: keep the part inside the picture.",
           "drop"),
    _wrong("the corner moves and the size stays, so the other edge moves too. Cut x1, y1, x2 and "
           "y2, then compute the size.", "keep size"),
    _wrong("boxes of no area are still there: width and height must be above 0.", "empty"),
    _wrong("look for an area after the cut: a box outside the picture has none left.", "early"),
    _wrong("NaN or infinity is still there. Every comparison with NaN is False; use "
           "math.isfinite.", "nan"),
    _wrong("annotations of classes that do not exist are still there.", "class"),
)  # fmt: skip


def grade(function: Any) -> Verdict:
    """Judge `function(annotations, width, height, categories)`; never raises because of it."""
    if function is None:
        return not_yet("the function")
    if not callable(function):
        return Verdict(False, "Hand over the function itself, without calling it.")
    sets = list(_sets())
    rest = (WIDTH, HEIGHT, CATEGORIES)
    answers = [outcome(function, rows, *rest) for _, rows in sets]
    if any(is_stub(answer) for answer in answers):
        return not_yet("the function")
    # as text, since NaN is not equal to itself
    right = [repr(mend(rows, *rest)) for _, rows in sets]
    lines = [_compare(name, answer, rows) for (name, rows), answer in zip(sets, answers)]
    good = sum(_repr(answer) == true for answer, true in zip(answers, right))
    if good == len(sets):
        return Verdict(True, "Passed: three sets mended; nothing good was lost.")
    for mistake in MISTAKES:
        made = [repr(mistake.function(rows, *rest)) for _, rows in sets]
        if [_repr(answer) for answer in answers] == made:
            lines.append(f"Likely: {mistake.message}")
    return Verdict(False, "\n".join([f"Not right yet: {good} of {len(sets)} sets.", *lines]))


def _repr(answer: Any) -> str:
    """As text with fields in one order; whole numbers may be integers or not."""
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        return repr(answer)
    order = ("id", "category_id", "bbox")
    rows = [{k: row[k] for k in order if k in row} for row in answer]
    for row in rows:
        if isinstance(row.get("bbox"), list):
            row["bbox"] = [int(v) if v == v // 1 else v for v in map(_number, row["bbox"])]
    return repr(rows)


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else math.nan


def _compare(name: str, answer: Any, rows: Rows) -> str:
    """One set in words."""
    right = mend(rows, WIDTH, HEIGHT, CATEGORIES)
    if isinstance(answer, Exception):
        return f"{name}: your function raised {type(answer).__name__}: {answer}"
    if _repr(answer) == repr(right):
        return f"{name}: right."
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        return f"{name}: return a list of annotations; this is a {type(answer).__name__}."
    mine, true = {row.get("id"): row for row in answer}, {row["id"]: row for row in right}
    given = {row["id"]: row["bbox"] for row in rows}
    if lost := [identity for identity in true if identity not in mine]:
        box = given[lost[0]]
        return f"{name}: annotation {lost[0]}, {box}, is lost; it was good or could be mended."
    if extra := [identity for identity in mine if identity not in true]:
        box = given.get(extra[0], "which was not there before")
        return f"{name}: annotation {extra[0]}, {box}, is still there, and nothing can mend it."
    for identity, row in true.items():
        if _repr([mine[identity]]) != repr([row]):
            return f"{name}: annotation {identity} should be {row['bbox']}, and you have " + str(
                mine[identity].get("bbox")
            )
    return f"{name}: keep the order, and every annotation once."


EXERCISES = (
    Exercise(
        "18-repair",
        grade,
        (
            "Three questions for every annotation: does its class exist, are its numbers finite, "
            "is anything of its box inside the picture?",
            "x1 = max(x, 0) and x2 = min(x + w, width); the new width is x2 - x1, and it may be "
            "negative: then nothing is inside.",
            'Build new dictionaries, {**row, "bbox": [...]}: repair a copy, never the original.',
        ),
        MISTAKES,
    ),
)
