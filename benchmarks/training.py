"""How good a network gets in a given time or in given steps: train, evaluate, several seeds.

python -m benchmarks.training                                    drawn shapes, 120 and 300 seconds
python -m benchmarks.training --lengths 200,400,800,1600 --seeds 2           steps: on any machine
python -m benchmarks.training --lengths 590s --data trainval.json --hold-out 3,8,12,16
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean

from benchmarks.cpu import Report, command
from benchmarks.table import Goal, Row, read

GOALS = {"120s": Goal(0.72, 0.74), "300s": Goal(0.80, 0.82)}  # mask AP of shapes, on two cores


def mrcnn_lite(*arguments: str) -> str:
    """Run a command of the package, as a learner would, and return what it printed."""
    call = [sys.executable, "-m", "mrcnn_lite", *arguments]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(data: str, lengths: str, seeds: int, hold_out: str) -> Report:
    """Train, then evaluate on images that training never saw; `hold_out` are a COCO file's rows."""
    hold, only = (["--hold-out", hold_out], ["--only", hold_out]) if hold_out else ([], [])
    runs = []
    for length in lengths.split(","):
        unit = "--seconds" if length.endswith("s") else "--steps"
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                out, figures = Path(folder), Path(folder) / "figures.json"
                asked = [unit, length.rstrip("s"), "--seed", str(seed), "--out", str(out)]
                trained = mrcnn_lite("train", "--data", data, *asked, *hold)
                where = ["--weights", str(out / "last.safetensors"), "--data", data]
                mrcnn_lite("evaluate", *where, *only, "--json", str(figures))
                steps = int(trained.splitlines()[-1].split()[0])  # "1200 steps in 300 s, …"
                runs.append({"length": length, "seed": seed, "steps": steps, **read(figures)})
            ap = {kind: f"{runs[-1][kind]['AP']:.3f}" for kind in ("mask", "box")}
            print(f"{length}, seed {seed}: {steps} steps, AP {ap}", flush=True)
    return {"data": Path(data).name, "held_out": hold_out or None, "runs": runs}


def rows(report: Report) -> list[Row]:
    """How good the network got: the mean of the seeds, and their spread."""
    told = []
    for length in dict.fromkeys(run["length"] for run in report["runs"]):
        runs = [run for run in report["runs"] if run["length"] == length]
        long = length.removesuffix("s") + (" s" if length.endswith("s") else " steps")
        goals = GOALS if report["data"] == "shapes" else {}
        for name, goal in (("AP", goals.get(length)), ("AP50", None)):
            values = [run["mask"][name] for run in runs]
            why = f"{len(runs)} seeds: {min(values):.3f} to {max(values):.3f}"
            what = f"{long} of training on {report['data']}, mask {name}"
            steps = {"steps": [run["steps"] for run in runs]}
            told.append(Row("training", what, mean(values), "", goal, why, steps))
    return told


if __name__ == "__main__":
    lengths = ("120s,300s", "of the trainings: seconds, or steps where no s follows")
    options = {"data": "shapes", "lengths": lengths, "seeds": (3, "of each length")}
    raise SystemExit(command(__doc__, measure, **options, hold_out=""))
