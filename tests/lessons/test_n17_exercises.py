"""The exercises of notebook 17, with answers as learners write them.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import functools
import math
import re

import pytest
import torch
from test_kit_exercise import broken, not_implemented

from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n17_gpu_training import exercises as gpu_training

each = pytest.mark.parametrize("exercise", ["17-deterministic", "17-no-waits"])


def grade(exercise, answer):
    return find(exercise).grade(answer)


@each
def test_other_stubs_are_not_yet(exercise):
    for empty in (None, not_implemented):
        assert grade(exercise, empty).message.startswith("Not yet")


@each
def test_no_known_mistake_raises(exercise):
    """An error is like any other error, so it would be named for what it is not."""
    for mistake in find(exercise).known:
        assert "your function raised" not in grade(exercise, mistake.function).message


@each
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (broken, "ZeroDivisionError"),
        (lambda *inputs: "a word", "raised|not numbers"),
        (17, "the function itself"),
        (lambda *inputs: torch.ones(3), r"\[h, w\]|return one number"),
        (lambda a, *others: a.new_full((6, 9), 0.5) if others[1:] else a.sum() * 0 + 5, "right"),
    ],
)
def test_unknown_wrong_answers_are_caught(exercise, answer, words):
    verdict = grade(exercise, answer)
    assert not verdict.passed and "Likely" not in verdict.message
    assert re.search(words, verdict.message)


def test_an_exact_sum_passes_too():
    """Python's fsum rounds once, so no order changes it."""

    def exact(grad, rows, columns):
        shares = (rows.mT @ grad @ columns).flatten(1)  # [K, N]
        sums = [math.fsum(column) for column in shares.T.tolist()]
        return torch.tensor(sums).view(rows.shape[2], columns.shape[2])

    assert grade("17-deterministic", exact).message.startswith("Passed: 12 maps")


def test_a_loop_in_the_given_order_is_named():
    def loop(grad, rows, columns):
        out = torch.zeros(rows.shape[2], columns.shape[2])
        for g, a, b in zip(grad, rows, columns):
            out += a.T @ g @ b
        return out

    words = grade("17-deterministic", loop).message
    assert "the shares are added in the order in which the RoIs came" in words


def test_two_mistakes_at_once():
    def together(variant, mistakes, *beginnings):
        chosen = [steps for m, steps in mistakes.items() if m.startswith(beginnings)]
        assert len(chosen) == 2
        return functools.partial(variant, **chosen[0], **chosen[1])

    sums, waits = gpu_training.SUM_MISTAKES, gpu_training.WAIT_MISTAKES
    both = together(gpu_training._sum_variant, sums, "the numbers are right", "this is the mean")
    words = grade("17-deterministic", both).message
    assert "the numbers are right" in words and "and: this is the mean over the RoIs" in words
    both = together(gpu_training._wait_variant, waits, "a number is read", "this is the sum")
    assert "this is the sum" in grade("17-no-waits", both).message


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
        assert not verdict.passed and f"Likely: {words}" in verdict.message


def test_other_ways_without_a_wait_pass():
    def filled(loss, labels):
        positive = labels >= 1
        kept = loss.masked_fill(~positive, 0)
        return kept.sum() / torch.maximum(positive.sum(), torch.ones_like(positive.sum()))

    assert grade("17-no-waits", filled).message.startswith("Passed: 12 batches")


@each
def test_three_hints(exercise):
    assert len(find(exercise).hints) == 3
