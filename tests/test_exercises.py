"""Exercises: solutions pass, known mistakes are named, stubs get a friendly word, nothing raises.

Solutions are read out of the notebooks' folded blocks, stubs out of their code cells, so that
neither can rot.
"""

import ast
import functools
import json
import math
import re

import pytest
import torch
from source_tree import ROOT

from mrcnn_lite.exercises import check, hint, roi_align, roi_pool
from mrcnn_lite.exercises.registry import combine, find

FOLDED = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)
OURS = {
    "01-roi-pool": ("01_roi_pool", "my_roi_pool"),
    "01-discriminating-map": ("01_roi_pool", "my_map"),
    "03-bilinear": ("03_roi_align", "my_bilinear"),
    "03-roi-align": ("03_roi_align", "my_roi_align"),
}


def cells(stem: str) -> list[dict]:
    return json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]


def defined(source: str, name: str):
    """What the source gives `name`, run on its own with math and torch."""
    scope = {"math": math, "torch": torch}
    kept = [
        node
        for node in ast.parse(source).body
        if name in (getattr(node, "name", None), *[getattr(t, "id", None) for t in targets(node)])
        or isinstance(node, ast.Assign)
    ]
    exec(compile(ast.Module(kept, []), "<notebook>", "exec"), scope)
    return scope[name]


def targets(node: ast.stmt) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else []


def solution(exercise: str):
    stem, name = OURS[exercise]
    prose = "\n".join("".join(c["source"]) for c in cells(stem) if c["cell_type"] == "markdown")
    blocks = [block for block in FOLDED.findall(prose) if re.search(rf"\b{name}\b", block)]
    assert len(blocks) == 1, f"one folded solution for {exercise}"
    scope = {"math": math, "torch": torch}
    exec(compile(blocks[0], "<solution>", "exec"), scope)
    return scope[name]


def stub(exercise: str):
    stem, name = OURS[exercise]
    (source,) = [
        "".join(c["source"])
        for c in cells(stem)
        if c["cell_type"] == "code" and f'check("{exercise}"' in "".join(c["source"])
    ]
    return defined(source, name)


each = pytest.mark.parametrize("exercise", OURS)


@each
def test_the_solution_passes(exercise):
    verdict = find(exercise).grade(solution(exercise))
    assert verdict.passed, verdict.words
    assert verdict.words.startswith("Passed")


@each
def test_the_stub_is_not_yet(exercise):
    verdict = find(exercise).grade(stub(exercise))
    assert not verdict.passed
    assert verdict.words.startswith("Not yet")


def not_implemented(*inputs):
    raise NotImplementedError


@pytest.mark.parametrize("exercise", ["01-roi-pool", "03-bilinear", "03-roi-align"])
def test_other_stubs_are_not_yet(exercise):
    for empty in (None, not_implemented):
        assert find(exercise).grade(empty).words.startswith("Not yet")


def broken(*inputs):
    return 1 / 0


@pytest.mark.parametrize("exercise", ["01-roi-pool", "03-bilinear", "03-roi-align"])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (broken, "ZeroDivisionError"),
        (lambda *inputs: "a word", "not numbers"),
        (lambda *inputs: torch.zeros(9, 9, 9), "it should have"),
        (lambda *inputs: 0.125, "yours 0.1250|it should have"),
        (17, "the function itself"),
    ],
)
def test_unknown_wrong_answers_are_caught(exercise, answer, words):
    verdict = find(exercise).grade(answer)
    assert not verdict.passed
    assert re.search(words, verdict.words)


MISTAKES = [
    *[("01-roi-pool", roi_pool._variant, words, change) for words, change in roi_pool.SLIPS],
    *[
        ("03-bilinear", roi_align._bilinear_variant, words, change)
        for words, change in roi_align.POINT_SLIPS
    ],
    *[
        ("03-roi-align", roi_align._align_variant, words, change)
        for words, change in roi_align.SLIPS
    ],
]


@pytest.mark.parametrize(
    ("exercise", "variant", "words", "change"),
    MISTAKES,
    ids=[f"{exercise} {next(iter(change))}" for exercise, _, _, change in MISTAKES],
)
def test_each_known_mistake_is_named(exercise, variant, words, change):
    verdict = find(exercise).grade(functools.partial(variant, **change))
    assert not verdict.passed
    assert f"Likely: {words}\n" in verdict.words


def test_the_right_variant_is_right():
    """The mistakes differ from the truth by their switch only."""
    assert find("01-roi-pool").grade(roi_pool._variant).passed
    assert find("03-bilinear").grade(roi_align._bilinear_variant).passed
    assert find("03-roi-align").grade(roi_align._align_variant).passed


def test_two_mistakes_at_once():
    function = functools.partial(roi_pool._variant, inclusive=0, mean=True)
    words = find("01-roi-pool").grade(function).words
    assert "both rounded corners" in words
    assert "and: this is the mean" in words


def test_help_comes_one_difficulty_at_a_time():
    """The notebook's own loop is wrong in several ways; the first to be named are the halves."""
    sources = ["".join(c["source"]) for c in cells("01_roi_pool") if c["cell_type"] == "code"]
    scope = {"math": math, "torch": torch, "grid": torch.zeros(6, 6), "stride": 32}
    scope["proposal"] = torch.tensor([[10.0, 10.0, 124.0, 124.0]])
    for name in ("bins", "roi_pool_toy"):
        (source,) = [source for source in sources if source.startswith(f"def {name}(")]
        exec(source.split("\n\n\n")[0], scope)

    def toy(features, box, size, scale):
        return scope["roi_pool_toy"](features, torch.tensor(box), size, 1 / scale)

    assert "Likely: Python's round" in find("01-roi-pool").grade(toy).words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (torch.zeros(6, 6), "split 3 + 2 and 2 + 3"),
        (torch.zeros(5, 5), "6 x 6"),
        (torch.full((6, 6), math.nan), "6 x 6"),
        ("map", "6 x 6"),
    ],
)
def test_maps_that_discriminate_nothing(answer, words):
    verdict = find("01-discriminating-map").grade(answer)
    assert not verdict.passed
    assert words in verdict.words


def test_the_articles_map_tells_only_one_split():
    torch.manual_seed(1)
    words = find("01-discriminating-map").grade(torch.randn(1, 1, 6, 6)).words
    assert "disjoint split 3 + 2" in words
    assert "2 + 3" not in words


def test_a_function_that_writes_into_its_inputs_harms_nobody():
    right = solution("03-bilinear")

    def vandal(features, y, x):
        value = right(features, y, x).clone()
        features.zero_()
        return value

    assert find("03-bilinear").grade(vandal).passed


def test_check_and_hint_print(capsys):
    check("03-bilinear", None)
    assert capsys.readouterr().out.startswith("Not yet")
    for number in (1, 2, 3, 99):
        hint("03-bilinear", number)
    assert capsys.readouterr().out.count("Hint 3 of 3") == 2
    with pytest.raises(ValueError, match="no exercise named 'nothing'"):
        check("nothing", None)


def test_combine_keeps_contradictions_apart():
    slips = (("a", {"x": 1}), ("b", {"x": 2}), ("c", {"y": 3}))
    words = [mistake.words for mistake in combine(dict, slips, most=2)]
    assert words == ["a", "b", "c", "a\n   and: c", "b\n   and: c"]
