"""What it is worth that training reads sizes, shapes and directions from the data.

    python -m benchmarks.fit [--sets tall,wide] [--seconds 45] [--seeds 2] [--json FILE]

Sets of several kinds are drawn and written as COCO files; each must have the statistics that its
name promises. The lite network learns each from scratch twice for the same time, with the recipe
fitted to the data and as it stands; a row says by how much the first has the higher mask AP.
"""

import json
import math
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import training
from benchmarks.cpu import Report, command
from benchmarks.table import Different, Row, read, show
from mrcnn_lite.config import lite
from mrcnn_lite.datasets import CocoDataset, Shapes
from mrcnn_lite.datasets.drawing import DISTANCES, Shape, shape_of
from mrcnn_lite.lessons.n18_your_own_data.export import write_coco
from mrcnn_lite.training.fit import Objects, one_way

IMAGES, HELD_OUT = 120, 40
JITTER = 8.0  # degrees to either side of a class's direction
FORMS = ("fitted", "as it stands")
READ = {  # the fields that training reads from the data, where --config does not give them
    "image": ("min_size",),
    "rpn": ("anchor_sizes", "aspect_ratios"),
    "training": ("scale_range", "turns"),
}


class Kind(NamedTuple):
    """A kind of data set, and the statistic (`draw`) that must lie in its range."""

    statistic: str
    low: float
    high: float
    size: int = 128  # pixels, of an image
    long: tuple[float, float] | None = None  # sides, as shares of that; None: all as `Shapes`
    aspect: tuple[float, float] = (1.0, 1.4)
    degrees: dict[str, float] | None = None  # of each class's long side; None: any
    names: tuple[str, ...] = tuple(DISTANCES)


STANDING, LYING = dict.fromkeys(DISTANCES, 90.0), dict.fromkeys(DISTANCES, 0.0)
TOPPED = ("triangle", "star", "crescent")  # two of them have a top, but no longer axis
ROUND = ("ellipse", "rectangle")  # the others have less than `MIN_PIXELS` at ten pixels
KINDS = {
    "tall": Kind("height / width", 1.8, 3, 192, (0.2, 0.4), (2, 3), STANDING),
    "wide": Kind("height / width", 1 / 3, 1 / 1.8, 192, (0.2, 0.4), (2, 3), LYING),
    "tiny": Kind("size", 8, 12, 256, (0.043, 0.055), (1, 1.15), names=ROUND),
    "huge": Kind("longer side", 0.45, 0.7, 256, (0.5, 0.7)),
    "upright": Kind("R", 0.8, 1, 192, (0.2, 0.4), (1, 1.15), STANDING, TOPPED),
    "one class": Kind("classes", 1, 1, names=("triangle",)),
    "as shapes": Kind("R", 0, 0.4),
}


class DrawnSet(Shapes):
    """Images of a kind."""

    def __init__(self, kind: Kind, length: int, seed: int) -> None:
        super().__init__(length, seed, kind.size)
        self.kind, self.class_names = kind, ["background", *kind.names]

    def _draw(self, random: np.random.Generator, index: int, **_: Any) -> tuple:
        shape = self._shape if self.kind.long else None
        return super()._draw(random, index, names=self.kind.names, shape=shape)

    def _shape(self, random: np.random.Generator, name: str, size: int) -> Shape:
        long, aspect = size * random.uniform(*self.kind.long), random.uniform(*self.kind.aspect)
        turn, degrees = random.uniform(-JITTER, JITTER), self.kind.degrees
        angle = math.radians(degrees[name] + turn) if degrees else None
        return shape_of(random, name, long, long / aspect, angle)


def draw(name: str, folder: Path, images: int, seed: int) -> tuple[Path, dict[str, float]]:
    """Write a set of a kind; its file and statistics, or `Different` where it is of another kind.

    "size" is the root of the area in pixels, "longer side" the box's as a share of the image's.
    """
    kind = KINDS[name]
    path = write_coco(DrawnSet(kind, images, seed), folder)
    objects = Objects.of(CocoDataset(path))
    found = {
        "height / width": float((objects.boxes[:, 1] / objects.boxes[:, 0]).median()),
        "size": kind.size * float(objects.sizes.median()),
        "longer side": float(objects.boxes.amax(1).median()),
        "R": one_way(objects)[0],
        "classes": len(objects.labels.unique()),
    }
    if not kind.low <= (value := found[kind.statistic]) <= kind.high:
        raise Different(f"fit: {name}: {kind.statistic} {value:.3g}, not {kind.low} to {kind.high}")
    return path, found


def chosen(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a config has for the fields that training reads from the data."""
    return {part: {name: config[part][name] for name in names} for part, names in READ.items()}


def compare(name: str, seconds: float, seed: int) -> dict[str, Any]:
    """Draw a set, train and evaluate in both forms: each second seed the other one first."""
    held_out = ",".join(map(str, range(IMAGES, IMAGES + HELD_OUT)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "preset.json").write_text(json.dumps(chosen(lite().to_dict())))
        path, found = draw(name, folder / "data", IMAGES + HELD_OUT, seed)
        result: dict[str, Any] = {"seed": seed, "statistics": found}
        for form in FORMS[:: -1 if seed % 2 else 1]:
            print(f"{name}, seed {seed}, {form}:", flush=True)
            more = [] if form == "fitted" else ["--config", str(folder / "preset.json")]
            more += ["--seed", str(seed)]
            out = folder / form
            report = training.one_run(str(path), f"{seconds}s", held_out, more, out)
            found = chosen(read(out / "config.json"))
            result[form] = {"AP": report["mask"]["AP"], "steps": report["steps"], "chosen": found}
    return result


def measure(sets: str, seconds: float, seeds: int) -> Report:
    """Compare both forms on each set, once for each seed of the data and the training."""
    names = sets.split(",") if sets else [*KINDS]
    if unknown := {*names} - {*KINDS}:
        raise Different(f"--sets {sets}: {min(unknown)!r} is none; choose of {', '.join(KINDS)}")
    results = {name: [compare(name, seconds, seed) for seed in range(seeds)] for name in names}
    print(show(rows(report := {"seconds": seconds, "results": results})))
    return report


def rows(report: Report) -> list[Row]:
    """How much better the fitted recipe is on each set, on average over the seeds; no goal."""
    made = []
    for name, runs in report["results"].items():
        fitted, stands = (sum(run[form]["AP"] for run in runs) / len(runs) for form in FORMS)
        what = f"{name}: mask AP {fitted:.3f} fitted - {stands:.3f} as it stands"
        made.append(Row("fit", what, fitted - stands, "", details={"runs": runs}))
    return made


if __name__ == "__main__":
    sets = ("", f"of {', '.join(KINDS)}; default: all")
    lengths = {"seconds": (45.0, "of each training"), "seeds": (2, "trainings of each form")}
    raise SystemExit(command(__doc__, measure, sets=sets, **lengths))
