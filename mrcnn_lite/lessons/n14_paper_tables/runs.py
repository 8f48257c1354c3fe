"""Train and measure the arms of the plan, each with every seed.

    python -m mrcnn_lite.lessons.n14_paper_tables.runs [--processes 2] [--arms lite softmax]
    python -m mrcnn_lite.lessons.n14_paper_tables.runs --again "pool at 32" 3

The first makes what is missing: a run whose result is there is skipped, so that whoever is stopped
goes on with the same command. The second makes one run again and says what differs from the stored
one. Each run has one thread, so that its numbers do not depend on how busy the machine is; the same
versions on the same kind of processor give them again bit by bit. Results are lines of
`results.jsonl`; beside it each run has a file of its detections on the held-out images, from which
every statistic follows.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from ...datasets import Shapes
from ...evaluation.average_precision import MOST, match, overlap, sample_precision
from ...models import MaskRCNN
from ...training import TrainingRun, training_batches
from ...training.recipe import HELD_OUT_SEED
from .arms import ARMS, start

FOLDER = Path(__file__).parents[3] / "data" / "experiments"
PLAN, RESULTS = "plan.json", "results.jsonl"
PASSING = ("seconds", "torch", "torchvision", "commit", "date")  # what may differ when made again
PASTED_TWICE = ("lite", "shifted targets")  # also as torchvision pastes
CURVE_EVERY = 50  # steps
SURE = 0.5  # score from which on a wrong detection is counted
THRESHOLDS = 10  # of the IoU, .50 to .95


def read_plan(folder: Path = FOLDER) -> dict[str, Any]:
    """Return what was decided before the first run."""
    return json.loads((folder / PLAN).read_text("utf-8"))


def seeds(plan: dict[str, Any]) -> range:
    """Return the seeds of a plan."""
    return range(plan["first_seed"], plan["first_seed"] + plan["seeds"])


def read_results(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Return the finished runs; half a line of a killed process is none."""
    path = folder / RESULTS
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def detections_file(arm: str, seed: int, folder: Path = FOLDER) -> Path:
    """The file of a run's detections."""
    return folder / "detections" / f"{arm.replace(' ', '_')}-{seed}.npz"


def read_detections(arm: str, seed: int, folder: Path = FOLDER) -> dict[str, np.ndarray]:
    """Return what a finished run found, see `measure`."""
    with np.load(detections_file(arm, seed, folder)) as file:
        return dict(file)


def train(
    arm: str, seed: int, steps: int, stop: int | None = None
) -> tuple[TrainingRun, dict[str, float], list[list[float]]]:
    """Train one arm with one seed on one thread.

    Args:
        arm, seed, steps: of the run.
        stop: leave it after so many of its steps.

    Returns:
        The run, the losses of its first step, and its curve: steps, loss, mask loss.
    """
    torch.set_num_threads(1)
    training, drawn = start(arm, seed)
    batches = training_batches(training.config, drawn, seed)(0)
    first, curve = {}, []
    for step in range(steps if stop is None else stop):
        report = training.step(next(batches), step / steps)
        first = first or {name: value for name, value in report.items() if "loss" in name}
        if (step + 1) % CURVE_EVERY == 0:
            curve.append([step + 1, round(report["loss"], 4), round(report.get("loss_mask", 0), 4)])
    return training, first, curve


def run(arm: str, seed: int, steps: int, images: int, folder: Path = FOLDER) -> dict[str, Any]:
    """Train one arm with one seed, measure it, keep its detections, and return its line."""
    begin = time.perf_counter()
    training, first, curve = train(arm, seed, steps)
    training.model.load_state_dict(training.average)
    found, objects = measure(training.model, images, twice=arm in PASTED_TWICE)
    path = detections_file(arm, seed, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **found)
    kinds = [name.removeprefix("wrong ") for name in found if name.startswith("wrong ")]
    figures = {kind: summary(found, objects, kind) for kind in kinds}
    line = {"arm": arm, "seed": seed, "steps": steps, "images": images, **figures}
    line |= {"first": first, "curve": curve, "seconds": round(time.perf_counter() - begin, 1)}
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    commit = ask_git("rev-parse", "--short", "HEAD")
    return line | versions | {"commit": commit, "date": datetime.date.today().isoformat()}


def differences(arm: str, seed: int, folder: Path = FOLDER) -> list[str]:
    """Make a finished run again, and return what differs from the stored one, bit by bit.

    Raises:
        ValueError: it has not been made.
    """
    lines = {(line["arm"], line["seed"]): line for line in read_results(folder)}
    if (arm, seed) not in lines:
        raise ValueError(f"there is no run of {arm!r} with seed {seed}; there are {sorted(lines)}")
    stored = lines[arm, seed]
    with TemporaryDirectory() as name:
        made = run(arm, seed, stored["steps"], stored["images"], Path(name))
        old, new = (read_detections(arm, seed, place) for place in (folder, Path(name)))
    made = json.loads(json.dumps(made))  # as it would be stored
    figures = [key for key in stored if key not in PASSING and stored[key] != made[key]]
    return figures + [key for key in old if not np.array_equal(old[key], new[key])]


def measure(
    model: MaskRCNN, images: int, twice: bool = False
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Detect on held-out images, and say of every detection at which thresholds it is right.

    Returns:
        image [N], label [N], score [N], and per kind ("mask", "box", "mask, torchvision's paste")
        right bool [N, thresholds], and wrong [N]: 0 right at .50, 1 a second detection of an
        object, 2 any other; then the objects there are, [images, classes].
    """
    held_out = Shapes(images, HELD_OUT_SEED)
    kinds = ("mask", "box", *(["mask, torchvision's paste"] if twice else []))
    rows: dict[str, list] = {"image": [], "label": [], "score": []}
    for name in kinds:  # there may be no detection at all
        rows[name], rows[f"wrong {name}"] = [np.zeros((0, THRESHOLDS), bool)], [np.zeros(0, int)]
    objects = np.zeros((images, len(held_out.class_names)), dtype=int)
    for index in range(images):
        image, target = held_out[index]
        objects[index] = np.bincount(target["labels"], minlength=objects.shape[1])
        found = _detect(model, image, model.config.mask.paste)
        parts = [found["masks"], found["boxes"]]
        if twice:
            parts.append(_detect(model, image, "torchvision")["masks"])
        for label in sorted({*found["labels"].tolist()}):
            mine = (found["labels"] == label).nonzero()[:, 0][:MOST]  # best score first
            rows["image"].append(np.full(len(mine), index))
            rows["label"].append(np.full(len(mine), label))
            rows["score"].append(found["scores"][mine].numpy())
            theirs = target["labels"] == label
            for kind, part in zip(kinds, parts, strict=True):
                truth = target["boxes" if kind == "box" else "masks"][theirs]
                right, wrong = _judge(part[mine], truth)
                rows[kind].append(right)
                rows[f"wrong {kind}"].append(wrong)
    types = {"image": np.uint8, "label": np.uint8, "score": np.float32}
    types |= {f"wrong {kind}": np.uint8 for kind in kinds}
    joined = {name: np.concatenate([[], *p] if name in types else p) for name, p in rows.items()}
    return {name: value.astype(types.get(name, bool)) for name, value in joined.items()}, objects


@torch.inference_mode()
def _detect(model: MaskRCNN, image: Tensor, paste: str) -> dict[str, Tensor]:
    heads, before = model.roi_heads, model.roi_heads.config
    heads.config = before.with_(mask={"paste": paste})
    try:
        return model.eval()([image])[0]
    finally:
        heads.config = before


def _judge(detections: Tensor, objects: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Right bool [N, thresholds] and wrong [N] of one image and class, see `measure`."""
    none = np.zeros(len(objects), dtype=bool)
    _, iou = overlap(detections, objects, none)  # [N, G]
    right = match(iou, none, none) >= 0  # [thresholds, N]
    near = iou.max(axis=1, initial=0) >= 0.5  # [N]
    return right.T, np.where(right[0], 0, np.where(near, 1, 2))


def summary(found: dict[str, np.ndarray], objects: np.ndarray, kind: str) -> dict[str, float]:
    """AP, AP50, AP75, and how many detections with a score of .5 or more are wrong, per image."""
    curves = []
    for label in np.flatnonzero(objects.sum(axis=0)):
        mine = found["label"] == label
        order = np.argsort(-found["score"][mine].astype(float), kind="stable")
        right = found[kind][mine][order]  # [N, thresholds]
        total = int(objects[:, label].sum())
        curves.append([sample_precision(right[:, t], total).mean() for t in range(THRESHOLDS)])
    ap = np.mean(curves, axis=0)  # [thresholds]
    wrong = found[f"wrong {kind}"][found["score"] >= SURE]
    figures = {"AP": ap.mean(), "AP50": ap[0], "AP75": ap[5]}
    for number, name in enumerate(("twice", "false"), 1):
        figures[name] = (wrong == number).sum() / len(objects)
    return {name: round(float(value), 5) for name, value in figures.items()}


def pending(
    plan: dict[str, Any], arms: Sequence[str], folder: Path = FOLDER
) -> Iterator[tuple[str, int]]:
    """The runs without a result: all arms of a seed before the next seed."""
    done = {(line["arm"], line["seed"]) for line in read_results(folder)}
    for seed in seeds(plan):
        yield from ((arm, seed) for arm in arms if (arm, seed) not in done)


def ask_git(*words: str) -> str:
    """Return what git says in this repository; nothing where there is none."""
    try:
        done = subprocess.run(["git", *words], cwd=FOLDER, capture_output=True, encoding="utf-8")
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def main() -> None:
    """Make the results that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=[*ARMS])
    parser.add_argument("--again", nargs=2, metavar=("ARM", "SEED"))
    options, plan = parser.parse_args(), read_plan()
    if options.again:
        arm, seed = options.again
        print("different:", ", ".join(differences(arm, int(seed))) or "nothing")
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        length = plan["steps"], plan["images"]
        futures = [pool.submit(run, *each, *length) for each in pending(plan, options.arms)]
        for number, future in enumerate(as_completed(futures), 1):
            line = future.result()
            with (FOLDER / RESULTS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            what = f"{line['arm']}, seed {line['seed']}: mask AP {line['mask']['AP']:.3f}"
            print(f"{number} of {len(futures)}: {what}, {line['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
