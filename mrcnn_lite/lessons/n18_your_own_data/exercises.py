"""Exercise of notebook 18: a label map to COCO annotations."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..kit.exercise import Exercise, Mistake, Verdict, is_stub, not_yet

Annotations = list[dict[str, Any]]


def _cases() -> Iterator[np.ndarray]:
    """Small maps, none square: one object, two of them, an empty one, and drawn by chance."""
    values = np.zeros((4, 6), dtype=np.uint8)
    values[1:3, 2:5] = 1
    yield values.copy()
    values[0, 0] = 7  # starts with an object: the first run has length 0
    values[1, 3] = 0  # a hole
    yield values
    yield np.zeros((3, 5), dtype=np.uint8)
    random = np.random.default_rng(18)
    for height, width in ((5, 9), (12, 7), (1, 8)):
        yield random.integers(0, 4, (height, width)).astype(np.uint8)


def convert(
    values: np.ndarray,
    first: int = 1,
    corners: bool = False,
    short: bool = False,
    by_rows: bool = False,
    from_one: bool = False,
    box_area: bool = False,
) -> Annotations:
    """The right answer, and with a keyword a wrong one that people write."""
    found = []
    for value in sorted(set(values.flatten().tolist())):
        if value < first:
            continue
        mask = values == value
        rows, columns = np.nonzero(mask)
        x, y, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        width, height = x2 - x - short, y2 - y - short
        bbox = [x, y, x2, y2] if corners else [x, y, width, height]
        flat = mask.flatten("C" if by_rows else "F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff([0, *edges, flat.size]).tolist()
        counts = [0, *counts] if flat[0] and not from_one else counts
        found.append(
            {
                "bbox": [int(number) for number in bbox],
                "area": int(width * height if box_area else mask.sum()),
                "segmentation": {"size": list(values.shape), "counts": counts},
            }
        )
    return found


MISTAKES = (
    Mistake("0 is the background and no object; leave it out.", lambda v: convert(v, first=0)),
    Mistake("bbox is (x1, y1, x2, y2). COCO wants x, y, width, height.",
            lambda v: convert(v, corners=True)),
    Mistake("bbox is one pixel short: columns 2 to 4 are three columns, so add 1.",
            lambda v: convert(v, short=True)),
    Mistake("the runs are counted row by row. COCO runs down the columns: flatten the mask in "
            "Fortran's order.", lambda v: convert(v, by_rows=True)),
    Mistake("the first run is always one of zeros. Where the first pixel belongs to the object it "
            "has length 0.", lambda v: convert(v, from_one=True)),
    Mistake("area is that of the box. Count the mask's own pixels.",
            lambda v: convert(v, box_area=True)),
    Mistake("all objects are one. Every value of the map is an object of its own.",
            lambda v: convert((v > 0).astype(np.uint8))),
)  # fmt: skip


def plain(answer: Any) -> Any:
    """NumPy's numbers and arrays as Python's, so that answers can be compared."""
    if isinstance(answer, dict):
        return {key: plain(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [plain(value) for value in answer]
    return answer.tolist() if isinstance(answer, np.ndarray | np.generic) else answer


def outcome(function: Callable[..., Any], *given: Any) -> Any:
    """What a learner's function returns for copies of its inputs, or the error it raises."""
    try:
        return plain(function(*copy.deepcopy(given)))
    except Exception as error:  # the learner's code may raise anything
        return error


def grade(function: Any) -> Verdict:
    """Judge `function(label_map) -> annotations`; never raises because of it."""
    if function is None:
        return not_yet("the function")
    if not callable(function):
        return Verdict(False, "Hand over the function itself, without calling it.")
    cases = list(_cases())
    answers = [outcome(function, values) for values in cases]
    if any(is_stub(answer) for answer in answers):
        return not_yet("the function")
    wrong = [i for i, values in enumerate(cases) if _taken(answers[i]) != convert(values)]
    if not wrong:
        return Verdict(True, f"Passed: COCO's annotations of {len(cases)} maps, holes included.")
    words = f"Not right yet: {len(cases) - len(wrong)} of {len(cases)} maps are right."
    for mistake in MISTAKES:
        if all(_taken(a) == mistake.function(v) for a, v in zip(answers, cases, strict=True)):
            return Verdict(False, f"{words}\nLikely: {mistake.message}")
    values, answer = cases[wrong[0]], answers[wrong[0]]
    return Verdict(False, f"{words}\nThe first wrong one, [H, W] = {list(values.shape)}: "
                          f"{_difference(answer, convert(values))}")  # fmt: skip


def _taken(answer: Any) -> Any:
    """The fields that are asked for; others, such as an id, do not matter."""
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        return answer
    wanted = ("bbox", "area", "segmentation")
    return [{key: row.get(key) for key in wanted} for row in answer]


def _difference(answer: Any, right: Annotations) -> str:
    if isinstance(answer, Exception):
        return f"your function raised {type(answer).__name__}: {answer}"
    taken = _taken(answer)
    if not isinstance(taken, list) or not all(isinstance(row, dict) for row in taken):
        return f"return a list of dictionaries; this is a {type(answer).__name__}."
    if len(taken) != len(right):
        return f"it has {len(right)} objects, your list {len(taken)} annotations."
    for place, (mine, true) in enumerate(zip(taken, right, strict=True)):
        for key in true:
            if mine[key] != true[key]:
                return f"annotation {place}: {key} is {mine[key]}, it should be {true[key]}."
    return "the order differs; take the values from the smallest up."


EXERCISES = (
    Exercise(
        "18-label-maps",
        grade,
        (
            "np.unique(values) lists the values. For each one but 0 the mask is values == value, "
            "and np.nonzero(mask) gives its rows and columns.",
            'mask.flatten("F") runs down the columns. Walk along it and count equal neighbours; '
            "begin with a run of zeros, even of length 0.",
            "itertools.groupby(flat) yields (value, run) pairs, and len(list(run)) is a count.",
        ),
        MISTAKES,
    ),
)
