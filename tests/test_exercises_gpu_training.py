"""The exercises of notebook 17, with answers as learners write them.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py too.
"""

import functools
import math
import re

import pytest
import torch

from mrcnn_lite.exercises import gpu_training, hint
from mrcnn_lite.exercises.registry import find
from mrcnn_lite.exercises.sources import chapter_of

OURS = {
    "17-deterministic": (gpu_training._sum_variant, gpu_training.SUM_SLIPS),
    "17-no-waits": (gpu_training._wait_variant, gpu_training.WAIT_SLIPS),
}
MISTAKES = [
    (exercise, variant, words, change)
    for exercise, (variant, slips) in OURS.items()
    for words, change in slips
]

each = pytest.mark.parametrize("exercise", OURS)


def grade(exercise, answer):
    return find(exercise).grade(answer)


@each
def test_the_solution_passes(exercise):
    verdict = grade(exercise, chapter_of(exercise).solution(exercise))
    assert verdict.passed, verdict.words
    assert re.match(r"Passed: 12 (maps|batches)", verdict.words)


@each
def test_the_right_variant_is_right(exercise):
    assert grade(exercise, OURS[exercise][0]).passed


@each
def test_stubs_are_not_yet(exercise):
    def not_implemented(*inputs):
        raise NotImplementedError

    for empty in (chapter_of(exercise).stub(exercise), None, not_implemented):
        assert grade(exercise, empty).words.startswith("Not yet")


@pytest.mark.parametrize(
    ("exercise", "variant", "words", "change"),
    MISTAKES,
    ids=[f"{exercise} {change}" for exercise, _, _, change in MISTAKES],
)
def test_each_known_mistake_is_named(exercise, variant, words, change):
    verdict = grade(exercise, functools.partial(variant, **change))
    assert not verdict.passed
    assert f"Likely: {words}\n" in verdict.words
    assert "your function raised" not in verdict.words


@each
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *inputs: 1 / 0, "ZeroDivisionError"),
        (lambda *inputs: "a word", "raised|not numbers"),
        (17, "the function itself"),
        (lambda *inputs: torch.ones(3), r"\[h, w\]|return one number"),
        (lambda a, *others: a.new_full((6, 9), 0.5) if others[1:] else a.sum() * 0 + 5, "right"),
    ],
)
def test_unknown_wrong_answers_are_caught(exercise, answer, words):
    verdict = grade(exercise, answer)
    assert not verdict.passed and "Likely" not in verdict.words
    assert re.search(words, verdict.words)


def test_an_exact_sum_passes_too():
    """Python's fsum rounds once, so no order changes it."""

    def exact(grad, rows, columns):
        shares = (rows.mT @ grad @ columns).flatten(1)  # [K, N]
        sums = [math.fsum(column) for column in shares.T.tolist()]
        return torch.tensor(sums).view(rows.shape[2], columns.shape[2])

    assert grade("17-deterministic", exact).passed


def test_a_loop_in_the_given_order_is_named():
    def loop(grad, rows, columns):
        out = torch.zeros(rows.shape[2], columns.shape[2])
        for g, a, b in zip(grad, rows, columns):
            out += a.T @ g @ b
        return out

    words = grade("17-deterministic", loop).words
    assert "the shares are added in the order in which the RoIs came" in words


def test_two_mistakes_at_once():
    both = functools.partial(OURS["17-deterministic"][0], order="given", total="mean")
    words = grade("17-deterministic", both).words
    assert "the numbers are right" in words and "and: this is the mean over the RoIs" in words
    both = functools.partial(OURS["17-no-waits"][0], count="read", over="none")
    assert "this is the sum" in grade("17-no-waits", both).words


WAITING = {
    "a number is read": [
        lambda loss, labels: (
            torch.where(labels > 0, loss, 0.0).sum() / max(int((labels > 0).sum()), 1)
        ),
        lambda loss, labels: torch.where(labels > 0, loss, 0.0).sum() / max((labels > 0).sum(), 1),
        lambda loss, labels: (
            torch.where(labels > 0, loss, 0.0).sum() / (labels > 0).sum().clamp(min=1)
            if (labels > 0).any()
            else loss.new_zeros(())
        ),
    ],
    "the size of something depends on values": [
        lambda loss, labels: (
            loss[torch.nonzero(labels > 0)[:, 0]].sum() / (labels > 0).sum().clamp(min=1)
        ),
        lambda loss, labels: loss.masked_select(labels > 0).sum() / (labels > 0).sum().clamp(min=1),
        lambda loss, labels: (
            loss[torch.where(labels > 0)[0]].sum() / (labels > 0).sum().clamp(min=1)
        ),
    ],
}


@pytest.mark.parametrize(("words", "answers"), WAITING.items())
def test_every_way_to_wait_is_named(words, answers):
    for answer in answers:
        verdict = grade("17-no-waits", answer)
        assert not verdict.passed and f"Likely: {words}" in verdict.words


def test_other_ways_without_a_wait_pass():
    def filled(loss, labels):
        positive = labels >= 1
        kept = loss.masked_fill(~positive, 0)
        return kept.sum() / torch.maximum(positive.sum(), torch.ones_like(positive.sum()))

    assert grade("17-no-waits", filled).passed


@each
def test_hints_come_in_order(exercise, capsys):
    count = len(find(exercise).hints)
    assert count == 3
    for number in range(1, count + 1):
        hint(exercise, number)
    assert capsys.readouterr().out.startswith(f"Hint 1 of {count}")
