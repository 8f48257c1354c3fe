"""Train the networks of notebook 20, and keep what it computes with.

    python -m mrcnn_lite.lessons.n20_using_what_it_found.runs drawings pictures

"drawings" trains on each of `DRAWINGS` and keeps the first seed's network; "pictures" trains on
4 and 16 drawn images and on ever new ones. One thread: the same command on the same versions
gives the same numbers. A run whose line is in `coins.jsonl` is skipped.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...datasets.batches import Batches
from ...datasets.shapes import ENDLESS
from ...datasets.transforms import RandomDihedral
from ...evaluation.coco import evaluate
from ...models import MaskRCNN, save_weights
from ...training import TrainingRun
from ...training.loop import validation_losses
from .coins import CLASS_NAMES, DRAWINGS, DrawnCoins, coin_config
from .photograph import OnePhotograph

DATA = Path(__file__).parents[3] / "data"
RESULTS = DATA / "results" / "coins.jsonl"
SEEDS = range(2)
STEPS = {"drawings": 300, "pictures": 200}
HELD_OUT_SEED = 1000  # the runs draw with 0 and 1
PICTURES = (4, 16, ENDLESS)  # training images
TURNED = 16  # this many are also tried turned and mirrored by chance
VALIDATE_EVERY = 25  # steps
PHOTOGRAPH_SIDE = 303  # pixels: the photograph's shorter side, so that it is not resized


def weights_file(drawing: str) -> Path:
    """Where the network of a drawing is kept."""
    return DATA / "weights" / f"coins_{drawing}.safetensors"


def read_results(kind: str) -> list[dict[str, Any]]:
    """The finished runs of one kind; half a line of a killed process is none."""
    lines = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    return [row for row in map(json.loads, filter(lambda x: x[-1:] == "}", lines)) if kind in row]


def trained(
    images: DrawnCoins, seed: int, steps: int, turn: bool = False, look: Callable | None = None
) -> MaskRCNN:
    """Train a network of `coin_config`, and return it with its averaged weights."""
    run = TrainingRun(coin_config(), CLASS_NAMES, seed)
    transform = RandomDihedral() if turn else None
    batches = Batches(images, run.config.training.batch_size, seed, transform).steps()
    for step in range(steps):
        report = run.step(next(batches), step / steps)
        if look:
            look(run, step + 1, report)
    run.model.load_state_dict(run.average)
    return run.model.eval()


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(figures[name], 4) for name in ("AP", "AP50", "AP75")}


def run_drawing(drawing: str, seed: int) -> dict[str, Any]:
    """Train on one kind of drawing; measure on drawings of that kind and on the photograph."""
    model = trained(DrawnCoins(ENDLESS, seed, drawing), seed, STEPS["drawings"])
    if seed == 0:
        save_weights(model, weights_file(drawing), CLASS_NAMES)
    own = evaluate(model, DrawnCoins(60, HELD_OUT_SEED, drawing))["mask"]
    model.transform.min_size = PHOTOGRAPH_SIDE
    photograph = evaluate(model, OnePhotograph())["mask"]
    return {
        "drawing": drawing,
        "seed": seed,
        "drawn": _rounded(own),
        "photograph": _rounded(photograph),
    }


def run_pictures(count: int, seed: int, turn: bool = False) -> dict[str, Any]:
    """Train on some drawings; measure on others, in the course of it and at the end."""
    held_out = DrawnCoins(40, HELD_OUT_SEED)
    curve: list[list[float]] = []

    def look(run: TrainingRun, step: int, report: dict[str, float]) -> None:
        if step % VALIDATE_EVERY == 0:
            new = validation_losses(run.model, held_out, limit=8)
            curve.append([step, round(report["loss"], 4), round(new["loss"], 4)])

    model = trained(DrawnCoins(count, seed), seed, STEPS["pictures"], turn, look)
    figures = _rounded(evaluate(model, held_out)["mask"])
    return {
        "pictures": 0 if count == ENDLESS else count,
        "seed": seed,
        "turned": turn,
        "new": figures,
        "curve": curve,
    }


def main(kinds: list[str]) -> None:
    """Run what is asked for and not yet done."""
    torch.set_num_threads(1)
    jobs: list[tuple[str, tuple, Callable[[], dict]]] = []
    for seed in SEEDS:
        jobs += [("drawings", (name, seed), run_drawing) for name in DRAWINGS]
    for seed in SEEDS:
        jobs += [("pictures", (count, seed), run_pictures) for count in PICTURES]
        jobs += [("pictures", (TURNED, seed, True), run_pictures)]
    done = {(r["drawing"], r["seed"]) for r in read_results("drawing")}
    done |= {
        (r["pictures"] or ENDLESS, r["seed"], *[True] * r["turned"])
        for r in read_results("pictures")
    }
    for kind, given, job in jobs:
        if kind in kinds and given not in done:
            line = json.dumps(job(*given))
            with open(RESULTS, "a", encoding="utf-8") as file:
                file.write(line + "\n")
            print(line[:200], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
