"""Exercises of notebook 14: a paired bootstrap, and the verdict that an interval allows."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ..kit.exercise import Exercise, FunctionGrader, Mistake, combine, switches
from .statistics import verdict

Case = tuple[np.ndarray, ...]


def _cases() -> Iterator[Case]:
    """first and second [S, K], image [K], and the draws: seeds [B, S], images [B, N]."""
    random = np.random.default_rng(14)
    for number, images, rounds in ((2, 3, 40), (3, 5, 60), (8, 12, 80), (5, 9, 100)):
        image = np.repeat(np.arange(images), random.integers(1, 6, images))  # [K]
        common = random.normal(size=(number, 1)) + random.normal(size=images)[image]  # [S, K]
        gain = 0.1 + 0.1 * random.normal(size=(number, 1)) + 0.2 * random.normal(size=images)[image]
        first = common + 0.05 * random.normal(size=common.shape)
        seeds = random.integers(number, size=(rounds, number))
        yield first, common + gain, image, seeds, random.integers(images, size=(rounds, images))


@switches(draw="images", twice=True, seeds=True, pair="same", mean="objects", level=0.95)
def _variant(
    first: np.ndarray,
    second: np.ndarray,
    image: np.ndarray,
    seeds: np.ndarray,
    images: np.ndarray,
    how: Any,
) -> np.ndarray:
    """The interval of the mean difference, step by step."""

    def mean_of(arm: np.ndarray, drawn_seeds: np.ndarray, drawn: np.ndarray) -> float:
        if how.draw == "none":
            drawn = np.unique(image)
        if how.draw == "objects":
            objects = drawn
        elif how.twice:
            objects = np.concatenate([np.flatnonzero(image == i) for i in drawn])
        else:
            objects = np.flatnonzero(np.isin(image, drawn))
        chosen = arm[drawn_seeds if how.seeds else slice(None)][:, objects]  # [S, objects]
        if how.mean == "images":
            return float(np.mean([chosen[:, image[objects] == i].mean() for i in drawn]))
        return float(chosen.mean())

    ones = [mean_of(first, *draw) for draw in zip(seeds, images)]
    others = [mean_of(second, *draw) for draw in zip(seeds, images)]
    ends = np.array([1 - how.level, 1 + how.level]) / 2
    if how.pair == "intervals":
        return np.quantile(others, ends) - np.quantile(ones, ends)[::-1]
    return np.quantile(
        np.array(others) - (np.roll(ones, 1) if how.pair == "rolled" else ones), ends
    )


def _standard_error(number: Any) -> Any:
    def interval(first: np.ndarray, second: np.ndarray, *draws: np.ndarray) -> np.ndarray:
        differences = second - first
        error = 1.96 * differences.std() / np.sqrt(number(differences))
        return differences.mean() + error * np.array([-1, 1])

    return interval


UNPAIRED = (
    "the arms are not paired: both must see the same seeds and images of a draw, so that what a "
    "seed or an image does to both cancels."
)
WRONG_ERROR = (
    "this is a standard error, and of the wrong thing: it takes the objects for independent. Those "
    "of one image and of one seed go together; the quantiles of the drawn means know it."
)
BOOTSTRAP_MISTAKES = (
    Mistake("objects (boxes) are drawn. Draw images: all objects of a drawn image go together.",
            partial(_variant, draw="objects")),
    Mistake(UNPAIRED, partial(_variant, pair="rolled")),
    Mistake(UNPAIRED, partial(_variant, pair="intervals")),
    Mistake("an image that is drawn twice counts once. Its objects must count twice.",
            partial(_variant, twice=False)),
    Mistake("the seeds are not drawn: this interval holds for these seeds alone.",
            partial(_variant, seeds=False)),
    Mistake("the images are not drawn: this interval holds for these images alone.",
            partial(_variant, draw="none")),
    Mistake("the mean of each image is taken first. Take one mean over all objects drawn.",
            partial(_variant, mean="images")),
    Mistake("these quantiles hold 90 % of the means. Cut 2.5 % from each side.",
            partial(_variant, level=0.9)),
    Mistake("the sign: second less first.", lambda *case: -_variant(*case)[::-1]),
    Mistake(WRONG_ERROR, _standard_error(np.size)),
    Mistake(WRONG_ERROR, _standard_error(len)),
)  # fmt: skip


def _verdict_cases() -> Iterator[tuple[float, float, float, str, int, int]]:
    """Intervals on every side of 0 and of the margin, for both hypotheses; the last ones early."""
    places = (-0.05, -0.03, -0.015, -0.005, 0.004, 0.012, 0.028, 0.06)
    for finished in (8, 5):
        for hypothesis in ("more", "no difference"):
            for number, low in enumerate(places):
                yield from ((low, h, 0.02, hypothesis, finished, 8) for h in places[number + 1 :])


def _right_verdict(
    low: float, high: float, margin: float, hypothesis: str, finished: int, planned: int
) -> str:
    row = {"margin": margin, "hypothesis": hypothesis}
    return re.sub(r" \(.*\)", "", verdict(low, high, row, finished, planned))


@switches(wait=True, middle=False, zero=False, first=False, outside=True)
def _verdict_variant(
    low: float, high: float, margin: float, hypothesis: str, finished: int, planned: int, how: Any
) -> str:
    """The verdict, step by step."""
    more = hypothesis == "more"
    if how.wait and finished < planned:
        return "undecided"
    if how.middle:
        low = high = (low + high) / 2
    if how.first and more and low > 0:
        return "reproduced"
    inside = low < 0 < high if how.zero else -margin < low and high < margin
    if inside:
        return "no difference at this scale" if more else "reproduced"
    if more and low > 0:
        return "reproduced"
    limit = 0 if more or not how.outside else margin
    return "reversed" if high < -limit or (not more and low > limit) else "undecided"


VERDICT_MISTAKES = {
    "peeking: a verdict before the planned seeds are there. Whoever may stop at the seed that "
    "pleases will be pleased too often. Until then: undecided.": {"wait": False},
    "an interval that holds 0 is taken for no difference. A wide one holds 0 and much else: it "
    "has to lie inside the margin.": {"zero": True},
    "the middle of the interval is judged. Both ends count.": {"middle": True},
    "a difference that is sure and smaller than the margin: no difference at this scale. Ask that "
    "first.": {"first": True},
    "'no difference' is reversed only where the whole interval lies outside the margin.": {
        "outside": False
    },
}


def _alike(answer: Any, right: Any) -> bool:
    return isinstance(answer, str) and isinstance(right, str) and answer.strip() == right


def _two_words(answer: Any, right: Any, *case: Any) -> str:
    if isinstance(answer, Exception):
        return f"your function raised {type(answer).__name__}: {answer}"
    return f"yours {answer!r}, right {right!r}"


EXERCISES = (
    Exercise(
        "14-paired-bootstrap",
        FunctionGrader(
            right=lambda first, second, image, seeds, images: _variant(
                first, second, image, seeds, images
            ),
            cases=_cases,
            mistakes=BOOTSTRAP_MISTAKES,
            praise="{n} intervals; pairs stay pairs, and objects stay in their images.",
        ),
        (
            "One round first: row b of `seeds` and of `images` says what is drawn. Which objects "
            "lie in the drawn images?",
            "np.flatnonzero(image == i) are the objects of image i. Join them for all drawn i: one "
            "drawn twice comes twice.",
            "(second - first)[drawn_seeds][:, objects].mean() is one round. Of all rounds take "
            "np.quantile(means, [0.025, 0.975]).",
        ),
    ),
    Exercise(
        "14-verdict",
        FunctionGrader(
            right=_right_verdict,
            cases=_verdict_cases,
            mistakes=combine(_verdict_variant, VERDICT_MISTAKES.items(), most=2),
            praise="{n} intervals judged as the plan says, none too early.",
            same=_alike,
            difference=_two_words,
        ),
        (
            "In this order: are all seeds there? Does the interval lie inside the margin? Then ask "
            "for 0, or for the outside of the margin.",
            "Inside: -margin < low and high < margin. What that is called depends on the "
            "hypothesis.",
            "For 'more': low > 0 is reproduced, high < 0 reversed. For 'no difference': low > "
            "margin or high < -margin is reversed. Anything else is undecided.",
        ),
    ),
)
