"""Exercises of notebooks 08 to 10: anything gets an answer in words.

Solutions, stubs and known mistakes of all exercises are tested in test_exercise_matrix.py.
"""

import re

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.roi_heads import paste_masks_in_image

from mrcnn_lite.lessons.kit import check, hint
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.n08_mask_branch import exercises as mask_head

OURS = ("08-mask-head", "09-mask-targets", "09-mask-loss", "10-paste")
each = pytest.mark.parametrize("exercise", OURS)


def not_implemented(*inputs):
    raise NotImplementedError


@each
def test_other_stubs_are_not_yet(exercise):
    for empty in (None, not_implemented):
        verdict = find(exercise).grade(empty)
        assert not verdict.passed
        assert verdict.message.startswith("Not yet")


@each
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *inputs: 1 / 0, "ZeroDivisionError"),
        (lambda *inputs: "a word", "str|not numbers|one number"),
        (17, "the function itself"),
    ],
)
def test_anything_gets_an_answer_in_words(exercise, answer, words):
    verdict = find(exercise).grade(answer)
    assert not verdict.passed
    assert re.search(words, verdict.message)


@each
def test_check_and_hints(exercise, capsys):
    check(exercise, None)
    for number in (1, 2, 3, 99):
        hint(exercise, number)
    printed = capsys.readouterr().out
    assert printed.startswith("Not yet")
    assert "Hint 1 of 3" in printed and "Hint 3 of 3" in printed


def own(logits, labels):
    return logits[torch.arange(len(labels)), labels]


def guarded(loss):
    return lambda x, t, y: loss(x, t, y) if len(y) else x.sum() * 0


def all_channels(x, t, y):
    wanted = torch.zeros_like(x)
    wanted[torch.arange(len(y)), y] = t
    return F.binary_cross_entropy_with_logits(x, wanted)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda x, t, y: F.binary_cross_entropy_with_logits(own(x, y), t), "without positives"),
        (
            lambda x, t, y: (
                F.binary_cross_entropy_with_logits(own(x, y), t) if len(y) else torch.tensor(0.0)
            ),
            "without positives",
        ),
        (guarded(all_channels), "all channels are compared"),
        (
            guarded(lambda x, t, y: F.binary_cross_entropy_with_logits(own(x, y - 1), t)),
            "channel label - 1",
        ),
        (
            guarded(lambda x, t, y: F.binary_cross_entropy_with_logits(x[:, 0], t)),
            "channel 0 is compared",
        ),
        (
            guarded(lambda x, t, y: F.binary_cross_entropy_with_logits(own(x, y).sigmoid(), t)),
            "applied twice",
        ),
        (
            guarded(
                lambda x, t, y: F.binary_cross_entropy_with_logits(own(x, y), t, reduction="sum")
            ),
            "summed up",
        ),
    ],
)
def test_mistakes_in_the_loss_are_named(loss, words):
    verdict = find("09-mask-loss").grade(loss)
    assert not verdict.passed
    assert words in verdict.message


def test_a_loss_cut_off_from_the_logits_is_wrong():
    verdict = find("09-mask-loss").grade(lambda x, t, y: own(x.detach(), y).sum() * 0 + 0.5)
    assert not verdict.passed


@pytest.mark.parametrize("case", mask_head.CASES)
def test_the_expected_count_is_a_real_branch(case):
    count = sum(p.numel() for p in mask_head._branch(*case).parameters())
    assert count == mask_head.expected_weights(*case)


def test_the_right_paste_is_torchvisions():
    grader = find("10-paste").grade
    for mask, box, size in grader.cases():
        theirs = paste_masks_in_image(mask[None, None], box[None], size)[0, 0]
        torch.testing.assert_close(grader.right(mask, box, size), theirs, atol=1e-5, rtol=0)
