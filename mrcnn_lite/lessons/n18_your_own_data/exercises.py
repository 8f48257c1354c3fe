"""The exercises of notebook 18: a label map to COCO annotations, and three data sets repaired."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..kit.exercise import Exercise, FunctionGrader, combine, switches

Rows = list[dict[str, Any]]
Steps = dict[str, Callable[..., Any]]
WIDTH, HEIGHT = 100, 80  # of the image that all boxes of the repair are in
CATEGORIES = (1, 3, 7)


def _plain(answer: Any) -> Any:
    """NumPy's numbers and arrays as Python's, whole numbers as integers: to be compared as text."""
    if isinstance(answer, dict):
        return {key: _plain(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [_plain(value) for value in answer]
    if isinstance(answer, np.ndarray | np.generic):
        return _plain(answer.tolist())
    return int(answer) if isinstance(answer, int | float) and answer == answer // 1 else answer


def _is_list(answer: Any) -> bool:
    return isinstance(answer, list) and all(isinstance(row, dict) for row in answer)


def _taken(function: Callable[..., Any], *given: Any, fields: tuple[str, ...]) -> Any:
    """The fields that are asked for, of a function that may write into its inputs."""
    answer = _plain(function(*copy.deepcopy(given)))
    return [{key: row.get(key) for key in fields} for row in answer] if _is_list(answer) else answer


def _alike(answer: Any, right: Any) -> bool:
    """Equal as text, since NaN is not equal to itself."""
    return repr(answer) == repr(right)


def _no_list(answer: Any) -> str:
    """What is wrong with an answer that is no list of annotations; nothing if it is one."""
    if isinstance(answer, Exception):
        return f"your function raised {type(answer).__name__}: {answer}"
    return (
        "" if _is_list(answer) else f"return a list of annotations, not a {type(answer).__name__}"
    )


# --- A label map as annotations -------------------------------------------------------------------


def _box_area(mask: np.ndarray) -> int:
    rows, columns = np.nonzero(mask)
    return (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


@switches(
    map=lambda values: values,
    is_object=lambda value: value > 0,
    bbox=lambda x, y, x2, y2: [x, y, x2 - x, y2 - y],
    flat=lambda mask: mask.flatten("F"),
    runs=lambda counts, first: [0, *counts] if first else counts,
    area=lambda mask: mask.sum(),
)
def _annotations(values: np.ndarray, how: Any) -> Rows:
    """The annotations of a label map, step by step."""
    rows, values = [], how.map(values)
    for value in filter(how.is_object, np.unique(values)):
        mask = values == value
        y, x = np.nonzero(mask)
        flat = how.flat(mask)
        edges = np.flatnonzero(np.diff(flat)) + 1
        counts = how.runs(np.diff([0, *edges, flat.size]).tolist(), flat[0])
        rows.append(
            {
                "bbox": how.bbox(x.min(), y.min(), x.max() + 1, y.max() + 1),
                "area": how.area(mask),
                "segmentation": {"size": values.shape, "counts": counts},
            }
        )
    return rows


MAP_MISTAKES: dict[str, Steps] = {
    "0 is the background and no object; leave it out.": {"is_object": lambda value: True},
    "bbox is (x1, y1, x2, y2). COCO wants x, y, width, height.": {
        "bbox": lambda *corners: list(corners)
    },
    "bbox is one pixel short: columns 2 to 4 are three columns, so add 1.": {
        "bbox": lambda x, y, x2, y2: [x, y, x2 - x - 1, y2 - y - 1]
    },
    "the runs are counted row by row. COCO runs down the columns: flatten the mask in Fortran's "
    "order.": {"flat": lambda mask: mask.flatten()},
    "the first run is always one of zeros. Where the first pixel belongs to the object it has "
    "length 0.": {"runs": lambda counts, first: counts},
    "area is that of the box. Count the mask's own pixels.": {"area": _box_area},
    "all objects are one. Every value of the map is an object of its own.": {
        "map": lambda values: (values > 0).astype(np.uint8)
    },
}


def _maps() -> Iterator[tuple[np.ndarray]]:
    """Small maps, none square: one object, two of them, an empty one, and drawn by chance."""
    values = np.zeros((4, 6), dtype=np.uint8)
    values[1:3, 2:5] = 1
    yield (values.copy(),)
    values[0, 0] = 7  # starts with an object: the first run has length 0
    values[1, 3] = 0  # a hole
    yield (values,)
    yield (np.zeros((3, 5), dtype=np.uint8),)
    random = np.random.default_rng(18)
    for height, width in ((5, 9), (12, 7), (1, 8)):
        yield (random.integers(0, 4, (height, width)).astype(np.uint8),)


def _map_difference(answer: Any, right: Rows, values: np.ndarray) -> str:
    if wrong := _no_list(answer):
        return wrong
    if len(answer) != len(right):
        return f"it has {len(right)} objects, your list {len(answer)} annotations"
    for index, (mine, true) in enumerate(zip(answer, right, strict=True)):
        for key in true:
            if mine[key] != true[key]:
                return f"annotation {index}: {key} is {mine[key]}, it should be {true[key]}"
    return "the order differs; take the values from the smallest up"


# --- Three sets repaired --------------------------------------------------------------------------


def _cut(box: list[float], width: int, height: int) -> list[float]:
    """The part of a box (x, y, width, height) that is inside the image."""
    x, y, w, h = box
    x1, y1 = min(max(x, 0), width), min(max(y, 0), height)
    return [x1, y1, min(max(x + w, 0), width) - x1, min(max(y + h, 0), height) - y1]


def _cut_far(box: list[float], width: int, height: int) -> list[float]:
    """A corner that is moved inside, and the old size as far as there is room."""
    x, y = max(box[0], 0), max(box[1], 0)
    return [x, y, min(box[2], width - x), min(box[3], height - y)]


def _cut_half(box: list[float], width: int, height: int) -> list[float]:
    """Each corner held at the edges that are near it: outside, the far one lies before the near."""
    x1, y1 = max(box[0], 0), max(box[1], 0)
    return [x1, y1, min(box[0] + box[2], width) - x1, min(box[1] + box[3], height) - y1]


@switches(
    known=lambda known: known,
    finite=lambda finite: finite,
    cut=_cut,
    measured=lambda box, cut: cut,  # the box that must have an area
)
def _repaired(rows: Rows, *image: Any, how: Any) -> Rows:
    """The repaired annotations, step by step."""
    kept, (width, height, categories) = [], image
    for row in rows:
        box, finite = row["bbox"], all(map(math.isfinite, row["bbox"]))
        if not how.known(row["category_id"] in categories) or not how.finite(finite):
            continue
        if finite:
            cut = how.cut(box, width, height)
            if cut is None or min(how.measured(box, cut)[2:]) <= 0:
                continue
            box = cut
        kept.append({**row, "bbox": box})
    return kept


REPAIR_MISTAKES: dict[str, Steps] = {
    "boxes that reach beyond the image are still there. Cut them at its edges.": {
        "cut": lambda box, *image: box
    },
    "you leave out what a cut would fix: keep the part inside the image.": {
        "cut": lambda box, *image: box if _cut(box, *image) == box else None
    },
    "the corner moves and the size stays, so the other edge moves too. Cut x1, y1, x2 and y2, then "
    "compute the size.": {"cut": lambda box, *image: _cut(box, *image)[:2] + box[2:]},
    "the corner is held at 0 and the size stays, so the other edge moves too. Compute x1, y1, x2 "
    "and y2, cut all four, then take the differences.": {
        "cut": lambda box, *image: [max(box[0], 0), max(box[1], 0), *box[2:]]
    },
    "only the far edges are cut: a corner that moves from -5 to 0 takes 5 px off the size.": {
        "cut": _cut_far
    },
    "boxes of no area are still there: width and height must be above 0.": {
        "measured": lambda box, cut: [0, 0, 1, 1]
    },
    "look for an area after the cut: a box outside the image has none left.": {
        "measured": lambda box, cut: box
    },
    "a box outside the image is still there, now of a size below 0: look for an area after "
    "the cut.": {
        "cut": _cut_half,
        "measured": lambda box, cut: box,
    },
    "NaN or infinity is still there. Every comparison with NaN is False; use math.isfinite.": {
        "finite": lambda finite: True
    },
    "annotations of classes that do not exist are still there.": {"known": lambda known: True},
}


def _rows(boxes: list[tuple]) -> Rows:
    return [
        {"id": number, "category_id": CATEGORIES[number % 3], "bbox": list(box)}
        for number, box in enumerate(boxes, start=1)
    ]


def _sets() -> Iterator[tuple[str, Rows]]:
    """Three broken sets of annotations, each with some good ones."""
    yield "boxes beyond the image", _rows([
        (10, 20, 30, 40), (-5, 10, 25, 30), (80, 60, 40, 40), (120, 10, 20, 20), (50, -30, 20, 25),
    ])  # fmt: skip
    yield "boxes without an area", _rows([
        (10, 20, 0, 40), (10, 20, 30, -4), (math.nan, 20, 30, 40), (0, 0, 100, 80),
        (20, 20, math.inf, 10), (30, 30, 0.5, 1),
    ])  # fmt: skip
    rows = _rows([(5, 5, 20, 20)] * 6)
    for row, category in zip(rows, (1, 2, 3, 7, 0, 8), strict=True):
        row["category_id"] = category
    yield "classes that do not exist", rows


def _repair_difference(answer: Any, right: Rows, name: str, rows: Rows) -> str:
    if wrong := _no_list(answer):
        return wrong
    mine, true = {row["id"]: row for row in answer}, {row["id"]: row for row in right}
    given = {row["id"]: row["bbox"] for row in rows}
    if lost := [number for number in true if number not in mine]:
        box = given[lost[0]]
        return f"annotation {lost[0]}, {box}, is lost; it was good or could be fixed"
    if extra := [number for number in mine if number not in true]:
        box = given.get(extra[0], "which was not there before")
        return f"annotation {extra[0]}, {box}, is still there, and nothing can fix it"
    for number, row in true.items():
        if not _alike(mine[number], row):
            box = mine[number]["bbox"]
            return f"annotation {number} should be {row['bbox']}, and you have {box}"
    return "keep the order, and every annotation once"


EXERCISES = (
    Exercise(
        "18-label-maps",
        FunctionGrader(
            right=_annotations,
            cases=_maps,
            mistakes=combine(_annotations, MAP_MISTAKES.items(), most=1),
            praise="COCO's annotations of {n} maps, holes included.",
            observe=lambda function, values: _taken(
                function, values, fields=("bbox", "area", "segmentation")
            ),
            same=_alike,
            difference=_map_difference,
        ),
        (
            "np.unique(values) lists the values. For each one but 0 the mask is values == value, "
            "and np.nonzero(mask) gives its rows and columns.",
            'mask.flatten("F") runs down the columns. Walk along it and count equal neighbours; '
            "begin with a run of zeros, even of length 0.",
            "itertools.groupby(flat) yields (value, run) pairs, and len(list(run)) is a count.",
        ),
    ),
    Exercise(
        "18-repair",
        FunctionGrader(
            right=_repaired,
            cases=_sets,
            describe=lambda name, rows: name,
            mistakes=combine(_repaired, REPAIR_MISTAKES.items(), most=1),
            praise="three sets repaired; nothing good was lost.",
            observe=lambda function, name, rows: _taken(
                function, rows, WIDTH, HEIGHT, CATEGORIES, fields=("id", "category_id", "bbox")
            ),
            same=_alike,
            difference=_repair_difference,
        ),
        (
            "Three questions for every annotation: does its class exist, are its numbers finite, "
            "is anything of its box inside the image?",
            "x1 = max(x, 0) and x2 = min(x + w, width); the new width is x2 - x1, and it may be "
            "negative: then nothing is inside.",
            'Build new dictionaries, {**row, "bbox": [...]}: repair a copy, never the original.',
        ),
    ),
)
