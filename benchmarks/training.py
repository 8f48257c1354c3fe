"""How good a network gets in a given time: train by the clock, evaluate, keep the figures.

python -m benchmarks.training --seconds 300                       drawn shapes
python -m benchmarks.training --seconds 590 --data trainval.json --hold-out 3,8,12,16
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cpu import Report, command
from benchmarks.table import Row, read


def mrcnn_lite(*arguments: str) -> str:
    """Run a command of the package, as a learner would, and return what it printed."""
    call = [sys.executable, "-m", "mrcnn_lite", *arguments]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(data: str, seconds: float, hold_out: str, out: str, more: Sequence[str] = ()) -> Report:
    """Train, then evaluate on images that training never saw; `hold_out` are a COCO file's rows,
    `more` further options of `train`."""
    hold, only = (["--hold-out", hold_out], ["--only", hold_out]) if hold_out else ([], [])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(out or folder)
        length = ["--seconds", str(seconds)]
        trained = mrcnn_lite("train", "--data", data, "--out", str(out), *length, *hold, *more)
        done = trained.splitlines()[-1]  # "1200 steps in 300 s, …"
        print(done.split(";")[0])
        where = ["--weights", str(out / "last.safetensors"), "--data", data]
        print(mrcnn_lite("evaluate", *where, *only, "--json", str(out / "figures.json")))
        return {
            "data": Path(data).name,
            "seconds": seconds,
            "steps": int(done.split()[0]),
            "held_out": hold_out or None,
            **read(out / "figures.json"),
        }


def rows(report: Report) -> list[Row]:
    """How good the network got."""
    length = f"{report['seconds']:.0f} s of training on {report['data']}"
    return [
        Row("training", f"{length}, mask {name}", report["mask"][name], "")
        for name in ("AP", "AP50")
    ]


if __name__ == "__main__":
    out = ("", "keep the run here")
    options = {"data": "shapes", "seconds": 300.0, "hold_out": "", "out": out}
    raise SystemExit(command(__doc__, measure, **options))
