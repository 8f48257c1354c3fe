"""The site's questions and exercises: what JavaScript says is what the kit says."""

import json
import random
import subprocess

import nbformat
import pytest
import torch
from source_tree import NOTEBOOKS, ROOT

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.kit.parsons import Parsons
from mrcnn_lite.lessons.kit.questions import Question
from mrcnn_lite.lessons.kit.recall import FIRST, is_right
from mrcnn_lite.lessons.n00_start_here import exercises as blocks
from tools.site_exercises import BY_HAND, EXERCISES, by_hand, checks, disordered, mapped, naming
from tools.site_questions import asked, calls, results, unwrapped

ARGUMENTS = ["node", str(ROOT / "tests" / "site_questions_cases.mjs"), (ROOT / "docs/js").as_uri()]


def judged(*cases):
    """The verdicts of the site's JavaScript."""
    done = subprocess.run(ARGUMENTS, input=json.dumps(cases), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def data_of(page):
    """What a form compares with."""
    from html import unescape

    return json.loads(unescape(page.partition('data-checks="')[2].partition('"')[0]))


def codes_of(path):
    return [it for it in nbformat.read(path, as_version=4).cells if it.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_question_of_a_notebook_has_its_form(path):
    number, codes = path.stem.split("_")[0], codes_of(path)
    truths, page = results(codes), ""
    for cell in codes:
        if not any(calls(cell.source, *EXERCISES)):
            outputs = asked(cell, truths)
            page += "".join(it.get("data", {}).get("text/html", "") for it in outputs)
    wanted = {
        kind: [n for c in codes for _, n in calls(c.source, kind)] for kind in ("predict", "why")
    }
    for kind, names in wanted.items():
        assert page.count(f'<form class="ask {kind}"') == len(names)
        assert all(page.count(f'data-name="{name}"') == 1 for name in names)
    assert page.count('<form class="ask recall"') == (3 if number >= FIRST else 0)
    assert len(truths) == page.count("data-truth") - page.count("data-kind")
    assert page.count("<form") == page.count("<details")  # every answer waits behind a line


def test_a_form_holds_what_the_notebook_printed():
    cell = nbformat.v4.new_code_cell('predict("a-b", "?")')
    text = "Prediction a-b: How many of the well-\n    known < 2?\n  ( ) one\n  ( ) 2"
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/plain": text})]
    with pytest.raises(ValueError, match="cannot be read"):  # nothing is that long: not wrapped so
        asked(cell, {"a-b": "2"})
    text = "Prediction a-b: How many < 2?\n  ( ) one\n  ( ) 2"
    cell.outputs[0].data["text/plain"] = text
    with pytest.raises(ValueError, match="run it to its end"):
        asked(cell, {})
    page = asked(cell, {"a-b": "2"})[0].data["text/html"]
    assert "How many &lt; 2?" in page and 'data-truth="2" data-known="yes"' in page
    assert unwrapped("a well-\n    known b\n    c\nd") == ["a well-known b c", "d"]


@pytest.mark.parametrize("answer", [16, 0.375])
def test_numbers_are_read_as_recall_reads_them(answer):
    texts = ["16", "16.0", "16,0", "16.1", "32/2", ".375", "0,375", "3/8", "0.374", "0.37", "1/0"]
    texts += ["-0.375", "1e-3", "x", "?", "1/2/3"]
    kind = "whole" if isinstance(answer, int) else "real"

    def ours(text):
        try:
            return is_right(text, Question("", answer, ""))
        except ValueError:
            return False

    found = judged(*(["isRight", text, str(answer), kind] for text in texts))
    assert found == [ours(text) for text in texts]
    assert True in found and False in found


def test_a_prediction_is_compared_in_the_kits_words():
    cases = [
        ("", "", "4", True),
        ("4", "sure", "4", True),
        ("5", "", "4", True),
        ("5", "", "x", False),
    ]
    found = judged(*(["compared", *case] for case in cases))
    assert [(it["predicted"], it["verdict"]) for it in found] == [
        ("You predicted: nothing yet.", ""),
        ("You predicted: 4 (sure)", "They agree."),
        ("You predicted: 5", "They differ."),
        ("You predicted: 5", ""),
    ]


@pytest.mark.parametrize("name", BY_HAND)
def test_wrong_numbers_get_their_mistakes_message(name):
    """Each mistake that gives other numbers is told; the right numbers pass."""
    exercise = find(name)
    compare = checks(exercise, BY_HAND[name])
    assert data_of(by_hand(exercise)) == compare
    passed, empty = judged(
        ["gradeByHand", compare["right"], compare],
        ["gradeByHand", [["nan"] * len(it) for it in compare["right"]], compare],
    )
    assert passed["passed"] and not empty["passed"] and "Nothing" in empty["words"]
    told, cases = [], []
    for mistake in compare["mistakes"]:
        for k, (numbers, right) in enumerate(zip(mistake["numbers"], compare["right"])):
            apart = numbers and None not in numbers
            if apart and max(abs(a - b) for a, b in zip(numbers, right)) > 0.02:
                typed = [numbers if i == k else it for i, it in enumerate(compare["right"])]
                told.append(mistake["message"])
                cases.append(["gradeByHand", typed, compare])
    for message, verdict in zip(told, judged(*cases)):
        assert not verdict["passed"] and any(map(any, verdict["wrong"]))
        assert message in verdict["words"] or verdict["words"].count("Or: ") == 2
    assert len({*told}) >= len(exercise.known) * 2 // 3


def test_what_no_mistake_explains_is_not_guessed():
    compare = checks(find("03-bilinear"), BY_HAND["03-bilinear"])
    (verdict,) = judged(["gradeByHand", [[4.75], ["inf"], ["nan"]], compare])
    assert verdict["wrong"] == [[False], [True], [False]]
    assert verdict["words"].startswith("Not right yet: 1 of 3 numbers are right, 1 to go.\nNone of")


def test_the_blocks_are_judged_as_by_check():
    exercise, generator = find("00-blocks"), random.Random(0)
    data, answers = data_of(naming(exercise)), []
    for _ in range(50):
        answers.append(
            {
                question: generator.choice(
                    [right, right, "", *(blocks.NAMES if question in "ABCDE" else blocks.LETTERS)]
                )
                for question, (right, _) in blocks.QUESTIONS.items()
            }
        )
    answers += [data["right"], dict.fromkeys(data["right"], "")]
    for answer, found in zip(answers, judged(*(["gradeNames", it, data] for it in answers))):
        ours = exercise.grade({question: chosen or None for question, chosen in answer.items()})
        assert found["passed"] == ours.passed
        if any(answer.values()):
            assert found["words"] == "\n".join(map(str.strip, ours.message.splitlines()))


def test_a_map_is_judged_as_by_check():
    exercise, generator = find("01-discriminating-map"), torch.Generator().manual_seed(0)
    data = data_of(mapped(exercise))
    maps = [torch.randint(0, 4, (6, 6), generator=generator) for _ in range(60)]
    maps += [mistake.function for mistake in exercise.mistakes]
    found = judged(*(["gradeMap", it.tolist(), data] for it in maps))
    ours = [exercise.grade(it) for it in maps]
    assert [it["words"] for it in found] == [it.message for it in ours]
    assert len({it.message for it in ours}) == 4
    strange, empty = judged(
        ["gradeMap", [["nan"] * 6] * 6, data], ["gradeMap", [[0] * 6] * 6, data]
    )
    assert "finite numbers" in strange["words"] and "empty" in empty["words"]


def test_lines_in_order_are_the_solution():
    puzzle = Parsons("03-bilinear")
    data = data_of(disordered("03-bilinear"))
    assert sorted(data["lines"]) == sorted(puzzle.lines)
    assert puzzle.chapter.folded("03-bilinear")[1].strip() == "\n".join(
        [*puzzle.head, *data["right"]]
    )
    foreign = [line for line in data["lines"] if line not in data["right"]]
    assert len(foreign) == puzzle.wrong == 3
    right = data["right"]
    cases = (right, [], right[:2], [right[0], foreign[0], *right[1:]], [*right, foreign[0]])
    found = judged(*(["gradeLines", chosen, right] for chosen in cases))
    assert [it["passed"] for it in found] == [True, False, False, False, False]
    assert "in its order" in found[0]["words"] and "No line" in found[1]["words"]
    assert f"2 of {len(right)} lines" in found[2]["words"] and "mistakes" not in found[2]["words"]
    assert f"1 of {len(right)} lines" in found[3]["words"] and "yours: 1" in found[3]["words"]
    assert f"{len(right)} of {len(right)} lines" in found[4]["words"]


@pytest.mark.parametrize("kept", [None, '{"recall": {"01.1": "right"}}', "null", "no JSON"])
def test_progress_is_kept_and_forgotten(kept):
    answer, count, calibration, after, left = judged(["progress", kept])[0]
    assert answer == "4" and calibration == ["sure: 0 of 1"]
    assert count == (2 if kept and "recall" in kept else 1)
    assert after == 0 and left == 0
