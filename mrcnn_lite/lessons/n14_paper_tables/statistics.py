"""What the finished runs say: paired differences, an interval, a p, and the plan's verdict.

A bootstrap draws seeds and held-out images with replacement. An image that is drawn twice counts
twice with all its objects and detections, so that AP of a drawn set follows from the stored
detections and one weight per image, for all draws at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from ...datasets import Shapes
from ...evaluation.average_precision import RECALLS
from ...training.recipe import HELD_OUT_SEED
from . import runs

ROUNDS = 1000  # draws of the bootstrap
LEVEL = 0.95
# Of a metric: the kind of overlap, and the number made of the APs at ten thresholds [T, B].
METRICS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "mask AP": ("mask", lambda ap: ap.mean(axis=0)),
    "mask AP50": ("mask", lambda ap: ap[0]),
    "mask AP75": ("mask", lambda ap: ap[5]),
    "box AP": ("box", lambda ap: ap.mean(axis=0)),
    "mask AP75 - mask AP50": ("mask", lambda ap: ap[5] - ap[0]),
}


def weighted_ap(
    found: dict[str, np.ndarray], objects: np.ndarray, kind: str, weights: np.ndarray
) -> np.ndarray:
    """AP of many sets of images at once, each given by how often every image stands in it.

    Args:
        found: a run's detections, see `runs.measure`.
        objects: [images, classes].
        kind: "mask", "box" or "mask, torchvision's paste".
        weights: whole numbers [images, B].

    Returns:
        [thresholds, B]; a class without objects takes no part in its set.
    """
    weights = weights.astype(np.int32)  # half the memory to walk through
    total = objects.T.astype(np.int32) @ weights  # [classes, B]
    hits = np.arange(total.max() + 1)  # [most + 1]
    # How many of the 101 recalls so many hits reach, of so many objects: [objects, hits], flat.
    recall = hits / np.maximum(hits, 1)[:, None]
    reached = np.searchsorted(RECALLS, recall, side="right").astype(np.int32).ravel()
    sums = np.zeros((runs.THRESHOLDS, weights.shape[1]))
    for label in np.flatnonzero(objects.sum(axis=0)):
        mine = np.flatnonzero(found["label"] == label)
        mine = mine[np.argsort(-found["score"][mine].astype(float), kind="stable")]
        times = weights[found["image"][mine]]  # [N, B], best score first
        seen = np.maximum(times.cumsum(axis=0, dtype=np.int32), 1)  # [N, B]
        row = total[label] * len(hits)  # [B], of `reached`
        for threshold, right in enumerate(found[kind][mine].T):
            hit = times[right].cumsum(axis=0, dtype=np.int32)  # [R, B], only the right ones
            precision = hit / seen[right]  # [R, B]
            envelope = np.maximum.accumulate(precision[::-1])[::-1]  # [R, B]
            more = np.diff(reached.take(row + hit), axis=0, prepend=0)  # [R, B]
            sums[threshold] += (envelope * more).sum(axis=0)
    return sums / len(RECALLS) / (total > 0).sum(axis=0)


def draw_images(images: int, rounds: int = ROUNDS, seed: int = 0) -> np.ndarray:
    """How often each image stands in each of the drawn sets: whole numbers [images, rounds]."""
    picks = np.random.default_rng([seed, images]).integers(images, size=(images, rounds))
    weights = np.zeros((images, rounds), dtype=int)
    np.add.at(weights, (picks, np.arange(rounds)), 1)
    return weights


def draw_seeds(differences: np.ndarray, seed: int = 0) -> np.ndarray:
    """The mean over seeds that are drawn with replacement, the same seeds in both arms.

    Args:
        differences: [S, B], of each seed in each draw of images.

    Returns:
        [B].
    """
    number, rounds = differences.shape
    picks = np.random.default_rng([seed, number]).integers(number, size=(number, rounds))  # [S, B]
    return np.take_along_axis(differences, picks, axis=0).mean(axis=0)


def interval(estimate: float, replicates: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The bias-corrected bootstrap interval (Efron 1981).

    Where less than half of the replicates lie below the estimate, they are too high on the whole,
    and lower quantiles than 2.5 and 97.5 % are taken; and the other way round.
    """
    normal, size = NormalDist(), len(replicates)
    # Of replicates that equal the estimate, half; never all or none, whose quantile is infinite.
    below = (replicates < estimate).mean() + (replicates == estimate).mean() / 2
    bias = normal.inv_cdf(float(np.clip(below, 0.5 / size, 1 - 0.5 / size)))
    half = normal.inv_cdf((1 + level) / 2)
    ends = [normal.cdf(2 * bias + side * half) for side in (-1, 1)]
    low, high = np.quantile(replicates, ends)
    return float(low), float(high)


def sign_flip_p(differences: np.ndarray) -> float:
    """How often a mean at least as far from 0 comes from signs given by chance, all tried.

    Args:
        differences: [S], S up to 20.
    """
    number = len(differences)
    signs = 1 - 2 * (np.arange(2**number)[:, None] >> np.arange(number) & 1)  # [2 ** S, S]
    sums = abs(signs @ np.asarray(differences, dtype=float))  # [2 ** S]
    return float((sums >= sums[0] * (1 - 1e-12)).mean())  # a sum in another order may differ a bit


def verdict(low: float, high: float, row: dict[str, Any], finished: int, planned: int) -> str:
    """The plan's verdict on an interval, and none before its number of seeds is there."""
    if finished < planned:
        return f"undecided ({finished} of {planned} seeds)"
    margin, more = row["margin"], row["hypothesis"] == "more"
    if -margin < low and high < margin:
        sign = " (+)" if low > 0 else " (-)" if high < 0 else ""
        return ("no difference at this scale" if more else "reproduced") + sign
    if more and low > 0:
        return "reproduced"
    if high < (0 if more else -margin) or (not more and low > margin):
        return "reversed"
    return "undecided"


@dataclass(frozen=True)
class Outcome:
    """What the finished seeds say about one row of the plan."""

    row: dict[str, Any]
    seeds: tuple[int, ...]
    first: np.ndarray  # [S], the metric of each arm
    second: np.ndarray
    low: float
    high: float
    p: float
    verdict: str

    @property
    def differences(self) -> np.ndarray:
        """Second arm less first arm, [S]."""
        return self.second - self.first


class Study:
    """The plan and the runs that are finished.

    Args:
        folder: of plan, results and detections.
    """

    def __init__(self, folder: Path = runs.FOLDER) -> None:
        self.folder = folder
        self.plan = runs.read_plan(folder)
        self.lines = {(line["arm"], line["seed"]): line for line in runs.read_results(folder)}
        self.figures = lru_cache(maxsize=None)(self._figures)

    @cached_property
    def objects(self) -> np.ndarray:
        """The objects of the held-out images, [images, classes]."""
        held_out = Shapes(self.plan["images"], HELD_OUT_SEED)
        classes = len(held_out.class_names)
        counts = [np.bincount(target["labels"], minlength=classes) for _, target in held_out]
        return np.stack(counts)

    @cached_property
    def weights(self) -> np.ndarray:
        """All images once, then the draws: [images, 1 + ROUNDS]."""
        images = self.plan["images"]
        ones = np.ones((images, 1), dtype=int)
        return np.concatenate([ones, draw_images(images)], axis=1)

    def seeds(self, *sides: str) -> tuple[int, ...]:
        """The seeds that all these arms have finished."""
        arms = [side.partition(": ")[0] for side in sides]
        return tuple(
            seed for seed in runs.seeds(self.plan) if all((arm, seed) in self.lines for arm in arms)
        )

    def values(self, side: str, metric: str) -> Callable[[int], np.ndarray]:
        """Of a seed, the metric on all images and on every draw, [1 + ROUNDS]."""
        arm, _, paste = side.partition(": ")
        kind, number = METRICS[metric]
        kind = f"{kind}, {paste}" if paste else kind
        return lambda seed: number(self.figures(arm, seed, kind))

    def outcome(self, row: dict[str, Any]) -> Outcome:
        """What the finished seeds say about one row."""
        sides = row["first"], row["second"]
        seeds = self.seeds(*sides)
        if not seeds:
            none, nan = np.zeros(0), float("nan")
            words = verdict(nan, nan, row, 0, self.plan["seeds"])
            return Outcome(row, seeds, none, none, nan, nan, nan, words)
        first, second = (
            np.stack([self.values(side, row["metric"])(seed) for seed in seeds]) for side in sides
        )  # [S, 1 + ROUNDS]
        differences = second - first
        mean = float(differences[:, 0].mean())
        low, high = interval(mean, draw_seeds(differences[:, 1:]))
        p = sign_flip_p(differences[:, 0])
        words = verdict(low, high, row, len(seeds), self.plan["seeds"])
        return Outcome(row, seeds, first[:, 0], second[:, 0], low, high, p, words)

    def _figures(self, arm: str, seed: int, kind: str) -> np.ndarray:
        return weighted_ap(
            runs.read_detections(arm, seed, self.folder), self.objects, kind, self.weights
        )
