"""How good a network gets in a given time or in given steps: train, evaluate, several seeds.

python -m benchmarks.training                                    drawn shapes, 120 and 300 seconds
python -m benchmarks.training --lengths 200,400,800,1600 --seeds 2           steps: on any machine
python -m benchmarks.training --lengths 590s --data trainval.json --hold-out 3,8,12,16
"""

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from benchmarks.cpu import Report, command
from benchmarks.table import Goal, Row, read

GOALS = {"120s": Goal(0.72, 0.74), "300s": Goal(0.80, 0.82)}  # mask AP of shapes, on two cores


def mrcnn_lite(*arguments: str) -> str:
    """Run a command of the package, as a learner would, and return what it printed."""
    call = [sys.executable, "-m", "mrcnn_lite", *arguments]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout


def one_run(data: str, length: str, hold_out: str, options: Sequence[str], out: Path) -> Report:
    """Train for "300s" or for "600" steps, and evaluate on images that training never saw: of a
    COCO file those to hold out. `options` are more of `train`'s."""
    hold, only = (["--hold-out", hold_out], ["--only", hold_out]) if hold_out else ([], [])
    unit = "--seconds" if length.endswith("s") else "--steps"
    asked = [unit, length.rstrip("s"), "--out", str(out), *hold, *options]
    trained = mrcnn_lite("train", "--data", data, *asked)
    steps = int(trained.splitlines()[-1].split()[0])  # "1200 steps in 300 s, …"
    where = ["--weights", str(out / "last.safetensors"), "--data", data]
    mrcnn_lite("evaluate", *where, *only, "--json", str(out / "figures.json"))
    return {"length": length, "steps": steps, **read(out / "figures.json")}


def measure(data: str, lengths: str, seeds: int, hold_out: str, options: str) -> Report:
    """Each length with each seed, and what came of it."""
    runs = []
    for length in lengths.split(","):
        for seed in range(seeds):
            more = [*shlex.split(options), "--seed", str(seed)]
            with tempfile.TemporaryDirectory() as folder:
                run = one_run(data, length, hold_out, more, Path(folder) / "run")
            runs.append({"seed": seed, **run})
            ap = ", ".join(f"{kind} AP {run[kind]['AP']:.3f}" for kind in ("mask", "box"))
            print(f"{length}, seed {seed}: {run['steps']} steps, {ap}", flush=True)
    return {"data": Path(data).name, "held_out": hold_out, "options": options, "runs": runs}


def rows(report: Report) -> list[Row]:
    """How good the network got: the mean of the seeds, and their spread."""
    told = []
    for length in dict.fromkeys(run["length"] for run in report["runs"]):
        runs = [run for run in report["runs"] if run["length"] == length]
        long = length.removesuffix("s") + (" s" if length.endswith("s") else " steps")
        goals = GOALS if report["data"] == "shapes" and not report["options"] else {}
        for name, goal in (("AP", goals.get(length)), ("AP50", None)):
            values = [run["mask"][name] for run in runs]
            why = f"{len(runs)} seeds: {min(values):.3f} to {max(values):.3f}"
            what = f"{long} of training on {report['data']}, mask {name}"
            steps = {"steps": [run["steps"] for run in runs]}
            told.append(Row("training", what, mean(values), "", goal, why, steps))
    return told


if __name__ == "__main__":
    lengths = ("120s,300s", "of the trainings: seconds, or steps where no s follows")
    options = ("", "more of train's, such as '--learning-rate 0.004'")
    settings = {"data": "shapes", "lengths": lengths, "seeds": (3, "of each length")}
    raise SystemExit(command(__doc__, measure, **settings, hold_out="", options=options))
