"""How good a network gets in a given time: train by the clock, evaluate, keep the figures.

python -m benchmarks.training --seconds 300                       drawn shapes
python -m benchmarks.training --seconds 590 --data trainval.json --hold-out 3,8,12,16
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import provenance


def mrcnn_lite(*arguments: str) -> str:
    """Run a command of the package, as a learner would, and return what it printed."""
    command = [sys.executable, "-m", "mrcnn_lite", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(data: str, seconds: float, held_out: str | None, out: Path) -> dict:
    """Train, then evaluate on pictures that training never saw.

    Args:
        data: "shapes" or a COCO file.
        seconds: of training.
        held_out: places of a COCO file's held-out images.
        out: folder of the run.

    Returns:
        The command's words, its figures, the machine and the date.
    """
    hold, only = (["--hold-out", held_out], ["--only", held_out]) if held_out else ([], [])
    length = ["--seconds", str(seconds)]
    trained = mrcnn_lite("train", "--data", data, "--out", str(out), *length, *hold)
    figures = out / "figures.json"
    weights = str(out / "last.safetensors")
    where = ["--weights", weights, "--data", data]
    print(trained.split(";")[0])
    print(mrcnn_lite("evaluate", *where, *only, "--json", str(figures)))
    return {
        "data": Path(data).name,
        "seconds": seconds,
        "steps": int(trained.split()[0]),
        "held_out": held_out,
        "date": datetime.date.today().isoformat(),
        "machine": provenance(),
        **json.loads(figures.read_text("utf-8")),
    }


def main() -> None:
    """Measure once and print; with --json also write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="shapes")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--hold-out")
    parser.add_argument("--out", type=Path, help="keep the run here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        result = measure(options.data, options.seconds, options.hold_out, out)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
